//! The topics by name, and making those that are missing.

use std::time::Duration;

use millstream::log::{Log, NewTopic};
use millstream::{Error, Reaction};

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

const ALL: [&str; 9] = [
    INVOICES,
    WINDOWS,
    CLOSED_WINDOWS,
    CLIENTS,
    CUSTOMERS,
    PRODUCTS,
    BILL_REQUESTS,
    BILLS,
    DEAD_LETTERS,
];
const RETRY: Duration = Duration::from_secs(2);

/// Creates the topics that are missing, all with so many partitions. Waits for a broker that does
/// not answer; `wait` pauses, and returns false to give up, which is no error.
///
/// # Errors
/// What the broker refuses.
pub(super) fn create_missing(
    log: &dyn Log,
    partitions: i32,
    mut wait: impl FnMut(Duration) -> bool,
) -> Result<(), Error> {
    loop {
        match try_create(log, partitions) {
            Err(error) if error.reaction() == Reaction::Retry => {
                tracing::warn!(?error, "the broker does not answer, trying again");
                if !wait(RETRY) {
                    return Ok(());
                }
            }
            done => return done,
        }
    }
}

fn try_create(log: &dyn Log, partitions: i32) -> Result<(), Error> {
    let described = log.describe(&ALL)?;
    let missing: Vec<NewTopic> = ALL
        .iter()
        .zip(described)
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| NewTopic {
            name: (*name).to_owned(),
            partitions,
            replication_factor: -1,
            config: settings_of(name),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for topic in &missing {
        tracing::info!(topic = topic.name, partitions, "creating a topic");
    }
    log.create(&missing)
}

/// Of a client only the last total counts, of a row only the last; all else follows the broker's settings.
fn settings_of(topic: &str) -> Vec<(String, String)> {
    if [CLIENTS, CUSTOMERS, PRODUCTS, BILLS].contains(&topic) {
        return vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    }
    Vec::new()
}
