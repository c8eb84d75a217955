//! A worker: the unit of commit and of abort. It owns a producer and the tasks that share it.
//!
//! It hosts the machine that decides (see `machine`): messages and timers become events, actions are
//! performed one after the other, and what comes of one is the next event.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Recipient};
use millstream_state::TaskStores;

use crate::collector::{Refusals, WorkerProducer};
use crate::error::{Error, Result};
use crate::log::{Committed, Generation, Member};
use crate::metrics::Beating;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::board::Waiter;
use crate::runtime::instance::Instance;
use crate::runtime::owned::{OwnedPartition, unplaced};
use crate::runtime::ownership::Revocation;
use crate::runtime::stall::{MEASURE_INTERVAL, WorkProgress};
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::machine::{Action, Event, Moment, WorkerMachine, WorkerRules};
use crate::runtime::worker::messages::{
    AnswerTo, AssignTasks, CommitWanted, RestoreStep, Retire, RevokeTasks, StopWorker, TakeOver,
    TaskFailed,
};
use crate::runtime::worker::restore::{Freshness, Restorer};
use crate::runtime::worker::task_cell::{NextTick, TaskCell};
use crate::store::CacheBudget;
use crate::task::{Task, UncommittedBudget};

/// Messages come from the control thread (a few per rebalance) and from the tasks (deduplicated by
/// what they mean), so a full mailbox means that the same was said already.
const MAILBOX_MESSAGES_MAX: usize = 1024;

/// What there is of a hosted task.
pub(super) enum Stage {
    Waiting { inputs: Vec<OwnedPartition>, disk: Option<TaskStores> },
    Restoring(Box<Task>),
    Running { cell: TaskCell, retire: Recipient<Retire> },
}

/// What the steps of a commit hand on.
#[derive(Debug, Default)]
pub(super) struct CommitUnderWay {
    pub(super) began: Duration,
    pub(super) positions: Vec<(TopicPartition, Committed)>,
    pub(super) generation: Option<Generation>,
}

pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) instance: Arc<Instance>,
    pub(super) machine: WorkerMachine,
    pub(super) member: Option<Arc<dyn Member>>,
    pub(super) producer: Option<Rc<RefCell<WorkerProducer>>>,
    pub(super) hosted: BTreeMap<TaskId, Stage>,
    /// What producers before the present one have learnt.
    pub(super) refusals: Refusals,
    suspended: BTreeMap<TaskId, TaskStores>,
    pub(super) restorer: Restorer,
    /// An equal part of the instance's, for the tasks of this worker.
    pub(super) cache_budget: CacheBudget,
    pub(super) uncommitted: UncommittedBudget,
    pub(super) next_tick: NextTick,
    pub(super) commit: CommitUnderWay,
    /// Until when the commit under way may block for futures.
    pub(super) blocks_until: Option<Duration>,
    /// What came with the message that is being handled.
    assigned: BTreeMap<TaskId, Vec<OwnedPartition>>,
    given_back: Vec<OwnedPartition>,
    revocation: Option<(Revocation, AnswerTo)>,
    taking_over: Option<SyncSender<Result<()>>>,
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
        let part = |bytes: usize| bytes / settings.workers.max(1);
        let cache_budget = CacheBudget::new(part(settings.cache_bytes_max))
            .with_kept_rows(part(settings.join_rows_bytes_max));
        let uncommitted = UncommittedBudget::new(settings.uncommitted_bytes_max);
        let rules = WorkerRules {
            exactly_once: settings.exactly_once,
            replace_failed_tasks: settings.replace_failed_tasks,
            backoff: settings.backoff_rule(),
            purge_interval: settings.repartition_purge_interval,
            commit_wait_max: settings.commit_wait_max,
            topics_may_go: instance.topology.reads_patterns(),
        };
        Self {
            index,
            cache_budget,
            uncommitted,
            instance,
            machine: WorkerMachine::new(rules),
            member: None,
            producer: None,
            refusals: Refusals::default(),
            hosted: BTreeMap::new(),
            suspended: BTreeMap::new(),
            restorer,
            next_tick: NextTick::default(),
            commit: CommitUnderWay::default(),
            blocks_until: None,
            assigned: BTreeMap::new(),
            given_back: Vec::new(),
            revocation: None,
            taking_over: None,
            progress: WorkProgress::default(),
        }
    }

    /// Hands an event to the machine and does what follows, and what follows from that.
    fn drive(&mut self, event: Event, ctx: &mut Context<Self>) {
        let mut next = Some(event);
        let mut actions = Vec::new();
        while let Some(event) = next.take() {
            let at = self.moment();
            self.machine.on(event, at, &mut actions);
            for action in actions.drain(..) {
                next = self.perform(action, ctx).or(next);
            }
        }
    }

    fn moment(&self) -> Moment {
        let in_transaction =
            self.producer.as_ref().is_some_and(|shared| shared.borrow().is_in_transaction());
        Moment {
            now: self.instance.clock.elapsed(),
            losses: self.instance.losses.count(self.index),
            task_failed: self.has_failed_task(),
            in_transaction,
            stops: self.instance.stop_left(Duration::ZERO).is_some(),
        }
    }

    /// Performs an action; its outcome, if the machine waits for one.
    fn perform(&mut self, action: Action, ctx: &mut Context<Self>) -> Option<Event> {
        match action {
            Action::TakeOver => return Some(outcome(self.take_over())),
            Action::TookOver(taken) => {
                if let Some(answer) = self.taking_over.take() {
                    // Nobody waits for it any more when the instance is told to stop meanwhile.
                    let _ = answer.send(taken);
                }
            }
            Action::Look => {
                self.blocks_until = None;
                return Some(Event::Work(self.has_something_to_commit()));
            }
            Action::Settle { block } => return Some(settled(self.settle(block))),
            Action::Flush => return Some(settled(self.flush_tasks())),
            Action::Acknowledge => return Some(outcome(self.acknowledge())),
            Action::Generation => return Some(outcome(self.take_generation())),
            Action::SendOffsets => return Some(outcome(self.send_offsets())),
            Action::EndTransaction => return Some(outcome(self.end_transaction())),
            Action::CommitOffsets => return Some(outcome(self.commit_offsets())),
            Action::Apply => return Some(outcome(self.apply())),
            Action::Committed { purge } => self.committed(purge),
            Action::NothingToCommit => {
                self.forget_requests();
                self.note_committed();
            }
            Action::Wake => self.wake_all(),
            Action::OpenProducer => return Some(outcome(self.open_producer().map(drop))),
            Action::DropProducer => self.drop_producer(),
            Action::AbortTransaction => return Some(outcome(self.abort_transaction())),
            Action::LookUpPositions => return Some(outcome(self.look_up_positions())),
            Action::Build(task) => return Some(self.build_task(task)),
            Action::Run(task) => return Some(outcome(self.run(task, ctx))),
            Action::Restore => return Some(self.restore()),
            Action::Reset(task) => {
                if let Some(task) = self.take_task(task) {
                    self.wait_again(task);
                }
            }
            Action::Host(task) => self.host(task),
            Action::Suspend(task) => return Some(Event::Suspended { open: self.suspend(task) }),
            Action::Close(task) => return Some(outcome(self.close(task))),
            Action::Answer => return Some(Event::Answered { in_time: self.answer() }),
            Action::State(task, state) => self.instance.board.set(task, state),
            told => self.tell(told, ctx),
        }
        None
    }

    /// Says what happened, or plans what comes later.
    fn tell(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::Started => self.instance.board.has(Waiter::Worker(self.index)),
            Action::NotStarted { error, wait } => self.say_not_started(&error, wait),
            Action::NotRestored { error, wait } => {
                tracing::warn!(worker = self.index, ?error, ?wait, "state cannot be restored yet");
            }
            Action::Aborted { error, wait, replaces } => self.say_aborted(&error, wait, replaces),
            Action::Fail(error) => self.instance.fail(error),
            Action::LeftOpen(error) => {
                tracing::warn!(
                    worker = self.index,
                    ?error,
                    "the open transaction is left to its time-out"
                );
            }
            Action::PlanAdvance(wait) => {
                ctx.run_later(wait, |worker, ctx| worker.drive(Event::Advance, ctx));
            }
            Action::PlanRestoreStep => Self::plan_restore_step(ctx),
            Action::PlanEnd(wait) => {
                let what = format!("the end of the transaction of worker {}", self.index);
                self.instance.waits_for(Waiter::Worker(self.index), what);
                ctx.run_later(wait, |worker, ctx| worker.drive(Event::EndAgain, ctx));
            }
            Action::Ended => self.ended(ctx),
            _ => {}
        }
    }

    /// Takes an assigned task in, with its queues and the stores that are still open.
    fn host(&mut self, id: TaskId) {
        let mut inputs = self.assigned.remove(&id).unwrap_or_default();
        inputs.append(&mut self.given_back);
        let disk = self.suspended.remove(&id);
        self.hosted.insert(id, Stage::Waiting { inputs, disk });
    }

    /// Answers the revocation; false if it was too late.
    fn answer(&mut self) -> bool {
        let Some((revocation, answer)) = self.revocation.take() else { return true };
        let in_time = revocation.answer();
        if !answer.send(std::mem::take(&mut self.given_back)) {
            tracing::warn!(worker = self.index, "the group did not wait for the revocation");
        }
        in_time
    }

    /// A task becomes a waiting one: all of it but its stores and queues is thrown away.
    pub(super) fn wait_again(&mut self, task: Task) {
        self.note_dropped(&task);
        let id = task.id();
        let (disk, queues) = task.close();
        let stage = Stage::Waiting { inputs: unplaced(queues), disk: Some(disk) };
        self.hosted.insert(id, stage);
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

    /// Ends a task but keeps its stores open, if they are; its queues go back.
    fn suspend(&mut self, id: TaskId) -> bool {
        if let Some(task) = self.take_task(id) {
            self.wait_again(task);
        }
        let Some(Stage::Waiting { inputs, disk }) = self.hosted.remove(&id) else { return false };
        self.forget(id, &inputs);
        let unplaced =
            |owned: OwnedPartition| OwnedPartition::unplaced(owned.partition, owned.queue);
        self.given_back.extend(inputs.into_iter().map(unplaced));
        let open = disk.is_some();
        self.suspended.extend(disk.map(|disk| (id, disk)));
        open
    }

    /// Closes the stores of a suspended task. Whoever else still has a handle on them must not keep
    /// the directory locked.
    fn close(&mut self, id: TaskId) -> Result<()> {
        let Some(disk) = self.suspended.get(&id) else { return Ok(()) };
        if let Err(error) = disk.close() {
            tracing::warn!(task = %id, %error, "its stores are in use: they are closed later");
            return Err(error.into());
        }
        self.suspended.remove(&id);
        Ok(())
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

    pub(super) fn running(&self) -> impl Iterator<Item = (TaskId, &TaskCell, &Recipient<Retire>)> {
        self.hosted.iter().filter_map(|(id, stage)| match stage {
            Stage::Running { cell, retire } => Some((*id, cell, retire)),
            Stage::Waiting { .. } | Stage::Restoring(_) => None,
        })
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
    /// still, without an error.
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
            worker.drive(Event::CommitDue, ctx);
            worker.plan_tick();
        });
        ctx.run_interval(MEASURE_INTERVAL, |worker, ctx| {
            worker.measure();
            worker.wake_all();
            worker.drive(Event::Measured, ctx);
        });
    }
}

impl Handler<TakeOver> for Worker {
    type Result = ();

    fn handle(&mut self, TakeOver { answer }: TakeOver, ctx: &mut Self::Context) {
        self.taking_over = Some(answer);
        self.drive(Event::TakeOver, ctx);
    }
}

impl Handler<AssignTasks> for Worker {
    type Result = ();

    fn handle(&mut self, assign: AssignTasks, ctx: &mut Self::Context) {
        self.member = Some(assign.member);
        let ids = assign.tasks.iter().map(|assigned| assigned.task).collect();
        let inputs = assign.tasks.into_iter().map(|assigned| (assigned.task, assigned.inputs));
        self.assigned = inputs.collect();
        self.drive(Event::Assign(ids), ctx);
    }
}

impl Handler<RevokeTasks> for Worker {
    type Result = ();

    fn handle(&mut self, revoke: RevokeTasks, ctx: &mut Self::Context) {
        let lost = revoke.revocation.is_lost();
        self.revocation = Some((revoke.revocation, revoke.answer));
        self.drive(Event::Revoke { tasks: revoke.tasks, lost }, ctx);
        // One that ends takes no notice of it.
        self.revocation = None;
    }
}

impl Handler<CommitWanted> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitWanted, ctx: &mut Self::Context) {
        let requested = |task: &Task| task.ctx.commit_requested;
        let wanted =
            self.running().any(|(_, cell, _)| cell.borrow().as_ref().is_some_and(requested));
        // The last future that arrives asks again; until then there is nothing to do but to wait.
        let left = self.machine.waits_for_futures_to_end() && self.has_futures_on_their_way();
        if !left && (wanted || self.uncommitted.is_exceeded()) {
            self.drive(Event::CommitDue, ctx);
        }
    }
}

impl Handler<TaskFailed> for Worker {
    type Result = ();

    fn handle(&mut self, failed: TaskFailed, ctx: &mut Self::Context) {
        self.drive(Event::TaskFailed(Failure::of(failed.task, failed.error)), ctx);
    }
}

impl Handler<RestoreStep> for Worker {
    type Result = ();

    fn handle(&mut self, _: RestoreStep, ctx: &mut Self::Context) {
        self.drive(Event::RestoreStep, ctx);
    }
}

impl Handler<StopWorker> for Worker {
    type Result = ();

    fn handle(&mut self, _: StopWorker, ctx: &mut Self::Context) {
        // The thread is waited for a little longer than this.
        let part = self.instance.settings.close_timeout * 4 / 5;
        let left = self.instance.stop_left(part).unwrap_or_default();
        let by = self.instance.clock.elapsed() + left;
        self.drive(Event::Stop { by }, ctx);
    }
}

impl Worker {
    fn ended(&mut self, ctx: &mut Context<Self>) {
        self.given_back.clear();
        let metrics = &self.instance.metrics;
        metrics.restored.inc_by(self.restorer.take_restored());
        metrics.committed(self.index, None);
        self.instance.heartbeats.retire(Beating::Worker(self.index));
        self.instance.work.retire(self.index);
        ctx.stop();
        actix::System::current().stop();
    }
}

/// What came of an action that futures may hold up.
fn settled(in_flight: Result<bool, Failure>) -> Event {
    match in_flight {
        Ok(true) => Event::InFlight,
        other => outcome(other.map(drop)),
    }
}

/// What came of an action.
fn outcome(done: Result<(), impl Into<Failure>>) -> Event {
    match done {
        Ok(()) => Event::Done,
        Err(failure) => Event::Failed(failure.into()),
    }
}
