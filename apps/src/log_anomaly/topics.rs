//! The topics by name.

use crate::program::Topics;

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

/// All of them.
pub(super) const TOPICS: Topics = Topics {
    all: &[LINES, DEAD_LETTERS, TEMPLATES, METRICS, SESSIONS, ANOMALIES],
    // Of a template only what it is now counts.
    compacted: &[TEMPLATES],
};
