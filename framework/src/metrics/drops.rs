//! Dropped records, by reason: nothing disappears uncounted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a record was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// All windows of the record were closed already.
    Late,
    /// The operator needs a key and it was null.
    NullKey,
    /// The operator needs a value and it was null.
    NullValue,
    /// The bytes of the key or value could not be read.
    BadBytes,
    /// The timestamp was missing or negative.
    BadTimestamp,
    /// An operator's closure returned an error.
    Failed,
    /// The topic of a sink refuses the record.
    Refused,
    /// A store put fell into a segment that is expired.
    Expired,
}

impl DropReason {
    /// All reasons, in the order of their labels.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::NullKey,
        Self::NullValue,
        Self::BadBytes,
        Self::BadTimestamp,
        Self::Failed,
        Self::Refused,
        Self::Expired,
    ];

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::NullKey => "null_key",
            Self::NullValue => "null_value",
            Self::BadBytes => "bad_bytes",
            Self::BadTimestamp => "bad_timestamp",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// How many records an instance has dropped since it started, by reason: a handle that is cheap to
/// clone. The numbers are about a second old.
#[derive(Clone, Debug, Default)]
pub struct DropCounts(Arc<[AtomicU64; DropReason::ALL.len()]>);

impl DropCounts {
    /// The number for a reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, reason: DropReason, records: u64) {
        if let Some(count) = self.0.get(reason as usize) {
            count.fetch_add(records, Ordering::Relaxed);
        }
    }
}

/// Counts of one task since the host last took them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn add(&mut self, reason: DropReason) {
        self.add_many(reason, 1);
    }

    pub(crate) fn add_many(&mut self, reason: DropReason, records: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += records;
        }
    }

    /// The counts so far; they start at zero again.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (DropReason, u64)> {
        let counts = std::mem::take(&mut self.0);
        DropReason::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}
