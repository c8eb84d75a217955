//! Brings the stores of tasks up to the end of their changelogs, a step at a time, so that other
//! tasks of the worker go on meanwhile.
//!
//! Order matters: the committed offsets of the inputs are fetched first, then the end of the
//! changelog, which is where restoring ends. The reverse order would lose what a dying predecessor
//! still commits in between. The end is the `ReadUncommitted` one: a commit is answered, and its
//! offsets count, before the changelog's last stable offset has passed it. Reading is
//! `ReadCommitted`, so what was aborted never reaches a store, and it goes on until the end: where
//! the last transaction is not decided yet, it waits. The local store says up to which offset it is
//! complete, so that a restart reads the tail only.
//!
//! A table may be restored from the topic that it is made of, in the place of a changelog: up to the committed offset of
//! that input, and without what its source drops.
//!
//! The tail tells of all deletions only as long as its changelog keeps them, so each store notes
//! when it was fresh: with a commit, when it was found or made complete, and at the beginning of a
//! restoration from the changelog's start. One that is older is rebuilt.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::{Batch, StoreId, TaskStores};

use crate::error::{Error, Result};
use crate::log::{Isolation, Log, OffsetRange, ReadEvent, Reader, RecordBatch};
use crate::record::{TaskId, Timestamp, TopicPartition};
use crate::runtime::belonging::{
    NOT_IN_ITS_CHANGELOG, OF_ANOTHER_LOG, is_of_source, note_log, note_source, of_another_log,
};
use crate::runtime::worker::task_cell::guarded;
use crate::store::{StateStore, changelog_topic};
use crate::task::Task;

/// How long a store may go without what is written to its changelog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    /// So long a changelog keeps deletions.
    pub(crate) tombstones_kept: Duration,
}

impl Freshness {
    /// Whether the changelog still has all deletions that a store lacks. A time in the future, by
    /// a clock that was wrong, counts like one that is as far in the past.
    pub(crate) fn lasts(self, fresh_at: Option<i64>, now: Timestamp) -> bool {
        fresh_at
            .is_some_and(|at| u128::from(now.0.abs_diff(at)) <= self.tombstones_kept.as_millis())
    }

    /// The logged stores of a task for which it is time to note that they are fresh: rarely, since
    /// a note that is a little too old does no harm.
    pub(crate) fn due(self, task: &Task, now: Timestamp) -> Vec<StoreId> {
        let logged = task.stores().iter().filter_map(|store| {
            let store = store.borrow();
            let is_restored = store.changelog().is_some() || store.source().is_some();
            is_restored.then(|| store.id())
        });
        logged.filter(|id| !self.is_noted(task.disk().fresh_at(*id), now)).collect()
    }

    /// True if it was noted a short while ago.
    pub(crate) fn is_noted(self, fresh_at: Option<i64>, now: Timestamp) -> bool {
        Self { tombstones_kept: self.tombstones_kept / 10 }.lasts(fresh_at, now)
    }

    /// Notes it in the batch of a commit.
    pub(crate) fn note(batch: &mut Batch, stores: &[StoreId], now: Timestamp) {
        for store in stores {
            batch.set_fresh_at(*store, now.0);
        }
    }
}

/// One store of one task on its way to the end of its changelog.
struct Restoration {
    task: TaskId,
    store: Rc<RefCell<dyn StateStore>>,
    disk: TaskStores,
    /// The next offset to read.
    next: i64,
    /// Where it is complete; never beyond the end of the changelog, but it may be beyond what can
    /// be read yet.
    end: i64,
    /// It was said that the reader waits for a transaction.
    waits: bool,
    records: u64,
    began: Timestamp,
    /// The store was empty when it began: it lacks nothing that was deleted before.
    was_empty: bool,
}

/// Restores the stores of the tasks of one worker.
pub(crate) struct Restorer {
    log: Arc<dyn Log>,
    reader: Option<Box<dyn Reader>>,
    running: BTreeMap<TopicPartition, Restoration>,
    freshness: Freshness,
    /// What tells the log from others, once it was asked.
    identity: OnceCell<Option<String>>,
    /// The reader does not know yet what is to be read now.
    changed: bool,
    restored: u64,
}

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restorer").field("running", &self.running.keys()).finish_non_exhaustive()
    }
}

impl Restorer {
    pub(crate) fn new(log: Arc<dyn Log>, freshness: Freshness) -> Self {
        let running = BTreeMap::new();
        let identity = OnceCell::new();
        Self { log, reader: None, running, freshness, identity, changed: false, restored: 0 }
    }

    pub(crate) fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Takes the stores of a task on. The committed offsets of its inputs are known by now.
    /// False: they are complete already.
    ///
    /// # Errors
    /// `Unavailable` when the ends of the changelogs cannot be had: nothing of the task is kept.
    pub(crate) fn add(&mut self, task: &Task, now: Timestamp) -> Result<bool> {
        let mut planned = Vec::new();
        for store in task.stores() {
            planned.extend(self.plan(task, store, now)?);
        }
        let added = !planned.is_empty();
        for (partition, restoration) in planned {
            tracing::info!(task = %task.id(), %partition, from = restoration.next, to = restoration.end, "restoring");
            self.running.insert(partition, restoration);
            self.changed = true;
        }
        Ok(added)
    }

    fn plan(
        &self,
        task: &Task,
        store: &Rc<RefCell<dyn StateStore>>,
        now: Timestamp,
    ) -> Result<Option<(TopicPartition, Restoration)>> {
        let (name, id) = {
            let store = store.borrow();
            (store.name().to_owned(), store.id())
        };
        let Some((partition, range)) = self.restored_from(task, store)? else {
            self.empty_of_another_log(task, &name, store)?;
            return Ok(None);
        };
        let disk = task.disk();
        let log = self.identity()?;
        let other = of_another_log(disk, &name, log);
        let source = store.borrow().source().map(|source| Arc::clone(source.name()));
        let of_topic = is_of_source(disk, &name, source.as_deref());
        if source.is_none() && !of_topic {
            return Err(Error::Fatal {
                what: format!("restoring store {name} of task {}", task.id()),
                reason: NOT_IN_ITS_CHANGELOG.to_owned(),
            });
        }
        let mut here = disk.offset(id);
        if let Some(at) = here {
            let fits = (range.earliest..=range.end).contains(&at);
            let is_fresh = at == range.end || self.freshness.lasts(disk.fresh_at(id), now);
            let reason = match (&other, of_topic, fits, is_fresh) {
                (Some(_), ..) => Some(OF_ANOTHER_LOG),
                (None, false, ..) => Some("from now on it is restored from its source topic"),
                (None, true, false, _) => Some("its topic has other offsets"),
                (None, true, true, false) => Some("it is too old"),
                (None, true, true, true) => None,
            };
            if let Some(reason) = reason {
                tracing::warn!(task = %task.id(), store = name, local = at, ?range, of = other, now = log, reason, "rebuilding the local store");
                store.borrow_mut().clear()?;
                here = None;
            }
        }
        note_log(disk, &name, log)?;
        note_source(disk, &name, source.as_deref())?;
        let next = here.unwrap_or(range.earliest);
        if next >= range.end {
            // Whatever its age: nothing was written since.
            let mut batch = disk.batch();
            batch.set_fresh_at(id, now.0);
            disk.write(batch)?;
            return Ok(None);
        }
        let restoration = Restoration {
            task: task.id(),
            store: Rc::clone(store),
            disk: disk.clone(),
            next,
            end: range.end,
            waits: false,
            records: 0,
            began: now,
            was_empty: here.is_none(),
        };
        Ok(Some((partition, restoration)))
    }

    /// The topic that a store is restored from, if it is, and the offsets between which. A changelog has nothing beyond
    /// what is committed; of the topic that a table is made of, what was not processed yet is none of its rows.
    fn restored_from(
        &self,
        task: &Task,
        store: &Rc<RefCell<dyn StateStore>>,
    ) -> Result<Option<(TopicPartition, OffsetRange)>> {
        let store = store.borrow();
        let partition = |topic: &str| TopicPartition::new(topic, task.id().partition);
        if let Some(source) = store.source() {
            let Some(processed) = task.position(source.name()) else { return Ok(None) };
            let partition = partition(source.name());
            let mut range = self.log.offsets(&partition, Isolation::ReadUncommitted)?;
            range.end = processed.min(range.end).max(range.earliest);
            return Ok(Some((partition, range)));
        }
        if store.changelog().is_none() {
            return Ok(None);
        }
        let partition = partition(&changelog_topic(&task.ctx.application_id, store.name()));
        let range = self.log.offsets(&partition, Isolation::ReadUncommitted)?;
        Ok(Some((partition, range)))
    }

    /// What no changelog has is lost with the log that it was made of.
    fn empty_of_another_log(
        &self,
        task: &Task,
        name: &str,
        store: &Rc<RefCell<dyn StateStore>>,
    ) -> Result<()> {
        let (disk, log) = (task.disk(), self.identity()?);
        if let Some(other) = of_another_log(disk, name, log) {
            let reason = "it belongs to another cluster or log, and has no changelog";
            tracing::warn!(task = %task.id(), store = name, of = other, now = log, reason, "emptying the local store");
            store.borrow_mut().clear()?;
        }
        note_log(disk, name, log)
    }

    fn identity(&self) -> Result<Option<&str>> {
        if self.identity.get().is_none() {
            let asked = self.log.identity()?;
            let _ = self.identity.set(asked);
        }
        Ok(self.identity.get().and_then(Option::as_deref))
    }

    /// Tells the reader what is to be read.
    fn assign(&mut self) -> Result<()> {
        let positions: Vec<_> =
            self.running.iter().map(|(partition, r)| (partition.clone(), r.next)).collect();
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.log.reader(Isolation::ReadCommitted)?),
        };
        reader.assign(&positions)?;
        self.changed = false;
        Ok(())
    }

    /// Takes note that something is no longer to be read. When nothing is, the reader's
    /// connections and buffers are let go.
    fn dropped(&mut self) {
        self.changed = !self.running.is_empty();
        if self.running.is_empty() {
            self.reader = None;
        }
    }

    /// Lets go of a task; what was restored so far stays.
    pub(crate) fn remove(&mut self, task: TaskId) {
        let before = self.running.len();
        self.running.retain(|_, restoration| restoration.task != task);
        if self.running.len() != before {
            self.dropped();
        }
    }

    /// Reads and applies the next records, waiting up to `timeout` for them. Returns the tasks whose
    /// stores became complete.
    ///
    /// # Errors
    /// `Unavailable`: try again. `State`: the local store failed.
    pub(crate) fn step(&mut self, timeout: Duration) -> Result<Vec<TaskId>> {
        if self.changed {
            self.assign()?;
        }
        let Some(reader) = &mut self.reader else { return Ok(Vec::new()) };
        match reader.read(timeout)? {
            None => Ok(Vec::new()),
            Some(ReadEvent::Records(partition, batch)) => {
                self.apply(&partition, &*batch)?;
                self.finish(&partition)
            }
            Some(ReadEvent::End(partition, offset)) => {
                if let Some(restoration) = self.running.get_mut(&partition) {
                    restoration.next = restoration.next.max(offset);
                    if restoration.next < restoration.end && !restoration.waits {
                        restoration.waits = true;
                        tracing::info!(task = %restoration.task, %partition, at = restoration.next, end = restoration.end, "restoring waits for the end of a transaction that a former owner of the task began: it comes at once where the broker still writes it, else when the transaction times out");
                    }
                }
                self.finish(&partition)
            }
        }
    }

    fn apply(&mut self, partition: &TopicPartition, records: &dyn RecordBatch) -> Result<()> {
        let Some(restoration) = self.running.get_mut(partition) else { return Ok(()) };
        let mut store = restoration.store.borrow_mut();
        let mut batch = restoration.disk.batch();
        for index in 0..records.len() {
            let Some(raw) = records.get(index) else { break };
            if raw.offset < restoration.next {
                return Err(Error::Aborted {
                    what: format!("restoring from {partition}"),
                    reason: format!("offset {} came at {}", raw.offset, restoration.next),
                });
            }
            if raw.offset >= restoration.end {
                restoration.next = restoration.end;
                break;
            }
            // Serdes and stores of the user's run in here.
            guarded(restoration.task, || store.restore(&mut batch, &raw))?;
            restoration.next = raw.offset + 1;
            restoration.records += 1;
            self.restored += 1;
        }
        store.restored(&mut batch);
        batch.set_offset(store.id(), restoration.next);
        if restoration.was_empty {
            batch.set_fresh_at(store.id(), restoration.began.0);
        }
        Ok(restoration.disk.write(batch)?)
    }

    fn finish(&mut self, partition: &TopicPartition) -> Result<Vec<TaskId>> {
        let Some(restoration) = self.running.get(partition) else { return Ok(Vec::new()) };
        if restoration.next < restoration.end {
            return Ok(Vec::new());
        }
        let task = restoration.task;
        let mut batch = restoration.disk.batch();
        let id = restoration.store.borrow().id();
        batch.set_offset(id, restoration.end);
        batch.set_fresh_at(id, restoration.began.0);
        restoration.disk.write(batch)?;
        tracing::info!(%task, %partition, records = restoration.records, "restored");
        self.running.remove(partition);
        self.dropped();
        let complete = self.running.values().all(|other| other.task != task);
        Ok(if complete { vec![task] } else { Vec::new() })
    }

    /// Records restored since the last call.
    pub(crate) fn take_restored(&mut self) -> u64 {
        std::mem::take(&mut self.restored)
    }

    /// Offsets still to be read, over all stores of a task.
    pub(crate) fn remaining(&self, task: TaskId) -> u64 {
        let of_task = self.running.values().filter(|restoration| restoration.task == task);
        of_task.map(|r| u64::try_from(r.end - r.next).unwrap_or(0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::TaskContext;
    use crate::collector::{Collector, WorkerProducer};
    use crate::log::memory::MemoryLog;
    use crate::log::{NewTopic, ProducerSpec};
    use crate::record::{Headers, RecordTime};
    use crate::store::tests::text_to_text;
    use crate::store::{
        CacheBudget, KeyValueSpec, StoreOptions, StorePlace, StoreSupplier, UncommittedBytes,
    };
    use crate::task::{OpenStores, TaskLimits, UncommittedBudget};

    const DAY: Duration = Duration::from_millis(1_000);

    fn partition(store: &str) -> TopicPartition {
        TopicPartition::new(format!("app-{store}-changelog"), 0)
    }

    fn log_of(stores: &[(&str, i32)]) -> MemoryLog {
        let log = MemoryLog::new();
        let new = |(store, partitions): &(&str, i32)| NewTopic {
            name: partition(store).topic.to_string(),
            partitions: *partitions,
            replication_factor: 1,
            config: Vec::new(),
        };
        log.create(&stores.iter().map(new).collect::<Vec<_>>()).unwrap();
        log
    }

    fn append(log: &MemoryLog, store: &str, key: &str) {
        let key = Some(key.as_bytes());
        log.append(&partition(store), key, Some(b"v"), 7, &Headers::default()).unwrap();
    }

    fn spec(store: &str) -> KeyValueSpec<String, String> {
        let options = StoreOptions { logged: store != "unlogged", ..StoreOptions::named(store) };
        KeyValueSpec { options, serdes: text_to_text(), entries_max: None }
    }

    /// The stores of a task that may be made several times, as after aborts and rebalances.
    struct Bench {
        log: MemoryLog,
        names: Vec<&'static str>,
        partition: i32,
        disk: TaskStores,
    }

    impl Bench {
        fn new(log: &MemoryLog, names: &[&'static str]) -> Self {
            let specs: Vec<_> = names.iter().map(|name| spec(name).spec()).collect();
            let disk = TaskStores::in_memory(&specs);
            Self { log: log.clone(), names: names.to_vec(), partition: 0, disk }
        }

        fn task(&self) -> Task {
            let producer = self.log.producer(&ProducerSpec::default()).unwrap();
            let producer = WorkerProducer::new(Arc::new(self.log.clone()), producer, false);
            let collector = Collector::new(Rc::new(RefCell::new(producer)));
            let stores = self.names.iter().zip(0..).map(|(name, index)| {
                let place = StorePlace {
                    id: StoreId(index),
                    stores: self.disk.clone(),
                    collector: collector.clone(),
                    application_id: "app".into(),
                    record_time: RecordTime::default(),
                    partition: self.partition,
                    cache_budget: CacheBudget::new(0),
                    uncommitted: UncommittedBytes::default(),
                };
                Rc::clone(spec(name).make(&place).unwrap().state())
            });
            let stores = stores.collect();
            let id = TaskId { sub_topology: 0, partition: self.partition };
            let ctx = TaskContext::new(id, "app".into(), collector);
            let uncommitted = UncommittedBudget::new(usize::MAX);
            let limits = TaskLimits { idle_ms_max: 0, idle_timeout: None, uncommitted };
            {
                let uncommitted = UncommittedBytes::default();
                let stores = OpenStores { all: stores, disk: self.disk.clone(), uncommitted };
                Task::new(ctx, Vec::new(), stores, limits)
            }
        }

        fn fresh_at(&self) -> Option<i64> {
            self.disk.fresh_at(StoreId(0))
        }
    }

    fn restorer(log: &MemoryLog) -> Restorer {
        Restorer::new(Arc::new(log.clone()), Freshness { tombstones_kept: DAY })
    }

    /// Records restored from `now` on until the task is complete.
    fn restore(bench: &Bench, now: i64) -> u64 {
        let mut restorer = restorer(&bench.log);
        if restorer.add(&bench.task(), Timestamp(now)).unwrap() {
            while restorer.step(Duration::ZERO).unwrap().is_empty() {}
        }
        assert!(restorer.running.is_empty());
        restorer.take_restored()
    }

    #[test]
    fn a_store_is_fresh_for_as_long_as_tombstones_are_kept() {
        let freshness = Freshness { tombstones_kept: DAY };
        let lasts = |at, now| freshness.lasts(at, Timestamp(now));
        assert!(lasts(Some(5), 5) && lasts(Some(5), 1_005) && !lasts(Some(5), 1_006));
        assert!(lasts(Some(2_000), 1_000) && !lasts(Some(2_001), 1_000), "a clock was wrong");
        assert!(!lasts(None, 5));
    }

    /// The offsets fit, the rows are others.
    #[test]
    fn state_of_another_log_is_built_anew() {
        let rows = |key: &str| {
            let log = log_of(&[("s", 1)]);
            append(&log, "s", key);
            log
        };
        let mut bench = Bench::new(&rows("one"), &["s"]);
        let restored = |bench: &Bench, log: Option<&str>| {
            let mut restorer = restorer(&bench.log);
            restorer.identity.set(log.map(str::to_owned)).unwrap();
            if restorer.add(&bench.task(), Timestamp(5_000)).unwrap() {
                while restorer.step(Duration::ZERO).unwrap().is_empty() {}
            }
            restorer.take_restored()
        };
        assert_eq!(restored(&bench, None), 1);
        assert_eq!(restored(&bench, Some("first")), 0, "it is taken for this log's own");
        bench.log = rows("other");
        assert_eq!(restored(&bench, None), 0, "nothing is known");
        assert_eq!(restored(&bench, Some("second")), 1);
        assert_eq!(bench.disk.get(StoreId(0), b"one").unwrap(), None);
        assert!(bench.disk.get(StoreId(0), b"other").unwrap().is_some());
        assert_eq!(restored(&bench, Some("second")), 0);
        assert_eq!(restored(&bench, Some("first")), 1);
    }

    #[test]
    fn a_store_without_a_changelog_is_emptied_of_another_log() {
        let log = log_of(&[]);
        let bench = Bench::new(&log, &["unlogged"]);
        let mut batch = bench.disk.batch();
        batch.put(StoreId(0), b"k", b"v");
        bench.disk.write(batch).unwrap();
        for (log, is_there) in [("first", true), ("first", true), ("second", false)] {
            let mut restorer = restorer(&bench.log);
            restorer.identity.set(Some(log.to_owned())).unwrap();
            assert!(!restorer.add(&bench.task(), Timestamp(5_000)).unwrap());
            assert_eq!(bench.disk.get(StoreId(0), b"k").unwrap().is_some(), is_there, "{log}");
        }
    }

    #[test]
    fn a_restored_store_is_as_old_as_its_restoration() {
        let log = log_of(&[("s", 1)]);
        let bench = Bench::new(&log, &["s"]);
        append(&log, "s", "a");
        assert_eq!(restore(&bench, 5_000), 1);
        assert_eq!(bench.fresh_at(), Some(5_000));
        append(&log, "s", "b");
        // At the bound only the tail is read, one above it everything.
        assert_eq!(restore(&bench, 6_000), 1);
        assert_eq!(bench.fresh_at(), Some(6_000));
        append(&log, "s", "c");
        assert_eq!(restore(&bench, 7_001), 3);
        assert_eq!(bench.fresh_at(), Some(7_001));
        append(&log, "s", "d");
        assert_eq!(restore(&bench, 7_500), 1, "it was rebuilt once only");
    }

    #[test]
    fn a_store_that_lacks_nothing_is_never_too_old() {
        let log = log_of(&[("s", 1)]);
        let bench = Bench::new(&log, &["s"]);
        append(&log, "s", "a");
        assert_eq!(restore(&bench, 0), 1);
        assert_eq!(restore(&bench, 1_000_000), 0);
        append(&log, "s", "b");
        assert_eq!(restore(&bench, 1_001_000), 1, "it was found complete");
    }

    /// Half restored it is as old as its beginning, and a tail read in part makes nothing younger.
    #[test]
    fn a_store_has_its_age_while_it_is_restored() {
        let log = log_of(&[("s", 1)]);
        let bench = Bench::new(&log, &["s"]);
        let half = |now: i64| {
            append(&log, "s", "read");
            log.hold(&partition("s")).unwrap();
            append(&log, "s", "not yet");
            let (mut restorer, task) = (restorer(&log), bench.task());
            assert!(restorer.add(&task, Timestamp(now)).unwrap());
            while restorer.take_restored() == 0 {
                assert!(restorer.step(Duration::ZERO).unwrap().is_empty());
            }
            restorer.remove(task.id());
            assert!(restorer.running.is_empty());
            log.release(&partition("s")).unwrap();
        };
        half(5_000);
        assert_eq!((bench.disk.offset(StoreId(0)), bench.fresh_at()), (Some(1), Some(5_000)));
        half(5_900);
        assert_eq!(bench.fresh_at(), Some(5_000));
        assert_eq!(restore(&bench, 6_001), 4, "from the start");
    }

    /// What was planned of it would keep its stores open for ever.
    #[test]
    fn nothing_is_kept_of_a_task_that_cannot_be_planned() {
        let log = log_of(&[("s", 2), ("too-small", 1)]);
        log.append(&TopicPartition::new("app-s-changelog", 1), None, None, 7, &Headers::default())
            .unwrap();
        let mut bench = Bench::new(&log, &["s", "too-small"]);
        bench.partition = 1;
        let mut restorer = restorer(&log);
        assert!(restorer.add(&bench.task(), Timestamp(0)).is_err());
        assert!(restorer.running.is_empty());
    }

    #[test]
    fn fresh_stores_are_noted_once_in_a_tenth_of_the_time() {
        let log = log_of(&[("s", 1)]);
        let bench = Bench::new(&log, &["s"]);
        let freshness = Freshness { tombstones_kept: DAY };
        let due = |now: i64| freshness.due(&bench.task(), Timestamp(now));
        assert_eq!(due(5_000), [StoreId(0)]);
        bench.task().apply(|batch| Freshness::note(batch, &due(5_000), Timestamp(5_000))).unwrap();
        assert_eq!(bench.fresh_at(), Some(5_000));
        assert!(due(5_100).is_empty());
        assert_eq!(due(5_101), [StoreId(0)]);
    }
}
