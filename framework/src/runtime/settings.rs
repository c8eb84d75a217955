//! The settings that the threads use, resolved.

use std::time::Duration;

/// The settings that the threads use, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) exactly_once: bool,
    pub(crate) commit_interval: Duration,
    pub(crate) workers: usize,
    /// Records that a task processes between two looks at the clock.
    pub(crate) turn_records_max: usize,
    pub(crate) task_idle_ms_max: i64,
    /// After so long without any input a task's stream time follows the clock.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) uncommitted_bytes_max: usize,
    pub(crate) cache_bytes_max: usize,
    pub(crate) join_rows_bytes_max: usize,
    pub(crate) transaction_timeout: Duration,
    /// How long a commit waits for futures before all since the last one is dropped.
    pub(crate) commit_wait_max: Duration,
    pub(crate) repartition_purge_interval: Duration,
    pub(crate) tombstones_kept: Duration,
    pub(crate) state_cleanup_delay: Duration,
    pub(crate) revoke_budget: Duration,
    pub(crate) replication_factor: i16,
    pub(crate) window_changelog_retention_extra_ms: i64,
    pub(crate) prefetch_bytes_max: usize,
    pub(crate) static_member: Option<String>,
    /// How old the partition counts of sink topics may be.
    pub(crate) metadata_age_max: Duration,
    /// How long one call to the broker may take, and rather more.
    pub(crate) broker_patience: Duration,
    /// How long a stop may take.
    pub(crate) close_timeout: Duration,
    /// After so long without progress an instance with records to process says so.
    pub(crate) stalled_after: Duration,
    /// Rebalances revoke only what moves (KIP-848).
    pub(crate) incremental: bool,
    pub(crate) replace_failed_tasks: bool,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

impl Settings {
    /// How long to wait before the next of several tries, the first being 0.
    pub(crate) fn backoff(&self, tries: u32) -> Duration {
        self.backoff_rule().after(tries)
    }

    /// How long to wait between tries, without the other settings.
    pub(crate) fn backoff_rule(&self) -> Backoff {
        Backoff { min: self.backoff_min, max: self.backoff_max }
    }
}

/// Waits between tries: each twice the one before, up to a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// How long to wait before the next of several tries, the first being 0.
    pub(crate) fn after(self, tries: u32) -> Duration {
        self.min.saturating_mul(1 << tries.min(16)).min(self.max)
    }
}
