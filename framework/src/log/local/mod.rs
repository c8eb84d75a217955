//! The broker in this process: what the memory log and the embedded log share.
//!
//! One lock holds what the broker knows ([`state`]); a [`storage`] keeps records and positions.
//! Groups work as Kafka's classic protocol ([`group`]), transactions as Kafka's: records take
//! their offsets when they are sent, hold back the last stable offset until the end, and the end
//! takes an offset for a control record in each partition it wrote to ([`transaction`]). As on
//! Kafka the control records come partition by partition: the memory log can hold one back.

pub(crate) mod cleaning;
pub(crate) mod fault;
pub(crate) mod group;
pub(crate) mod handle;
pub(crate) mod limits;
pub(crate) mod member;
pub(crate) mod producer;
pub(crate) mod queue;
pub(crate) mod reader;
pub(crate) mod state;
pub(crate) mod storage;
pub(crate) mod transaction;

use std::mem;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::fault::{Faults, Operation};
use self::group::{Group, GroupLimits};
use self::member::LocalMembership;
use self::producer::LocalProducer;
use self::reader::LocalReader;
use self::state::{About, State};
use self::storage::{Slot, Storage};
use crate::error::{Error, Result};
use crate::log::{
    Committed, GroupSpec, Isolation, Log, Membership, NewTopic, OffsetRange, Producer,
    ProducerSpec, Reader, TopicDescription,
};
use crate::record::TopicPartition;

/// Takes a lock whose data stays sound even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the time comes from.
#[derive(Debug)]
pub(crate) enum Clock {
    /// It stands still until it is moved.
    Manual(AtomicI64),
    /// The system's.
    System,
}

impl Clock {
    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        match self {
            Self::Manual(now) => now.load(Ordering::Acquire),
            Self::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a broker stamps records and ends transactions by the system's clock"
                )]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// In what the two logs differ besides their storage.
#[derive(Debug)]
pub(crate) struct Manners {
    pub(crate) clock: Clock,
    pub(crate) groups: GroupLimits,
    /// A dropped producer ends its transaction and a dropped member leaves at once. Otherwise
    /// they are like dead processes: only time ends them.
    pub(crate) dropped_is_gone: bool,
    /// Larger records are refused by topics that do not say otherwise.
    pub(crate) record_bytes_max: usize,
}

/// The broker.
#[derive(Debug)]
pub(crate) struct Broker<S: Storage> {
    pub(crate) storage: S,
    pub(crate) manners: Manners,
    state: Mutex<State>,
    groups_changed: Condvar,
    records_changed: Condvar,
}

impl<S: Storage> Broker<S> {
    pub(crate) fn new(storage: S, manners: Manners, state: State) -> Self {
        Self {
            storage,
            manners,
            state: Mutex::new(state),
            groups_changed: Condvar::new(),
            records_changed: Condvar::new(),
        }
    }

    /// Acts under the lock, then tells those who wait.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let result = act(&mut state);
        let woken = mem::take(&mut state.woken);
        let (groups, records) = (state.group_news.take(), state.record_news.take());
        drop(state);
        if groups {
            self.groups_changed.notify_all();
        }
        if records {
            self.records_changed.notify_all();
        }
        for signal in woken {
            signal.fire();
        }
        result
    }

    /// Waits up to `timeout` until `find` finds something. `find` may change a group, which tells
    /// those who wait for groups, and nothing else.
    pub(crate) fn wait<T>(
        &self,
        about: About,
        timeout: Duration,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let changed = match about {
            About::Groups => &self.groups_changed,
            About::Records => &self.records_changed,
        };
        let mut found = None;
        let mut state = lock(&self.state);
        state.news(about).waiting += 1;
        let (mut state, _) = changed
            .wait_timeout_while(state, timeout, |state| {
                found = find(state);
                if state.group_news.take() {
                    self.groups_changed.notify_all();
                }
                found.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.news(about).waiting -= 1;
        found
    }

    /// The time.
    pub(crate) fn now(&self) -> i64 {
        self.manners.clock.now()
    }

    /// Ends what is overdue: transactions, sessions, rebalances, old records.
    pub(crate) fn expire(&self) {
        if self.storage.cleaning_due() {
            // What fails here fails again, and louder, where records are written.
            let _ = self.clean(false);
        }
        let now = self.now();
        self.with(|state| {
            self.expire_transactions(state, now);
            let topics = &state.topics;
            let partitions = |topic: &str| topics.partition_count(topic);
            for group in state.groups.values_mut() {
                state.group_news.is_new |= group.expire(now, self.manners.groups, &partitions);
            }
        });
    }

    /// Creates a topic if it is not there.
    pub(crate) fn create_topic(&self, state: &mut State, topic: &NewTopic) -> Result<()> {
        if state.topics.find(&topic.name).is_some() {
            return Ok(());
        }
        check_topic(topic)?;
        self.storage.topic_created(state.topics.next_id(), topic)?;
        state.topics.add(topic);
        let now = self.now();
        for group in state.groups.values_mut() {
            state.group_news.is_new |= group.topic_changed(&topic.name, now);
        }
        Ok(())
    }

    /// Deletes a topic, if it is there. Its number stays taken; who reads or writes it gets errors.
    fn delete_topic(&self, state: &mut State, name: &str) -> Result<()> {
        let Some((id, found)) = state.topics.find(name) else { return Ok(()) };
        let partitions = found.partitions.len();
        self.storage.topic_deleted(id)?;
        for partition in (0..).take(partitions) {
            state.wake(Slot { topic: id, partition }, true);
        }
        state.topics.remove(name);
        let now = self.now();
        for group in state.groups.values_mut() {
            group.offsets.retain(|tp, _| *tp.topic != *name);
            state.group_news.is_new |= group.topic_changed(name, now);
        }
        Ok(())
    }

    /// Gives a topic more partitions.
    pub(crate) fn add_partitions(
        &self,
        state: &mut State,
        name: &str,
        partitions: i32,
    ) -> Result<()> {
        let refused = |reason: String| Error::Topic { topic: name.to_owned(), reason };
        let (id, found) =
            state.topics.find(name).ok_or_else(|| refused("does not exist".to_owned()))?;
        let now_has = state.topics.partition_count(name);
        if partitions <= now_has {
            return Err(refused(format!("has {now_has} partitions: {partitions} are not more")));
        }
        let config = found.config.clone();
        let grown = NewTopic { name: name.to_owned(), partitions, replication_factor: 1, config };
        self.storage.topic_grown(id, &grown)?;
        state.topics.grow(name, partitions);
        let now = self.now();
        for group in state.groups.values_mut() {
            state.group_news.is_new |= group.topic_changed(name, now);
        }
        Ok(())
    }

    /// Creates a topic that nobody created, where that is wanted.
    pub(crate) fn auto_create(&self, state: &mut State, name: &str) -> Result<()> {
        if !state.auto_create {
            return Ok(());
        }
        let (name, config) = (name.to_owned(), Vec::new());
        self.create_topic(state, &NewTopic { name, partitions: 1, replication_factor: 1, config })
    }

    fn delete_below(&self, state: &mut State, tp: &TopicPartition, before: i64) -> Result<()> {
        let slot = state.slot(tp)?;
        let topic = state.topics.get(slot.topic);
        let policy = topic.and_then(|topic| topic.setting("cleanup.policy"));
        if policy.is_some_and(|policy| !policy.contains("delete")) {
            let reason = "its cleanup.policy does not allow to delete records".to_owned();
            return Err(Error::Topic { topic: (*tp.topic).to_owned(), reason });
        }
        let partition = state.partition(slot)?;
        if before > partition.next || before < 0 {
            return Err(Error::OffsetOutOfRange { partition: tp.clone(), offset: before });
        }
        self.delete_slot_below(state, slot, before)
    }

    /// Deletes what is below an offset that is in the log.
    pub(crate) fn delete_slot_below(
        &self,
        state: &mut State,
        slot: Slot,
        before: i64,
    ) -> Result<()> {
        let next = state.partition(slot)?.next;
        if before > state.partition(slot)?.start {
            self.storage.delete_below(slot, before, next)?;
            state.partition_mut(slot)?.start = before;
        }
        Ok(())
    }
}

/// Kafka's rules for a topic.
fn check_topic(topic: &NewTopic) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = topic.name.as_str();
    let reason = if name.is_empty() || name == "." || name == ".." || name.len() > 249 {
        "the name is empty, a dot, two dots or longer than 249"
    } else if !name.chars().all(legal) {
        "the name has other characters than letters, digits, '.', '_' and '-'"
    } else if topic.partitions < 1 {
        "it needs at least one partition"
    } else {
        return Ok(());
    };
    Err(Error::Topic { topic: name.to_owned(), reason: reason.to_owned() })
}

/// That nobody is in a group.
fn check_empty(state: &State, group: &str) -> Result<()> {
    if state.groups.get(group).is_some_and(|group| group.members() > 0) {
        return Err(Error::GroupInUse { group: group.to_owned() });
    }
    Ok(())
}

/// A broker in this process as a log.
#[derive(Debug)]
pub(crate) struct LocalLog<S: Storage>(pub(crate) Arc<Broker<S>>);

impl<S: Storage> Log for LocalLog<S> {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            let mut all = Vec::with_capacity(topics.len());
            for name in topics {
                self.0.auto_create(state, name)?;
                let partitions = state.topics.partition_count(name);
                let name = (*name).to_owned();
                all.push((partitions > 0).then_some(TopicDescription { name, partitions }));
            }
            Faults::answer(course, Operation::Admin, all)
        })
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for topic in topics {
                self.0.create_topic(state, topic)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for topic in topics {
                self.0.delete_topic(state, topic)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for (tp, offset) in before {
                self.0.delete_below(state, tp, *offset)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            self.0.auto_create(state, &partition.topic)?;
            let found = state.partition(state.slot(partition)?)?;
            let range = OffsetRange { earliest: found.start, end: found.end(isolation) };
            Faults::answer(course, Operation::Admin, range)
        })
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        let (slot, start, next) = self.0.with(|state| {
            Faults::answer(state.faults.before(Operation::Admin)?, Operation::Admin, ())?;
            let slot = state.slot(partition)?;
            let found = state.partition(slot)?;
            Ok::<_, Error>((slot, found.start, found.next))
        })?;
        self.0.storage.offset_at(slot, timestamp, start, next)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Committed)?;
            if let Some(tp) = partitions.iter().find(|tp| state.is_pending(group, tp)) {
                return Err(Error::Unavailable {
                    what: format!("committed offset of {tp} in group {group}"),
                    reason: "it is part of an open transaction".to_owned(),
                });
            }
            let offsets = state.groups.get(group).map(|group| &group.offsets);
            let find = |tp: &TopicPartition| offsets.and_then(|all| all.get(tp).cloned());
            let found = partitions.iter().map(find).collect();
            Faults::answer(course, Operation::Committed, found)
        })
    }

    fn group_members(&self, group: &str) -> Result<usize> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            let members = state.groups.get(group).map_or(0, Group::members);
            Faults::answer(course, Operation::Admin, members)
        })
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            check_empty(state, group)?;
            self.0.storage.group_deleted(group)?;
            state.groups.remove(group);
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            check_empty(state, group)?;
            self.0.storage.commit_offsets(group, offsets)?;
            state.set_offsets(group, offsets);
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        Ok(Box::new(LocalProducer::open(Arc::clone(&self.0), spec)?))
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        if spec.group.is_empty() || spec.topics.is_empty() {
            return Err(Error::Config("a group needs a name and topics".to_owned()));
        }
        Ok(Box::new(LocalMembership::new(Arc::clone(&self.0), spec.clone())))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        if isolation == Isolation::ReadUncommitted {
            self.0.with(|state| state.has_uncommitted_readers = true);
        }
        Ok(Box::new(LocalReader::new(Arc::clone(&self.0), isolation)))
    }
}
