//! Invoice totals: what was billed in the last five seconds, and what each client owes in all.
//!
//! ```text
//!   customers ─► [customers]                                products ─► global [products]
//!   FACTURATION ─► read ─┬─ bad ──────────────────────────────────────► invoice-totals-dlq
//!                        └─► by number ─► once [invoices] ─┬─ other content ─► invoice-totals-dlq
//!                                 ┌────────────────────────┘
//!                                 ├─ all ─► 5 s windows ─┬─ running ──► totals-5s
//!                                 │                      └─ closed ───► totals-5s-final
//!                                 └─ by client ─► [totals-by-client] ─► totals-by-client
//!   bill-requests ─► join customers, products ─► [bills] ─────────────► bills
//! ```
//!
//! The modules stand in the order in which an invoice meets them.

mod text;
mod money;
mod object;
mod invoice;
mod once;
mod counting;
mod totals;
mod bills;
mod topology;
mod topics;
mod samples;
mod producing;
mod screen;
mod replay;
mod commands;

pub use bills::{
    Bill, BillLine, BillRequest, BilledCustomer, BillingDate, Customer, Product, RequestedLine,
};
pub use commands::run;
pub use invoice::{BadInvoice, Invoice, InvoiceSerde};
pub use money::{Amount, Currency};
pub use text::{BadTextReason, Name};
pub use topology::{BadInvoices, Duplicates, Settings, topology};
pub use totals::{ClientTotal, Total, WindowTotal};
