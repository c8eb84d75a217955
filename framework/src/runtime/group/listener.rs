//! Turns what the group says of partitions into messages to workers, and waits for their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use actix::Addr;

use crate::error::{Error, Reaction, Result};
use crate::log::{GroupListener, Member, PartitionQueue, WaitingForBroker};
use crate::metrics::Beating;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::board::{StreamsState, Waiter};
use crate::runtime::cleaning::Cleaning;
use crate::runtime::group::assignment::{Assignments, TaskStart};
use crate::runtime::group::grown;
use crate::runtime::group::late::LateAnswers;
use crate::runtime::instance::Instance;
use crate::runtime::ownership::Revocation;
use crate::runtime::positions::StartPosition;
use crate::runtime::stop::StopSignal;
use crate::runtime::task_plan::TaskPlan;
use crate::runtime::worker::{AssignTasks, RevokeTasks, Worker};
use crate::task::{OwnedQueues, TaskState};
use crate::topology::SubTopologyShape;

/// A partition's queue and where it starts; the position is absent where it must be looked up.
type Queued = (Box<dyn PartitionQueue>, Option<StartPosition>);

/// Turns events of the group into messages to workers.
pub(crate) struct Listener {
    instance: Arc<Instance>,
    workers: Vec<Addr<Worker>>,
    stop: Arc<StopSignal>,
    member: Arc<dyn Member>,
    assignments: Assignments<Queued>,
    /// What the plan was made from.
    shapes: Vec<SubTopologyShape>,
    starts: BTreeMap<TopicPartition, StartPosition>,
    commits: bool,
    late: LateAnswers,
    cleaning: Cleaning,
    /// What this instance does not own is not meant for it: it was told its part, and is still in
    /// the group.
    settled: bool,
    failure: Option<Error>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("running", self.assignments.running())
            .finish_non_exhaustive()
    }
}

impl Listener {
    pub(crate) fn new(
        instance: Arc<Instance>,
        workers: Vec<Addr<Worker>>,
        stop: Arc<StopSignal>,
        member: Arc<dyn Member>,
        (plan, shapes): (TaskPlan, Vec<SubTopologyShape>),
    ) -> Self {
        let assignments = Assignments::new(plan, workers.len());
        let cleaning = Cleaning::new(instance.settings.state_cleanup_delay);
        Self {
            instance,
            workers,
            stop,
            member,
            assignments,
            shapes,
            starts: BTreeMap::new(),
            commits: true,
            late: LateAnswers::default(),
            cleaning,
            settled: false,
            failure: None,
        }
    }

    /// From now on revoked partitions are given back without a commit: after a failure nobody
    /// knows what is whole.
    pub(crate) fn end_commits(&mut self) {
        self.commits = false;
    }

    /// Deletes the directories of tasks that have not been of this instance for a while. It must be
    /// called where assignments come: nobody opens one meanwhile.
    pub(crate) fn clean(&mut self) {
        let now = self.instance.clock.elapsed();
        if !self.settled {
            return self.cleaning.forget();
        }
        if !self.cleaning.is_time(now) {
            return;
        }
        let found = match self.instance.state_dir.tasks() {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, "the state directory cannot be read"),
        };
        let states = self.instance.board.tasks();
        let here: BTreeSet<TaskId> = self
            .assignments
            .running()
            .keys()
            .copied()
            .chain(self.assignments.incomplete())
            .collect();
        let is_closed = |task| states.get(&task).is_none_or(|state| *state == TaskState::Closed);
        let is_used = |task| here.contains(&task) || !is_closed(task);
        for task in self.cleaning.due(&found, is_used, now) {
            self.remove_state(task);
        }
    }

    fn remove_state(&self, task: TaskId) {
        match self.instance.state_dir.remove(task) {
            Ok(()) => {
                tracing::info!(%task, "deleted the state of a task that is not of this instance any more");
            }
            Err(error) => {
                tracing::warn!(%task, %error, "the state of a task that is not of this instance any more cannot be deleted");
            }
        }
    }

    /// What went wrong in a callback, if anything did.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Plans the tasks again if the group has assigned partitions that were not there at the start.
    fn take_in_new(&mut self, added: &[TopicPartition]) -> Result<()> {
        let unknown = added.iter().filter(|partition| !self.assignments.knows(partition));
        let unknown: Vec<TopicPartition> = unknown.cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        tracing::info!(partitions = names(&unknown), "partitions were added to topics");
        let what = format!("the description of {}", names(&unknown));
        let shapes = self.retried(&what, || grown::shapes(&self.instance, &self.shapes, added))?;
        let Some(shapes) = shapes else { return Ok(()) };
        self.assignments.plan_again(TaskPlan::new(&shapes)?);
        self.shapes = shapes;
        self.instance.positions.begin_at_first(&unknown);
        Ok(())
    }

    /// The committed positions; waits for the broker as long as it takes.
    fn resolve(&self, added: &[TopicPartition]) -> Result<Option<Vec<StartPosition>>> {
        let what = format!("the committed positions of {}", names(added));
        self.retried(&what, || self.instance.positions.resolve(added, self.instance.clock.now()))
    }

    /// Asks again with back-off as long as it takes; `None` if told to stop meanwhile.
    fn retried<T>(&self, what: &str, mut ask: impl FnMut() -> Result<T>) -> Result<Option<T>> {
        let mut tries = 0;
        self.instance.waits_for(Waiter::Member, what.to_owned());
        loop {
            self.instance.beat(Beating::Group);
            match ask() {
                Ok(found) => return Ok(Some(found)),
                Err(error) if error.reaction() == Reaction::Retry => {
                    self.instance.metrics.error(&error);
                    let wait = self.instance.settings.backoff(tries);
                    self.instance.waits_for(Waiter::Member, format!("{what}: {error}"));
                    tracing::info!(%error, ?wait, "waiting for {what}");
                    tries += 1;
                    if self.stop.wait(wait) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the workers to stop what cannot go on without these partitions, and waits for it.
    fn stop_tasks(&mut self, removed: &[TopicPartition], lost: bool) {
        self.instance.metrics.rebalances.inc();
        let lost = lost || !self.commits;
        self.late.removed(removed);
        let mut answers = Vec::new();
        for (index, tasks) in self.assignments.revoked(removed) {
            let (answer, received) = sync_channel(1);
            let Some(worker) = self.workers.get(index) else { continue };
            let revocation = if lost { Revocation::lost() } else { Revocation::new() };
            if lost {
                self.instance.losses.note(index);
            }
            let revoke = RevokeTasks { tasks, revocation: revocation.clone(), answer };
            match worker.try_send(revoke) {
                Ok(()) => answers.push((index, revocation, received)),
                Err(error) => {
                    // It never hears of it, so it never commits again.
                    self.instance.losses.note(index);
                    let reason = format!("a worker cannot be told: {error}");
                    let what = "revoking tasks".to_owned();
                    self.failure = Some(Error::Fatal { what, reason });
                }
            }
        }
        // The workers may be slow, this thread is not.
        let _waiting = WaitingForBroker::begin();
        let budget = self.instance.settings.revoke_budget;
        let stopping = self.instance.stop_left(self.instance.settings.close_timeout * 2 / 3);
        let budget = stopping.map_or(budget, |left| left.min(budget));
        let deadline = self.instance.clock.elapsed() + budget;
        for (index, revocation, answer) in answers {
            let left = deadline.saturating_sub(self.instance.clock.elapsed());
            let Some(queues) = self.stopped(index, &revocation, &answer, left) else {
                self.late.expect(answer, removed);
                continue;
            };
            let kept = queues.into_iter().filter(|(partition, _)| !removed.contains(partition));
            self.assignments.put_back(kept.map(|(p, queue)| (p, (queue, None))).collect());
        }
    }

    /// Waits for a worker's answer; the queues it gave back. `None` if it did not answer in time:
    /// its partitions are lost to it then.
    fn stopped(
        &self,
        worker: usize,
        revocation: &Revocation,
        answer: &Receiver<OwnedQueues>,
        left: Duration,
    ) -> Option<OwnedQueues> {
        let reason = match answer.recv_timeout(left) {
            Ok(queues) => return Some(queues),
            Err(RecvTimeoutError::Timeout) => "it did not commit within the time the group allows",
            Err(RecvTimeoutError::Disconnected) => "it ended before it could commit",
        };
        if revocation.expire() {
            self.instance.losses.note(worker);
        } else if !revocation.is_lost() {
            // It has just answered: the queues are about to come.
            return answer.recv().ok();
        }
        tracing::error!(worker, reason, "a worker's work since its last commit will be done again");
        None
    }

    /// Takes in what came late from workers that had not answered a revocation in time.
    pub(crate) fn take_late(&mut self) {
        let kept = self.late.take();
        if kept.is_empty() {
            return;
        }
        let kept = kept.into_iter().map(|(partition, queue)| (partition, (queue, None)));
        let starts = self.assignments.assigned(kept.collect());
        if !starts.is_empty() {
            self.start_tasks(starts);
        }
    }

    /// Tasks that stopped for one of their partitions go on with the others, where they can.
    fn start_what_stays(&mut self) {
        if self.failure.is_some() || self.stop.is_set() || !self.commits {
            return;
        }
        let starts = self.assignments.startable();
        if !starts.is_empty() {
            self.start_tasks(starts);
        }
    }

    /// Tells every worker its new tasks; one without any closes what it had kept open.
    fn start_tasks(&mut self, starts: Vec<TaskStart<Queued>>) {
        let mut by_worker: Vec<Vec<(TaskId, Vec<_>)>> = Vec::new();
        by_worker.resize_with(self.workers.len(), Vec::new);
        for start in starts {
            self.instance.board.set(start.task, TaskState::Created);
            let inputs = start.inputs.into_iter().map(|(p, (queue, at))| (p, queue, at)).collect();
            if let Some(tasks) = by_worker.get_mut(start.worker) {
                tasks.push((start.task, inputs));
            }
        }
        for (worker, tasks) in self.workers.iter().zip(by_worker) {
            let assign = AssignTasks { member: Arc::clone(&self.member), tasks };
            if let Err(error) = worker.try_send(assign) {
                let reason = format!("a worker cannot be told: {error}");
                self.failure = Some(Error::Fatal { what: "assigning tasks".to_owned(), reason });
            }
        }
    }

    /// It is known what this instance is to run.
    pub(crate) fn placed(&self) {
        self.instance.board.has(Waiter::Member);
        self.instance.board.placing(false);
        self.instance.board.set_instance(StreamsState::Running);
    }

    /// The group shares out partitions, and this instance waits for its part.
    fn displaced(&self) {
        let what = "the group to share out its partitions".to_owned();
        self.instance.waits_for(Waiter::Member, what);
        self.instance.board.placing(true);
    }

    fn say_what_waits(&self) {
        let incomplete: Vec<String> =
            self.assignments.incomplete().map(|t| t.to_string()).collect();
        if !incomplete.is_empty() {
            tracing::warn!(
                tasks = incomplete.join(", "),
                "waiting for the rest of their partitions"
            );
        } else if self.assignments.running().is_empty() {
            tracing::info!("this instance owns no task: there are more instances than partitions");
        }
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl GroupListener for Listener {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Vec<i64> {
        self.instance.board.placing(true);
        if let Err(error) = self.take_in_new(added) {
            self.failure = Some(error);
            return vec![0; added.len()];
        }
        match self.resolve(added) {
            Ok(Some(starts)) => {
                let offsets = starts.iter().map(|start| start.offset).collect();
                self.starts = added.iter().cloned().zip(starts).collect();
                offsets
            }
            Ok(None) => vec![0; added.len()],
            Err(error) => {
                self.failure = Some(error);
                vec![0; added.len()]
            }
        }
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        if self.failure.is_some() || self.stop.is_set() {
            return;
        }
        let partitions: Vec<TopicPartition> = added.iter().map(|(p, _)| p.clone()).collect();
        tracing::info!(partitions = names(&partitions), "assigned");
        let mut queued = Vec::new();
        for (partition, queue) in added {
            let start = self.starts.remove(&partition);
            queued.push((partition, (queue, start)));
        }
        let starts = self.assignments.assigned(queued);
        // The tasks come first: between the two the instance must not look as if all ran.
        self.start_tasks(starts);
        self.placed();
        self.settled = true;
        self.say_what_waits();
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        tracing::info!(partitions = names(removed), "revoked");
        self.stop_tasks(removed, false);
        // Where only what moves is revoked, nothing has to follow.
        if !self.instance.settings.incremental {
            self.displaced();
        }
        self.start_what_stays();
        // With nothing left it may be on its way to a new part, or out of the group.
        self.settled &= !self.assignments.running().is_empty();
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        tracing::warn!(partitions = names(removed), "lost");
        self.stop_tasks(removed, true);
        self.displaced();
        self.start_what_stays();
        self.settled = false;
    }
}
