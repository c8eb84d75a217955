//! The control thread of an instance: it prepares the topics and holds the membership in the group.
//! The listener decides what happens to partitions.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use crate::error::{Error, Reaction, Result};
use crate::log::{GroupSpec, Isolation, Membership};
use crate::metrics::Beating;
use crate::runtime::board::Waiter;
use crate::runtime::global::GlobalThread;
use crate::runtime::group::listener::Listener;
use crate::runtime::instance::Instance;
use crate::runtime::internal_topics;
use crate::runtime::stop::StopSignal;
use crate::runtime::task_plan::TaskPlan;
use crate::runtime::worker::{TakeOver, WorkerMailbox};
use crate::topology::SubTopologyShape;

/// How long one poll of the group waits: only stopping is noticed this late.
const POLL: Duration = Duration::from_millis(50);
/// A member of a KIP-848 group learns its part with one of its first heartbeats.
const NOTHING_GIVEN: Duration = Duration::from_secs(12);
/// Between two events of a client that tells errors.
const NEXT_EVENT: Duration = Duration::from_millis(5);
/// Between two polls that fail by themselves, at most.
const POLL_AGAIN_MAX: Duration = Duration::from_millis(500);
/// How long a topic of the user may be missing: the one who creates it may be starting too.
const MISSING_TOPIC_PATIENCE: Duration = Duration::from_secs(15);

/// What was told last. The same again at each try is a wall of lines: what is waited for is said by the thread that
/// watches, ever more rarely.
#[derive(Default)]
struct Told(Option<String>);

impl Told {
    fn is_new(&mut self, what: String) -> bool {
        let is_new = self.0.as_ref() != Some(&what);
        self.0 = Some(what);
        is_new
    }
}

/// The control thread.
pub(crate) struct Control {
    instance: Arc<Instance>,
    workers: Vec<WorkerMailbox>,
    stop: Arc<StopSignal>,
    failures: Receiver<Error>,
    /// Runs from when the topics are there.
    global_thread: Option<GlobalThread>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(
        instance: Arc<Instance>,
        workers: Vec<WorkerMailbox>,
        stop: Arc<StopSignal>,
        failures: Receiver<Error>,
    ) -> Self {
        Self { instance, workers, stop, failures, global_thread: None }
    }

    /// Runs until told to stop or until something fails for good.
    ///
    /// # Errors
    /// What ended it, unless it was told to stop.
    pub(crate) fn run(&mut self) -> Result<()> {
        let Some(shapes) = self.prepare()? else { return Ok(()) };
        let plan = TaskPlan::new(&shapes)?;
        self.global_thread = GlobalThread::start(&self.instance)?;
        if !self.open_producers()? || !self.fill_global_tables()? {
            return Ok(());
        }
        tracing::info!(application = %self.instance.application_id, tasks = plan.tasks(), workers = self.workers.len(), "joining the group");
        let mut membership = self.instance.log.join(&self.group(&shapes))?;
        let what = "the group to share out its partitions".to_owned();
        self.instance.waits_for(Waiter::Member, what);
        let (instance, stop) = (Arc::clone(&self.instance), Arc::clone(&self.stop));
        let member = membership.member();
        let mut listener =
            Listener::new(instance, self.workers.clone(), stop, member, shapes, plan);
        let outcome = self.serve(&mut *membership, &mut listener);
        self.instance.stops();
        listener.leaving(outcome.is_ok());
        if let Err(error) = outcome {
            self.instance.ends_with(error);
        }
        self.instance.heartbeats.retire(Beating::Group);
        leave(membership, &mut listener);
        Ok(())
    }

    /// Describes and creates topics, trying again while the broker does not answer. `None`: told
    /// to stop meanwhile.
    fn prepare(&self) -> Result<Option<Vec<SubTopologyShape>>> {
        let (mut missing_since, mut told) = (None, Told::default());
        let mut tries = 0;
        self.instance.waits_for_topics();
        loop {
            self.instance.beat(Beating::Group);
            let prepared = internal_topics::prepare(
                &*self.instance.log,
                &self.instance.topology,
                &self.instance.application_id,
                &self.instance.settings,
            );
            let error = match prepared {
                Ok(shapes) => {
                    self.instance.board.has(Waiter::Start);
                    return Ok(Some(shapes));
                }
                Err(error) => error,
            };
            let why = format!("{error:?}");
            self.instance.waits_for(Waiter::Start, format!("the topics: {why}"));
            // Counted from the first answer: before it no topic could be created.
            let now = self.instance.clock.elapsed();
            let patient = matches!(error, Error::MissingTopic { .. })
                && now.saturating_sub(*missing_since.get_or_insert(now)) < MISSING_TOPIC_PATIENCE;
            if error.reaction() != Reaction::Retry && !patient {
                return Err(error);
            }
            self.instance.metrics.error(&error);
            let wait = self.instance.settings.backoff(tries);
            if told.is_new(why) {
                tracing::warn!(?error, "not ready to start: trying again");
            }
            tries += 1;
            if self.stop.wait(wait) {
                return Ok(None);
            }
        }
    }

    /// Opens the producers of all workers, trying again while the broker does not answer. The
    /// offsets in a transaction that a predecessor left open have no stable value before it ends:
    /// were the group joined first, its positions could not be had. False: told to stop meanwhile.
    fn open_producers(&self) -> Result<bool> {
        let mut opening = self.take_over(0..self.workers.len());
        let mut tries = 0;
        self.instance.waits_for(Waiter::Start, "the producers of the workers".to_owned());
        while !opening.is_empty() {
            self.instance.beat(Beating::Group);
            if let Ok(error) = self.failures.try_recv() {
                return Err(error);
            }
            let mut refused = None;
            let mut again = Vec::new();
            opening.retain(|(worker, answer)| match answer.try_recv() {
                Ok(Ok(())) => false,
                Ok(Err(error)) => {
                    again.push(*worker);
                    refused = Some(error);
                    false
                }
                Err(TryRecvError::Empty) => true,
                // It said why; see above.
                Err(TryRecvError::Disconnected) => true,
            });
            let mut wait = POLL;
            if let Some(error) = refused {
                if !matches!(error.reaction(), Reaction::Retry | Reaction::Rebuild) {
                    return Err(error);
                }
                wait = self.instance.settings.backoff(tries);
                tracing::warn!(
                    ?error,
                    ?wait,
                    tries,
                    "a producer cannot be opened yet: trying again"
                );
                let what = format!("the producers of the workers: {error:?}");
                self.instance.waits_for(Waiter::Start, what);
                tries += 1;
            }
            if self.stop.wait(wait) {
                return Ok(false);
            }
            opening.extend(self.take_over(again));
        }
        if self.instance.settings.exactly_once {
            self.instance.state_dir.note_workers(self.workers.len())?;
        }
        self.instance.board.has(Waiter::Start);
        Ok(true)
    }

    /// The thread of the global tables, if one was started: it is to end after the tasks.
    pub(crate) fn into_global_thread(self) -> Option<GlobalThread> {
        self.global_thread
    }

    /// Waits until the global tables are complete: no task runs before. False: told to stop meanwhile.
    fn fill_global_tables(&self) -> Result<bool> {
        let wanted = !self.instance.topology.global_tables().is_empty();
        while wanted && !self.instance.globals.are_complete() {
            self.instance.beat(Beating::Group);
            if let Ok(error) = self.failures.try_recv() {
                return Err(error);
            }
            if self.stop.wait(POLL) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_over(
        &self,
        workers: impl IntoIterator<Item = usize>,
    ) -> Vec<(usize, Receiver<Result<()>>)> {
        let tell = |index: usize| {
            let (answer, answered) = sync_channel(1);
            // One that has ended says so by its answer, which never comes, and by a failure.
            let _ = self.workers.get(index)?.take_over.try_send(TakeOver { answer });
            Some((index, answered))
        };
        workers.into_iter().filter_map(tell).collect()
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
        let mut away = false;
        let mut empty_since = None;
        let mut looked = self.instance.clock.elapsed();
        while !self.stop.is_set() {
            self.instance.beat(Beating::Group);
            if let Ok(error) = self.failures.try_recv() {
                return Err(error);
            }
            let polled = membership.poll(POLL, listener);
            listener.take_late();
            listener.clean();
            if let Some(error) = listener.take_failure() {
                return Err(error);
            }
            match polled {
                Ok(()) => {
                    tries = 0;
                    // The client tells of an outage now and then; between is no end of it.
                    if self.instance.log.brokers_connected() != Some(0) {
                        away = false;
                        self.instance.board.has(Waiter::Group);
                    }
                    if self.owns_nothing(membership, &mut empty_since) {
                        listener.placed();
                    }
                    self.look_at_topics(&mut looked, membership, listener)?;
                }
                // Not the group's: an assignment waited for the broker when the end came.
                Err(_) if self.stop.is_set() => {}
                Err(error) if error.reaction() == Reaction::Retry => {
                    self.instance.metrics.error(&error);
                    let wait = self.instance.settings.backoff(tries);
                    self.instance.waits_for(Waiter::Group, format!("the group: {error:?}"));
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(
                            ?error,
                            "the group cannot be reached: the client goes on trying"
                        );
                    }
                    tries += 1;
                    // A client that counts its connections tells errors as events of a queue. A pause
                    // lets them pile up, and holds up what comes behind: the next assignment.
                    let queued = self.instance.log.brokers_connected().is_some();
                    self.stop.wait(wait.min(if queued { NEXT_EVENT } else { POLL_AGAIN_MAX }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Control {
    /// Looks at the user's topics now and then: which ones match patterns, how many partitions sinks have.
    fn look_at_topics(
        &self,
        looked: &mut Duration,
        membership: &mut dyn Membership,
        listener: &mut Listener,
    ) -> Result<()> {
        let now = self.instance.clock.elapsed();
        if now.saturating_sub(*looked) < self.instance.settings.metadata_age_max {
            return Ok(());
        }
        *looked = now;
        self.look_at_sinks();
        if !self.instance.topology.reads_patterns() {
            return Ok(());
        }
        match listener.look_for_topics() {
            Ok(None) => Ok(()),
            Ok(Some(topics)) => membership.subscribe(&topics),
            Err(error) if error.reaction() == Reaction::Retry => {
                tracing::warn!(
                    ?error,
                    "it is not known which topics match patterns; looking again later"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Looks up how many partitions the user's sink topics have.
    fn look_at_sinks(&self) {
        let sinks = self.instance.topology.sub_topologies().iter().flat_map(|sub| &sub.sinks);
        for sink in sinks.filter(|sink| !sink.internal) {
            match self.instance.log.describe(&[&*sink.topic]) {
                Ok(described) => {
                    for topic in described.into_iter().flatten() {
                        self.instance.sinks.note(&topic.name, topic.partitions);
                    }
                }
                // The counts that are known go on.
                Err(error) => tracing::debug!(topic = %sink.topic, ?error, "not described"),
            }
        }
    }

    /// True for a member of a KIP-848 group that has been given nothing for a while: there are
    /// more instances than partitions, which that protocol does not say.
    fn owns_nothing(&self, membership: &dyn Membership, since: &mut Option<Duration>) -> bool {
        let waits = self.instance.settings.incremental
            && self.instance.board.is_placing()
            && membership.member().generation().is_ok();
        if !waits {
            *since = None;
            return false;
        }
        let now = self.instance.clock.elapsed();
        now.saturating_sub(*since.get_or_insert(now)) >= NOTHING_GIVEN
    }
}

fn leave(membership: Box<dyn Membership>, listener: &mut Listener) {
    if let Err(error) = membership.leave(listener) {
        tracing::warn!(?error, "the group was not told that this instance leaves");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_again_when_it_changes() {
        let mut told = Told::default();
        let tries = ["no broker", "no broker", "no topic a", "no topic a", "no broker"];
        let new: Vec<_> = tries.iter().map(|why| told.is_new((*why).to_owned())).collect();
        assert_eq!(new, [true, false, true, false, true]);
    }
}
