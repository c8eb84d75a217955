//! One input of a task: a partition's queue, the batch pulled from it, and the record at its head.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{SourceNode, TaskContext};
use crate::error::{Error, Result};
use crate::log::{Committed, PartitionQueue, RecordBatch};
use crate::record::{Timestamp, TopicPartition};
use crate::task::progress::Progress;

/// How many records one pull asks for: enough that the pull itself costs nothing per record, few
/// enough that the records of a batch stay in cache.
const PULL_RECORDS_MAX: usize = 1024;

/// How many records of other inputs are taken before one that was empty is looked at again: a look at the client's queue
/// costs as much as a record does. Java looks once in a poll of all inputs.
const SKIPPED_MAX: u8 = 31;

/// What loading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// A record is loaded.
    Record,
    /// The next one was taken, and its source dropped it.
    Dropped,
    /// There is none now.
    Nothing,
}

pub(crate) struct Input {
    pub(crate) partition: TopicPartition,
    queue: Box<dyn PartitionQueue>,
    source: Box<dyn SourceNode>,
    batch: Option<Rc<dyn RecordBatch>>,
    /// The next record of the batch to load.
    next: usize,
    /// Timestamp and offset of the loaded record.
    head: Option<(Timestamp, i64)>,
    /// One past the last record taken from the queue.
    position: i64,
    /// The highest timestamp of records taken for processing.
    pub(crate) partition_time: Timestamp,
    /// When it was first seen empty, on the clock that never goes back.
    empty_since: Option<Duration>,
    /// So often it need not be looked at.
    skips: u8,
    /// Records and bytes taken since the host last asked.
    taken_records: u64,
    taken_bytes: u64,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("partition", &self.partition)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Input {
    pub(crate) fn new(
        partition: TopicPartition,
        queue: Box<dyn PartitionQueue>,
        source: Box<dyn SourceNode>,
        position: i64,
        partition_time: Timestamp,
    ) -> Self {
        Self {
            partition,
            queue,
            source,
            batch: None,
            next: 0,
            head: None,
            position,
            partition_time,
            empty_since: None,
            skips: 0,
            taken_records: 0,
            taken_bytes: 0,
        }
    }

    /// Gives the queue back; what was pulled from it is thrown away.
    pub(crate) fn into_queue(self) -> (TopicPartition, Box<dyn PartitionQueue>) {
        (self.partition, self.queue)
    }

    pub(crate) fn queue(&mut self) -> &mut dyn PartitionQueue {
        &mut *self.queue
    }

    /// The timestamp of the loaded record.
    #[inline]
    pub(crate) fn head(&self) -> Option<Timestamp> {
        self.head.map(|(timestamp, _)| timestamp)
    }

    /// Loads the next record unless one is loaded. It takes one record at most: a row of those that
    /// the source drops does not keep the task from the clock.
    #[inline]
    pub(crate) fn load(&mut self, ctx: &mut TaskContext) -> Result<Loaded> {
        while self.head.is_none() {
            let Some(batch) = &self.batch else {
                if !self.pull()? {
                    return Ok(Loaded::Nothing);
                }
                continue;
            };
            let Some(raw) = batch.get(self.next) else {
                self.batch = None;
                continue;
            };
            if raw.offset < self.position {
                return Err(Error::Aborted {
                    what: format!("reading {}", self.partition),
                    reason: format!(
                        "the client went back to offset {} at position {}",
                        raw.offset, self.position
                    ),
                });
            }
            let offset = raw.offset;
            ctx.enter_record(
                &self.partition.topic,
                self.partition.partition,
                batch,
                (self.next, offset),
            );
            let timestamp = self.source.load(&raw, self.partition_time, ctx)?;
            self.taken_records += 1;
            self.taken_bytes +=
                (raw.key.map_or(0, <[u8]>::len) + raw.value.map_or(0, <[u8]>::len)) as u64;
            self.next += 1;
            self.position = offset + 1;
            self.head = timestamp.map(|timestamp| (timestamp, offset));
            if self.head.is_none() {
                return Ok(Loaded::Dropped);
            }
        }
        Ok(Loaded::Record)
    }

    fn pull(&mut self) -> Result<bool> {
        self.batch = self.queue.pull(PULL_RECORDS_MAX)?.map(Rc::from);
        self.next = 0;
        Ok(self.batch.is_some())
    }

    /// Sends the loaded record down the chain.
    #[inline]
    pub(crate) fn fire(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let Some((timestamp, offset)) = self.head.take() else { return Ok(()) };
        self.partition_time = self.partition_time.max(timestamp);
        ctx.stream_time = ctx.stream_time.max(timestamp);
        self.empty_since = None;
        if let Some(batch) = &self.batch {
            let at = (self.next.saturating_sub(1), offset);
            ctx.enter_record(&self.partition.topic, self.partition.partition, batch, at);
        }
        self.source.fire(ctx)
    }

    /// True if the task need not wait for this input: it has a record, or it is known to be
    /// caught up and has been empty for `idle_ms` (Java's `max.task.idle.ms`).
    pub(crate) fn is_settled(&mut self, idle_ms: i64, now: Duration) -> bool {
        let Some(idle) = u64::try_from(idle_ms).ok().filter(|_| self.head.is_none()) else {
            return true;
        };
        if self.queue.remaining(self.position) != Some(0) {
            self.empty_since = None;
            return false;
        }
        if idle == 0 {
            self.skips = SKIPPED_MAX;
        }
        let since = *self.empty_since.get_or_insert(now);
        now.saturating_sub(since) >= Duration::from_millis(idle)
    }

    /// True if it was caught up and empty a few records ago, and the task does not wait for such inputs.
    #[inline]
    pub(crate) fn is_skipped(&mut self) -> bool {
        let is_skipped = self.skips > 0;
        self.skips = self.skips.saturating_sub(1);
        is_skipped
    }

    /// It is looked at the next time.
    pub(crate) fn skip_no_more(&mut self) {
        self.skips = 0;
    }

    /// The next offset to process: what a commit says of this input.
    pub(crate) fn committable(&self) -> i64 {
        self.head.map_or(self.position, |(_, offset)| offset)
    }

    /// True if there is nothing to take, and nothing more in the log as far as the client knows.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none() && self.batch.is_none() && self.remaining() == Some(0)
    }

    /// How many records are behind the position, as far as the client knows.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.queue.remaining(self.position)
    }

    pub(crate) fn committed(&self, processors: &Progress) -> (TopicPartition, Committed) {
        let progress = Progress {
            partition_time: self.partition_time,
            processors: processors.processors.clone(),
        };
        let committed = Committed { offset: self.committable(), metadata: progress.encode() };
        (self.partition.clone(), committed)
    }

    /// Records and bytes taken since the last call.
    pub(crate) fn take_counts(&mut self) -> (Arc<str>, u64, u64) {
        let counts =
            (std::mem::take(&mut self.taken_records), std::mem::take(&mut self.taken_bytes));
        (Arc::clone(&self.partition.topic), counts.0, counts.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{RawRecord, Wake};

    struct Empty;

    impl PartitionQueue for Empty {
        fn pull(&mut self, _: usize) -> Result<Option<Box<dyn RecordBatch>>> {
            Ok(None)
        }

        fn remaining(&self, _: i64) -> Option<u64> {
            Some(0)
        }

        fn on_data(&mut self, _: Wake) {}
    }

    struct Nothing;

    impl SourceNode for Nothing {
        fn load(
            &mut self,
            _: &RawRecord<'_>,
            _: Timestamp,
            _: &mut TaskContext,
        ) -> Result<Option<Timestamp>> {
            Ok(None)
        }

        fn fire(&mut self, _: &mut TaskContext) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_empty_input_is_waited_for_from_when_it_was_seen_empty() {
        let ms = Duration::from_millis;
        let input = |idle_ms, times: &[u64]| -> Vec<bool> {
            let partition = TopicPartition::new("b", 0);
            let mut input =
                Input::new(partition, Box::new(Empty), Box::new(Nothing), 0, Timestamp(-1));
            times.iter().map(|at| input.is_settled(idle_ms, ms(*at))).collect()
        };
        assert_eq!(input(10, &[100, 109, 110]), [false, false, true]);
        assert_eq!(input(0, &[100]), [true]);
        assert_eq!(input(-1, &[100]), [true]);
    }

    #[test]
    fn one_that_is_caught_up_and_not_waited_for_is_looked_at_now_and_then() {
        for (idle_ms, skipped) in [(0, usize::from(SKIPPED_MAX)), (5, 0), (-1, 0)] {
            let partition = TopicPartition::new("b", 0);
            let mut input =
                Input::new(partition, Box::new(Empty), Box::new(Nothing), 0, Timestamp(-1));
            assert!(!input.is_skipped());
            input.is_settled(idle_ms, Duration::ZERO);
            let skips = (0..100).filter(|_| input.is_skipped()).count();
            assert_eq!(skips, skipped, "{idle_ms}");
            input.is_settled(idle_ms, Duration::ZERO);
            input.skip_no_more();
            assert!(!input.is_skipped());
        }
    }
}
