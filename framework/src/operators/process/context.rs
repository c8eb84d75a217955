//! What a processor can use while it is called: times, the record's origin, and `forward`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Children, OwnMetrics, PunctuationType, Schedule, TaskContext};
use crate::error::{BoxError, Error, Result};
use crate::operators::process::fixed_key::FixedKeyRecord;
use crate::record::{Data, Record, RecordMetadata, TaskId, Timestamp};
use crate::time::millis;

/// The children of one node, which it forwards to.
pub(crate) struct Ways<K, V> {
    pub(crate) children: Children<K, V>,
    /// The names of the children, in the same order.
    pub(crate) names: Vec<Arc<str>>,
    /// The node's place in the task.
    pub(crate) place: usize,
}

/// The context of a processor, for the length of one call.
///
/// `forward` calls the nodes downstream at once and returns when they have processed the record. If
/// one of them fails, later calls of `forward` do nothing, and the failure is reported after the
/// processor has returned.
///
/// ```
/// use std::time::Duration;
/// # use millstream::{BoxError, Context, Counter, Processor, PunctuationType, Schedule, StreamsBuilder};
/// # use millstream::record::{Record, Timestamp};
/// # use millstream::testing::{TopologyDriver, text};
///
/// /// Counts, and tells the count of every ten seconds of stream time, at most three times.
/// struct Count { seen: i64, told: u32, tellings: Counter }
///
/// impl Processor<String, String> for Count {
///     type KOut = String;
///     type VOut = i64;
///
///     fn init(&mut self, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         ctx.schedule(Duration::from_secs(10), PunctuationType::StreamTime);
///         self.tellings = ctx.metrics().counter("tellings_total", "Counts that were told.", &[])?;
///         Ok(())
///     }
///
///     fn process(&mut self, record: Record<String, String>, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         self.seen += 1;
///         if record.value == "urgent" {
///             let offset = ctx.record_metadata().map_or(-1, |from| from.offset);
///             ctx.forward_to("urgent", Record::new(record.key, offset, record.timestamp));
///             ctx.request_commit();
///         }
///         Ok(())
///     }
///
///     fn punctuate(&mut self, which: Schedule, now: Timestamp, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         self.told += 1;
///         self.tellings.inc();
///         if self.told == 3 {
///             ctx.cancel(which);
///         }
///         assert!(ctx.stream_time() == now && ctx.wall_clock() >= Timestamp(0));
///         let who = format!("{} {}", ctx.application_id(), ctx.task_id());
///         ctx.forward_to("counts", Record::new(who, self.seen, now));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let counts = builder.stream("in").process("count", (), |()| Count { seen: 0, told: 0, tellings: Counter::default() });
/// counts.filter(|_, _| true).named("urgent").to("urgent");
/// counts.filter(|_, _| true).named("counts").to("counts");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for at in [1_000, 5_000, 10_000] {
///     driver.pipe("in", &text("k", if at == 5_000 { "urgent" } else { "" }, at))?;
/// }
/// let counts = driver.read::<String, i64>("counts")?;
/// assert_eq!((counts[1].key.as_str(), counts[1].value), ("app 0_0", 3));
/// assert_eq!(driver.read::<String, i64>("urgent")?[0].value, 1);
/// # Ok::<(), BoxError>(())
/// ```
pub struct Context<'a, K, V> {
    pub(crate) task: &'a mut TaskContext,
    ways: &'a Ways<K, V>,
    failed: Option<Error>,
    /// Why a record was not forwarded.
    refused: Option<BoxError>,
}

/// What came of a call of a processor.
pub(crate) enum Ended {
    Done,
    /// It refused its record, or what it forwarded was refused.
    Refused(BoxError),
    /// Something failed downstream.
    Failed(Error),
}

impl Ended {
    /// What was refused may be taken care of.
    pub(crate) fn or_else(self, own: impl FnOnce(BoxError) -> Result<()>) -> Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Refused(cause) => own(cause),
            Self::Failed(error) => Err(error),
        }
    }
}

impl<K, V> fmt::Debug for Context<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("task", &self.task).finish_non_exhaustive()
    }
}

impl<'a, K: Data, V: Data> Context<'a, K, V> {
    pub(crate) fn new(task: &'a mut TaskContext, ways: &'a Ways<K, V>) -> Self {
        Self { task, ways, failed: None, refused: None }
    }

    /// What came of a call that returned this.
    pub(crate) fn finish(self, result: Result<(), BoxError>) -> Ended {
        match (self.failed, result.err().or(self.refused)) {
            (Some(error), _) => Ended::Failed(error),
            (None, Some(cause)) => Ended::Refused(cause),
            (None, None) => Ended::Done,
        }
    }

    /// True if nothing is forwarded any more, or not this: before all times a record has no window, and meets nobody.
    #[inline]
    fn refuses(&mut self, at: Timestamp) -> bool {
        if at.0 < 0 {
            let why =
                || format!("a processor gave a record the timestamp {}: it is negative", at.0);
            self.refused.get_or_insert_with(|| why().into());
        }
        at.0 < 0 || self.failed.is_some()
    }

    /// Hands a record to all children. One with a negative timestamp is handed to none: it is an error of this call, for
    /// which the node's policy is.
    ///
    /// ```
    /// # use millstream::{BoxError, Context, Processor, StreamsBuilder};
    /// # use millstream::record::Record;
    /// # use millstream::testing::{TopologyDriver, text};
    /// # struct Twice;
    /// # impl Processor<String, String> for Twice {
    /// #     type KOut = String;
    /// #     type VOut = String;
    /// fn process(&mut self, record: Record<String, String>, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
    ///     ctx.forward(record.clone());
    ///     ctx.forward(record);
    ///     Ok(())
    /// }
    /// # }
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream("in").process("twice", (), |()| Twice).to("out");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("in", &text("k", "v", 1))?;
    /// # assert_eq!(driver.read::<String, String>("out")?, [text("k", "v", 1), text("k", "v", 1)]);
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn forward(&mut self, record: Record<K, V>) {
        if !self.refuses(record.timestamp) {
            self.failed = self.ways.children.forward(record, self.task).err();
        }
    }

    /// Hands a record to the child of this name. A name that no child has fails the task: it is a
    /// fault of the program.
    pub fn forward_to(&mut self, child: &str, record: Record<K, V>) {
        if self.refuses(record.timestamp) {
            return;
        }
        let index = self.ways.names.iter().position(|name| **name == *child);
        self.failed = match index.and_then(|index| self.ways.children.get(index)) {
            Some(link) => link.borrow_mut().process(record, self.task).err(),
            None => Some(Error::Fatal {
                what: format!("forwarding to {child}"),
                reason: "no child has this name".to_owned(),
            }),
        };
    }

    /// Calls [`crate::Processor::punctuate`] every so often, until cancelled.
    pub fn schedule(&mut self, every: Duration, on: PunctuationType) -> Schedule {
        self.task.schedule(self.ways.place, millis(every), on)
    }

    /// Ends a schedule.
    pub fn cancel(&mut self, which: Schedule) {
        self.task.cancel(which);
    }

    /// Asks for a commit soon; never commits inside a record.
    pub fn request_commit(&mut self) {
        self.task.commit_requested = true;
    }

    /// Where the current record came from: for a row that a table held back, its changelog. `None`
    /// in a punctuation.
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        self.task.record_metadata()
    }

    /// The highest timestamp the task has taken for processing; negative before the first record.
    pub fn stream_time(&self) -> Timestamp {
        self.task.stream_time
    }

    /// The machine's time as the task sees it.
    pub fn wall_clock(&self) -> Timestamp {
        self.task.wall_clock
    }

    /// Makes counters, gauges and histograms of one's own: in `init`.
    pub fn metrics(&mut self) -> OwnMetrics<'_> {
        OwnMetrics::of(&mut self.task.meters)
    }

    /// Which task this is.
    pub fn task_id(&self) -> TaskId {
        self.task.task
    }

    /// The application's id.
    pub fn application_id(&self) -> &str {
        &self.task.application_id
    }
}

/// The context of a processor that may not change keys, for the length of one call: as
/// [`Context`], but what is forwarded carries the key of a record that came in.
///
/// ```
/// use std::time::Duration;
/// # use millstream::{BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, PunctuationType, Schedule};
/// # use millstream::record::Timestamp;
/// /// Asks for a commit every minute of the machine's time, ten times.
/// struct Committing(u32, Counter);
///
/// impl FixedKeyProcessor<String, String> for Committing {
///     type VOut = String;
///
///     fn init(&mut self, ctx: &mut FixedKeyContext<'_, String, String>) -> Result<(), BoxError> {
///         ctx.schedule(Duration::from_secs(60), PunctuationType::WallClockTime);
///         self.1 = ctx.metrics().counter("asked_total", "Commits that were asked for.", &[])?;
///         Ok(())
///     }
///
///     fn process(&mut self, record: FixedKeyRecord<String, String>, ctx: &mut FixedKeyContext<'_, String, String>) -> Result<(), BoxError> {
///         let late = ctx.wall_clock().0 - ctx.stream_time().0 > 60_000;
///         let offset = ctx.record_metadata().map_or(-1, |from| from.offset);
///         let late = if late { ", late" } else { "" };
///         let value = format!("{} (offset {offset}, task {}{late})", record.value, ctx.task_id());
///         ctx.forward(record.with_value(value));
///         Ok(())
///     }
///
///     fn punctuate(&mut self, which: Schedule, _: Timestamp, ctx: &mut FixedKeyContext<'_, String, String>) -> Result<(), BoxError> {
///         self.0 += 1;
///         if self.0 == 10 {
///             ctx.cancel(which);
///         }
///         self.1.inc();
///         ctx.request_commit();
///         Ok(())
///     }
/// }
/// # let builder = millstream::StreamsBuilder::new();
/// # builder.stream("in").process_values("committing", (), |()| Committing(0, Counter::default())).to("out");
/// # let mut driver = millstream::testing::TopologyDriver::new(&builder.build()?)?;
/// # driver.pipe("in", &millstream::testing::text("k", "v", 1))?;
/// let out = driver.read::<String, String>("out")?;
/// assert!(out[0].value.starts_with("v (offset 0, task 0_0"));
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug)]
pub struct FixedKeyContext<'a, K, V>(pub(crate) Context<'a, K, V>);

impl<K: Data, V: Data> FixedKeyContext<'_, K, V> {
    /// Hands a record to all children.
    pub fn forward(&mut self, record: FixedKeyRecord<K, V>) {
        self.0.forward(record.into_record());
    }

    /// See [`Context::schedule`].
    pub fn schedule(&mut self, every: Duration, on: PunctuationType) -> Schedule {
        self.0.schedule(every, on)
    }

    /// See [`Context::cancel`].
    pub fn cancel(&mut self, which: Schedule) {
        self.0.cancel(which);
    }

    /// See [`Context::request_commit`].
    pub fn request_commit(&mut self) {
        self.0.request_commit();
    }

    /// See [`Context::record_metadata`].
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        self.0.record_metadata()
    }

    /// See [`Context::stream_time`].
    pub fn stream_time(&self) -> Timestamp {
        self.0.stream_time()
    }

    /// See [`Context::wall_clock`].
    pub fn wall_clock(&self) -> Timestamp {
        self.0.wall_clock()
    }

    /// See [`Context::metrics`].
    pub fn metrics(&mut self) -> OwnMetrics<'_> {
        self.0.metrics()
    }

    /// See [`Context::task_id`].
    pub fn task_id(&self) -> TaskId {
        self.0.task_id()
    }
}
