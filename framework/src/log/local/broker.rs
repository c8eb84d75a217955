//! The broker: one lock, those who wait, and its topics.

use std::mem;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::clock::Clock;
use super::group::GroupLimits;
use super::state::{About, State};
use super::storage::{Slot, Storage};
use crate::error::{Error, Result};
use crate::log::NewTopic;
use crate::log::locked::locked;
use crate::record::TopicPartition;

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
        let mut state = locked(&self.state);
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
        let mut state = locked(&self.state);
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
    pub(super) fn delete_topic(&self, state: &mut State, name: &str) -> Result<()> {
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

    /// Creates a topic that does not exist, if the log is set up to.
    pub(crate) fn auto_create(&self, state: &mut State, name: &str) -> Result<()> {
        if !state.auto_create {
            return Ok(());
        }
        let (name, config) = (name.to_owned(), Vec::new());
        self.create_topic(state, &NewTopic { name, partitions: 1, replication_factor: 1, config })
    }

    pub(super) fn delete_below(
        &self,
        state: &mut State,
        tp: &TopicPartition,
        before: i64,
    ) -> Result<()> {
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
