//! The control thread of an instance: it prepares the topics and holds the membership in the group.
//! What happens to partitions is the listener's business.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use actix::Addr;

use crate::error::{Error, Reaction, Result};
use crate::log::{GroupSpec, Isolation, Membership};
use crate::runtime::assignment::{SubTopologyShape, TaskPlan};
use crate::runtime::board::StreamsState;
use crate::runtime::instance::Instance;
use crate::runtime::internal_topics;
use crate::runtime::listener::Listener;
use crate::runtime::stop::StopSignal;
use crate::runtime::worker::Worker;

/// How long one poll of the group waits: only stopping is noticed this late.
const POLL: Duration = Duration::from_millis(50);
/// How long a missing source topic may be missing: the one who creates it may be starting too.
const MISSING_TOPIC_PATIENCE: Duration = Duration::from_secs(15);

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
        let (instance, stop) = (Arc::clone(&self.instance), Arc::clone(&self.stop));
        let member = membership.member();
        let mut listener = Listener::new(instance, self.workers.clone(), stop, member, plan);
        let outcome = self.serve(&mut *membership, &mut listener);
        self.instance.board.set_instance(StreamsState::Stopping);
        if outcome.is_err() {
            listener.end_commits();
        }
        leave(membership, &mut listener);
        outcome
    }

    /// Describes and creates topics, trying again while the broker does not answer. `None`: told
    /// to stop meanwhile.
    fn prepare(&self) -> Result<Option<Vec<SubTopologyShape>>> {
        let mut missing_since = None;
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
            // Counted from the first answer: before it nobody could create a topic.
            let now = self.instance.clock.elapsed();
            let patient = matches!(error, Error::MissingTopic { .. })
                && now.saturating_sub(*missing_since.get_or_insert(now)) < MISSING_TOPIC_PATIENCE;
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
            listener.take_late();
            if let Some(error) = listener.take_failure() {
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

fn leave(membership: Box<dyn Membership>, listener: &mut Listener) {
    if let Err(error) = membership.leave(listener) {
        tracing::warn!(%error, "the group was not told that this instance leaves");
    }
}
