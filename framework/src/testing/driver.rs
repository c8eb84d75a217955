//! The driver: tasks of all sub-topologies over one memory log, driven by hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::{SharedResources, TaskStores};

use crate::chain::{FuturePool, MeterBoard, Meters, TaskContext};
use crate::collector::{Collector, Refusals, WorkerProducer};
use crate::error::{BoxError, Error, Result};
use crate::log::memory::MemoryLog;
use crate::log::{Log, ProducerSpec};
use crate::policy::DropReason;
use crate::policy::Dropped;
use crate::record::{Headers, Record, TaskId, Timestamp, TopicPartition};
use crate::serde::{HasSerde, Null, Part, Place, Serde};
use crate::store::{CacheBudget, GlobalStores, TaskStore};
use crate::task::{
    Input, OpenStores, Progress, Rest, Task, TaskLimits, Turn, TurnLimits, UncommittedBudget,
};
use crate::testing::driver_topics::DrivenTopics;
use crate::time::millis;
use crate::topology::{PatternSource, SubTopology, TaskSeed, Topology};

/// Memory for RocksDB where stores are on disk: a test needs little.
const DISK_BYTES: usize = 16 << 20;

/// How a [`TopologyDriver`] is set up.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// The prefix of internal topics; `app` if not said otherwise.
    pub application_id: String,
    /// Bytes for the record caches of each task; 0, the default, turns them off, so that every
    /// change is emitted.
    pub cache_bytes: usize,
    /// Where stores and the progress of processors are kept on disk, for the next driver to go on
    /// from; without it they are in memory.
    pub state_dir: Option<PathBuf>,
    /// After so long without any input stream time follows the wall clock: `idle_timeout_ms` of an application.
    pub idle_timeout: Option<Duration>,
}

impl Default for DriverOptions {
    fn default() -> Self {
        let application_id = "app".to_owned();
        Self { application_id, cache_bytes: 0, state_dir: None, idle_timeout: None }
    }
}

/// Runs a topology synchronously: a record is piped in, processed to the end, through repartition
/// topics and futures too, and committed. Time is moved by hand: stream time by records, the wall clock, which
/// begins at 0, by [`TopologyDriver::advance_wall_clock`].
///
/// It does not simulate: several partitions or tasks of a sub-topology, group membership, restore,
/// transactions and their failures, the choice among inputs by timestamp beyond what is piped in.
///
/// ```
/// use std::time::Duration;
/// use millstream::record::{Headers, Record, Timestamp};
/// use millstream::serde::{Json, Plain};
/// use millstream::testing::{DriverOptions, TopologyDriver, text};
/// use millstream::{DropReason, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in").group_by_key().count("counts").updates().to("out");
/// let topology = builder.build()?;
///
/// let mut driver = TopologyDriver::new(&topology)?;
/// driver.pipe("in", &text("k", "a", 1))?;
/// driver.pipe_with("in", &Record::new("k".to_owned(), 7, Timestamp(2)), &Plain, &Json)?;
/// driver.pipe_raw("in", (Some(b"k"), Some(b"bytes")), Timestamp(3), &Headers::default())?;
/// let counts: Vec<i64> = driver.read::<String, i64>("out")?.iter().map(|record| record.value).collect();
/// assert_eq!(counts, [1, 2, 3]);
/// driver.advance_wall_clock(Duration::from_secs(60))?;
/// assert_eq!(driver.dropped(DropReason::Failed), 0);
/// assert_eq!(driver.read_raw("app-counts-changelog")?.len(), 3);
/// assert_eq!(driver.read_with::<String, i64>("app-counts-changelog", &Plain, &Plain)?.len(), 0);
/// assert!(driver.topic_names().contains(&"out".to_owned()));
///
/// // With a record cache, under load: only the last change of each key comes out.
/// let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
/// let mut driver = TopologyDriver::with_options(&topology, &options)?;
/// driver.pipe_together("in", [text("k", "a", 1), text("k", "b", 2)])?;
/// assert_eq!(driver.read::<String, i64>("out")?[0].value, 2);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct TopologyDriver {
    pub(super) log: MemoryLog,
    pub(super) topics: DrivenTopics,
    pub(super) application_id: Arc<str>,
    /// Whether progress is kept with the stores.
    keeps_progress: bool,
    producer: Rc<RefCell<WorkerProducer>>,
    tasks: Vec<Task>,
    pub(super) meters: MeterBoard,
    /// What reads topics that match a pattern, with the place of its task.
    patterns: Vec<(usize, PatternSource)>,
    /// The topics for which there is an input already.
    opened: BTreeSet<String>,
    pub(super) stores: Vec<TaskStore>,
    futures: FuturePool,
    now: Timestamp,
    /// The next offset to read of each output.
    pub(super) read: BTreeMap<String, i64>,
    pub(super) drops: BTreeMap<DropReason, u64>,
}

/// What a task shares with others.
#[derive(Default)]
struct Shares {
    cache_bytes: usize,
    idle_timeout: Option<Duration>,
    globals: GlobalStores,
}

impl fmt::Debug for TopologyDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyDriver").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

impl TopologyDriver {
    /// Runs a topology with the default options.
    ///
    /// # Errors
    /// When a node or store cannot be made.
    pub fn new(topology: &Topology) -> Result<Self> {
        Self::with_options(topology, &DriverOptions::default())
    }

    /// Runs a topology.
    ///
    /// # Errors
    /// When a node or store cannot be made.
    pub fn with_options(topology: &Topology, options: &DriverOptions) -> Result<Self> {
        let log = MemoryLog::new().auto_create(true);
        let producer = log.producer(&ProducerSpec::default())?;
        // There is nothing to begin again from, so each record is asked about.
        let producer = WorkerProducer::new(Arc::new(log.clone()), producer, false)
            .with_refusals(Refusals::of_everything(), ProducerSpec::default());
        let mut driver = Self {
            log,
            topics: DrivenTopics::new(topology, &options.application_id),
            keeps_progress: options.state_dir.is_some(),
            application_id: options.application_id.as_str().into(),
            producer: Rc::new(RefCell::new(producer)),
            tasks: Vec::new(),
            meters: MeterBoard::default(),
            patterns: Vec::new(),
            opened: BTreeSet::new(),
            stores: Vec::new(),
            futures: FuturePool::default(),
            now: Timestamp(0),
            read: BTreeMap::new(),
            drops: BTreeMap::new(),
        };
        let shared = SharedResources::new(DISK_BYTES)?;
        let open = |sub: &SubTopology| {
            let specs = topology.store_specs(sub);
            Ok::<_, Error>(match &options.state_dir {
                Some(dir) => TaskStores::open(&dir.join(format!("{}_0", sub.id)), &specs, &shared)?,
                None => TaskStores::in_memory(&specs),
            })
        };
        // They go first, so that what is piped in together finds their rows.
        let mut globals = Vec::new();
        for sub in topology.global_tables() {
            let disk = open(sub)?;
            for spec in topology.store_specs(sub) {
                if let Some(id) = disk.id(&spec.name) {
                    globals.push((spec.name, disk.share(id)?));
                }
            }
            driver.add_task(topology, sub, disk, &Shares::default())?;
        }
        let globals = globals.into_iter().collect();
        let (cache_bytes, idle_timeout) = (options.cache_bytes, options.idle_timeout);
        let shares = Shares { cache_bytes, idle_timeout, globals };
        for sub in topology.sub_topologies() {
            driver.add_task(topology, sub, open(sub)?, &shares)?;
        }
        for task in &mut driver.tasks {
            task.init(driver.now)?;
            task.ctx.meters.carry();
        }
        driver.run_to_the_end()?;
        Ok(driver)
    }

    fn add_task(
        &mut self,
        topology: &Topology,
        sub: &SubTopology,
        disk: TaskStores,
        shares: &Shares,
    ) -> Result<()> {
        let id = TaskId { sub_topology: sub.id, partition: 0 };
        let collector = Collector::new(Rc::clone(&self.producer));
        let ctx = TaskContext::new(id, Arc::clone(&self.application_id), collector);
        let mut ctx = ctx.with_futures(self.futures.clone(), Duration::MAX);
        ctx.meters = Meters::of(&self.meters);
        // As with a committed position: processors go on where they were, and so does stream time.
        let mut kept = BTreeMap::new();
        // Which topics matched a pattern is not known any more; all inputs have the same progress.
        if let Some(bytes) = disk.meta(&progress_note("")) {
            ctx.progress.extend(Progress::decode(&String::from_utf8_lossy(&bytes)).processors);
        }
        let application_id = Arc::clone(&self.application_id);
        for topic in sub.sources.iter().filter_map(|source| source.in_log(&application_id)) {
            if let Some(bytes) = disk.meta(&progress_note(&topic)) {
                let progress = Progress::decode(&String::from_utf8_lossy(&bytes));
                ctx.progress.extend(progress.processors);
                kept.insert(topic, progress.partition_time);
            }
        }
        let seed = TaskSeed {
            ctx: &mut ctx,
            disk: &disk,
            cache_budget: &CacheBudget::new(shares.cache_bytes),
            globals: &shares.globals,
        };
        let parts = topology.instantiate(sub, seed)?;
        for store in &parts.stores {
            let store = store.borrow();
            if store.changelog().is_some() {
                self.topics.add_changelog(&self.application_id, store.name());
            }
        }
        self.stores.extend(parts.typed_stores);
        let uncommitted = UncommittedBudget::new(usize::MAX);
        let idle_timeout = shares.idle_timeout;
        let limits = TaskLimits { idle_ms_max: -1, idle_timeout, uncommitted };
        let stores = OpenStores { all: parts.stores, disk, uncommitted: parts.uncommitted };
        let mut task = Task::new(ctx, parts.nodes, stores, limits);
        for (topic, source) in parts.sources {
            let time = kept.get(&topic).copied().unwrap_or(Timestamp(-1));
            let partition = TopicPartition::new(topic, 0);
            let queue = super::queue::DriverQueue::new(self.log.clone(), partition.clone());
            task.add_input(Input::new(partition, Box::new(queue), source, 0, time));
        }
        let place = self.tasks.len();
        self.patterns.extend(parts.patterns.into_iter().map(|pattern| (place, pattern)));
        self.tasks.push(task);
        Ok(())
    }

    /// Makes the input of a topic that matches a pattern, once.
    fn open(&mut self, topic: &str) -> Result<()> {
        self.topics.check_source(topic)?;
        if !self.opened.insert(topic.to_owned()) {
            return Ok(());
        }
        let name: Arc<str> = topic.into();
        for (place, pattern) in &self.patterns {
            if let (Some(source), Some(task)) =
                (pattern.source_of(&name), self.tasks.get_mut(*place))
            {
                let note = task.disk().meta(&progress_note(topic)).unwrap_or_default();
                let time = Progress::decode(&String::from_utf8_lossy(&note)).partition_time;
                let partition = TopicPartition::new(topic, 0);
                let queue = super::queue::DriverQueue::new(self.log.clone(), partition.clone());
                task.add_input(Input::new(partition, Box::new(queue), source, 0, time));
            }
        }
        Ok(())
    }

    /// Pipes a record in and processes it to the end.
    ///
    /// # Errors
    /// Whatever the application would have stopped with, or that no source reads the topic.
    pub fn pipe<K: HasSerde, V: HasSerde>(
        &mut self,
        topic: &str,
        record: &Record<K, V>,
    ) -> Result<()> {
        self.pipe_with(topic, record, &K::Serde::default(), &V::Serde::default())
    }

    /// As [`Self::pipe`], in bytes of these serdes.
    ///
    /// # Errors
    /// As [`Self::pipe`], or what a serde refuses.
    pub fn pipe_with<K, V>(
        &mut self,
        topic: &str,
        record: &Record<K, V>,
        key: &impl Serde<K>,
        value: &impl Serde<V>,
    ) -> Result<()> {
        self.append_with(topic, record, key, value)?;
        self.run_to_the_end()
    }

    fn append_with<K, V>(
        &mut self,
        topic: &str,
        record: &Record<K, V>,
        key: &impl Serde<K>,
        value: &impl Serde<V>,
    ) -> Result<()> {
        self.open(topic)?;
        let mut headers = record.headers.clone();
        let refused = |error: BoxError| Error::Fatal {
            what: format!("piping a record into {topic}"),
            reason: error.to_string(),
        };
        let mut place = Place { topic, part: Part::Key, headers: &mut headers };
        let mut keyed = Vec::new();
        let null_key = key.serialize(&mut place, &record.key, &mut keyed).map_err(refused)?;
        place.part = Part::Value;
        let mut valued = Vec::new();
        let null_value =
            value.serialize(&mut place, &record.value, &mut valued).map_err(refused)?;
        let keyed = (null_key == Null::No).then_some(&*keyed);
        let valued = (null_value == Null::No).then_some(&*valued);
        let (at, time) = (TopicPartition::new(topic, 0), record.timestamp.0);
        self.log.append(&at, keyed, valued, time, &headers)?;
        Ok(())
    }

    /// As [`Self::pipe`], bytes as they are.
    ///
    /// # Errors
    /// As [`Self::pipe`].
    pub fn pipe_raw(
        &mut self,
        topic: &str,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Result<()> {
        self.open(topic)?;
        self.log.append(&TopicPartition::new(topic, 0), key, value, timestamp.0, headers)?;
        self.run_to_the_end()
    }

    /// Pipes records in together, processes them in one go and commits once at the end, as a
    /// worker under load does: with a record cache only the last change of each key comes out.
    ///
    /// # Errors
    /// As [`Self::pipe`].
    pub fn pipe_together<K: HasSerde, V: HasSerde>(
        &mut self,
        topic: &str,
        records: impl IntoIterator<Item = Record<K, V>>,
    ) -> Result<()> {
        let (key, value) = (K::Serde::default(), V::Serde::default());
        for record in records {
            self.append_with(topic, &record, &key, &value)?;
        }
        loop {
            let mut records = 0;
            for index in 0..self.tasks.len() {
                let Some(task) = self.tasks.get_mut(index) else { continue };
                records += process_all(task, &self.futures, self.now)?;
                self.commit(index)?;
            }
            if records == 0 {
                return Ok(());
            }
        }
    }

    /// Moves the wall clock and runs the punctuations that are due then. With an
    /// [idle timeout](DriverOptions::idle_timeout) stream time follows it:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::testing::{DriverOptions, TopologyDriver, text};
    /// # use millstream::{Emit, StreamsBuilder, TimeWindows};
    /// # let builder = StreamsBuilder::new();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minute);
    /// let counts = clicks.emit(Emit::OnWindowClose).count("per-minute");
    /// counts.updates().map(|window, count| (window.key, count)).to("out");
    ///
    /// let idle_timeout = Some(Duration::from_secs(5));
    /// let options = DriverOptions { idle_timeout, ..DriverOptions::default() };
    /// let mut driver = TopologyDriver::with_options(&builder.build()?, &options)?;
    /// driver.pipe("clicks", &text("ada", "/", 1_000))?;
    /// driver.advance_wall_clock(Duration::from_secs(58))?;
    /// assert!(driver.read::<String, i64>("out")?.is_empty());
    /// driver.advance_wall_clock(Duration::from_secs(1))?;
    /// assert_eq!(driver.read::<String, i64>("out")?[0].value, 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// Whatever the application would have stopped with.
    pub fn advance_wall_clock(&mut self, by: Duration) -> Result<()> {
        self.now = Timestamp(self.now.0.saturating_add(millis(by)));
        self.log.set_time(self.now.0);
        for index in 0..self.tasks.len() {
            if let Some(task) = self.tasks.get_mut(index) {
                task.punctuate_wall_clock(self.now)?;
            }
            self.commit(index)?;
        }
        self.run_to_the_end()?;
        // What time it is, is not forgotten.
        (0..self.tasks.len()).try_for_each(|index| self.commit(index))
    }

    /// Processes until no task has anything left, a commit after each record.
    fn run_to_the_end(&mut self) -> Result<()> {
        loop {
            let mut ended = true;
            for index in 0..self.tasks.len() {
                let Some(task) = self.tasks.get_mut(index) else { continue };
                let taken = take(task, 1, self.now)?.records;
                // What time alone has set off may be the input of others.
                if taken > 0 || task.is_dirty() {
                    self.commit(index)?;
                    ended = false;
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn commit(&mut self, index: usize) -> Result<()> {
        let Some(task) = self.tasks.get_mut(index) else { return Ok(()) };
        settle(task, &self.futures)?;
        self.producer.borrow_mut().producer().flush()?;
        let kept = if self.keeps_progress { task.positions() } else { Vec::new() };
        task.apply(|batch| {
            for (partition, committed) in &kept {
                batch.set_meta(&progress_note(&partition.topic), committed.metadata.as_bytes());
                batch.set_meta(&progress_note(""), committed.metadata.as_bytes());
            }
        })?;
        task.ctx.meters.carry();
        for Dropped { reason, records: count, .. } in task.ctx.drops.take() {
            *self.drops.entry(reason).or_default() += count;
        }
        Ok(())
    }
}

/// Flushes the caches once all futures are done, and again if that started further ones.
fn settle(task: &mut Task, futures: &FuturePool) -> Result<()> {
    loop {
        let seen = futures.arrived();
        task.collect()?;
        if task.in_flight() > 0 {
            futures.wait(seen, Duration::from_secs(1));
            continue;
        }
        task.flush()?;
        if task.in_flight() == 0 {
            return task.complete();
        }
    }
}

/// Processes until there are no more records, waiting for futures where no more may be on their way.
fn process_all(task: &mut Task, futures: &FuturePool, now: Timestamp) -> Result<usize> {
    let mut records = 0;
    loop {
        let seen = futures.arrived();
        let Turn { records: taken, rest } = take(task, usize::MAX, now)?;
        records += taken;
        if rest != Rest::InFlight {
            return Ok(records);
        }
        futures.wait(seen, Duration::from_secs(1));
    }
}

/// A turn without an end by time.
fn take(task: &mut Task, records: usize, now: Timestamp) -> Result<Turn> {
    let clock = || Duration::from_millis(now.0.unsigned_abs());
    task.process(&TurnLimits { records, now, clock: &clock, ends: Duration::MAX })
}

/// Under which name a task's stores keep the progress of an input.
fn progress_note(topic: &str) -> Vec<u8> {
    format!("driver-progress:{topic}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::text;
    use crate::topology::StreamsBuilder;

    #[test]
    fn what_is_piped_together_is_committed_together() {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").group_by_key().count("n").updates().to("out");
        let topology = builder.build().unwrap();
        let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
        let records = [text("a", "x", 1), text("b", "x", 2), text("a", "x", 3)];
        driver.pipe_together("in", records.clone()).unwrap();
        let counted = |driver: &mut TopologyDriver| -> Vec<(String, i64)> {
            let out = driver.read::<String, i64>("out").unwrap();
            out.into_iter().map(|record| (record.key, record.value)).collect()
        };
        assert_eq!(counted(&mut driver), [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        // One by one each change comes out.
        for record in &records {
            driver.pipe("in", record).unwrap();
        }
        let each = [("a".to_owned(), 3), ("b".to_owned(), 2), ("a".to_owned(), 4)];
        assert_eq!(counted(&mut driver), each);
    }

    #[test]
    fn a_topic_that_is_not_there_is_an_error_that_lists_those_that_are() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .count("n")
            .updates()
            .try_map_values(|count: i64| (count < 3).then_some(count).ok_or("too many"))
            .on_error(crate::policy::OnError::DeadLetter("letters".into()))
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for topic in ["In", "out", "app-n-changelog"] {
            let refused = [
                driver.pipe(topic, &text("k", "v", 1)),
                driver.pipe_raw(topic, (None, None), Timestamp(1), &Headers::default()),
                driver.pipe_together(topic, [text("k", "v", 1)]),
            ];
            for refused in refused {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(topic) && error.contains("there are: in"), "{error}");
            }
        }
        let error = driver.read::<String, i64>("outt").unwrap_err().to_string();
        assert!(error.contains("app-n-changelog, in, letters, out"), "{error}");
        assert!(driver.read_raw("changelog").is_err());
        // To those that are there nothing has come.
        for topic in ["app-n-changelog", "in", "letters", "out"] {
            assert!(driver.read_raw(topic).unwrap().is_empty());
        }
    }

    #[test]
    fn progress_is_kept_with_the_stores() {
        use crate::time::{Emit, TimeWindows};
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by(TimeWindows::of(Duration::from_millis(10)).no_grace())
            .emit(Emit::OnWindowClose)
            .count("n")
            .updates()
            .map(|window, count: i64| (window.key, count))
            .to("out");
        let topology = builder.build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options =
            DriverOptions { state_dir: Some(dir.path().to_owned()), ..DriverOptions::default() };
        let emitted = |records: &[Record<String, String>]| -> Vec<(String, i64)> {
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            for record in records {
                driver.pipe("in", record).unwrap();
            }
            let out = driver.read::<String, i64>("out").unwrap();
            out.into_iter().map(|record| (record.key, record.value)).collect()
        };
        let closed = |key: &str| (key.to_owned(), 1);
        assert_eq!(emitted(&[text("a", "x", 1), text("b", "x", 12)]), [closed("a")]);
        // What was closed is neither emitted again nor counted anew: time goes on where it was.
        assert_eq!(emitted(&[text("late", "x", 2), text("c", "x", 25)]), [closed("b")]);
    }
}
