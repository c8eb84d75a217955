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

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::TaskStores;

use crate::error::{Error, Result};
use crate::log::{Isolation, Log, ReadEvent, Reader, RecordBatch, TopicPartition};
use crate::record::Timestamp;
use crate::store::StateStore;
use crate::task::{Task, TaskId};

/// The name under which a task notes when it was last written.
const WRITTEN_AT: &[u8] = b"written-at-ms";

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
}

/// Restores the stores of the tasks of one worker.
pub(crate) struct Restorer {
    log: Arc<dyn Log>,
    reader: Option<Box<dyn Reader>>,
    running: BTreeMap<TopicPartition, Restoration>,
    /// A store that was not written for longer than this is rebuilt: its changelog may have
    /// forgotten deletions that the store never saw.
    tombstones_kept: Duration,
    restored: u64,
}

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restorer").field("running", &self.running.keys()).finish_non_exhaustive()
    }
}

impl Restorer {
    pub(crate) fn new(log: Arc<dyn Log>, tombstones_kept: Duration) -> Self {
        Self { log, reader: None, running: BTreeMap::new(), tombstones_kept, restored: 0 }
    }

    /// Notes in a commit's batch when it was written; see `tombstones_kept`.
    pub(crate) fn note_time(batch: &mut millstream_state::Batch, now: Timestamp) {
        batch.set_meta(WRITTEN_AT, &now.0.to_be_bytes());
    }

    /// Takes the stores of a task on. The committed offsets of its inputs are known by now.
    /// False: they are complete already.
    ///
    /// # Errors
    /// `Unavailable` when the ends of the changelogs cannot be had.
    pub(crate) fn add(&mut self, task: &Task, now: Timestamp) -> Result<bool> {
        let mut added = false;
        for store in task.stores() {
            if let Some((partition, restoration)) = self.plan(task, store, now)? {
                tracing::info!(task = %task.id(), %partition, from = restoration.next, to = restoration.end, "restoring");
                self.running.insert(partition, restoration);
                added = true;
            }
        }
        if added {
            self.assign()?;
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
            if store.changelog().is_none() {
                return Ok(None);
            }
            (store.name().to_owned(), store.id())
        };
        let topic = format!("{}-{name}-changelog", task.ctx.application_id);
        let partition = TopicPartition::new(topic, task.id().partition);
        let range = self.log.offsets(&partition, Isolation::ReadUncommitted)?;
        let disk = task.disk();
        let mut here = disk.offset(id);
        let stale = here.is_some_and(|at| at > range.end) || self.is_too_old(disk, now);
        if here.is_some() && (stale || here.is_some_and(|at| at < range.earliest)) {
            tracing::warn!(task = %task.id(), store = name, local = here, ?range, "the local store does not fit its changelog: rebuilding it");
            disk.clear(id)?;
            here = None;
        }
        let next = here.unwrap_or(range.earliest);
        if next >= range.end {
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
        };
        Ok(Some((partition, restoration)))
    }

    fn is_too_old(&self, disk: &TaskStores, now: Timestamp) -> bool {
        let Some(bytes) = disk.meta(WRITTEN_AT) else { return false };
        let Ok(bytes) = <[u8; 8]>::try_from(bytes.as_slice()) else { return false };
        let age = now.0.saturating_sub(i64::from_be_bytes(bytes));
        u128::try_from(age).is_ok_and(|age| age > self.tombstones_kept.as_millis())
    }

    fn assign(&mut self) -> Result<()> {
        let positions: Vec<_> =
            self.running.iter().map(|(partition, r)| (partition.clone(), r.next)).collect();
        if positions.is_empty() {
            // Nobody reads on: the reader's connections and buffers are let go.
            self.reader = None;
            return Ok(());
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.log.reader(Isolation::ReadCommitted)?),
        };
        reader.assign(&positions)
    }

    /// True if nothing is being restored.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Lets go of a task; what was restored so far stays.
    pub(crate) fn remove(&mut self, task: TaskId) -> Result<()> {
        let before = self.running.len();
        self.running.retain(|_, restoration| restoration.task != task);
        if self.running.len() != before { self.assign() } else { Ok(()) }
    }

    /// Reads and applies the next records, waiting up to `timeout` for them. Returns the tasks whose
    /// stores became complete.
    ///
    /// # Errors
    /// `Unavailable`: try again. `State`: the local store failed.
    pub(crate) fn step(&mut self, timeout: Duration) -> Result<Vec<TaskId>> {
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
            store.restore(&mut batch, &raw)?;
            restoration.next = raw.offset + 1;
            restoration.records += 1;
            self.restored += 1;
        }
        batch.set_offset(store.id(), restoration.next);
        Ok(restoration.disk.write(batch)?)
    }

    fn finish(&mut self, partition: &TopicPartition) -> Result<Vec<TaskId>> {
        let Some(restoration) = self.running.get(partition) else { return Ok(Vec::new()) };
        if restoration.next < restoration.end {
            return Ok(Vec::new());
        }
        let task = restoration.task;
        let mut batch = restoration.disk.batch();
        batch.set_offset(restoration.store.borrow().id(), restoration.end);
        restoration.disk.write(batch)?;
        tracing::info!(%task, %partition, records = restoration.records, "restored");
        self.running.remove(partition);
        self.assign()?;
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
