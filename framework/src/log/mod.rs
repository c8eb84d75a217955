//! The one interface to a broker, and its three implementations.
//!
//! The runtime needs few things of a broker: to join a group, to pull batches of records from the
//! queue of a partition, to read a changelog from an offset, to produce, to count outputs and
//! offsets together in a transaction, and to create and describe topics. `kafka` does them with
//! a real Kafka, `embedded` in one process with RocksDB below, `memory` deterministically for
//! the test driver and the simulation. One contract suite (`tests/contract`) runs on all three.
//!
//! Rules that hold for all three:
//! * Offsets of a partition grow, but have gaps: control records of transactions take offsets and
//!   are never handed out. Never compute a count from offsets.
//! * Records of open transactions are invisible to a `ReadCommitted` reader: it sees a partition up
//!   to its last stable offset. Records of aborted transactions are never handed out to it.
//! * The committed offsets of a group that are part of an open transaction are *pending*:
//!   [`Log::committed`] does not return older ones meanwhile, but `Error::Unavailable`.
//! * The end of a transaction is seen partition by partition: the producer has its answer and the
//!   group's positions may be stable before the last stable offset of a partition has passed the
//!   transaction. So the last stable offset says what can be read now, never what counts: who needs
//!   all that was committed reads `ReadCommitted` up to the `ReadUncommitted` end.
//! * A transactional id has one owner: opening a producer for it ends the transaction of the
//!   former one (aborts it) and fences the former one: its next call fails with `Error::Fenced`.
//! * Offsets sent to a transaction with the generation of a member that is no longer in the group
//!   are refused with `Error::Fenced` or `Error::Aborted`.

mod deadline;
mod dir_lock;
pub mod embedded;
pub mod kafka;
mod local;
mod locked;
pub mod memory;
mod refused;
mod topic;
mod waiting;
pub(crate) mod whole_file;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::Headers;
pub use crate::record::{RefusalKind, TopicPartition};
pub(crate) use deadline::Deadline;
pub(crate) use dir_lock::{DirLock, NotLocked};
pub use refused::Refused;
pub(crate) use refused::record_content_bytes;
pub use topic::{NewTopic, TopicDescription};
pub(crate) use waiting::{BrokerWaits, WaitingForBroker};

/// Producers send records up to this size, in bytes, whatever the topic says; larger ones are refused
/// before they are sent. Larger than Kafka's default for topics, so that the topic's own limit is
/// the one that counts; small enough that hosted brokers allow it for internal topics.
pub(crate) const RECORD_BYTES_MAX: usize = 8_000_000;

/// How far a topic's records may be before and behind the broker's clock, in milliseconds.
pub(crate) const TIME_BOUNDS: [&str; 2] =
    ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"];

/// How large a topic's records may be, in bytes.
pub(crate) const SIZE_BOUND: &str = "max.message.bytes";

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All, also those of open and aborted transactions.
    ReadUncommitted,
    /// Only those that count: up to the last stable offset, without aborted ones.
    ReadCommitted,
}

/// The first and the next offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first offset that is still there.
    pub earliest: i64,
    /// One past the last: the high watermark, or the last stable offset for `ReadCommitted`.
    pub end: i64,
}

/// A committed position of a group: the next offset to read, and what was noted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The text committed with it.
    pub metadata: String,
}

/// How to produce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerSpec {
    /// Makes the producer transactional; the id has one owner at a time.
    pub transactional_id: Option<String>,
    /// After this a transaction that its owner left open is aborted.
    pub transaction_timeout: Option<Duration>,
    /// Records sent together may have so many bytes, in topics that take less than the client would
    /// send together; one that is larger goes alone.
    pub batch_bytes_max: Option<usize>,
}

/// How to join a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// The group; the application id.
    pub group: String,
    /// The topics whose partitions are shared out.
    pub topics: Vec<String>,
    /// Which records the member sees.
    pub isolation: Isolation,
    /// Identity over restarts (`group.instance.id`), if wanted.
    pub static_member: Option<String>,
    /// At most so much is fetched ahead, over all partitions, in bytes.
    pub prefetch_bytes_max: usize,
}

/// A record as it stands in a log, borrowed from the batch it came with.
#[derive(Clone, Debug)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds; -1 if it has none.
    pub timestamp: i64,
    /// The key's bytes; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers,
}

/// Records of one partition in order, pulled together; they are borrowed from it.
pub trait RecordBatch: fmt::Debug {
    /// How many.
    fn len(&self) -> usize;
    /// The record at `index`, or `None` past the end.
    fn get(&self, index: usize) -> Option<RawRecord<'_>>;
    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Called when a partition that had nothing to pull has something; from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The records of one assigned partition, to be pulled by the task that owns it.
///
/// Backpressure is not pulling. Dropping the queue does not give the partition back.
pub trait PartitionQueue: Send {
    /// Up to `max` records that are there now; `None` if there are none. Never waits.
    ///
    /// # Errors
    /// `OffsetOutOfRange` when the position is no longer in the log; `Unavailable` else.
    fn pull(&mut self, max: usize) -> Result<Option<Box<dyn RecordBatch>>>;

    /// How many offsets are left behind `position` as far as is known without asking the broker;
    /// `None` if not known yet. 0 means: everything there was at the last fetch has been pulled,
    /// control records at the end of the partition not counted.
    fn remaining(&self, position: i64) -> Option<u64>;

    /// Sets what is called when there is something to pull after `pull` returned `None`. It may
    /// be called too often, and is called once right away if there may be something already.
    fn on_data(&mut self, wake: Wake);
}

impl fmt::Debug for dyn PartitionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartitionQueue")
    }
}

/// What happens to the partitions of a member; called in [`Membership::poll`], on its thread.
///
/// The group waits for the return of each, so an implementation keeps to a time budget.
pub trait GroupListener {
    /// Where to start reading each of the partitions about to be assigned: a position per
    /// partition, in their order.
    ///
    /// # Errors
    /// What keeps the member from taking them: it does not own them then, and
    /// [`Membership::poll`] returns the error.
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Result<Vec<i64>>;
    /// The member owns these now; their queues begin at the positions given before.
    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>);
    /// The member must give these back: commit and stop before returning.
    fn revoked(&mut self, removed: &[TopicPartition]);
    /// These are gone already; nothing of them may be committed.
    fn lost(&mut self, removed: &[TopicPartition]);
}

/// A membership in a group: the control plane, polled by one thread.
pub trait Membership: Send {
    /// Waits up to `timeout` for an event of the group and hands it to the listener. It returns
    /// early when something was handled.
    ///
    /// # Errors
    /// `Unavailable` when the broker cannot be reached (going on polling is right), others stop.
    fn poll(&mut self, timeout: Duration, listener: &mut dyn GroupListener) -> Result<()>;

    /// Reads these topics from now on, and no others; the group shares out anew what there is.
    ///
    /// # Errors
    /// `Fatal` when the client refuses.
    fn subscribe(&mut self, topics: &[String]) -> Result<()>;

    /// The handle with which other threads act for this member.
    fn member(&self) -> Arc<dyn Member>;

    /// Revokes what is owned (through the listener) and leaves the group.
    ///
    /// # Errors
    /// When the group could not be told; it will find out by its session timeout.
    fn leave(self: Box<Self>, listener: &mut dyn GroupListener) -> Result<()>;
}

/// What other threads do in the name of a member.
pub trait Member: Send + Sync {
    /// Commits positions of the group, outside any transaction, and waits for the answer.
    ///
    /// # Errors
    /// `Fenced`/`Aborted` when the member's generation is over, `Unavailable` when no broker answers.
    fn commit(&self, offsets: &[(TopicPartition, Committed)]) -> Result<()>;

    /// Moves the reading position of owned partitions; what was fetched before is thrown away
    /// (also what `pull` would have returned next).
    ///
    /// # Errors
    /// When a partition is not owned, or the client refuses.
    fn seek(&self, positions: &[(TopicPartition, i64)]) -> Result<()>;

    /// The member's identity in the group as of now, for [`Producer::send_offsets`].
    ///
    /// # Errors
    /// When the member is in no group.
    fn generation(&self) -> Result<Generation>;
}

/// Identity of a member at one moment, as its log understands it.
pub struct Generation(pub Box<dyn Any + Send>);

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generation")
    }
}

/// A topic as one producer knows it (see [`Producer::topic`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicHandle(pub u32);

/// A record to be produced.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRecord<'a> {
    /// The topic.
    pub topic: TopicHandle,
    /// The partition, chosen by the caller.
    pub partition: i32,
    /// The key's bytes; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Event time in milliseconds; `None`: the time of sending.
    pub timestamp: Option<i64>,
    /// Headers.
    pub headers: &'a Headers,
}

/// Writes records; owned by one worker.
///
/// Order is kept within a partition. A transactional producer is between `begin` and
/// `commit`/`abort` whenever it sends.
pub trait Producer {
    /// Makes a topic known, once; the handle is valid for this producer only.
    ///
    /// # Errors
    /// When the client refuses the name.
    fn topic(&mut self, name: &str) -> Result<TopicHandle>;

    /// Hands a record over; the bytes are copied. Returns before it is acknowledged. When the
    /// buffer is full this waits for room.
    ///
    /// # Errors
    /// `Refused` if this record can be seen to be refused for good; it was not sent then, and the
    /// producer goes on. Others are a failure of this or of an earlier record; the records since the
    /// last commit are in doubt.
    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<()>;

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// The first failure since the last flush.
    fn flush(&mut self) -> Result<()>;

    /// What was refused for good since the last call. A refusal comes after later records were sent,
    /// as a failure of [`Self::flush`] or of another call, and is complete once that has failed.
    fn take_refused(&mut self) -> Vec<Refused>;

    /// The highest offset that a record of this producer was acknowledged at in a partition;
    /// `None` if none was. Complete after `flush`: a store notes it as the end of its changelog.
    fn acknowledged(&self, topic: TopicHandle, partition: i32) -> Option<i64>;

    /// Starts a transaction.
    ///
    /// # Errors
    /// `Fenced` if another producer took over the transactional id.
    fn begin(&mut self) -> Result<()>;

    /// Makes positions of a group part of the transaction.
    ///
    /// # Errors
    /// `Fenced`/`Aborted` when the member is no longer what it was: abort.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        generation: &Generation,
    ) -> Result<()>;

    /// Ends the transaction: all of it counts, or nothing.
    ///
    /// # Errors
    /// `Fenced`/`Aborted`; after an error it is not known whether it counts: read the committed
    /// offsets.
    fn commit(&mut self) -> Result<()>;

    /// Ends the transaction: nothing of it counts.
    ///
    /// # Errors
    /// `Fenced`: the producer cannot be used any more.
    fn abort(&mut self) -> Result<()>;
}

impl fmt::Debug for dyn Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

/// What a [`Reader`] found.
#[derive(Debug)]
pub enum ReadEvent {
    /// Records of a partition, in order.
    Records(TopicPartition, Box<dyn RecordBatch>),
    /// The partition was read to this end: one past the last offset that the reader may see now,
    /// control records included. For `ReadCommitted` that is the last stable offset, which may lie
    /// before the end of the partition. More may come later.
    End(TopicPartition, i64),
}

/// Reads partitions from offsets, outside any group: for restoring state.
pub trait Reader: Send {
    /// Reads these from these offsets from now on, and no others.
    ///
    /// # Errors
    /// When the client refuses.
    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<()>;

    /// Waits up to `timeout` for records or an end; `None` if there was neither.
    ///
    /// # Errors
    /// `OffsetOutOfRange` when a position is not in the log, `Unavailable` else.
    fn read(&mut self, timeout: Duration) -> Result<Option<ReadEvent>>;
}

/// What only a reset needs: a log may do without.
fn not_offered(what: &str) -> Error {
    Error::Fatal { what: what.to_owned(), reason: "this log does not offer it".to_owned() }
}

/// A broker, or what stands for one. Cheap handles come from it; it lives as long as the instance.
pub trait Log: Send + Sync + fmt::Debug + 'static {
    /// What tells this log from all others: of a Kafka its cluster's id. `None` if it is not known; local state is then
    /// taken for this log's own.
    ///
    /// # Errors
    /// `Unavailable`.
    fn identity(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Describes topics, in order; `None` for one that does not exist.
    ///
    /// # Errors
    /// `Unavailable`.
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>>;

    /// The names of all topics, without those in which a broker keeps its own notes, sorted.
    ///
    /// # Errors
    /// `Unavailable`.
    fn topics(&self) -> Result<Vec<String>> {
        Err(not_offered("the list of topics"))
    }

    /// Creates topics; one that exists already is left as it is.
    ///
    /// # Errors
    /// `Unavailable`, or `Topic` with the broker's reason.
    fn create(&self, topics: &[NewTopic]) -> Result<()>;

    /// Deletes topics with all their records, and waits until they are gone; one that does not
    /// exist is left as it is. Who still reads or writes them gets errors.
    ///
    /// # Errors
    /// `Unavailable`, or `Topic` with the broker's reason.
    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        Err(not_offered(&format!("deletion of {}", topics.join(", "))))
    }

    /// Deletes the records below an offset of each partition.
    ///
    /// # Errors
    /// `Unavailable`, `OffsetOutOfRange`.
    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()>;

    /// The first offset and the end of a partition.
    ///
    /// # Errors
    /// `Unavailable`, `Topic`.
    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange>;

    /// The first offset whose record is not older than `timestamp`; `None` if all are older.
    ///
    /// # Errors
    /// `Unavailable`, `Topic`.
    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>>;

    /// The committed positions of a group, in order; only stable ones.
    ///
    /// # Errors
    /// `Unavailable`, also while a position is part of an open transaction.
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>>;

    /// How many members a group has; one that died counts until its session is over. 0 if there is
    /// no such group.
    ///
    /// # Errors
    /// `Unavailable`.
    fn group_members(&self, group: &str) -> Result<usize> {
        Err(not_offered(&format!("members of group {group}")))
    }

    /// Deletes a group with all its committed positions; one that does not exist is left as it is.
    ///
    /// # Errors
    /// `GroupInUse` while it has members, `Unavailable`.
    fn delete_group(&self, group: &str) -> Result<()> {
        Err(not_offered(&format!("deletion of group {group}")))
    }

    /// Commits positions of a group without members.
    ///
    /// # Errors
    /// `GroupInUse` while it has members, `Unavailable`.
    fn set_offsets(&self, group: &str, _: &[(TopicPartition, Committed)]) -> Result<()> {
        Err(not_offered(&format!("positions of group {group}")))
    }

    /// Opens a producer; for a transactional one this fences its predecessor and ends its
    /// transaction.
    ///
    /// # Errors
    /// `Unavailable`.
    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>>;

    /// Joins a group. Partitions arrive through [`Membership::poll`].
    ///
    /// # Errors
    /// `Config` when the client refuses a setting.
    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>>;

    /// How many brokers the member of this process is connected to; `None` where that is not known
    /// or means nothing.
    fn brokers_connected(&self) -> Option<usize> {
        None
    }

    /// Opens a reader.
    ///
    /// # Errors
    /// `Config` when the client refuses a setting.
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>>;
}
