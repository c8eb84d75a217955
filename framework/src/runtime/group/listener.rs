//! The host of the group's machine: turns what the group says of partitions into events, performs
//! what follows, and waits for the workers where the group may wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::{Error, Reaction, Result};
use crate::log::{GroupListener, Member, PartitionQueue, WaitingForBroker};
use crate::metrics::Beating;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::board::{StreamsState, Waiter};
use crate::runtime::cleaning::Cleaning;
use crate::runtime::group::grown;
use crate::runtime::group::machine::{Action, Event, GroupMachine, GroupRules};
use crate::runtime::instance::Instance;
use crate::runtime::owned::{OwnedPartition, TaskInputs};
use crate::runtime::ownership::{Revocation, RevocationId};
use crate::runtime::positions::StartPosition;
use crate::runtime::stop::StopSignal;
use crate::runtime::task_plan::TaskPlan;
use crate::runtime::worker::{Answer, AnswerTo, AssignTasks, RevokeTasks, WorkerMailbox};
use crate::task::TaskState;
use crate::topology::SubTopologyShape;

/// The queue of a partition, as the log hands it out.
type Queue = Box<dyn PartitionQueue>;

/// Turns events of the group into messages to workers.
pub(crate) struct Listener {
    instance: Arc<Instance>,
    workers: Vec<WorkerMailbox>,
    stop: Arc<StopSignal>,
    member: Arc<dyn Member>,
    machine: GroupMachine<Queue>,
    /// What the plan was made from.
    shapes: Vec<SubTopologyShape>,
    starts: BTreeMap<TopicPartition, StartPosition>,
    /// Of revocations that are waited for.
    open: BTreeMap<RevocationId, Revocation>,
    answers: (Sender<Answer>, Receiver<Answer>),
    cleaning: Cleaning,
    failure: Option<Error>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("running", self.machine.assignments().running())
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// The plan must be that of the shapes.
    pub(crate) fn new(
        instance: Arc<Instance>,
        workers: Vec<WorkerMailbox>,
        stop: Arc<StopSignal>,
        member: Arc<dyn Member>,
        shapes: Vec<SubTopologyShape>,
        plan: TaskPlan,
    ) -> Self {
        let settings = &instance.settings;
        let rules =
            GroupRules { revoke_budget: settings.revoke_budget, incremental: settings.incremental };
        let machine = GroupMachine::new(rules, plan, workers.len());
        let cleaning = Cleaning::new(settings.state_cleanup_delay);
        Self {
            instance,
            workers,
            stop,
            member,
            machine,
            shapes,
            starts: BTreeMap::new(),
            open: BTreeMap::new(),
            answers: channel(),
            cleaning,
            failure: None,
        }
    }

    /// The instance is about to leave the group; without commits if it failed.
    pub(crate) fn leaving(&mut self, commits: bool) {
        let part = self.instance.settings.close_timeout * 2 / 3;
        let left = self.instance.stop_left(part).unwrap_or(part);
        let by = self.instance.clock.elapsed() + left;
        self.on(Event::Leaving { by, commits });
    }

    /// Hands an event to the machine and does what follows, and what follows from that.
    fn on(&mut self, event: Event<Queue>) {
        if self.stop.is_set() || self.failure.is_some() {
            self.decide(Event::Ending);
        }
        self.decide(event);
    }

    fn decide(&mut self, event: Event<Queue>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.machine.on(event, self.instance.clock.elapsed(), &mut actions);
            events.extend(actions.into_iter().filter_map(|action| self.perform(action)));
        }
    }

    fn perform(&mut self, action: Action<Queue>) -> Option<Event<Queue>> {
        match action {
            Action::Lose { worker } => self.instance.losses.note(worker),
            Action::Revoke { worker, revocation, tasks, lost } => {
                self.revoke(worker, revocation, tasks, lost);
            }
            Action::Expire { worker, revocation, ended } => {
                return self.expire(worker, revocation, ended);
            }
            Action::Assign { worker, tasks } => self.assign(worker, tasks),
            Action::Placed => self.placed(),
            Action::Displaced => self.displaced(),
            Action::Unread(partition) => {
                tracing::error!(%partition, "a partition is here that no task reads");
            }
        }
        None
    }

    fn revoke(&mut self, worker: usize, id: RevocationId, tasks: Vec<TaskId>, lost: bool) {
        let revocation = if lost { Revocation::lost() } else { Revocation::new() };
        let answer = AnswerTo::new(id, self.answers.0.clone());
        self.open.insert(id, revocation.clone());
        let Some(mailbox) = self.workers.get(worker) else { return };
        let told = mailbox.revoke.try_send(RevokeTasks { tasks, revocation, answer });
        if let Err(error) = told {
            // It never hears of it, so it never commits again.
            self.instance.losses.note(worker);
            self.fails("revoking tasks", format!("a worker cannot be told: {error}"));
        }
    }

    fn expire(&mut self, worker: usize, id: RevocationId, ended: bool) -> Option<Event<Queue>> {
        let revocation = self.open.get(&id)?;
        if revocation.expire() {
            self.instance.losses.note(worker);
        } else if !revocation.is_lost() && !ended {
            // It has just answered: the queues are about to come.
            return None;
        }
        let reason = if ended {
            "it ended before it could commit"
        } else {
            "it did not commit within the time the group allows"
        };
        tracing::error!(worker, reason, "a worker's work since its last commit will be done again");
        self.open.remove(&id);
        Some(Event::Expired(id))
    }

    fn assign(&mut self, worker: usize, tasks: Vec<TaskInputs>) {
        for TaskInputs { task, .. } in &tasks {
            self.instance.board.set(*task, TaskState::Created);
        }
        let Some(mailbox) = self.workers.get(worker) else { return };
        let assign = AssignTasks { member: Arc::clone(&self.member), tasks };
        if let Err(error) = mailbox.assign.try_send(assign) {
            self.fails("assigning tasks", format!("a worker cannot be told: {error}"));
        }
    }

    fn fails(&mut self, what: &str, reason: String) {
        self.failure = Some(Error::Fatal { what: what.to_owned(), reason });
    }

    fn answered(&mut self, Answer { to, queues }: Answer) {
        match queues {
            Some(queues) => {
                self.open.remove(&to);
                self.on(Event::Answered(to, queues));
            }
            None => self.on(Event::Unanswered(to)),
        }
    }

    /// Waits for the workers that a revocation stops, as long as the group may.
    fn wait_for_workers(&mut self) {
        // The workers may be slow, this thread is not.
        let _waiting = WaitingForBroker::begin();
        while let Some(deadline) = self.machine.waits_until() {
            let left = deadline.saturating_sub(self.instance.clock.elapsed());
            match self.answers.1.recv_timeout(left) {
                Ok(answer) => self.answered(answer),
                Err(RecvTimeoutError::Timeout) => {
                    self.on(Event::TimePassed);
                    // Whoever is still waited for has just answered.
                    if self.machine.waits_until().is_some_and(|at| self.is_past(at))
                        && let Ok(answer) = self.answers.1.recv()
                    {
                        self.answered(answer);
                    }
                }
                // Not so: it is sent from here too.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_past(&self, at: Duration) -> bool {
        self.instance.clock.elapsed() >= at
    }

    /// Takes in what came late from workers that had not answered a revocation in time.
    pub(crate) fn take_late(&mut self) {
        while let Ok(answer) = self.answers.1.try_recv() {
            self.answered(answer);
        }
    }

    /// Deletes the directories of tasks that have not been of this instance for a while. It must be
    /// called where assignments come: no worker opens one meanwhile.
    pub(crate) fn clean(&mut self) {
        let now = self.instance.clock.elapsed();
        if !self.machine.is_settled() {
            return self.cleaning.forget();
        }
        if !self.cleaning.is_time(now) {
            return;
        }
        let found = match self.instance.state_dir.tasks() {
            Ok(found) => found,
            Err(error) => return tracing::warn!(?error, "the state directory cannot be read"),
        };
        let states = self.instance.board.tasks();
        let owned = self.machine.assignments();
        let here: BTreeSet<TaskId> =
            owned.running().keys().copied().chain(owned.incomplete()).collect();
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
                tracing::warn!(%task, ?error, "the state of a task that is not of this instance any more cannot be deleted");
            }
        }
    }

    /// What went wrong in a callback, if anything did.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Plans the tasks again if the group has assigned partitions that were not there at the start.
    fn take_in_new(&mut self, added: &[TopicPartition]) -> Result<()> {
        let unknown = added.iter().filter(|partition| !self.machine.assignments().knows(partition));
        let unknown: Vec<TopicPartition> = unknown.cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        tracing::info!(partitions = names(&unknown), "partitions were added to topics");
        let what = format!("the description of {}", names(&unknown));
        let shapes = self.retried(&what, || grown::shapes(&self.instance, &self.shapes, added))?;
        self.on(Event::Planned(TaskPlan::new(&shapes)?));
        self.shapes = shapes;
        self.instance.positions.begin_at_first(&unknown);
        Ok(())
    }

    /// Looks which topics the patterns of the sources match now; all topics to be read if those are others than before.
    ///
    /// # Errors
    /// `Unavailable`, and `Topic` for one that does not fit.
    pub(crate) fn look_for_topics(&mut self) -> Result<Option<Vec<String>>> {
        let shapes = grown::shapes(&self.instance, &self.shapes, &[])?;
        let (before, now) = (topics_of(&self.shapes), topics_of(&shapes));
        if before == now {
            return Ok(None);
        }
        let came: Vec<&Arc<str>> = now.difference(&before).copied().collect();
        let went: Vec<&Arc<str>> = before.difference(&now).copied().collect();
        tracing::info!(?came, ?went, "other topics match the patterns of the sources");
        let is_new = |(topic, _): &&(Arc<str>, i32)| came.contains(&topic);
        let added = shapes.iter().flat_map(|shape| &shape.topics).filter(is_new);
        let added: Vec<TopicPartition> = added
            .flat_map(|(topic, count)| {
                (0..*count).map(|partition| TopicPartition::new(Arc::clone(topic), partition))
            })
            .collect();
        let topics = now.iter().map(ToString::to_string).collect();
        self.instance.positions.begin_at_first(&added);
        self.on(Event::Planned(TaskPlan::new(&shapes)?));
        self.shapes = shapes;
        Ok(Some(topics))
    }

    /// The committed positions; waits for the broker as long as it takes.
    fn resolve(&self, added: &[TopicPartition]) -> Result<Vec<StartPosition>> {
        let what = format!("the committed positions of {}", names(added));
        self.retried(&what, || self.instance.positions.resolve(added, self.instance.clock.now()))
    }

    /// Asks again with back-off as long as it takes.
    ///
    /// # Errors
    /// What does not pass, and `Unavailable` if the instance is to end meanwhile.
    fn retried<T>(&self, what: &str, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 0;
        self.instance.waits_for(Waiter::Member, what.to_owned());
        loop {
            self.instance.beat(Beating::Group);
            let error = match ask() {
                Err(error) if error.reaction() == Reaction::Retry => error,
                done => return done,
            };
            self.instance.metrics.error(&error);
            let wait = self.instance.settings.backoff(tries);
            self.instance.waits_for(Waiter::Member, format!("{what}: {error:?}"));
            tracing::info!(?error, ?wait, "waiting for {what}");
            tries += 1;
            if self.stop.wait(wait) || self.instance.has_failed() {
                let reason = "the instance ends".to_owned();
                return Err(Error::Unavailable { what: what.to_owned(), reason });
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
        let owned = self.machine.assignments();
        let incomplete: Vec<String> = owned.incomplete().map(|t| t.to_string()).collect();
        if !incomplete.is_empty() {
            tracing::warn!(
                tasks = incomplete.join(", "),
                "waiting for the rest of their partitions"
            );
        } else if owned.running().is_empty() {
            tracing::info!("this instance owns no task: there are more instances than partitions");
        }
    }
}

fn topics_of(shapes: &[SubTopologyShape]) -> BTreeSet<&Arc<str>> {
    shapes.iter().flat_map(|shape| &shape.topics).map(|(topic, _)| topic).collect()
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl GroupListener for Listener {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Result<Vec<i64>> {
        self.instance.board.placing(true);
        self.take_in_new(added)?;
        let starts = self.resolve(added)?;
        let offsets = starts.iter().map(|start| start.offset).collect();
        self.starts = added.iter().cloned().zip(starts).collect();
        Ok(offsets)
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Queue)>) {
        if self.failure.is_some() || self.stop.is_set() {
            return;
        }
        let partitions: Vec<TopicPartition> = added.iter().map(|(p, _)| p.clone()).collect();
        tracing::info!(partitions = names(&partitions), "assigned");
        let owned = added.into_iter().map(|(partition, queue)| {
            let start = self.starts.remove(&partition);
            OwnedPartition { partition, queue, start }
        });
        let owned = owned.collect();
        self.on(Event::Assigned(owned));
        self.say_what_waits();
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        tracing::info!(partitions = names(removed), "revoked");
        self.instance.metrics.rebalances.inc();
        self.on(Event::Revoked(removed.to_vec()));
        self.wait_for_workers();
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        tracing::warn!(partitions = names(removed), "lost");
        self.instance.metrics.rebalances.inc();
        self.on(Event::Lost(removed.to_vec()));
        self.wait_for_workers();
    }
}
