//! How the tasks of a worker start: positions, producer, stores, chain, restoring, running.
//!
//! The machine says what is next; what is not possible now it tries again with back-off.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext as _, Context};
use millstream_state::TaskStores;

use crate::collector::WorkerProducer;
use crate::error::{Error, Result};
use crate::log::ProducerSpec;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::owned::OwnedPartition;
use crate::runtime::positions::StartPosition;
use crate::runtime::worker::build::{Making, build_chain};
use crate::runtime::worker::commit::count_task;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::machine::Event;
use crate::runtime::worker::messages::RestoreStep;
use crate::runtime::worker::task_actor::TaskActor;
use crate::runtime::worker::task_cell::{TaskCell, guarded};
use crate::runtime::worker::worker::{Stage, Worker};
use crate::task::Task;

/// How long one step of restoring may wait for records.
const RESTORE_WAIT: Duration = Duration::from_millis(5);

/// A task that could not be built, and what it was to be built from.
struct NotBuilt {
    error: Error,
    inputs: Vec<OwnedPartition>,
    disk: Option<TaskStores>,
}

impl Worker {
    /// The next step of restoring, once the other actors of the thread had their turn.
    pub(super) fn plan_restore_step(ctx: &mut Context<Self>) {
        let worker = ctx.address();
        actix::spawn(async move {
            tokio::task::yield_now().await;
            // Only a worker that ended refuses it.
            let _ = worker.try_send(RestoreStep);
        });
    }

    /// Reads more of the changelogs.
    pub(super) fn restore(&mut self) -> Event {
        match self.restorer.step(RESTORE_WAIT) {
            Ok(complete) => Event::Restored(complete),
            Err(error) => Event::Failed(error.into()),
        }
    }

    /// Builds a waiting task, and begins to restore it if it needs that. One that fails waits again.
    pub(super) fn build_task(&mut self, id: TaskId) -> Event {
        let Some(Stage::Waiting { inputs, disk }) = self.hosted.remove(&id) else {
            return Event::Failed(nothing_of(id));
        };
        let task = match self.build(id, inputs, disk) {
            Ok(task) => task,
            Err(NotBuilt { error, inputs, disk }) => {
                self.hosted.insert(id, Stage::Waiting { inputs, disk });
                return Event::Failed(error.into());
            }
        };
        match self.restorer.add(&task, self.instance.clock.now()) {
            Ok(restores) => {
                self.hosted.insert(id, Stage::Restoring(Box::new(task)));
                Event::Built { restores }
            }
            Err(error) => {
                self.wait_again(task);
                Event::Failed(error.into())
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
    pub(super) fn look_up_positions(&mut self) -> Result<()> {
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
        inputs: Vec<OwnedPartition>,
        disk: Option<TaskStores>,
    ) -> std::result::Result<Task, NotBuilt> {
        let not_built = |error, inputs, disk| NotBuilt { error, inputs, disk };
        let Some(producer) = &self.producer else {
            return Err(not_built(nothing_of(id).error, inputs, disk));
        };
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
    /// a lost record of another task: nothing else may be done before that is reacted to.
    pub(super) fn run(&mut self, id: TaskId, ctx: &mut Context<Self>) -> Result<(), Failure> {
        let mut task = self.take_task(id).ok_or_else(|| nothing_of(id))?;
        let now = self.instance.clock.now();
        if let Err(error) = guarded(id, || task.init(now)) {
            self.wait_again(task);
            return Err(Failure::of(id, error));
        }
        if self.machine.is_after_abort() {
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
        tracing::info!(task = %id, worker = self.index, "running");
        Ok(())
    }

    /// Drops the producer as it is: what it still holds is never sent.
    pub(super) fn drop_producer(&mut self) {
        if let Some(producer) = self.producer.take() {
            let (now, elapsed) = (self.instance.clock.now(), self.instance.clock.elapsed());
            self.refusals = producer.borrow_mut().take_refusals(now, elapsed);
        }
    }

    /// Aborts the open transaction, if one is, and drops the producer.
    pub(super) fn abort_transaction(&mut self) -> Result<()> {
        match self.producer.take() {
            Some(producer) => producer.borrow_mut().abort_transaction(),
            None => Ok(()),
        }
    }
}

/// The machine asked for something of a task that it does not have any more.
fn nothing_of(id: TaskId) -> Failure {
    let reason = "there is nothing of it to start".to_owned();
    Error::Fatal { what: format!("task {id}"), reason }.into()
}
