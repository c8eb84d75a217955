//! What an operator sees of its task: times, the record's origin, the way out, schedules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::future::{FuturePool, Futures};
use crate::chain::meters::Meters;
use crate::chain::notices::Notices;
use crate::chain::origin::{Held, HeldOrigin, HeldRow, HeldRows, Origin};
use crate::chain::punctuation::{PunctuationType, Punctuations, Schedule};
use crate::collector::{Collector, DeadLetter, HandsOnRows, RowInHand, Written};
use crate::error::{BoxError, Chain, Error, Result, excerpt};
use crate::log::{RawRecord, RecordBatch};
use crate::policy::{DropCounter, DropReason, Drops, OnError, RecordDropped};
use crate::record::{RecordAt, RecordMetadata, RecordTime, TaskId, Timestamp, TopicPartition};

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
    /// It has stores.
    pub(crate) has_state: bool,
    /// Where each of its inputs begins.
    pub(crate) inputs: Vec<(TopicPartition, i64)>,
    /// Its futures.
    pub(crate) futures: Futures,
    /// Set by an operator that wants a commit soon.
    pub(crate) commit_requested: bool,
    /// What processors want noted with the committed offsets, by the name they chose; holds what
    /// was committed before when the operators are initialised.
    pub(crate) progress: BTreeMap<String, i64>,
    /// Records dropped, by node and reason.
    pub(crate) drops: Drops,
    /// The metrics of the user's own.
    pub(crate) meters: Meters,
    notices: Notices,
    /// What counts the records that a store found expired, by the store's place in the task.
    pub(crate) expiring: Vec<Option<DropCounter>>,
    /// The time of the record in hand, shared with the stores that log at this time.
    pub(crate) record_time: RecordTime,
    punctuations: Punctuations,
    origin: Option<Origin>,
    /// False in a punctuation: the record in hand is then nobody's.
    in_record: bool,
    /// Set while a table hands on rows: what is in hand is then a row, and not the record (if there
    /// is one) that set it off.
    rows: Option<HeldRows>,
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
            has_state: false,
            inputs: Vec::new(),
            futures: Futures::new(FuturePool::default(), Duration::MAX),
            commit_requested: false,
            progress: BTreeMap::new(),
            drops: Drops::default(),
            meters: Meters::default(),
            notices: Notices::default(),
            expiring: Vec::new(),
            record_time: RecordTime::default(),
            punctuations: Punctuations::default(),
            origin: None,
            in_record: false,
            rows: None,
        }
    }

    /// With futures that run on the instance's pool, and for which a commit waits so long.
    pub(crate) fn with_futures(mut self, pool: FuturePool, wait_max: Duration) -> Self {
        self.futures = Futures::new(pool, wait_max);
        self
    }

    /// Where the record in hand came from; `None` in a punctuation.
    pub(crate) fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        if let Some(rows) = &self.rows {
            let partition = self.task.partition;
            return Some(RecordMetadata { topic: &rows.topic, partition, offset: -1 });
        }
        let origin = self.origin.as_ref().filter(|_| self.in_record)?;
        Some(RecordMetadata {
            topic: &origin.topic,
            partition: origin.partition,
            offset: origin.offset,
        })
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

    /// Does what forwards rows of a store: while it does, a record downstream that fails is one of those rows, whatever
    /// record may be in hand. A cache may be flushed in the middle of a record, or of another flush.
    pub(crate) fn with_rows<S: HandsOnRows + 'static, R>(
        &mut self,
        store: &Rc<RefCell<S>>,
        forward: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        let topic = Arc::clone(store.borrow().changelog_name());
        let store = Rc::<RefCell<S>>::clone(store);
        let before = self.rows.replace(HeldRows { store, topic });
        let done = forward(self);
        self.rows = before;
        done
    }

    /// The origin of what is in hand, for later.
    ///
    /// # Errors
    /// When it is a row and the local state fails.
    pub(crate) fn hold_origin(&self) -> Result<HeldOrigin> {
        Ok(HeldOrigin(if let Some(rows) = &self.rows {
            let (topic, row) = (Arc::clone(&rows.topic), rows.store.borrow().row_in_hand()?);
            Held::Row(Rc::new(RefCell::new(HeldRow { topic, row })))
        } else {
            let origin = self.origin.as_ref().filter(|_| self.in_record);
            origin.cloned().map_or(Held::Nobody, Held::Record)
        }))
    }

    /// Does what goes on with a record that was kept: until it is done, that one is in hand.
    pub(crate) fn with_held<R>(
        &mut self,
        held: HeldOrigin,
        go_on: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        let rows = self.rows.take();
        self.in_record = false;
        let done = match held.0 {
            Held::Nobody => go_on(self),
            Held::Record(origin) => {
                (self.origin, self.in_record) = (Some(origin), true);
                go_on(self)
            }
            Held::Row(row) => self.with_rows(&row, go_on),
        };
        (self.rows, self.in_record) = (rows, false);
        done
    }

    /// Lets go of the last batch.
    pub(crate) fn forget_origin(&mut self) {
        self.in_record = false;
        self.origin = None;
    }

    /// Counts a record of `node` that goes no further, and says so now and then.
    pub(crate) fn dropped(&mut self, node: &Arc<str>, reason: DropReason, why: fmt::Arguments<'_>) {
        let counter = self.drops.counter(node, reason);
        self.drops.add(counter, 1);
        let mut notices = std::mem::take(&mut self.notices);
        let line =
            notices.add((node, reason), 1, self.wall_clock, || match self.record_metadata() {
                Some(at) => format!("{at}: {why}"),
                None => format!("in a punctuation: {why}"),
            });
        self.notices = notices;
        if let Some(line) = line {
            line.say(self.task);
        }
    }

    /// Counts puts that the store at `place` dropped since they had expired.
    pub(crate) fn expired(&mut self, place: usize, store: &str, puts: u64) {
        if puts == 0 {
            return;
        }
        let counter = self.expiring.get(place).copied().flatten();
        let counter = counter.unwrap_or_else(|| self.drops.counter(store, DropReason::Expired));
        self.drops.add(counter, puts);
        let which = (&Arc::from(store), DropReason::Expired);
        let why = || "windows that start before the retention of the store".to_owned();
        if let Some(line) = self.notices.add(which, puts, self.wall_clock, why) {
            line.say(self.task);
        }
    }

    /// Says of dropped records what is held back and due; `None`: all of it, since the task ends.
    pub(crate) fn say_dropped(&mut self, now: Option<Timestamp>) {
        match now {
            Some(now) => self.notices.due(now).for_each(|line| line.say(self.task)),
            None => self.notices.all().for_each(|line| line.say(self.task)),
        }
    }

    /// Applies a policy to a record that `node` cannot process.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail, or a failure to send the dead letter.
    pub(crate) fn fault(
        &mut self,
        policy: &OnError,
        node: &Arc<str>,
        reason: DropReason,
        error: BoxError,
    ) -> Result<()> {
        match policy {
            OnError::Fail => Err(self.bad_record(node, error)),
            OnError::Skip => {
                self.dropped(node, reason, format_args!("{}", excerpt(&Chain(&*error))));
                Ok(())
            }
            OnError::DeadLetter(topic) => {
                let why = excerpt(&Chain(&*error));
                self.dropped(node, reason, format_args!("{why} (a dead letter in {topic})"));
                self.send_dead_letter(topic, node, &error, None)
            }
        }
    }

    /// Applies a node's policy for records that have no place there; `written` is the record in its bytes, if it can
    /// be written.
    ///
    /// # Errors
    /// As [`Self::fault`].
    pub(crate) fn drop_record(
        &mut self,
        (node, policy): (&Arc<str>, &OnError),
        reason: DropReason,
        why: fmt::Arguments<'_>,
        written: Option<&dyn Fn() -> Written>,
    ) -> Result<()> {
        let error = |why: String| -> BoxError { RecordDropped::new(reason, why).into() };
        match policy {
            OnError::Skip => self.dropped(node, reason, why),
            OnError::Fail => return Err(self.bad_record(node, error(why.to_string()))),
            OnError::DeadLetter(topic) => {
                self.dropped(node, reason, format_args!("{why} (a dead letter in {topic})"));
                return self.send_dead_letter(topic, node, &error(why.to_string()), written);
            }
        }
        Ok(())
    }

    /// The error about the record in hand.
    #[cold]
    fn bad_record(&self, node: &str, cause: BoxError) -> Error {
        let at = self.record_metadata().map_or(RecordAt::Punctuation, RecordAt::from);
        Error::BadRecord { at, node: node.to_owned(), cause, policy_at: None }
    }

    /// Applies the policy of the sink `node` to an output that its topic refuses. A dead letter
    /// carries the record that it was made of, or the output itself where a punctuation made it.
    ///
    /// # Errors
    /// As [`Self::fault`].
    pub(crate) fn refused(
        &mut self,
        policy: &OnError,
        node: &Arc<str>,
        error: BoxError,
        output: &RawRecord<'_>,
    ) -> Result<()> {
        let OnError::DeadLetter(topic) = policy else {
            return self.fault(policy, node, DropReason::Refused, error);
        };
        if self.record_metadata().is_some() {
            return self.fault(policy, node, DropReason::Refused, error);
        }
        let why = excerpt(&Chain(&*error));
        let why = format_args!("{why} (a dead letter in {topic})");
        self.dropped(node, DropReason::Refused, why);
        let source = RecordMetadata { topic: "", partition: -1, offset: -1 };
        self.collector.send_dead_letter(topic, &DeadLetter { raw: output, source, error: &error })
    }

    fn send_dead_letter(
        &mut self,
        topic: &str,
        node: &str,
        error: &BoxError,
        written: Option<&dyn Fn() -> Written>,
    ) -> Result<()> {
        let mut collector = self.collector.clone();
        let Some(source) = self.record_metadata() else {
            if let Some(Written { key, value, timestamp, headers }) = written.map(|write| write()) {
                let (offset, timestamp) = (-1, timestamp.0);
                let (key, value) = (key.as_deref(), value.as_deref());
                let raw = &RawRecord { offset, timestamp, key, value, headers };
                let source = RecordMetadata { topic: "", partition: -1, offset };
                return collector.send_dead_letter(topic, &DeadLetter { raw, source, error });
            }
            let why = format!("there is no source record for a dead letter: {}", Chain(&**error));
            return Err(self.bad_record(node, excerpt(&why).into()));
        };
        let mut send = |raw: &RawRecord<'_>| {
            collector.send_dead_letter(topic, &DeadLetter { raw, source, error })
        };
        if let Some(rows) = &self.rows {
            let RowInHand { key, value, timestamp, headers } = rows.store.borrow().row_in_hand()?;
            let (key, value) = (Some(&*key), value.as_deref());
            return send(&RawRecord { offset: -1, timestamp: timestamp.0, key, value, headers });
        }
        let origin = self.origin.as_ref();
        match origin.and_then(|origin| origin.batch.get(origin.index)) {
            Some(raw) => send(&raw),
            None => Ok(()),
        }
    }

    /// Whether any node has a punctuation scheduled.
    pub(crate) fn has_schedules(&self) -> bool {
        !self.punctuations.is_empty()
    }

    /// Schedules a punctuation of the node at `node` (its place in the task).
    pub(crate) fn schedule(
        &mut self,
        node: usize,
        every_ms: i64,
        clock: PunctuationType,
    ) -> Schedule {
        self.punctuations.schedule(node, every_ms, clock, self.wall_clock)
    }

    /// Ends a punctuation; unknown ones are ignored.
    pub(crate) fn cancel(&mut self, which: Schedule) {
        self.punctuations.cancel(which);
    }

    /// The next punctuation that is due, if one is: the node, the schedule and the time to tell
    /// it. It counts as fired.
    pub(crate) fn due(&mut self, clock: PunctuationType) -> Option<(usize, Schedule, Timestamp)> {
        let now = match clock {
            PunctuationType::StreamTime => self.stream_time,
            PunctuationType::WallClockTime => self.wall_clock,
        };
        self.punctuations.due(clock, now)
    }

    /// When the next wall-clock punctuation is due.
    pub(crate) fn next_wall_clock(&self) -> Option<Timestamp> {
        self.punctuations.next_wall_clock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::chain::punctuation::{PunctuationType, Schedule};
    use crate::error::{BoxError, Error};
    use crate::log::memory::MemoryRecord;
    use crate::operators::{Context, KStream, Placing, Processor};
    use crate::policy::OnError;
    use crate::record::{Data, Headers, Record, Timestamp};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{Emit, TimeWindows};
    use crate::topology::StreamsBuilder;

    const LETTERS: OnError = OnError::DeadLetter(std::borrow::Cow::Borrowed("letters"));

    fn driver(builder: StreamsBuilder, cache_bytes: usize) -> TopologyDriver {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        TopologyDriver::with_options(&builder.build().unwrap(), &options).unwrap()
    }

    fn header(letter: &MemoryRecord, name: &str) -> String {
        let value = letter.headers.last(&format!("__streams.errors.{name}"));
        String::from_utf8(value.unwrap().to_vec()).unwrap()
    }

    /// Of each dead letter the key and the coordinates.
    fn letters(driver: &mut TopologyDriver) -> Vec<String> {
        let line = |letter: &MemoryRecord| {
            let key = String::from_utf8(letter.key.clone().unwrap()).unwrap();
            let at = ["topic", "partition", "offset"].map(|name| header(letter, name));
            format!("{key} of {}", at.join(" "))
        };
        driver.read_raw("letters").unwrap().iter().map(line).collect()
    }

    /// Refuses what has this key.
    fn refuse<V: Data, P: Placing>(stream: &KStream<String, V, P>, refused: &'static str) {
        let refuse = move |key: &String, value: V| match key == refused {
            true => Err("refused"),
            false => Ok(value),
        };
        stream.try_map_values_with_key(refuse).on_error(LETTERS).for_each(|_, _| {});
    }

    fn many(prefix: &str) -> impl Iterator<Item = Record<String, String>> {
        (0..200).map(move |number| text(&format!("{prefix}{number}"), "v", 7))
    }

    #[test]
    fn a_row_that_a_commit_flushes_becomes_a_dead_letter_of_its_own() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        refuse(&stream.group_by_key().count("counts").updates(), "bad");
        let mut driver = driver(builder, 1 << 20);
        let mut first = text("bad", "v", 3);
        first.headers.push("trace", Some(b"1".to_vec()));
        driver.pipe_together("in", [first.clone(), text("good", "v", 9), first]).unwrap();
        let letter = driver.read_raw("letters").unwrap().pop().unwrap();
        let logged = driver.read_raw("app-counts-changelog").unwrap();
        let row = logged.iter().find(|row| row.key.as_deref() == Some(b"bad")).unwrap();
        assert_eq!((&letter.key, &letter.value), (&row.key, &row.value));
        assert_eq!(letter.value, Some(2_i64.to_be_bytes().to_vec()));
        assert_eq!((letter.timestamp, row.timestamp), (3, 3));
        assert_eq!(letter.headers.last("trace"), Some(&b"1"[..]));
        let at = ["topic", "partition", "offset"].map(|name| header(&letter, name));
        assert_eq!(at, ["app-counts-changelog", "0", "-1"]);
    }

    #[test]
    fn a_full_cache_does_not_mix_up_its_rows_with_the_record_in_hand() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        // The cache is flushed in the middle of a record, whose other way fails afterwards.
        refuse(&stream.group_by_key().count("counts").updates(), "k0");
        refuse(&stream, "k150");
        let mut driver = driver(builder, 2_000);
        driver.pipe_together("in", many("k")).unwrap();
        assert_eq!(letters(&mut driver), ["k0 of app-counts-changelog 0 -1", "k150 of in 0 150"]);
    }

    #[test]
    fn each_record_keeps_its_bytes_wherever_a_cache_is_flushed() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.group_by_key().count("counts");
        let refuse = |key: &String, value: String| match key == "k0" {
            true => Ok(value),
            false => Err("refused"),
        };
        stream.try_map_values_with_key(refuse).on_error(LETTERS).for_each(|_, _| {});
        let mut driver = driver(builder, 2_000);
        driver.pipe_together("in", many("k")).unwrap();
        let wanted: Vec<_> = (1..200).map(|number| format!("k{number} of in 0 {number}")).collect();
        assert_eq!(letters(&mut driver), wanted);
    }

    #[test]
    fn a_flush_within_a_flush_gives_the_outer_row_back() {
        let builder = StreamsBuilder::new();
        let counts = builder.stream::<String, String>("in").group_by_key().count("first").updates();
        let second = counts.group_by_key().reduce("second", |_, new| new).updates();
        refuse(&second, "k3");
        refuse(&counts, "k60");
        let mut driver = driver(builder, 4_000);
        driver.pipe_together("in", many("k")).unwrap();
        assert_eq!(
            letters(&mut driver),
            ["k3 of app-second-changelog 0 -1", "k60 of app-first-changelog 0 -1"]
        );
    }

    #[test]
    fn a_row_that_was_deleted_is_a_dead_letter_without_a_value() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, i64>("in");
        let sums = stream.group_by_key().aggregate_retain(
            "sums",
            || 0,
            |_, value, sum| {
                *sum += value;
                *sum != 0
            },
        );
        let present = |sum: Option<i64>| sum.ok_or("deleted");
        sums.to_stream().try_map_values(present).on_error(LETTERS).for_each(|_, _| {});
        let mut driver = driver(builder, 1 << 20);
        let number = |value: i64, at| Record::new("k".to_owned(), value, Timestamp(at));
        driver.pipe("in", &number(5, 1)).unwrap();
        driver.pipe("in", &number(-5, 2)).unwrap();
        let letter = driver.read_raw("letters").unwrap().pop().unwrap();
        assert_eq!((letter.key, letter.value), (Some(b"k".to_vec()), None));
        assert_eq!(letter.timestamp, 2);
    }

    #[test]
    fn a_window_that_closes_is_a_dead_letter_of_its_own() {
        for cache_bytes in [0, 1 << 20] {
            let builder = StreamsBuilder::new();
            let closed = builder
                .stream::<String, String>("in")
                .group_by_key()
                .windowed_by(TimeWindows::of(Duration::from_millis(10)).no_grace())
                .emit(Emit::OnWindowClose)
                .count("w")
                .updates()
                .map(|window, count| (window.key, count));
            refuse(&closed, "a");
            let mut driver = driver(builder, cache_bytes);
            let records = [text("a", "v", 1), text("b", "v", 2), text("a", "v", 3)];
            driver.pipe_together("in", records).unwrap();
            driver.pipe("in", &text("c", "v", 10)).unwrap();
            let letter = driver.read_raw("letters").unwrap().pop().unwrap();
            let logged = driver.read_raw("app-w-changelog").unwrap();
            let row = logged.iter().rev().find(|row| row.key.as_deref().unwrap()[0] == b'a');
            assert_eq!((&letter.key, &letter.value), (&row.unwrap().key, &row.unwrap().value));
            assert_eq!(letter.value, Some(2_i64.to_be_bytes().to_vec()));
            assert_eq!(header(&letter, "topic"), "app-w-changelog");
            assert!(driver.read_raw("letters").unwrap().is_empty());
        }
    }

    #[test]
    fn an_error_about_a_row_names_its_changelog() {
        let builder = StreamsBuilder::new();
        let counts = builder.stream::<String, String>("in").group_by_key().count("counts");
        counts.updates().try_map_values(|_| Err::<i64, _>("refused")).for_each(|_, _| {});
        let mut driver = driver(builder, 1 << 20);
        match driver.pipe("in", &text("k", "v", 1)) {
            Err(Error::BadRecord { at, .. }) => {
                assert_eq!(at.to_string(), "app-counts-changelog-0")
            }
            other => panic!("{other:?}"),
        }
    }

    struct Ticks;

    impl Processor<String, String> for Ticks {
        type KOut = String;
        type VOut = String;

        fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
            ctx.schedule(Duration::from_secs(1), PunctuationType::WallClockTime);
            Ok(())
        }

        fn process(
            &mut self,
            _: Record<String, String>,
            _: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        fn punctuate(
            &mut self,
            _: Schedule,
            now: Timestamp,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            let headers = Headers::default();
            let (key, value) = ("tick".to_owned(), "v".to_owned());
            ctx.forward(Record { key, value, timestamp: now, headers });
            Ok(())
        }
    }

    #[test]
    fn what_a_punctuation_makes_is_nobodys_until_a_table_has_kept_it() {
        let topology = |through_a_table: bool| {
            let builder = StreamsBuilder::new();
            let ticks = builder.stream::<String, String>("in").process("ticks", (), |()| Ticks);
            if through_a_table {
                let kept = ticks.repartition("r").group_by_key().reduce("kept", |_, new| new);
                refuse(&kept.updates(), "tick");
            } else {
                refuse(&ticks, "tick");
            }
            builder
        };
        let mut with_table = driver(topology(true), 1 << 20);
        with_table.pipe("in", &text("k", "v", 1)).unwrap();
        with_table.advance_wall_clock(Duration::from_secs(1)).unwrap();
        assert_eq!(letters(&mut with_table), ["tick of app-kept-changelog 0 -1"]);
        let mut without = driver(topology(false), 1 << 20);
        without.pipe("in", &text("k", "v", 1)).unwrap();
        let error = without.advance_wall_clock(Duration::from_secs(1)).unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("a punctuation") && error.contains("refused"), "{error}");
    }
}
