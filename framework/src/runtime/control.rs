//! The control thread of an instance: it prepares the topics, holds the membership in the group,
//! and turns what happens to partitions into messages to the workers.
//!
//! The group waits while a callback runs, so a callback hands messages over and waits for their
//! answers within a budget (`max_poll_interval_ms` is the group's).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use actix::Addr;

use crate::error::{Error, Reaction, Result};
use crate::log::{
    GroupListener, GroupSpec, Isolation, Member, Membership, PartitionQueue, TopicPartition,
};
use crate::runtime::assignment::{Assignments, SubTopologyShape, TaskPlan};
use crate::runtime::board::StreamsState;
use crate::runtime::instance::Instance;
use crate::runtime::internal_topics;
use crate::runtime::positions::StartPosition;
use crate::runtime::stop::StopSignal;
use crate::runtime::worker::{AssignTasks, RevokeTasks, Worker};
use crate::task::{TaskId, TaskState};

/// How long one poll of the group waits: only stopping is noticed this late.
const POLL: Duration = Duration::from_millis(50);
/// How long a missing source topic may be missing: the one who creates it may be starting too.
const MISSING_TOPIC_PATIENCE: Duration = Duration::from_secs(15);

/// A partition's queue and where it starts; the position is absent where it must be looked up.
type Queued = (Box<dyn PartitionQueue>, Option<StartPosition>);

/// The control thread.
pub(crate) struct Control {
    instance: Arc<Instance>,
    workers: Vec<Addr<Worker>>,
    stop: Arc<StopSignal>,
    failures: Receiver<Error>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(
        instance: Arc<Instance>,
        workers: Vec<Addr<Worker>>,
        stop: Arc<StopSignal>,
        failures: Receiver<Error>,
    ) -> Self {
        Self { instance, workers, stop, failures }
    }

    /// Runs until told to stop or until something fails for good.
    ///
    /// # Errors
    /// What ended it, unless it was told to stop.
    pub(crate) fn run(&self) -> Result<()> {
        let Some(shapes) = self.prepare()? else { return Ok(()) };
        let plan = TaskPlan::new(&shapes)?;
        tracing::info!(application = %self.instance.application_id, tasks = plan.tasks(), workers = self.workers.len(), "joining the group");
        let mut membership = self.instance.log.join(&self.group(&shapes))?;
        let mut listener = Listener {
            instance: Arc::clone(&self.instance),
            workers: self.workers.clone(),
            stop: Arc::clone(&self.stop),
            member: membership.member(),
            assignments: Assignments::new(plan, self.workers.len()),
            starts: BTreeMap::new(),
            commits: true,
            failure: None,
        };
        let outcome = self.serve(&mut *membership, &mut listener);
        self.instance.board.set_instance(StreamsState::Stopping);
        // After a failure nobody knows what is whole: nothing more is committed.
        listener.commits = outcome.is_ok();
        let left = membership.leave(&mut listener);
        if let Err(error) = &left {
            tracing::warn!(%error, "the group was not told that this instance leaves");
        }
        outcome
    }

    /// Describes and creates topics, trying again while the broker does not answer. `None`: told
    /// to stop meanwhile.
    fn prepare(&self) -> Result<Option<Vec<SubTopologyShape>>> {
        let started = self.instance.clock.elapsed();
        let mut tries = 0;
        loop {
            let prepared = internal_topics::prepare(
                &*self.instance.log,
                &self.instance.topology,
                &self.instance.application_id,
                &self.instance.settings,
            );
            let error = match prepared {
                Ok(shapes) => return Ok(Some(shapes)),
                Err(error) => error,
            };
            let waited = self.instance.clock.elapsed().saturating_sub(started);
            let missing = matches!(error, Error::MissingTopic { .. });
            let patient = missing && waited < MISSING_TOPIC_PATIENCE;
            if error.reaction() != Reaction::Retry && !patient {
                return Err(error);
            }
            let wait = self.instance.settings.backoff(tries);
            tracing::warn!(%error, ?wait, tries, "not ready to start: trying again");
            tries += 1;
            if self.stop.wait(wait) {
                return Ok(None);
            }
        }
    }

    fn group(&self, shapes: &[SubTopologyShape]) -> GroupSpec {
        let settings = &self.instance.settings;
        let topics = shapes.iter().flat_map(|shape| &shape.topics);
        let isolation = if settings.exactly_once {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        };
        GroupSpec {
            group: self.instance.application_id.to_string(),
            topics: topics.map(|(topic, _)| topic.to_string()).collect(),
            isolation,
            static_member: settings.static_member.clone(),
            prefetch_bytes_max: settings.prefetch_bytes_max,
        }
    }

    fn serve(&self, membership: &mut dyn Membership, listener: &mut Listener) -> Result<()> {
        let mut tries = 0;
        while !self.stop.is_set() {
            if let Ok(error) = self.failures.try_recv() {
                return Err(error);
            }
            let polled = membership.poll(POLL, listener);
            if let Some(error) = listener.failure.take() {
                return Err(error);
            }
            match polled {
                Ok(()) => tries = 0,
                Err(error) if error.reaction() == Reaction::Retry => {
                    let wait = self.instance.settings.backoff(tries);
                    if tries == 0 {
                        tracing::warn!(%error, "the group cannot be reached: the client goes on trying");
                    }
                    tries += 1;
                    self.stop.wait(wait.min(Duration::from_millis(500)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Turns events of the group into messages to workers.
struct Listener {
    instance: Arc<Instance>,
    workers: Vec<Addr<Worker>>,
    stop: Arc<StopSignal>,
    member: Arc<dyn Member>,
    assignments: Assignments<Queued>,
    starts: BTreeMap<TopicPartition, StartPosition>,
    /// False after a failure: revoked partitions are given back without a commit.
    commits: bool,
    failure: Option<Error>,
}

impl Listener {
    /// The committed positions; waits for the broker as long as it takes.
    fn resolve(&self, added: &[TopicPartition]) -> Result<Option<Vec<StartPosition>>> {
        let mut tries = 0;
        loop {
            match self.instance.positions.resolve(added, self.instance.clock.now()) {
                Ok(starts) => return Ok(Some(starts)),
                Err(error) if error.reaction() == Reaction::Retry => {
                    let wait = self.instance.settings.backoff(tries);
                    tracing::info!(%error, ?wait, "waiting for the committed positions");
                    tries += 1;
                    if self.stop.wait(wait) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn stop_tasks(&mut self, removed: &[TopicPartition], lost: bool) {
        self.instance.metrics.rebalances.inc();
        let stops = self.assignments.revoked(removed);
        let mut answers = Vec::new();
        for (worker, tasks) in stops {
            let (answer, received) = sync_channel(1);
            let Some(worker) = self.workers.get(worker) else { continue };
            let lost = lost || !self.commits;
            match worker.try_send(RevokeTasks { tasks, lost, answer }) {
                Ok(()) => answers.push(received),
                Err(error) => tracing::error!(%error, "a worker cannot be told of a revocation"),
            }
        }
        let deadline = self.instance.clock.elapsed() + self.instance.settings.revoke_budget;
        for answer in answers {
            let left = deadline.saturating_sub(self.instance.clock.elapsed());
            match answer.recv_timeout(left) {
                Ok(queues) => {
                    let kept = queues.into_iter().filter(|(p, _)| !removed.contains(p));
                    let kept = kept.map(|(p, queue)| (p, (queue, None))).collect();
                    self.assignments.put_back(kept);
                }
                Err(RecvTimeoutError::Timeout) => tracing::error!(
                    "a worker did not commit within the time the group allows; its work since the last commit will be done again"
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    tracing::error!("a worker ended before it could commit");
                }
            }
        }
    }
}

impl GroupListener for Listener {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Vec<i64> {
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
        tracing::info!(partitions = ?added.iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>(), "assigned");
        let mut queued = Vec::new();
        for (partition, queue) in added {
            let start = self.starts.remove(&partition);
            queued.push((partition, (queue, start)));
        }
        let starts = self.assignments.assigned(queued);
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
        self.instance.board.set_instance(StreamsState::Running);
        for task in self.assignments.incomplete() {
            tracing::warn!(%task, "waits for the rest of its partitions");
        }
        if self.assignments.running().is_empty() {
            tracing::info!("this instance owns no task: there are more instances than partitions");
        }
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        tracing::info!(partitions = ?removed.iter().map(ToString::to_string).collect::<Vec<_>>(), "revoked");
        self.stop_tasks(removed, false);
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        tracing::warn!(partitions = ?removed.iter().map(ToString::to_string).collect::<Vec<_>>(), "lost");
        self.stop_tasks(removed, true);
    }
}
