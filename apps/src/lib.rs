//! Applications built with Millstream, through its public API only.

mod program;
pub mod access;
pub mod invoice_totals;
pub mod log_anomaly;
pub mod login_lake;

pub use program::exit_code;
