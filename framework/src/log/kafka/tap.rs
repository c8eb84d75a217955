//! The queue of one assigned partition, shared by the task that pulls and the group that may
//! take it away.
//!
//! Closing a tap gives the native queue back at once, so that a task which keeps its handle
//! longer than its partition holds nothing and gets nothing.
//!
//! Positions are checked here. librdkafka is told to go on at the first offset when a position is
//! not in the log any more (told to fail, it would also refuse to seek afterwards), and this file
//! finds that out: a record before the expected position, or a log that begins after it, is an
//! out-of-range error, again and again until the partition is sought. Gaps within the log are
//! control records and what compaction took, and are fine.

use std::sync::{Arc, Mutex};

use super::error;
use super::events::Consumer;
use super::lag::Known;
use super::queue::{Bell, Messages, NativeQueue};
use crate::error::{Error, Result};
use crate::log::locked::locked;
use crate::log::{PartitionQueue, RecordBatch, Wake};
use crate::record::TopicPartition;

/// A partition's queue, until it is closed.
#[derive(Debug)]
pub(super) struct Tap {
    partition: TopicPartition,
    bell: Arc<Bell>,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    queue: NativeQueue,
    /// Next position after the last record handed out.
    next: i64,
    high_before: i64,
    /// What was drained behind a fault.
    rest: Option<Messages>,
    out_of_range: bool,
}

impl Tap {
    /// Takes the partition off the main queue; it will be read from `start`.
    pub(super) fn take_off(
        consumer: &Arc<Consumer>,
        partition: &TopicPartition,
        start: i64,
    ) -> Result<Arc<Self>> {
        let bell = Bell::rung();
        let queue =
            NativeQueue::take_off(consumer, partition, Arc::clone(&bell)).ok_or_else(|| {
                Error::Fatal {
                    what: format!("taking {partition} off the main queue"),
                    reason: "the client refuses the name".to_owned(),
                }
            })?;
        consumer_events(consumer).reports.forget(partition);
        let open = Open {
            high_before: queue.watermarks().1,
            queue,
            next: start,
            rest: None,
            out_of_range: false,
        };
        let partition = partition.clone();
        Ok(Arc::new(Self { partition, bell, open: Mutex::new(Some(open)) }))
    }

    /// Ends it: later pulls return nothing.
    pub(super) fn close(&self) {
        let open = locked(&self.open).take();
        drop(open);
    }

    /// After a seek of the client: what is left of before is thrown away.
    pub(super) fn sought(&self, position: i64) {
        if let Some(open) = locked(&self.open).as_mut() {
            open.rest = None;
            open.out_of_range = false;
            open.next = position;
        }
        // Outdated messages may stand in the queue, and while they do, new ones do not ring.
        self.bell.ring();
    }

    /// Looks whether the log has been cut beyond the position; nothing would ring then.
    pub(super) fn look(&self) {
        let open = locked(&self.open);
        let cut = open
            .as_ref()
            .is_some_and(|open| open.queue.watermarks().0 > open.next.max(open.queue.consumed()));
        drop(open);
        if cut {
            self.bell.ring();
        }
    }

    fn pull(&self, max: usize) -> Result<Option<Messages>> {
        let mut open = locked(&self.open);
        let Some(open) = open.as_mut() else { return Ok(None) };
        if open.out_of_range {
            return Err(self.out_of_range(open.next));
        }
        if max == 0 {
            return Ok(None);
        }
        let (mut messages, expected) = match open.rest.take() {
            Some(rest) => (rest, open.next),
            None => {
                // Cleared before looking: what arrives from now on rings again. The queue is looked
                // at even if it did not ring, so that a lost ring costs a moment and no partition.
                self.bell.take();
                let expected = open.next.max(open.queue.consumed());
                let messages = open.queue.drain(max);
                if messages.len() >= max {
                    self.bell.keep();
                }
                (messages, expected)
            }
        };
        if let Some(index) = messages.first_fault() {
            let cut = messages.split_off(index.max(1));
            if !cut.is_empty() {
                open.rest = Some(cut);
            }
            if index == 0 {
                return Err(self.fault(&messages));
            }
        }
        open.hand_out(expected, messages).map_err(|expected| self.out_of_range(expected))
    }

    fn fault(&self, messages: &Messages) -> Error {
        let what = format!("fetch of {}", self.partition);
        match messages.fault(0) {
            Some(f) => error::from_reading(&what, &self.partition.topic, f.code, &f.text),
            None => Error::Fatal { what, reason: "a fault without a code".to_owned() },
        }
    }

    fn out_of_range(&self, offset: i64) -> Error {
        Error::OffsetOutOfRange { partition: self.partition.clone(), offset }
    }
}

fn consumer_events(consumer: &Consumer) -> &super::events::ConsumerEvents {
    use rdkafka::consumer::Consumer as _;
    consumer.client().context()
}

impl Open {
    /// Checks that the messages follow on `expected`; fails with it if records are missing.
    fn hand_out(&mut self, expected: i64, messages: Messages) -> Result<Option<Messages>, i64> {
        let bounds = messages.bounds();
        let first = bounds.map(|(first, _)| first);
        if first.is_some_and(|first| first < self.next)
            || (first != Some(self.next) && self.queue.watermarks().0 > expected)
        {
            self.next = expected;
            self.out_of_range = true;
            self.rest = None;
            return Err(expected);
        }
        let Some((_, last)) = bounds else { return Ok(None) };
        self.next = last + 1;
        Ok(Some(messages))
    }
}

/// What a task holds.
#[derive(Debug)]
pub(super) struct TapQueue(pub(super) Arc<Tap>);

impl PartitionQueue for TapQueue {
    fn pull(&mut self, max: usize) -> Result<Option<Box<dyn RecordBatch>>> {
        let messages = self.0.pull(max)?;
        Ok(messages.map(|messages| Box::new(messages) as Box<dyn RecordBatch>))
    }

    fn remaining(&self, position: i64) -> Option<u64> {
        let open = locked(&self.0.open);
        let open = open.as_ref()?;
        let mut known = Known {
            high: open.queue.watermarks().1,
            high_before: open.high_before,
            consumed: open.queue.consumed(),
            handed_out: open.next,
            report: None,
        };
        match known.remaining(position) {
            Some(0) => Some(0),
            // Statistics are asked for only where the watermark alone does not settle it.
            _ => {
                known.report = consumer_events(open.queue.consumer()).reports.of(&self.0.partition);
                known.remaining(position)
            }
        }
    }

    fn on_data(&mut self, wake: Wake) {
        self.0.bell.on_ring(wake);
    }
}
