//! What the broker knows: topics and their ends, groups, owners of transactional ids, open
//! transactions. Plain data under one lock; nothing here waits or calls anybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::fault::Faults;
use super::group::Group;
use super::limits::Limits;
use super::signal::Signal;
use super::storage::{GroupOffsets, Marker, Slot, TxnId};
use crate::error::{Error, Result};
use crate::log::{Committed, Isolation, NewTopic};
use crate::record::TopicPartition;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) topics: Topics,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) owners: HashMap<String, Owner>,
    pub(crate) txns: BTreeMap<TxnId, Txn>,
    /// Control records of ended transactions that are not in their partitions yet, in order.
    pub(crate) late: Vec<LateMarker>,
    pub(crate) faults: Faults,
    pub(crate) auto_create: bool,
    next_txn: TxnId,
    next_member: u64,
    /// For members that wait in a poll.
    pub(crate) group_news: News,
    /// For readers that wait for records.
    pub(crate) record_news: News,
    /// Some reader sees more than committed records; it stays so.
    pub(crate) has_uncommitted_readers: bool,
    /// To be called when the lock is released.
    pub(crate) woken: Vec<Arc<Signal>>,
}

/// What threads wait for; members and readers apart, so that a record wakes no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Groups,
    Records,
}

/// Whether something changed that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Threads that wait.
    pub(crate) waiting: usize,
    /// Something changed.
    pub(crate) is_new: bool,
}

impl News {
    /// True once if somebody is to be told.
    pub(crate) fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_new) && self.waiting > 0
    }
}

/// All topics, by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    list: Vec<Topic>,
    names: BTreeMap<Arc<str>, u32>,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) partitions: Vec<Partition>,
}

impl Topic {
    /// The value of a setting.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.config.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// First offset still there.
    pub(crate) start: i64,
    /// Offset of the next record.
    pub(crate) next: i64,
    /// First offset of each open transaction.
    pub(crate) open: BTreeMap<TxnId, i64>,
    /// Readers see nothing from here on: visibility is delayed on command.
    pub(crate) held: Option<i64>,
    /// Transactions end without their control record here: it is late on command.
    pub(crate) holds_markers: bool,
    /// Those who are told of new records.
    pub(crate) signals: Vec<Arc<Signal>>,
}

impl Partition {
    /// High watermark or last stable offset.
    pub(crate) fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.next,
            Isolation::ReadCommitted => self.open.values().min().copied().unwrap_or(self.next),
        }
    }

    /// Up to where a reader gets records now.
    pub(crate) fn readable(&self, isolation: Isolation) -> i64 {
        let end = self.end(isolation);
        self.held.map_or(end, |held| held.min(end))
    }
}

/// Who may use a transactional id.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    pub(crate) epoch: u32,
    pub(crate) open: Option<TxnId>,
}

/// A control record on its way: its transaction is over, but this partition does not know yet.
#[derive(Debug)]
pub(crate) struct LateMarker {
    pub(crate) txn: TxnId,
    pub(crate) transactional_id: String,
    pub(crate) commit: bool,
    pub(crate) slot: Slot,
    /// Offset of the transaction's first record here.
    pub(crate) first: i64,
}

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Txn {
    pub(crate) transactional_id: String,
    pub(crate) ends_by: i64,
    /// First offset in each partition it wrote to.
    pub(crate) touched: BTreeMap<Slot, i64>,
    pub(crate) offsets: Vec<GroupOffsets>,
}

impl Topics {
    /// Finds a topic by name.
    pub(crate) fn find(&self, name: &str) -> Option<(u32, &Topic)> {
        let id = *self.names.get(name)?;
        Some((id, self.list.get(id as usize)?))
    }

    /// The topic of a number.
    pub(crate) fn get(&self, id: u32) -> Option<&Topic> {
        self.list.get(id as usize)
    }

    /// All topics with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Topic)> {
        (0..).zip(&self.list)
    }

    /// All partitions.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.iter().flat_map(|(topic, found)| {
            (0..).take(found.partitions.len()).map(move |partition| Slot { topic, partition })
        })
    }

    /// Names of all topics, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().map(|name| (**name).to_owned()).collect()
    }

    /// The number the next topic will get.
    pub(crate) fn next_id(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    /// Adds a topic whose name is not there yet; its number.
    pub(crate) fn add(&mut self, topic: &NewTopic) -> u32 {
        let id = self.next_id();
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let partitions = (0..topic.partitions).map(|_| Partition::default()).collect();
        let (config, limits) = (topic.config.clone(), Limits::of(&topic.config));
        self.list.push(Topic { name: Arc::clone(&name), config, limits, partitions });
        self.names.insert(name, id);
        id
    }

    /// Gives a topic more partitions.
    pub(crate) fn grow(&mut self, topic: &str, partitions: i32) {
        let id = self.names.get(topic).copied();
        if let Some(found) = id.and_then(|id| self.list.get_mut(id as usize)) {
            let wanted = usize::try_from(partitions).unwrap_or_default();
            found.partitions.resize_with(wanted, Partition::default);
        }
    }

    /// Takes a topic away. Its number is never used again.
    pub(crate) fn remove(&mut self, name: &str) {
        let id = self.names.remove(name);
        if let Some(topic) = id.and_then(|id| self.list.get_mut(id as usize)) {
            topic.partitions.clear();
        }
    }

    /// Notes a topic that is not there any more, so that the next one gets the next number.
    pub(crate) fn skip(&mut self) -> u32 {
        let id = self.next_id();
        let (name, limits) = (Arc::from(""), Limits::of(&[]));
        self.list.push(Topic { name, config: Vec::new(), limits, partitions: Vec::new() });
        id
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    pub(crate) fn partition_count(&self, topic: &str) -> i32 {
        let count = self.find(topic).map_or(0, |(_, found)| found.partitions.len());
        i32::try_from(count).unwrap_or(i32::MAX)
    }
}

impl State {
    /// The slot of a partition.
    pub(crate) fn slot(&self, tp: &TopicPartition) -> Result<Slot> {
        let missing = |reason: String| Error::Topic { topic: (*tp.topic).to_owned(), reason };
        let (topic, found) =
            self.topics.find(&tp.topic).ok_or_else(|| missing("does not exist".to_owned()))?;
        match u32::try_from(tp.partition) {
            Ok(partition) if (partition as usize) < found.partitions.len() => {
                Ok(Slot { topic, partition })
            }
            _ => Err(missing(format!("has no partition {}", tp.partition))),
        }
    }

    /// The partition of a slot.
    pub(crate) fn partition(&self, slot: Slot) -> Result<&Partition> {
        let topic = self.topics.get(slot.topic);
        let found = topic.and_then(|topic| topic.partitions.get(slot.partition as usize));
        found.ok_or_else(|| no_such(&self.name_of(slot)))
    }

    /// The partition of a slot, to change it.
    pub(crate) fn partition_mut(&mut self, slot: Slot) -> Result<&mut Partition> {
        let topic = self.topics.list.get_mut(slot.topic as usize);
        let found = topic.and_then(|topic| topic.partitions.get_mut(slot.partition as usize));
        found.ok_or_else(|| no_such(&TopicPartition::new("?", -1)))
    }

    /// The partition that a slot stands for, by name.
    pub(crate) fn name_of(&self, slot: Slot) -> TopicPartition {
        let name = self.topics.get(slot.topic).map_or("?".into(), |t| Arc::clone(&t.name));
        TopicPartition::new(name, i32::try_from(slot.partition).unwrap_or(-1))
    }

    /// A group, made if new.
    pub(crate) fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// An id for a new member; ids sort in the order of joining.
    pub(crate) fn new_member_id(&mut self) -> String {
        self.next_member += 1;
        format!("member-{:010}", self.next_member)
    }

    /// Readers of a partition have something to look at, or only those that also see what is not
    /// committed.
    pub(crate) fn wake(&mut self, slot: Slot, committed: bool) {
        let topic = self.topics.get(slot.topic);
        if let Some(partition) = topic.and_then(|t| t.partitions.get(slot.partition as usize)) {
            let concerned = partition.signals.iter().filter(|signal| {
                (committed || signal.isolation == Isolation::ReadUncommitted) && signal.is_armed()
            });
            self.woken.extend(concerned.map(Arc::clone));
        }
        self.record_news.is_new |= committed || self.has_uncommitted_readers;
    }

    /// What threads wait for.
    pub(crate) fn news(&mut self, about: About) -> &mut News {
        match about {
            About::Groups => &mut self.group_news,
            About::Records => &mut self.record_news,
        }
    }

    /// Shows all that was delayed.
    pub(crate) fn release_all(&mut self) {
        let mut held = Vec::new();
        for (topic, found) in (0..).zip(&mut self.topics.list) {
            for (partition, found) in (0..).zip(&mut found.partitions) {
                if found.held.take().is_some() {
                    held.push(Slot { topic, partition });
                }
            }
        }
        for slot in held {
            self.wake(slot, true);
        }
    }

    /// The open transaction of an owner, begun at the broker with the first thing sent.
    pub(crate) fn open_txn(&mut self, id: &str, ends_by: i64) -> TxnId {
        let owner = self.owners.entry(id.to_owned()).or_default();
        if let Some(open) = owner.open {
            return open;
        }
        self.next_txn += 1;
        owner.open = Some(self.next_txn);
        let txn = Txn {
            transactional_id: id.to_owned(),
            ends_by,
            touched: BTreeMap::new(),
            offsets: Vec::new(),
        };
        self.txns.insert(self.next_txn, txn);
        self.next_txn
    }

    /// The control records a transaction needs at its end: those that are written now, and the
    /// partitions, with the transaction's first offset, whose ones are late.
    pub(crate) fn markers(&self, txn: &Txn) -> (Vec<Marker>, Vec<(Slot, i64)>) {
        let (mut markers, mut late) = (Vec::with_capacity(txn.touched.len()), Vec::new());
        for (&slot, &first) in &txn.touched {
            match self.partition(slot) {
                Ok(partition) if partition.holds_markers => late.push((slot, first)),
                Ok(partition) => markers.push(Marker { slot, first, offset: partition.next }),
                Err(_) => {}
            }
        }
        (markers, late)
    }

    /// True if the last transaction of an id is over, but some partition does not know yet.
    pub(crate) fn is_ending(&self, transactional_id: &str) -> bool {
        self.late.iter().any(|marker| marker.transactional_id == transactional_id)
    }

    /// True if an open transaction holds a position of this group and partition.
    pub(crate) fn is_pending(&self, group: &str, tp: &TopicPartition) -> bool {
        let holds = |(name, offsets): &GroupOffsets| {
            name == group && offsets.iter().any(|(held, _)| held == tp)
        };
        self.txns.values().any(|txn| txn.offsets.iter().any(holds))
    }

    /// Adds positions of a group to a transaction.
    pub(crate) fn add_offsets(
        &mut self,
        id: TxnId,
        group: &str,
        offsets: &[(TopicPartition, Committed)],
    ) {
        let Some(txn) = self.txns.get_mut(&id) else { return };
        let known = txn.offsets.iter_mut().find(|(name, _)| name == group);
        let Some((_, held)) = known else {
            txn.offsets.push((group.to_owned(), offsets.to_vec()));
            return;
        };
        for (tp, committed) in offsets {
            match held.iter_mut().find(|(known, _)| known == tp) {
                Some((_, known)) => *known = committed.clone(),
                None => held.push((tp.clone(), committed.clone())),
            }
        }
    }

    /// Takes positions over.
    pub(crate) fn set_offsets(&mut self, group: &str, offsets: &[(TopicPartition, Committed)]) {
        let group = self.group(group);
        group.offsets.extend(offsets.iter().cloned());
    }
}

fn no_such(at: &TopicPartition) -> Error {
    let reason = format!("has no partition {}", at.partition);
    Error::Topic { topic: (*at.topic).to_owned(), reason }
}
