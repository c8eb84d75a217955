//! A worker: the unit of commit and of abort. It owns a producer and the tasks that share it.
//!
//! A task on its way to running passes through `advance`, which is called whenever something
//! may have changed and does what is possible now; what is not is tried again with back-off:
//!
//! ```text
//!   assigned ──► waiting ──(positions, producer, stores)──► restoring ──► running
//!                   ▲                                           │            │
//!                   └───────────────── abort ───────────────────┴────────────┘
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Recipient};
use millstream_state::TaskStores;

use crate::collector::{Refusals, WorkerProducer};
use crate::error::Error;
use crate::log::Member;
use crate::metrics::Beating;
use crate::record::TaskId;
use crate::runtime::instance::Instance;
use crate::runtime::owned::{OwnedPartition, TaskInputs, unplaced};
use crate::runtime::stall::{MEASURE_INTERVAL, WorkProgress};
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::messages::{
    Advance, AssignTasks, CommitWanted, Retire, RevokeTasks, StopWorker, TakeOver, TaskFailed,
};
use crate::runtime::worker::restore::{Freshness, Restorer};
use crate::runtime::worker::task_cell::{NextTick, TaskCell};
use crate::store::CacheBudget;
use crate::task::{Task, TaskState, UncommittedBudget};

/// Messages come from the control thread (a few per rebalance) and from the tasks (deduplicated by
/// what they mean), so a full mailbox means that the same was said already.
const MAILBOX_MESSAGES_MAX: usize = 1024;
/// After so long nobody expects a revoked task back: its stores are closed.
const SUSPENDED_MAX: Duration = Duration::from_secs(30);

pub(super) enum Stage {
    Waiting { inputs: Vec<OwnedPartition>, disk: Option<TaskStores> },
    Restoring(Box<Task>),
    Running { cell: TaskCell, retire: Recipient<Retire> },
}

pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) instance: Arc<Instance>,
    pub(super) member: Option<Arc<dyn Member>>,
    pub(super) producer: Option<Rc<RefCell<WorkerProducer>>>,
    pub(super) hosted: BTreeMap<TaskId, Stage>,
    /// What producers before the present one have learnt.
    pub(super) refusals: Refusals,
    /// With the time at which they were suspended.
    suspended: BTreeMap<TaskId, (Duration, TaskStores)>,
    pub(super) restorer: Restorer,
    /// An equal part of the instance's, for the tasks of this worker.
    pub(super) cache_budget: CacheBudget,
    pub(super) uncommitted: UncommittedBudget,
    /// Tries of `advance` that did not get through, in a row.
    pub(super) tries: u32,
    /// Tries of restoring that failed, since a task was restored last.
    pub(super) restore_tries: u32,
    /// A producer was dropped in the middle of a transaction, and none was opened since.
    pub(super) left_open: bool,
    /// Losses of partitions that it has heard of.
    pub(super) losses_heard: u64,
    pub(super) next_tick: NextTick,
    /// Aborts since the last commit.
    pub(super) aborts: u32,
    /// True once the instance was told to end: no task starts any more.
    pub(super) given_up: bool,
    pub(super) advance_planned: bool,
    /// True while a `RestoreStep` is on its way.
    pub(super) restoring: bool,
    /// When repartition topics were purged last.
    pub(super) purged: Duration,
    pub(super) progress: WorkProgress,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(index: usize, instance: Arc<Instance>) -> Self {
        let settings = &instance.settings;
        let freshness = Freshness { tombstones_kept: settings.tombstones_kept };
        let restorer = Restorer::new(Arc::clone(&instance.log), freshness);
        let cache_budget = CacheBudget::new(settings.cache_bytes_max / settings.workers.max(1));
        let uncommitted = UncommittedBudget::new(settings.uncommitted_bytes_max);
        Self {
            index,
            cache_budget,
            uncommitted,
            instance,
            member: None,
            producer: None,
            refusals: Refusals::default(),
            hosted: BTreeMap::new(),
            suspended: BTreeMap::new(),
            restorer,
            tries: 0,
            restore_tries: 0,
            left_open: false,
            losses_heard: 0,
            next_tick: NextTick::default(),
            aborts: 0,
            given_up: false,
            advance_planned: false,
            restoring: false,
            purged: Duration::ZERO,
            progress: WorkProgress::default(),
        }
    }

    /// A task becomes a waiting one: all of it but its stores and queues is thrown away.
    pub(super) fn wait_again(&mut self, task: Task) {
        self.note_dropped(&task);
        let id = task.id();
        let (disk, queues) = task.close();
        let stage = Stage::Waiting { inputs: unplaced(queues), disk: Some(disk) };
        self.hosted.insert(id, stage);
        self.note_state(id, TaskState::Created);
    }

    /// Takes a restoring or running task out of its stage; a waiting one stays.
    pub(super) fn take_task(&mut self, id: TaskId) -> Option<Task> {
        match self.hosted.remove(&id)? {
            Stage::Running { cell, retire } => {
                self.instance.running.remove(id);
                // A full mailbox is no loss: the cell is empty, and the address is dropped.
                let _ = retire.try_send(Retire);
                let mut task = cell.borrow_mut().take();
                if let Some(task) = &mut task {
                    self.instance.metrics.punctuations.inc_by(task.take_punctuations());
                }
                task
            }
            Stage::Restoring(task) => {
                self.restorer.remove(id);
                Some(*task)
            }
            waiting @ Stage::Waiting { .. } => {
                self.hosted.insert(id, waiting);
                None
            }
        }
    }

    /// Ends a task but keeps its stores open; its queues come back.
    fn suspend(&mut self, id: TaskId) -> Vec<OwnedPartition> {
        let (disk, queues) = match self.take_task(id) {
            Some(task) => {
                self.note_dropped(&task);
                let (disk, queues) = task.close();
                (Some(disk), unplaced(queues))
            }
            None => match self.hosted.remove(&id) {
                Some(Stage::Waiting { inputs, disk }) => {
                    let unplaced = |owned: OwnedPartition| {
                        OwnedPartition::unplaced(owned.partition, owned.queue)
                    };
                    (disk, inputs.into_iter().map(unplaced).collect())
                }
                _ => return Vec::new(),
            },
        };
        match disk {
            Some(disk) => {
                self.suspended.insert(id, (self.instance.clock.elapsed(), disk));
                self.note_state(id, TaskState::Suspended);
            }
            None => self.note_state(id, TaskState::Closed),
        }
        self.forget(id, &queues);
        queues
    }

    /// A stop that drops what a task did since the last commit must not look like one that did not.
    fn note_dropped(&self, task: &Task) {
        if task.is_dirty() {
            self.instance.drops_work(&format!("task {} could not be committed", task.id()));
        }
    }

    /// Takes the gauges of a task away that would stand still from now on.
    fn forget(&self, id: TaskId, queues: &[OwnedPartition]) {
        let metrics = &self.instance.metrics;
        for owned in queues {
            metrics.forget_input(&owned.partition);
        }
        let stores = self.instance.store_specs(id).unwrap_or_default();
        metrics.forget_task(id, stores.iter().map(|store| store.name.as_str()));
    }

    /// Closes the stores of tasks that were suspended at least so long ago.
    pub(super) fn close_suspended(&mut self, age: Duration) {
        let now = self.instance.clock.elapsed();
        let old = self.suspended.extract_if(.., |_, (since, _)| now.saturating_sub(*since) >= age);
        let closed: Vec<_> = old.map(|(id, (_, disk))| (id, disk)).collect();
        for (id, disk) in closed {
            // Whoever else still has a handle on them must not keep the directory locked.
            if let Err(error) = disk.close() {
                tracing::error!(task = %id, %error, "its stores are in use and stay open");
            }
            self.note_state(id, TaskState::Closed);
        }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = (TaskId, &TaskCell, &Recipient<Retire>)> {
        self.hosted.iter().filter_map(|(id, stage)| match stage {
            Stage::Running { cell, retire } => Some((*id, cell, retire)),
            Stage::Waiting { .. } | Stage::Restoring(_) => None,
        })
    }

    pub(super) fn note_state(&self, task: TaskId, state: TaskState) {
        self.instance.board.set(task, state);
    }

    /// Commits if there is something to commit; a failure drops it.
    fn commit_or_drop(&mut self, ctx: &mut Context<Self>) {
        if let Err(failure) = self.commit() {
            self.react(failure, ctx);
        }
    }

    /// The same, unless a message is on its way that says what failed or was lost.
    fn commit_in_time(&mut self, ctx: &mut Context<Self>) {
        if self.has_failed_task() || self.has_lost() {
            return;
        }
        self.commit_or_drop(ctx);
        self.wake_all();
    }

    /// Notes when the next tick is due; from then on the tasks let it pass first.
    fn plan_tick(&self) {
        let interval = self.instance.settings.commit_interval;
        self.next_tick.set(self.instance.clock.elapsed().saturating_add(interval));
    }

    /// Lets every task look for records. Data wakes tasks by itself; once a second this is a net
    /// under it, since a wake-up that is lost would let a partition stand still for ever.
    fn wake_all(&self) {
        for (_, cell, _) in self.running() {
            if let Some(task) = cell.borrow().as_ref() {
                // Not a message of its own: after a slow record they would come in a row, a turn each.
                task.wake();
            }
        }
    }
}

impl Drop for Worker {
    /// The runtime of the thread swallows panics: without this, what the worker hosts would stand
    /// still, and nobody would be told.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = format!("worker {}", self.index);
            self.instance.fail(Error::Fatal { what, reason: "it panicked".to_owned() });
            if let Some(system) = actix::System::try_current() {
                system.stop();
            }
        }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MESSAGES_MAX);
        // One that hangs before its first second is seen too.
        self.measure();
        self.plan_tick();
        ctx.run_interval(self.instance.settings.commit_interval, |worker, ctx| {
            worker.commit_in_time(ctx);
            worker.plan_tick();
        });
        ctx.run_interval(MEASURE_INTERVAL, |worker, _| {
            worker.measure();
            worker.wake_all();
            worker.close_suspended(SUSPENDED_MAX);
        });
    }
}

impl Handler<TakeOver> for Worker {
    type Result = ();

    fn handle(&mut self, TakeOver { answer }: TakeOver, _: &mut Self::Context) {
        // Nobody waits for it any more when the instance is told to stop meanwhile.
        let _ = answer.send(self.take_over());
    }
}

impl Handler<AssignTasks> for Worker {
    type Result = ();

    fn handle(&mut self, assign: AssignTasks, ctx: &mut Self::Context) {
        self.member = Some(assign.member);
        for TaskInputs { task: id, mut inputs } in assign.tasks {
            if self.hosted.contains_key(&id) {
                // Further inputs of a task that runs with what is here: it is built anew with all.
                self.commit_or_drop(ctx);
                inputs.extend(self.suspend(id));
            }
            let disk = self.suspended.remove(&id).map(|(_, disk)| disk);
            self.hosted.insert(id, Stage::Waiting { inputs, disk });
            self.note_state(id, TaskState::Created);
        }
        self.close_suspended(Duration::ZERO);
        self.advance(ctx);
    }
}

impl Handler<RevokeTasks> for Worker {
    type Result = ();

    fn handle(&mut self, revoke: RevokeTasks, ctx: &mut Self::Context) {
        if revoke.revocation.is_lost() {
            let reason = "partitions were lost".to_owned();
            let error = Error::Aborted { what: "a commit".to_owned(), reason };
            self.react(error.into(), ctx);
        } else {
            self.commit_or_drop(ctx);
        }
        let mut queues = Vec::new();
        for id in &revoke.tasks {
            queues.extend(self.suspend(*id));
        }
        if !revoke.revocation.answer() {
            self.losses_heard += 1;
        }
        if !revoke.answer.send(queues) {
            tracing::warn!(worker = self.index, "the group did not wait for the revocation");
        }
    }
}

impl Handler<CommitWanted> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitWanted, ctx: &mut Self::Context) {
        let requested = |task: &Task| task.ctx.commit_requested;
        let wanted =
            self.running().any(|(_, cell, _)| cell.borrow().as_ref().is_some_and(requested));
        if wanted || self.uncommitted.is_exceeded() {
            self.commit_in_time(ctx);
        }
    }
}

impl Handler<TaskFailed> for Worker {
    type Result = ();

    fn handle(&mut self, failed: TaskFailed, ctx: &mut Self::Context) {
        if matches!(self.hosted.get(&failed.task), Some(Stage::Running { .. })) {
            self.react(Failure::of(failed.task, failed.error), ctx);
        }
    }
}

impl Handler<Advance> for Worker {
    type Result = ();

    fn handle(&mut self, _: Advance, ctx: &mut Self::Context) {
        self.advance_planned = false;
        self.advance(ctx);
    }
}

impl Handler<StopWorker> for Worker {
    type Result = ();

    fn handle(&mut self, _: StopWorker, ctx: &mut Self::Context) {
        let ids: Vec<TaskId> = self.hosted.keys().copied().collect();
        for id in ids {
            drop(self.suspend(id));
        }
        self.close_suspended(Duration::ZERO);
        self.end_transaction();
        let metrics = &self.instance.metrics;
        metrics.restored.inc_by(self.restorer.take_restored());
        metrics.committed(self.index, None);
        self.instance.heartbeats.retire(Beating::Worker(self.index));
        self.instance.work.retire(self.index);
        ctx.stop();
        actix::System::current().stop();
    }
}
