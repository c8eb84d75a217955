//! How the tasks of a worker start: positions, producer, stores, chain, restoring, running.
//!
//! `advance` does what is possible now; what is not is tried again with back-off.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext as _, Context, Handler};
use millstream_state::TaskStores;

use crate::collector::WorkerProducer;
use crate::error::{Error, Reaction, Result};
use crate::log::ProducerSpec;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::board::Waiter;
use crate::runtime::owned::OwnedPartition;
use crate::runtime::positions::StartPosition;
use crate::runtime::worker::build::{Making, build_chain};
use crate::runtime::worker::commit::count_task;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::messages::{Advance, RestoreStep};
use crate::runtime::worker::task_actor::TaskActor;
use crate::runtime::worker::task_cell::{TaskCell, guarded};
use crate::runtime::worker::worker::{Stage, Worker};
use crate::task::{Task, TaskState};

/// How long one step of restoring may wait for records.
const RESTORE_WAIT: Duration = Duration::from_millis(5);

/// A task that could not be built, and what it was to be built from.
struct NotBuilt {
    error: Error,
    inputs: Vec<OwnedPartition>,
    disk: Option<TaskStores>,
}

impl Worker {
    /// Brings waiting tasks on as far as possible, or plans the next try.
    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        // After a loss, what it has heard of is not what it owns; the message will start them.
        if self.given_up || self.has_lost() {
            return;
        }
        match self.try_advance(ctx) {
            Ok(()) => {
                self.tries = 0;
                self.instance.board.has(Waiter::Worker(self.index));
            }
            Err(Failure { error, .. }) if is_passing(&error) => {
                self.instance.metrics.error(&error);
                let wait = self.instance.settings.backoff(self.tries);
                let what = format!("the start of tasks on worker {}: {error}", self.index);
                self.instance.waits_for(Waiter::Worker(self.index), what);
                tracing::warn!(worker = self.index, %error, tries = self.tries, ?wait, "tasks cannot start yet");
                self.tries += 1;
                self.plan_advance(wait, ctx);
            }
            Err(failure) => self.react(failure, ctx),
        }
    }

    pub(super) fn plan_advance(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.advance_planned, true) {
            ctx.notify_later(Advance, wait);
        }
    }

    /// The next step of restoring, once the other actors of the thread had their turn.
    pub(super) fn plan_restore_step(&mut self, ctx: &mut Context<Self>) {
        if self.restorer.is_idle() || std::mem::replace(&mut self.restoring, true) {
            return;
        }
        let worker = ctx.address();
        actix::spawn(async move {
            tokio::task::yield_now().await;
            // Only a worker that ended refuses it.
            let _ = worker.try_send(RestoreStep);
        });
    }

    /// Restoring failed: the tasks that restore try again later, the others go on meanwhile.
    fn restore_again(&mut self, error: Error, ctx: &mut Context<Self>) {
        if !matches!(error.reaction(), Reaction::Retry | Reaction::Rebuild) {
            return self.react(error.into(), ctx);
        }
        // That tasks begin to restore says nothing.
        let wait = self.instance.settings.backoff(self.restore_tries);
        tracing::warn!(worker = self.index, %error, ?wait, "state cannot be restored yet");
        self.restore_tries += 1;
        let restoring = self.hosted.iter().filter(|(_, s)| matches!(s, Stage::Restoring(_)));
        let restoring: Vec<TaskId> = restoring.map(|(id, _)| *id).collect();
        for task in restoring.into_iter().filter_map(|id| self.take_task(id)).collect::<Vec<_>>() {
            self.wait_again(task);
        }
        self.plan_advance(wait, ctx);
    }

    fn try_advance(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        let waiting: Vec<TaskId> = self
            .hosted
            .iter()
            .filter(|(_, stage)| matches!(stage, Stage::Waiting { .. }))
            .map(|(task, _)| *task)
            .collect();
        if waiting.is_empty() {
            if self.left_open {
                // All that it had has moved away: nothing else would end that transaction.
                self.open_producer()?;
            }
            return Ok(());
        }
        let producer = self.open_producer()?;
        self.look_up_positions()?;
        let mut failed = Ok(());
        for id in waiting {
            if let Err(failure) = self.start_task(id, &producer, ctx) {
                let goes_on = is_passing(&failure.error);
                // The others need not wait for this one's changelog.
                failed = Err(failure);
                if !goes_on {
                    break;
                }
            }
            if self.producer.is_none() {
                // One failed when it began, and all were taken down.
                return Ok(());
            }
        }
        failed
    }

    /// Starts a waiting task, or its restoration. One that fails waits again.
    fn start_task(
        &mut self,
        id: TaskId,
        producer: &Rc<RefCell<WorkerProducer>>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Failure> {
        let Some(Stage::Waiting { inputs, disk }) = self.hosted.remove(&id) else { return Ok(()) };
        let task = match self.build(id, producer, inputs, disk) {
            Ok(task) => task,
            Err(NotBuilt { error, inputs, disk }) => {
                self.hosted.insert(id, Stage::Waiting { inputs, disk });
                return Err(match error {
                    Error::Panicked { task, .. } => Failure::of(task, error),
                    other => other.into(),
                });
            }
        };
        match self.restorer.add(&task, self.instance.clock.now()) {
            Ok(true) => {
                self.note_state(id, TaskState::Restoring);
                self.hosted.insert(id, Stage::Restoring(Box::new(task)));
                self.plan_restore_step(ctx);
                Ok(())
            }
            Ok(false) => {
                if let Err(failure) = self.run(task, ctx) {
                    self.react(failure, ctx);
                }
                Ok(())
            }
            Err(error) => {
                self.wait_again(task);
                Err(error.into())
            }
        }
    }

    /// The worker's producer. A new one ends whatever transaction its predecessor left open.
    pub(super) fn open_producer(&mut self) -> Result<Rc<RefCell<WorkerProducer>>> {
        if let Some(producer) = &self.producer {
            return Ok(Rc::clone(producer));
        }
        let settings = &self.instance.settings;
        let spec = self.producer_spec(self.index);
        let producer = self.instance.log.producer(&spec)?;
        self.left_open = false;
        let log = Arc::clone(&self.instance.log);
        let refusals = std::mem::take(&mut self.refusals);
        let shared = WorkerProducer::new(log, producer, settings.exactly_once);
        let shared = shared.with_refusals(refusals, spec);
        let shared = Rc::new(RefCell::new(shared));
        self.producer = Some(Rc::clone(&shared));
        Ok(shared)
    }

    fn producer_spec(&self, worker: usize) -> ProducerSpec {
        let settings = &self.instance.settings;
        let transactional_id = self.instance.transactional_id(worker);
        ProducerSpec {
            transactional_id: settings.exactly_once.then_some(transactional_id),
            transaction_timeout: settings.exactly_once.then_some(settings.transaction_timeout),
            batch_bytes_max: self.refusals.batch_bytes_max(),
        }
    }

    /// Opens the worker's producer before there is any task, which ends what a predecessor left
    /// open: its transaction may hold back the very positions where the tasks start. So may those
    /// of workers that this instance had before and has no more.
    pub(super) fn take_over(&mut self) -> Result<()> {
        self.open_producer()?;
        let settings = &self.instance.settings;
        if settings.exactly_once {
            let former = self.instance.state_dir.former_workers();
            for worker in (self.index..former).step_by(settings.workers).skip(1) {
                drop(self.instance.log.producer(&self.producer_spec(worker))?);
            }
        }
        Ok(())
    }

    /// Fills in positions that are not known: tasks that are rebuilt start where the group's
    /// committed offsets say, and the client is moved there.
    fn look_up_positions(&mut self) -> Result<()> {
        let mut unknown = Vec::new();
        for stage in self.hosted.values() {
            if let Stage::Waiting { inputs, .. } = stage {
                let missing = inputs.iter().filter(|input| input.start.is_none());
                unknown.extend(missing.map(|input| input.partition.clone()));
            }
        }
        let Some(member) = self.member.as_ref().filter(|_| !unknown.is_empty()) else {
            return Ok(());
        };
        let starts = self.instance.positions.resolve(&unknown, self.instance.clock.now())?;
        let found: BTreeMap<TopicPartition, StartPosition> =
            unknown.into_iter().zip(starts).collect();
        let seeks: Vec<(TopicPartition, i64)> =
            found.iter().map(|(partition, start)| (partition.clone(), start.offset)).collect();
        member.seek(&seeks)?;
        for stage in self.hosted.values_mut() {
            if let Stage::Waiting { inputs, .. } = stage {
                for input in inputs.iter_mut().filter(|input| input.start.is_none()) {
                    input.start = found.get(&input.partition).cloned();
                }
            }
        }
        Ok(())
    }

    fn build(
        &self,
        id: TaskId,
        producer: &Rc<RefCell<WorkerProducer>>,
        inputs: Vec<OwnedPartition>,
        disk: Option<TaskStores>,
    ) -> std::result::Result<Task, NotBuilt> {
        let not_built = |error, inputs, disk| NotBuilt { error, inputs, disk };
        let disk = match disk.map_or_else(|| self.instance.open_stores(id), Ok) {
            Ok(disk) => disk,
            Err(error) => return Err(not_built(error, inputs, None)),
        };
        if let Some(unplaced) = inputs.iter().find(|input| input.start.is_none()) {
            let what = format!("looking up the position of {}", unplaced.partition);
            let error = Error::Unavailable { what, reason: "not in a group".to_owned() };
            return Err(not_built(error, inputs, Some(disk)));
        }
        let (cache_budget, uncommitted) = (&self.cache_budget, &self.uncommitted);
        let making = Making { producer, cache_budget, uncommitted };
        // The user's suppliers run in here.
        let chain = guarded(id, || build_chain(&self.instance, id, making, disk.clone(), &inputs));
        match chain {
            Ok(chain) => {
                chain.attach(inputs).map_err(|error| not_built(error, Vec::new(), Some(disk)))
            }
            Err(error) => Err(not_built(error, inputs, Some(disk))),
        }
    }

    /// Initialises a restored task and gives it to an actor.
    ///
    /// # Errors
    /// What failed; the task waits again. It may have sent something, and it may have been told of
    /// a lost record of another task: the caller must react before anything else is done.
    pub(super) fn run(&mut self, mut task: Task, ctx: &mut Context<Self>) -> Result<(), Failure> {
        let id = task.id();
        let now = self.instance.clock.now();
        if let Err(error) = guarded(id, || task.init(now)) {
            self.wait_again(task);
            return Err(Failure::of(id, error));
        }
        if self.aborts > 0 {
            task.take_care();
        }
        // Before the first record: what is zero is told, too.
        count_task(&self.instance.metrics, &mut task);
        let cell: TaskCell = Rc::new(RefCell::new(Some(task)));
        let instance = Arc::clone(&self.instance);
        let next_tick = Rc::clone(&self.next_tick);
        let worker = ctx.address();
        let (wanted, failed) = (worker.clone().recipient(), worker.recipient());
        let actor = TaskActor::start(Rc::clone(&cell), id, wanted, failed, instance, next_tick);
        self.instance.running.add(id, actor.clone().recipient());
        self.hosted.insert(id, Stage::Running { cell, retire: actor.recipient() });
        self.note_state(id, TaskState::Running);
        tracing::info!(task = %id, worker = self.index, "running");
        Ok(())
    }
}

/// True if trying again may be enough.
fn is_passing(error: &Error) -> bool {
    matches!(error.reaction(), Reaction::Retry | Reaction::Rebuild)
}

impl Handler<RestoreStep> for Worker {
    type Result = ();

    fn handle(&mut self, _: RestoreStep, ctx: &mut Self::Context) {
        self.restoring = false;
        match self.restorer.step(RESTORE_WAIT) {
            Ok(complete) => {
                if !complete.is_empty() {
                    self.restore_tries = 0;
                }
                for id in complete {
                    // Not so if one before it failed, and all wait again.
                    if !matches!(self.hosted.get(&id), Some(Stage::Restoring(_))) {
                        continue;
                    }
                    if let Some(Stage::Restoring(task)) = self.hosted.remove(&id)
                        && let Err(failure) = self.run(*task, ctx)
                    {
                        self.react(failure, ctx);
                    }
                }
            }
            Err(error) => return self.restore_again(error, ctx),
        }
        self.plan_restore_step(ctx);
    }
}
