//! The topics by name, and making those that are missing.

use std::time::Duration;

use millstream::log::{Log, NewTopic};
use millstream::{Error, Reaction};

/// Where lines come in.
pub(super) const LINES: &str = "app-logs";
/// Lines that are none, with the reason.
pub(super) const DEAD_LETTERS: &str = "log-anomaly-dlq";
/// What lines have in common, by service and id.
pub(super) const TEMPLATES: &str = "log-templates";
/// Numbers of windows.
pub(super) const METRICS: &str = "log-metrics";
/// Visits of users.
pub(super) const SESSIONS: &str = "user-sessions";
/// What is unusual, as it opens, goes on and closes.
pub(super) const ANOMALIES: &str = "log-anomalies";

/// What the application writes.
pub(super) const WRITTEN: [&str; 5] = [DEAD_LETTERS, TEMPLATES, METRICS, SESSIONS, ANOMALIES];

const ALL: [&str; 6] = [LINES, DEAD_LETTERS, TEMPLATES, METRICS, SESSIONS, ANOMALIES];
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

/// Of a template only what it is now counts; all else follows the broker's settings.
fn settings_of(topic: &str) -> Vec<(String, String)> {
    if topic == TEMPLATES {
        return vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    }
    Vec::new()
}
