//! Invoice totals: what was billed in the last five seconds, and what each client owes in all.
//!
//! ```text
//!                                    ┌─► 5 s windows, running ────► totals-5s
//!   FACTURATION ─► (key "all") ──────┤
//!        │                           └─► 5 s windows, when closed ► totals-5s-final
//!        ├───────► (key client) ───────► total and count ─────────► totals-by-client
//!        └ bad invoices ─────────────────────────────────────────► invoice-totals-dlq
//! ```
//!
//! The modules stand in the order in which an invoice meets them.

mod money;
mod object;
mod invoice;
mod totals;
mod topology;
mod topics;
mod samples;
mod producing;
mod screen;
mod commands;

pub use commands::run;
pub use invoice::{BadInvoice, Invoice, InvoiceSerde};
pub use money::{Amount, Currency};
pub use topology::{BadInvoices, Settings, topology};
pub use totals::{ClientTotal, Total, WindowTotal};
