//! How many partitions the user's sink topics have now: one thread asks, the workers' producers take
//! it over. Internal topics are not among them: what is in them is where their count put it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts by topic, with a version that grows with each change.
#[derive(Debug, Default)]
pub(crate) struct SinkCounts {
    counts: Mutex<BTreeMap<String, i32>>,
    version: AtomicU64,
}

impl SinkCounts {
    /// Notes the count of a topic.
    pub(crate) fn note(&self, topic: &str, partitions: i32) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.insert(topic.to_owned(), partitions) != Some(partitions) {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// The counts, if they changed since the version `seen`, which becomes the one of now.
    pub(super) fn news(&self, seen: &mut u64) -> Option<BTreeMap<String, i32>> {
        let version = self.version.load(Ordering::Acquire);
        if std::mem::replace(seen, version) == version {
            return None;
        }
        Some(self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
