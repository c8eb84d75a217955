//! The memory log: deterministic, for the test driver and the simulation.
//!
//! It has no thread of its own, and its clock stands still until it is moved ([`MemoryLog::advance`]):
//! one thread that uses it gets the same result each time. Several threads may use it too. It is
//! never kinder than Kafka: a dropped producer leaves its transaction open, a dropped member stays
//! in its group until its session ends, a transaction that was ended may be shown late in one of
//! its partitions ([`MemoryLog::hold_markers`]), and faults come on command ([`MemoryLog::fail`]).
//!
//! It does not do: retention, compaction, time-outs by real time.

mod records;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::records::{Kept, Records};
use super::local::fault::Faults;
pub use super::local::fault::{Fault, Operation};
use super::local::group::GroupLimits;
use super::local::handle::Handle;
use super::local::state::State;
use super::local::storage::Fetch;
use super::local::transaction::Incoming;
use super::{Committed, Isolation, Log};
use crate::error::Result;
use crate::log::local::{Broker, Clock, LocalLog, Manners};
use crate::record::{Headers, TopicPartition};

/// Kafka's default of `session.timeout.ms`.
const SESSION_MS: i64 = 45_000;
/// Kafka's default of `max.poll.interval.ms`, which is how long a rebalance waits.
const REBALANCE_MS: i64 = 300_000;
/// Kafka's default of `message.max.bytes`.
const RECORD_BYTES_MAX: usize = 1_048_588;

/// A log in memory; clones are the same log.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    log: Arc<LocalLog<Records>>,
}

/// A record of the memory log, as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds.
    pub timestamp: i64,
    /// The key's bytes; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is null.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log whose clock shows 0.
    pub fn new() -> Self {
        let manners = Manners {
            clock: Clock::Manual(0.into()),
            groups: GroupLimits { session_ms: SESSION_MS, rebalance_ms: REBALANCE_MS },
            dropped_is_gone: false,
            record_bytes_max: RECORD_BYTES_MAX,
        };
        let broker = Broker::new(Records::default(), manners, State::default());
        Self { log: Arc::new(LocalLog(Arc::new(broker))) }
    }

    /// Whether topics that do not exist appear with one partition when they are described,
    /// asked for their offsets or produced to. Off at first.
    #[must_use]
    pub fn auto_create(self, on: bool) -> Self {
        self.broker().with(|state| state.auto_create = on);
        self
    }

    /// Appends a record outside any transaction, past all faults; its offset.
    ///
    /// # Errors
    /// `Topic` when there is no such topic or partition.
    pub fn append(
        &self,
        at: &TopicPartition,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<i64> {
        self.broker().with(|state| {
            self.broker().auto_create(state, &at.topic)?;
            let slot = state.slot(at)?;
            let incoming = Incoming { slot, key, value, timestamp, headers };
            self.broker().append(state, None, &incoming)
        })
    }

    /// The committed records of a topic that are still there, by partition and offset; none if
    /// there is no such topic.
    pub fn records(&self, topic: &str) -> Vec<MemoryRecord> {
        let count = self.broker().with(|state| state.topics.partition_count(topic));
        let partition = |p| self.records_from(&TopicPartition::new(topic, p), 0);
        (0..count).flat_map(partition).collect()
    }

    /// The committed records of a partition from an offset on; none if there is no such one.
    pub fn records_from(&self, partition: &TopicPartition, offset: i64) -> Vec<MemoryRecord> {
        let isolation = Isolation::ReadCommitted;
        let bounds = self.broker().with(|state| {
            let slot = state.slot(partition).ok()?;
            let found = state.partition(slot).ok()?;
            Some((slot, found.start, found.end(isolation)))
        });
        let Some((slot, start, limit)) = bounds else { return Vec::new() };
        let fetch = Fetch { slot, from: offset.max(start), limit, max: usize::MAX, isolation };
        let (found, _) = self.broker().storage.find(&fetch, usize::MAX);
        found.iter().map(|kept| looked_at(partition.partition, kept)).collect()
    }

    /// The names of all topics, sorted.
    pub fn topic_names(&self) -> Vec<String> {
        self.broker().with(|state| state.topics.names())
    }

    /// The committed positions of a group, by partition, pending ones not counted.
    pub fn group_offsets(&self, group: &str) -> Vec<(TopicPartition, Committed)> {
        self.broker().with(|state| {
            let offsets = state.groups.get(group).map(|group| &group.offsets);
            let all = offsets.into_iter().flatten();
            all.map(|(tp, committed)| (tp.clone(), committed.clone())).collect()
        })
    }

    /// Gives a topic more partitions, up to so many; its groups share out anew.
    ///
    /// # Errors
    /// `Topic` when there is no such topic, or when it has as many already.
    pub fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        self.broker().with(|state| self.broker().add_partitions(state, topic, partitions))
    }

    /// What the clock shows, in milliseconds.
    pub fn now(&self) -> i64 {
        self.broker().now()
    }

    /// Moves the clock. What is overdue then ends: open transactions (their owners are fenced),
    /// members that were dropped without leaving, rebalances that somebody holds up.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(now) = &self.broker().manners.clock {
            now.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::AcqRel);
        }
        self.broker().expire();
    }

    /// Sets the clock, forwards only; else as [`MemoryLog::advance`].
    pub fn set_time(&self, now: i64) {
        let by = u64::try_from(now - self.now()).unwrap_or(0);
        self.advance(Duration::from_millis(by));
    }

    /// Makes the next `times` calls of an operation fail, after those planned before.
    pub fn fail(&self, operation: Operation, fault: Fault, times: usize) {
        self.broker().with(|state| state.faults.plan(operation, fault, times));
    }

    /// Forgets all faults that have not come yet, and shows what was delayed.
    pub fn heal(&self) {
        self.broker().with(|state| {
            state.faults = Faults::default();
            state.release_all();
            let slots: Vec<_> = state.topics.slots().collect();
            for slot in slots {
                // Memory refuses nothing, and the slots are there.
                let _ = self.broker().release_markers(state, slot);
            }
        });
    }

    /// Hides what is appended to a partition from now on, until [`MemoryLog::release`]. Asking for
    /// its offsets tells the truth, as a broker does whose answers to fetches are slow.
    ///
    /// # Errors
    /// `Topic` when there is no such partition.
    pub fn hold(&self, partition: &TopicPartition) -> Result<()> {
        self.broker().with(|state| {
            let slot = state.slot(partition)?;
            let found = state.partition_mut(slot)?;
            found.held = Some(found.held.unwrap_or(found.next));
            Ok(())
        })
    }

    /// Shows what was hidden.
    ///
    /// # Errors
    /// `Topic` when there is no such partition.
    pub fn release(&self, partition: &TopicPartition) -> Result<()> {
        self.broker().with(|state| {
            let slot = state.slot(partition)?;
            state.partition_mut(slot)?.held = None;
            state.wake(slot, true);
            Ok(())
        })
    }

    /// Keeps the ends of transactions, commits and aborts, from a partition until
    /// [`MemoryLog::release_markers`]. As on a Kafka whose partition's leader or follower is slow:
    /// the producer has its answer, positions count, other partitions show the records, but this
    /// one is readable as committed only up to the first record of the transaction. A producer
    /// can be neither opened with the same transactional id nor send in its next transaction until
    /// then.
    ///
    /// # Errors
    /// `Topic` when there is no such partition.
    pub fn hold_markers(&self, partition: &TopicPartition) -> Result<()> {
        self.broker().with(|state| {
            let slot = state.slot(partition)?;
            state.partition_mut(slot)?.holds_markers = true;
            Ok(())
        })
    }

    /// Lets a partition know of the ends of transactions that were kept from it.
    ///
    /// # Errors
    /// `Topic` when there is no such partition.
    pub fn release_markers(&self, partition: &TopicPartition) -> Result<()> {
        self.broker().with(|state| {
            let slot = state.slot(partition)?;
            self.broker().release_markers(state, slot)
        })
    }

    /// Fences the owner of a transactional id and aborts what it has open, as another producer
    /// of the same id would.
    ///
    /// # Errors
    /// None in memory.
    pub fn fence(&self, transactional_id: &str) -> Result<()> {
        self.broker().with(|state| self.broker().own(state, transactional_id).map(drop))
    }

    /// Ends the sessions of all members of a group: they find what they owned lost.
    pub fn end_sessions(&self, group: &str) {
        self.broker().with(|state| {
            state.group(group).expire_all();
            state.group_news.is_new = true;
        });
    }

    fn broker(&self) -> &Broker<Records> {
        &self.log.0
    }
}

fn looked_at(partition: i32, kept: &Kept) -> MemoryRecord {
    MemoryRecord {
        partition,
        offset: kept.offset,
        timestamp: kept.timestamp,
        key: kept.key.clone(),
        value: kept.value.clone(),
        headers: kept.headers.clone(),
    }
}

impl Handle for MemoryLog {
    fn log(&self) -> &dyn Log {
        &*self.log
    }
}

#[cfg(test)]
mod tests;
