//! What an operator sees of its task: times, the record's origin, the way out, schedules.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{BoxError, Error, Result};
use crate::log::RecordBatch;
use crate::metrics::{DropReason, Drops};
use crate::record::Timestamp;
use crate::sink::{Collector, DeadLetter};
use crate::source::OnError;
use crate::task::punctuation::{Clock, Punctuations, Schedule};
use crate::task::record_time::RecordTime;

/// `<sub-topology>_<partition>`, as in Kafka Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The number of the sub-topology.
    pub sub_topology: u32,
    /// The partition.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

/// Where the record in hand came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// The origin of the record in hand; the batch is kept so that a dead letter can carry the
/// original bytes.
struct Origin {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    batch: Rc<dyn RecordBatch>,
    index: usize,
}

/// A task as its operators see it.
pub(crate) struct TaskContext {
    /// Which task this is.
    pub(crate) task: TaskId,
    /// The application's id: group, prefix of internal topics.
    pub(crate) application_id: Arc<str>,
    /// The highest timestamp taken for processing; negative before the first record.
    pub(crate) stream_time: Timestamp,
    /// Wall-clock time as of the start of this turn.
    pub(crate) wall_clock: Timestamp,
    /// The way to topics.
    pub(crate) collector: Collector,
    /// Set by an operator that wants a commit soon.
    pub(crate) commit_requested: bool,
    /// What processors want noted with the committed offsets, by the name they chose; holds what
    /// was committed before when the operators are initialised.
    pub(crate) progress: BTreeMap<String, i64>,
    /// Records dropped, by reason.
    pub(crate) drops: Drops,
    /// The time of the record in hand, shared with the stores that log at this time.
    pub(crate) record_time: RecordTime,
    punctuations: Punctuations,
    origin: Option<Origin>,
    /// False in a punctuation: the record in hand is then nobody's.
    in_record: bool,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("task", &self.task)
            .field("stream_time", &self.stream_time)
            .finish_non_exhaustive()
    }
}

impl TaskContext {
    pub(crate) fn new(task: TaskId, application_id: Arc<str>, collector: Collector) -> Self {
        Self {
            task,
            application_id,
            stream_time: Timestamp(-1),
            wall_clock: Timestamp(0),
            collector,
            commit_requested: false,
            progress: BTreeMap::new(),
            drops: Drops::default(),
            record_time: RecordTime::default(),
            punctuations: Punctuations::default(),
            origin: None,
            in_record: false,
        }
    }

    /// Where the record in hand came from; `None` in a punctuation.
    pub(crate) fn source(&self) -> Option<Source<'_>> {
        let origin = self.origin.as_ref().filter(|_| self.in_record)?;
        Some(Source { topic: &origin.topic, partition: origin.partition, offset: origin.offset })
    }

    /// Called by the host when it takes a record of `batch` in hand.
    #[inline]
    pub(crate) fn enter_record(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        batch: &Rc<dyn RecordBatch>,
        (index, offset): (usize, i64),
    ) {
        self.in_record = true;
        match &mut self.origin {
            Some(origin) if Rc::ptr_eq(&origin.batch, batch) => {
                origin.index = index;
                origin.offset = offset;
            }
            origin => {
                *origin = Some(Origin {
                    topic: Arc::clone(topic),
                    partition,
                    offset,
                    batch: Rc::clone(batch),
                    index,
                });
            }
        }
    }

    /// Called by the host when no record is in hand any more (punctuation, flush).
    pub(crate) fn leave_record(&mut self) {
        self.in_record = false;
    }

    /// Lets go of the last batch.
    pub(crate) fn forget_origin(&mut self) {
        self.in_record = false;
        self.origin = None;
    }

    /// Counts a dropped record.
    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops.add(reason);
    }

    /// Applies a policy to a record that `node` cannot process.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail, or a failure to send the dead letter.
    pub(crate) fn fault(
        &mut self,
        policy: &OnError,
        node: &str,
        reason: DropReason,
        error: &BoxError,
    ) -> Result<()> {
        match policy {
            OnError::Fail => Err(Error::BadRecord {
                at: self.source().map_or_else(|| "a punctuation".to_owned(), |at| at.to_string()),
                node: node.to_owned(),
                reason: error.to_string(),
            }),
            OnError::Skip => {
                self.note_drop(node, reason, error, "nowhere");
                Ok(())
            }
            OnError::DeadLetter(topic) => {
                self.note_drop(node, reason, error, topic);
                self.send_dead_letter(topic, node, error)
            }
        }
    }

    /// Says and counts that a record goes no further here.
    fn note_drop(&mut self, node: &str, reason: DropReason, error: &BoxError, to: &str) {
        self.drops.add(reason);
        let at = self.source();
        tracing::warn!(task = %self.task, node, ?at, %error, to, "a record goes no further");
    }

    fn send_dead_letter(&mut self, topic: &str, node: &str, error: &BoxError) -> Result<()> {
        let Some(origin) = self.origin.as_ref().filter(|_| self.in_record) else {
            return Err(Error::BadRecord {
                at: "a punctuation".to_owned(),
                node: node.to_owned(),
                reason: format!("there is no source record for a dead letter: {error}"),
            });
        };
        let Some(raw) = origin.batch.get(origin.index) else { return Ok(()) };
        let letter = DeadLetter {
            raw: &raw,
            source: Source {
                topic: &origin.topic,
                partition: origin.partition,
                offset: origin.offset,
            },
            error,
        };
        self.collector.send_dead_letter(topic, &letter)
    }

    /// Schedules a punctuation of the node at `node` (its place in the task).
    pub(crate) fn schedule(&mut self, node: usize, every_ms: i64, clock: Clock) -> Schedule {
        self.punctuations.schedule(node, every_ms, clock, self.wall_clock)
    }

    /// Ends a punctuation; unknown ones are ignored.
    pub(crate) fn cancel(&mut self, which: Schedule) {
        self.punctuations.cancel(which);
    }

    /// The next punctuation that is due, if one is: the node, the schedule and the time to tell
    /// it. It counts as fired.
    pub(crate) fn due(&mut self, clock: Clock) -> Option<(usize, Schedule, Timestamp)> {
        let now = match clock {
            Clock::Stream => self.stream_time,
            Clock::Wall => self.wall_clock,
        };
        self.punctuations.due(clock, now)
    }

    /// When the next wall-clock punctuation is due.
    pub(crate) fn next_wall_clock(&self) -> Option<Timestamp> {
        self.punctuations.next_wall_clock()
    }
}
