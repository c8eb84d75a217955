//! Applications built with Millstream, through its public API only.

pub mod invoice_totals;
pub mod log_anomaly;
