//! What a broker in this process needs of its storage.
//!
//! The memory log and the embedded log are one [`super::Broker`] over two of these. The broker
//! decides offsets, visibility, ownership and who may commit; a storage only keeps what it is told.

use std::fmt::Debug;

use crate::error::Result;
use crate::log::{Committed, Isolation, NewTopic, RawRecord, RecordBatch};
use crate::record::TopicPartition;

/// Number of a transaction, never used twice by one broker.
pub(crate) type TxnId = u64;

/// A partition, by number of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

/// Which records are wanted: from `from` and below `limit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) slot: Slot,
    pub(crate) from: i64,
    pub(crate) limit: i64,
    pub(crate) max: usize,
    pub(crate) isolation: Isolation,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The records; `None` if there are only hidden ones.
    pub(crate) batch: Option<Box<dyn RecordBatch>>,
    /// Where to go on: hidden records behind the last one are skipped already.
    pub(crate) next: i64,
}

/// At most so many bytes of keys and values come in one chunk (but always one record). Larger:
/// pulling a batch of big records needs memory that no bound counts. Smaller: more pulls.
pub(crate) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Where a transaction wrote in a partition, and where its control record goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) slot: Slot,
    /// Offset of the transaction's first record here.
    pub(crate) first: i64,
    /// Offset of the control record.
    pub(crate) offset: i64,
}

/// Positions of one group.
pub(crate) type GroupOffsets = (String, Vec<(TopicPartition, Committed)>);

/// The end of a transaction: everything in it takes effect in one step.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) txn: TxnId,
    pub(crate) commit: bool,
    pub(crate) markers: &'a [Marker],
    /// Positions that count with it; empty for an abort.
    pub(crate) offsets: &'a [GroupOffsets],
    pub(crate) now: i64,
}

/// A partition to be compacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cleaning {
    pub(crate) slot: Slot,
    pub(crate) start: i64,
    /// The last stable offset: nothing from here on is touched.
    pub(crate) limit: i64,
    pub(crate) now: i64,
    pub(crate) tombstones_kept_ms: i64,
    /// The log was just opened: less is worth the work.
    pub(crate) at_start: bool,
}

/// Keeps topics, records and committed positions.
///
/// Every call but `read`, `offset_at` and `compact` is made under the broker's lock, in the order in which
/// things happen.
pub(crate) trait Storage: Debug + Send + Sync + 'static {
    /// Notes a new topic under its number.
    fn topic_created(&self, id: u32, topic: &NewTopic) -> Result<()>;

    /// Notes that a topic has more partitions.
    fn topic_grown(&self, id: u32, topic: &NewTopic) -> Result<()>;

    /// Deletes all records of a topic, and notes that its number means nothing any more.
    fn topic_deleted(&self, id: u32) -> Result<()>;

    /// Deletes all positions of a group.
    fn group_deleted(&self, group: &str) -> Result<()>;

    /// Keeps a record at the offset it carries.
    fn append(&self, slot: Slot, txn: Option<TxnId>, record: &RawRecord<'_>) -> Result<()>;

    /// Makes the records appended outside transactions as durable as this storage promises.
    fn flush(&self) -> Result<()>;

    /// Ends a transaction.
    fn end(&self, ending: &Ending<'_>) -> Result<()>;

    /// Notes positions of a group.
    fn commit_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()>;

    /// Removes the records below `before`; `next` is the offset the next record will get.
    fn delete_below(&self, slot: Slot, before: i64, next: i64) -> Result<()>;

    /// Finds records.
    fn read(&self, fetch: &Fetch) -> Result<Chunk>;

    /// The first offset from `from` below `limit` whose record is not older than `timestamp`.
    fn offset_at(&self, slot: Slot, timestamp: i64, from: i64, limit: i64) -> Result<Option<i64>>;

    /// True once each time that so much was appended that it is time to look for old records.
    fn cleaning_due(&self) -> bool {
        false
    }

    /// Leaves the last record of each key, if that is worth the work.
    fn compact(&self, _cleaning: &Cleaning) -> Result<()> {
        Ok(())
    }
}
