//! Bills: what was asked for, with the names and prices of the moment.
//!
//! ```text
//!   bill-requests ─► by customer ─► join [customers] ─► by bill ─► names and prices [products] [bills] ─► bills
//! ```

mod rows;
mod billing;
mod topology;

pub use rows::{
    Bill, BillLine, BillRequest, BilledCustomer, BillingDate, Customer, Product, RequestedLine,
};
pub(super) use topology::bills;
