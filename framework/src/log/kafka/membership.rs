//! Membership in a group: rebalances are answered here, with the listener at hand.
//!
//! One thread polls. The client's callback notes a rebalance down; after the poll has returned,
//! the listener is asked for positions or told to stop, the queues are taken off or closed, and
//! only then the client is told that the partitions are assigned or given back. Until then the
//! group waits, and librdkafka stands still, as it would in its own callback.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::deadline::{Deadline, now};
use super::error;
use super::events::{
    Consumer, Rebalance, decline, is_incremental, list_of as partitions_list, locked,
};
use super::queue::{self, Identity};
use super::settings::KafkaSettings;
use super::tap::{Tap, TapQueue};
use crate::error::{Error, Result};
use crate::log::{
    Committed, Generation, GroupListener, GroupSpec, Member, Membership, PartitionQueue,
    TopicPartition, WaitingForBroker,
};

/// What the polling thread and the member handles share.
struct Group {
    name: String,
    consumer: Arc<Consumer>,
    taps: Mutex<BTreeMap<TopicPartition, Arc<Tap>>>,
    request_timeout: Duration,
}

/// A member of a group.
pub(super) struct KafkaMembership {
    settings: KafkaSettings,
    spec: GroupSpec,
    partitions: usize,
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
    ) -> Result<Self> {
        let group = Group::join(settings, spec, partitions)?;
        let place = Arc::new(Mutex::new(Arc::downgrade(&group)));
        let (settings, spec) = (settings.clone(), spec.clone());
        Ok(Self {
            settings,
            spec,
            partitions,
            group: Some(group),
            place,
            looked: now(),
            missing_since: None,
        })
    }

    /// What nothing rings for: a log that was cut beyond a position, and a topic that comes back.
    fn look(&mut self, group: &Group) -> Result<()> {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = now();
        locked(&group.taps).values().for_each(|tap| tap.look());
        let Some(since) = self.missing_since else { return Ok(()) };
        match group.missing_topic(&self.spec.topics) {
            Some(Some(topic)) if is_gone(since.elapsed()) => Err(Error::MissingTopic { topic }),
            Some(None) => {
                tracing::info!(group = group.name, "all topics of the group are known again");
                self.missing_since = None;
                Ok(())
            }
            // Still missing, or nobody answers.
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
        tracing::error!(group = self.spec.group, %error, "the client failed; joining again");
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
        let group = Group::join(&self.settings, &self.spec, self.partitions)?;
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
    fn join(settings: &KafkaSettings, spec: &GroupSpec, partitions: usize) -> Result<Arc<Self>> {
        let what = format!("joining group {}", spec.group);
        let consumer = Consumer::open(&settings.member(spec, partitions)?)
            .map_err(|error| error::from_client(&what, None, &error))?;
        let topics: Vec<&str> = spec.topics.iter().map(String::as_str).collect();
        let subscribed = consumer.subscribe(&topics);
        subscribed.map_err(|error| Error::Fatal { what, reason: error.to_string() })?;
        Ok(Arc::new(Self {
            name: spec.group.clone(),
            consumer: Arc::new(consumer),
            taps: Mutex::default(),
            request_timeout: settings.request_timeout,
        }))
    }

    fn identity(&self) -> Option<Identity> {
        Identity::of(&self.consumer).filter(Identity::is_member)
    }

    fn is_member(&self) -> bool {
        !self.consumer.assignment_lost() && self.identity().is_some()
    }

    fn assign(&self, added: &[TopicPartition], listener: &mut dyn GroupListener) -> Result<()> {
        let starts = if added.is_empty() { Vec::new() } else { listener.start_offsets(added) };
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

fn not_owned(partition: &TopicPartition) -> Error {
    Error::Aborted {
        what: format!("use of {partition}"),
        reason: "the member does not own it any more".to_owned(),
    }
}

/// What workers do in the name of a member. It does not keep the member in its group.
struct KafkaMember {
    place: Arc<Mutex<Weak<Group>>>,
}

/// How long a commit rests before it asks whether the client has learned its new epoch.
const EPOCH_PAUSE: Duration = Duration::from_millis(50);

impl KafkaMember {
    fn group(&self) -> Result<Arc<Group>> {
        locked(&self.place).upgrade().ok_or_else(|| Error::Fenced {
            what: "member".to_owned(),
            reason: "it has left its group".to_owned(),
        })
    }
}

impl Member for KafkaMember {
    fn commit(&self, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let group = self.group()?;
        let what = format!("commit of group {}", group.name);
        if !group.is_member() {
            let reason = "the member is no longer in the group".to_owned();
            return Err(Error::Aborted { what, reason });
        }
        let list = list_of(offsets)?;
        let _waiting = WaitingForBroker::begin();
        let deadline = Deadline::after(group.request_timeout);
        loop {
            // Also in between: the next epoch may be one without these partitions.
            for (partition, _) in offsets {
                group.tap(partition)?;
            }
            let wait = deadline.left();
            match queue::commit(&group.consumer, &list, wait) {
                Ok(()) => return Ok(()),
                // The epoch of a KIP-848 member grows while it keeps its partitions; the client
                // learns the new one with its next heartbeat.
                Err(Code::StaleMemberEpoch) if group.is_member() && !deadline.passed() => {
                    deadline.rest(EPOCH_PAUSE);
                }
                Err(code) => return Err(error::from_code(&what, None, code, "")),
            }
        }
    }

    fn seek(&self, positions: &[(TopicPartition, i64)]) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let group = self.group()?;
        let _waiting = WaitingForBroker::begin();
        let deadline = Deadline::after(group.request_timeout);
        let mut left: Vec<(TopicPartition, i64)> = positions.to_vec();
        loop {
            left = group.seek_once(&left, deadline.left())?;
            let Some((partition, _)) = left.first() else { return Ok(()) };
            if deadline.passed() {
                return Err(Error::Unavailable {
                    what: format!("seek of {partition}"),
                    reason: "the client has not started it yet".to_owned(),
                });
            }
            deadline.rest(Duration::from_millis(5));
        }
    }

    fn generation(&self) -> Result<Generation> {
        let group = self.group()?;
        let nobody = || Error::Aborted {
            what: format!("identity in group {}", group.name),
            reason: "the member is in no generation".to_owned(),
        };
        if group.consumer.assignment_lost() {
            return Err(nobody());
        }
        Ok(Generation(Box::new(group.identity().ok_or_else(nobody)?)))
    }
}

impl Group {
    /// Seeks, and returns what the client was not ready for.
    fn seek_once(
        &self,
        positions: &[(TopicPartition, i64)],
        wait: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            self.tap(partition)?;
            let at = Offset::Offset(*offset);
            list.add_partition_offset(&partition.topic, partition.partition, at)
                .map_err(|error| error::from_client("seek", Some(&partition.topic), &error))?;
        }
        let sought = self.consumer.seek_partitions(list, wait.max(Duration::from_millis(1)));
        let sought = sought.map_err(|error| Error::Unavailable {
            what: format!("seek in group {}", self.name),
            reason: error.to_string(),
        })?;
        let mut again = Vec::new();
        for (element, (partition, offset)) in sought.elements().iter().zip(positions) {
            match element.error() {
                Ok(()) => self.tap(partition)?.sought(*offset),
                Err(error) => match error.rdkafka_error_code() {
                    // The fetcher of a partition that was just assigned is about to start.
                    Some(Code::State | Code::PreviousInProgress | Code::InProgress) => {
                        again.push((partition.clone(), *offset));
                    }
                    _ => {
                        let what = format!("seek of {partition}");
                        return Err(error::from_client(&what, Some(&partition.topic), &error));
                    }
                },
            }
        }
        Ok(again)
    }
}

/// Positions as the client wants them, with their texts.
pub(super) fn list_of(offsets: &[(TopicPartition, Committed)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        element
            .set_offset(Offset::Offset(committed.offset))
            .map_err(|error| error::from_client("commit", Some(&partition.topic), &error))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_gone_after_a_minute_and_not_before() {
        assert!(!is_gone(MISSING_MAX - Duration::from_millis(1)) && is_gone(MISSING_MAX));
    }

    #[test]
    fn positions_keep_their_texts() {
        let committed = Committed { offset: 7, metadata: "AgAAAAA=".to_owned() };
        let list = list_of(&[(TopicPartition::new("orders", 3), committed)]).expect("valid");
        let element = list.find_partition("orders", 3).expect("added");
        assert_eq!((element.offset(), element.metadata()), (Offset::Offset(7), "AgAAAAA="));
    }

    #[test]
    fn a_member_that_left_is_fenced() {
        let member = KafkaMember { place: Arc::default() };
        assert!(matches!(member.generation(), Err(Error::Fenced { .. })));
    }
}
