//! Dropped records, by reason: nothing disappears uncounted.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a record was not processed.
///
/// ```
/// use millstream::DropReason;
/// # use millstream::{Consumed, OnError, StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let numbers = Consumed::<String, i64>::from("numbers").on_error(OnError::Skip);
/// builder.stream(numbers).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("numbers", &text("k", "not eight bytes", 1))?;
/// for reason in DropReason::ALL {
///     let dropped = driver.dropped(reason);
///     assert_eq!(dropped, u64::from(reason.label() == "bad_bytes"));
/// }
/// # Ok::<(), millstream::BoxError>(())
/// ```
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
    /// What came was overtaken: an answer to a row that has changed since it asked, or a version that is not the latest.
    Stale,
    /// The partitioner of a sink sent it nowhere.
    NoPartition,
}

impl DropReason {
    /// All reasons, in the order of their labels.
    pub const ALL: [Self; 10] = [
        Self::Late,
        Self::NullKey,
        Self::NullValue,
        Self::BadBytes,
        Self::BadTimestamp,
        Self::Failed,
        Self::Refused,
        Self::Expired,
        Self::Stale,
        Self::NoPartition,
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
            Self::Stale => "stale",
            Self::NoPartition => "no_partition",
        }
    }
}

/// A record that goes no further, as an error: its text is the label of the reason, its cause says more.
#[derive(Debug)]
pub(crate) struct RecordDropped {
    reason: DropReason,
    why: Why,
}

/// What there is to say of a dropped record.
#[derive(Debug)]
struct Why(String);

impl RecordDropped {
    pub(crate) fn new(reason: DropReason, why: String) -> Self {
        Self { reason, why: Why(why) }
    }
}

impl fmt::Display for RecordDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.label())
    }
}

impl Error for RecordDropped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Why {}

/// How many records an instance has dropped since it started, by reason: a handle that is cheap to
/// clone. The numbers are about a second old.
///
/// ```
/// use millstream::{DropCounts, DropReason, Streams};
///
/// /// A line for the end of the program.
/// fn line(streams: &Streams) -> String {
///     let drops: DropCounts = streams.drops();
///     format!("{} late, {} failed", drops.of(DropReason::Late), drops.of(DropReason::Failed))
/// }
/// ```
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

/// The counter of one node and reason, in its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropCounter(usize);

/// Counts of one task since the host last took them. A node makes its counters known when it is
/// made, so that each is there, at zero, before there is anything to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops(Vec<Dropped>);

/// How many records a node has dropped for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) node: Arc<str>,
    pub(crate) reason: DropReason,
    pub(crate) records: u64,
}

impl Drops {
    /// The counter of a node for a reason, made if new.
    pub(crate) fn counter(&mut self, node: &str, reason: DropReason) -> DropCounter {
        let known = self.0.iter().position(|it| *it.node == *node && it.reason == reason);
        DropCounter(known.unwrap_or_else(|| {
            self.0.push(Dropped { node: Arc::from(node), reason, records: 0 });
            self.0.len() - 1
        }))
    }

    pub(crate) fn add(&mut self, counter: DropCounter, records: u64) {
        if let Some(dropped) = self.0.get_mut(counter.0) {
            dropped.records += records;
        }
    }

    /// All counts so far with their nodes, zeros too; they start at zero again.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Dropped> {
        self.0.iter_mut().map(|dropped| {
            let records = std::mem::take(&mut dropped.records);
            Dropped { node: Arc::clone(&dropped.node), reason: dropped.reason, records }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_told_from_the_start_and_counts_anew_when_taken() {
        let mut drops = Drops::default();
        let late = drops.counter("a", DropReason::Late);
        let other = drops.counter("b", DropReason::Late);
        drops.add(late, 2);
        drops.add(drops.clone().counter("a", DropReason::Late), 1);
        assert_ne!(late, other);
        let mut taken =
            || drops.take().map(|it| (it.node.to_string(), it.records)).collect::<Vec<_>>();
        assert_eq!(taken(), [("a".to_owned(), 3), ("b".to_owned(), 0)]);
        assert_eq!(taken(), [("a".to_owned(), 0), ("b".to_owned(), 0)]);
    }
}
