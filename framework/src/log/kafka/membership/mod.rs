//! Membership in a group: rebalances are answered here, with the listener at hand.
//!
//! One thread polls. The client's callback notes a rebalance down; after the poll has returned,
//! the listener is asked for positions or told to stop, the queues are taken off or closed, and
//! only then the client is told that the partitions are assigned or given back. Until then the
//! group waits, and librdkafka stands still, as it would in its own callback.

mod group;
mod member;

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use self::group::Group;
use self::member::{KafkaMember, not_owned};
use super::error;
use super::events::{Consumer, Rebalance, decline, is_incremental, list_of as partitions_list};
use super::identity::Identity;
use super::lag::Brokers;
use super::settings::KafkaSettings;
use super::tap::{Tap, TapQueue};
use crate::log::deadline::{Deadline, now};
use crate::log::locked::locked;
pub(super) use member::list_of;

use crate::error::{Error, Result};
use crate::log::{GroupListener, GroupSpec, Member, Membership, PartitionQueue};
use crate::record::TopicPartition;

/// A member of a group.
pub(super) struct KafkaMembership {
    settings: KafkaSettings,
    spec: GroupSpec,
    partitions: usize,
    brokers: Arc<Brokers>,
    /// `None` once it has left, and between a failed client and the next.
    group: Option<Arc<Group>>,
    /// Where the handles find the group.
    place: Arc<Mutex<Weak<Group>>>,
    looked: Instant,
    /// Since when the broker does not know a topic of the group.
    missing_since: Option<Instant>,
}

impl KafkaMembership {
    /// Joins; `partitions` is how many the topics have together.
    pub(super) fn join(
        settings: &KafkaSettings,
        spec: &GroupSpec,
        partitions: usize,
        brokers: Arc<Brokers>,
    ) -> Result<Self> {
        let group = Group::join(settings, spec, partitions, &brokers)?;
        let place = Arc::new(Mutex::new(Arc::downgrade(&group)));
        let (settings, spec) = (settings.clone(), spec.clone());
        Ok(Self {
            settings,
            spec,
            partitions,
            brokers,
            group: Some(group),
            place,
            looked: now(),
            missing_since: None,
        })
    }

    /// What no callback of the client reports: a log that was cut beyond a position, a topic that comes back, a broker that
    /// is away.
    fn look(&mut self, group: &Group) -> Result<()> {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = now();
        group.consumer.context().reports.want();
        locked(&group.taps).values().for_each(|tap| tap.look());
        let Some(since) = self.missing_since else { return Ok(()) };
        match group.missing_topic(&self.spec.topics) {
            Some(Some(topic)) if is_gone(since.elapsed()) => Err(Error::MissingTopic { topic }),
            Some(None) => {
                tracing::info!(group = group.name, "all topics of the group are known again");
                self.missing_since = None;
                Ok(())
            }
            // Still missing, or no broker answers.
            Some(Some(_)) | None => Ok(()),
        }
    }

    /// A client beyond repair is replaced by a new one, which joins as somebody else. (One that
    /// is put out of a KIP-848 group may get there: librdkafka joins again with partitions it has
    /// not given back yet, which the broker refuses for good.)
    fn replace(&mut self, code: Code, said: &str, listener: &mut dyn GroupListener) -> Result<()> {
        let what = format!("polling group {}", self.spec.group);
        let error = error::from_code(&what, None, code, said);
        if matches!(error, Error::Fenced { .. }) || is_refused(code) {
            return Err(error);
        }
        tracing::error!(group = self.spec.group, ?error, "the client failed; joining again");
        let Some(group) = self.group.take() else { return Ok(()) };
        let lost: Vec<TopicPartition> = locked(&group.taps).keys().cloned().collect();
        if !lost.is_empty() {
            listener.lost(&lost);
        }
        shut(group);
        self.join_again()?;
        Err(Error::Unavailable { what, reason: format!("{said}; joining again") })
    }

    fn join_again(&mut self) -> Result<Arc<Group>> {
        let group = Group::join(&self.settings, &self.spec, self.partitions, &self.brokers)?;
        *locked(&self.place) = Arc::downgrade(&group);
        self.group = Some(Arc::clone(&group));
        Ok(group)
    }
}

/// True for what trying again would not change.
fn is_refused(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedVersion
            | Code::UnsupportedAssignor
            | Code::UnreleasedInstanceId
    )
}

/// How often positions are compared with the beginnings of the logs.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So long a topic of the group may be unknown to the brokers before it counts as deleted: one that
/// starts, or that was given a partition, may take a while to learn of it.
const MISSING_MAX: Duration = Duration::from_secs(60);
/// How long a look for a missing topic may hold up the group.
const MISSING_LOOK_MAX: Duration = Duration::from_secs(1);

fn is_gone(missing: Duration) -> bool {
    missing >= MISSING_MAX
}

impl Membership for KafkaMembership {
    fn poll(&mut self, timeout: Duration, listener: &mut dyn GroupListener) -> Result<()> {
        let group = match &self.group {
            Some(group) => Arc::clone(group),
            // A failed client was given up, and the new one could not be made.
            None => self.join_again()?,
        };
        self.look(&group)?;
        let polled = match group.consumer.poll(timeout) {
            None => Ok(()),
            Some(Ok(_)) => Err(Error::Fatal {
                what: format!("polling group {}", group.name),
                reason: "a record came through the main queue instead of its partition's".into(),
            }),
            Some(Err(error)) => {
                if error.rdkafka_error_code().is_some_and(error::is_unknown_topic) {
                    self.missing_since.get_or_insert_with(now);
                }
                Err(group.polling_error(&error))
            }
        };
        if let Some((code, said)) = group.consumer.client().fatal_error() {
            drop(group);
            return self.replace(code, &said, listener);
        }
        while let Some(rebalance) = group.consumer.context().next_rebalance() {
            let done = match &rebalance {
                Rebalance::Assign(added) => group.assign(added, listener),
                Rebalance::Revoke { partitions, lost } => group.revoke(partitions, *lost, listener),
            };
            if done.is_err() {
                decline(&group.consumer, &rebalance);
            }
            group.consumer.context().answered();
            done?;
        }
        polled
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.spec.topics = topics.to_vec();
        self.missing_since = None;
        // Between two clients the next one takes them.
        self.group.as_ref().map_or(Ok(()), |group| group.subscribe(topics))
    }

    fn member(&self) -> Arc<dyn Member> {
        Arc::new(KafkaMember { place: Arc::clone(&self.place) })
    }

    fn leave(mut self: Box<Self>, listener: &mut dyn GroupListener) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let owned: Vec<TopicPartition> = locked(&group.taps).keys().cloned().collect();
        if !owned.is_empty() {
            if group.is_member() {
                listener.revoked(&owned);
            } else {
                listener.lost(&owned);
            }
        }
        let fatal = group.consumer.client().fatal_error();
        shut(group);
        match fatal {
            Some((code, said)) => Err(error::from_code("leaving the group", None, code, &said)),
            None => Ok(()),
        }
    }
}

impl Drop for KafkaMembership {
    /// Without `leave`, for example in a panic: the group is told, the listener is not.
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            shut(group);
        }
    }
}

impl fmt::Debug for KafkaMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaMembership({:?})", self.group.as_ref().map(|group| &group.name))
    }
}

/// Closes the queues and leaves the group. Closing waits for the broker, and may wait for ever where
/// a worker hangs with something of the client's in its hands: it is left to a thread of its own
/// after a while.
fn shut(group: Arc<Group>) {
    let (done, waited) = sync_channel::<()>(0);
    let name = group.name.clone();
    let close = move || {
        close(group);
        drop(done);
    };
    match Builder::new().name("millstream-leave".to_owned()).spawn(close) {
        Ok(_) => {
            if waited.recv_timeout(LEAVE_PATIENCE) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!(group = name, "leaving the group takes long: going on without");
            }
        }
        Err(error) => tracing::error!(group = name, %error, "no thread to leave the group with"),
    }
}

/// So long the client may take to leave and to close.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

fn close(group: Arc<Group>) {
    let taps = std::mem::take(&mut *locked(&group.taps));
    taps.values().for_each(|tap| tap.close());
    drop(taps);
    let consumer = Arc::clone(&group.consumer);
    let patience = group.request_timeout;
    drop(group);
    consumer.context().close();
    while let Some(rebalance) = consumer.context().next_rebalance() {
        decline(&consumer, &rebalance);
        consumer.context().answered();
    }
    if consumer.client().fatal_error().is_some() {
        // The client would not close while a rebalance waits for an answer, and would not ask
        // for one either: the callback answers those that are under way.
        let deadline = Deadline::after(FATAL_PATIENCE);
        while !deadline.passed() {
            let _ = consumer.poll(deadline.left());
        }
    }
    // The last owner closes the client when it drops it. If somebody still holds a batch, it must
    // not be the batch's end that tells the group.
    if let Err(shared) = Arc::try_unwrap(consumer)
        && shared.close_queue().is_ok()
    {
        let deadline = Deadline::after(patience);
        while !shared.closed() && !deadline.passed() {
            let _ = shared.poll(deadline.left().min(Duration::from_millis(50)));
        }
    }
}

/// So long a failed client is polled for what it still wants to say.
const FATAL_PATIENCE: Duration = Duration::from_millis(300);

impl Group {
    fn join(
        settings: &KafkaSettings,
        spec: &GroupSpec,
        partitions: usize,
        brokers: &Arc<Brokers>,
    ) -> Result<Arc<Self>> {
        let what = format!("joining group {}", spec.group);
        let consumer = Consumer::member(&settings.member(spec, partitions)?, brokers)
            .map_err(|error| error::from_client(&what, None, &error))?;
        let group = Self {
            name: spec.group.clone(),
            consumer: Arc::new(consumer),
            taps: Mutex::default(),
            request_timeout: settings.request_timeout,
        };
        group.subscribe(&spec.topics)?;
        Ok(Arc::new(group))
    }

    fn subscribe(&self, topics: &[String]) -> Result<()> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(|error| Error::Fatal {
            what: format!("subscribing in group {}", self.name),
            reason: error.to_string(),
        })
    }

    fn identity(&self) -> Option<Identity> {
        Identity::of(&self.consumer).filter(Identity::is_member)
    }

    fn is_member(&self) -> bool {
        !self.consumer.assignment_lost() && self.identity().is_some()
    }

    fn assign(&self, added: &[TopicPartition], listener: &mut dyn GroupListener) -> Result<()> {
        let starts = if added.is_empty() { Vec::new() } else { listener.start_offsets(added)? };
        let what = || format!("assignment in group {}", self.name);
        if starts.len() != added.len() || starts.iter().any(|start| *start < 0) {
            return Err(Error::Fatal {
                what: what(),
                reason: format!("{} partitions start at {starts:?}", added.len()),
            });
        }
        let mut list = TopicPartitionList::with_capacity(added.len());
        let mut taps = Vec::with_capacity(added.len());
        for (partition, start) in added.iter().zip(starts) {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(start))
                .map_err(|error| error::from_client(&what(), Some(&partition.topic), &error))?;
            taps.push((partition.clone(), Tap::take_off(&self.consumer, partition, start)?));
        }
        let assigned = if is_incremental(&self.consumer) {
            self.consumer.incremental_assign(&list)
        } else {
            self.consumer.assign(&list)
        };
        assigned.map_err(|error| Error::Fatal { what: what(), reason: error.to_string() })?;
        locked(&self.taps).extend(taps.iter().cloned());
        let queues = taps.into_iter().map(|(partition, tap)| {
            (partition, Box::new(TapQueue(tap)) as Box<dyn PartitionQueue>)
        });
        listener.assigned(queues.collect());
        Ok(())
    }

    fn revoke(
        &self,
        removed: &[TopicPartition],
        lost: bool,
        listener: &mut dyn GroupListener,
    ) -> Result<()> {
        if lost {
            listener.lost(removed);
        } else if !removed.is_empty() {
            listener.revoked(removed);
        }
        for partition in removed {
            let tap = locked(&self.taps).remove(partition);
            if let Some(tap) = tap {
                tap.close();
            }
        }
        let answered = if is_incremental(&self.consumer) {
            self.consumer.incremental_unassign(&partitions_list(removed))
        } else {
            self.consumer.unassign()
        };
        answered.map_err(|error| Error::Fatal {
            what: format!("revocation in group {}", self.name),
            reason: error.to_string(),
        })
    }

    fn polling_error(&self, error: &KafkaError) -> Error {
        let what = format!("polling group {}", self.name);
        let said = self.consumer.context().said();
        match error.rdkafka_error_code() {
            Some(code) if error::is_unknown_topic(code) => {
                let reason = if said.is_empty() { code.to_string() } else { said };
                Error::Unavailable { what, reason }
            }
            Some(code @ Code::TopicAuthorizationFailed) => Error::Topic {
                topic: format!("of group {}", self.name),
                reason: { if said.is_empty() { code.to_string() } else { said } },
            },
            Some(Code::PollExceeded) => {
                tracing::error!(group = self.name, "the group was not polled in time");
                Error::Unavailable { what, reason: format!("{said}; joining again") }
            }
            Some(code) => error::from_code(&what, None, code, &said),
            None => error::from_client(&what, None, error),
        }
    }

    /// The first of these topics that the broker does not know; none if it does not say.
    #[expect(clippy::option_option, reason = "nothing is missing, or nothing is known")]
    fn missing_topic(&self, topics: &[String]) -> Option<Option<String>> {
        let patience = self.request_timeout.min(MISSING_LOOK_MAX);
        for topic in topics {
            let found = self.consumer.client().fetch_metadata(Some(topic), patience).ok()?;
            let found = found.topics().iter().find(|found| found.name() == topic);
            let code = found.and_then(|found| found.error()).map(Code::from);
            match code {
                None if found.is_some() => {}
                Some(code) if !error::is_unknown_topic(code) => return None,
                _ => return Some(Some(topic.clone())),
            }
        }
        Some(None)
    }

    /// The tap of an owned partition.
    fn tap(&self, partition: &TopicPartition) -> Result<Arc<Tap>> {
        locked(&self.taps).get(partition).cloned().ok_or_else(|| not_owned(partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_gone_after_a_minute_and_not_before() {
        assert!(!is_gone(MISSING_MAX - Duration::from_millis(1)) && is_gone(MISSING_MAX));
    }
}
