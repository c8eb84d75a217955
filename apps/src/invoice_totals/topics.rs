//! The topics by name.

use crate::program::Topics;

/// Where invoices come in.
pub(super) const INVOICES: &str = "FACTURATION";
/// Totals of five seconds, as they change.
pub(super) const WINDOWS: &str = "totals-5s";
/// Totals of five seconds, once, when they are complete.
pub(super) const CLOSED_WINDOWS: &str = "totals-5s-final";
/// Totals of clients, as they change.
pub(super) const CLIENTS: &str = "totals-by-client";
/// Customers by id.
pub(super) const CUSTOMERS: &str = "customers";
/// Products by id.
pub(super) const PRODUCTS: &str = "products";
/// Bills to be made.
pub(super) const BILL_REQUESTS: &str = "bill-requests";
/// Bills as they were made, by id.
pub(super) const BILLS: &str = "bills";
/// Records that are no invoices.
pub(super) const DEAD_LETTERS: &str = "invoice-totals-dlq";

/// All of them.
pub(super) const TOPICS: Topics = Topics {
    all: &[
        INVOICES,
        WINDOWS,
        CLOSED_WINDOWS,
        CLIENTS,
        CUSTOMERS,
        PRODUCTS,
        BILL_REQUESTS,
        BILLS,
        DEAD_LETTERS,
    ],
    // Of a client only the last total counts, of a row only the last.
    compacted: &[CLIENTS, CUSTOMERS, PRODUCTS, BILLS],
};
