//! The record cache of a table: what is merged per key between two commits.
//!
//! An update of a key that is here costs one hash lookup: the value is changed in place, nothing is
//! allocated, serialised, logged or forwarded. A flush hands on each changed key once, in the order
//! in which the keys were first changed, and leaves it here, clean, for reads.
//!
//! The cache is bounded by bytes, as measured by serialising: when an entry comes in, when it is
//! flushed, and when the number of its updates reaches a power of two, so that an aggregate that
//! grows is seen to grow. What has to go is found by a clock hand: an entry that was used since the
//! hand came by last stays for another round. If the one to go is dirty, all dirty ones are flushed,
//! as in Kafka Streams.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::record::{Headers, Timestamp};
use crate::store::rows::Row;

/// What an entry costs beside its key and value: the entry itself, its place in the table and in
/// the order of the dirty ones, the allocator.
const ENTRY_OVERHEAD: usize = 128;

/// What is known about the row below the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// It was not read.
    Unread,
    /// There is a row.
    Present,
    /// There is none.
    Absent,
}

/// One key.
pub(crate) struct Entry<K, V> {
    /// The key as it stands in the store.
    pub(crate) local: Box<[u8]>,
    pub(crate) key: K,
    /// The row as of now; none: there is none.
    pub(crate) row: Option<Row<V>>,
    /// While dirty: the value that was handed on last, where operators downstream want it.
    pub(crate) old: Option<V>,
    pub(crate) below: Below,
    /// Of the record that changed it last.
    pub(crate) headers: Headers,
    pub(crate) at: Timestamp,
    weight: usize,
    updates: u32,
    dirty: bool,
    /// Used since the clock hand came by.
    used: bool,
}

/// The number of an entry, until it is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

#[derive(Clone, Copy, Debug)]
struct Known {
    hash: u64,
    slot: Slot,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The cache keeps to its bound.
    Enough,
    /// It does not, and the next to go is dirty: flush.
    Flush,
}

/// The record cache of one table in one task.
pub(crate) struct RecordCache<K, V> {
    known: HashTable<Known>,
    entries: Vec<Option<Entry<K, V>>>,
    free: Vec<Slot>,
    dirty: VecDeque<Slot>,
    hasher: DefaultHashBuilder,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

impl<K, V> RecordCache<K, V> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            known: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            dirty: VecDeque::new(),
            hasher: DefaultHashBuilder::default(),
            hand: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// The hash of a local key.
    #[inline]
    pub(crate) fn hash(&self, local: &[u8]) -> u64 {
        self.hasher.hash_one(local)
    }

    /// Where a key is, if it is here.
    #[inline]
    pub(crate) fn find(&self, hash: u64, local: &[u8]) -> Option<Slot> {
        let same = |known: &Known| {
            known.hash == hash && self.get(known.slot).is_some_and(|entry| *entry.local == *local)
        };
        self.known.find(hash, same).map(|known| known.slot)
    }

    /// The entry of a slot.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry<K, V>> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    /// The entry of a slot; it counts as used.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry<K, V>> {
        let entry = self.entries.get_mut(slot.0 as usize)?.as_mut()?;
        entry.used = true;
        Some(entry)
    }

    /// Adds a clean entry.
    pub(crate) fn insert(
        &mut self,
        (hash, local): (u64, &[u8]),
        key: K,
        row: Option<Row<V>>,
        below: Below,
    ) -> Slot {
        let entry = Entry {
            local: local.into(),
            key,
            row,
            old: None,
            below,
            headers: Headers::default(),
            at: Timestamp(-1),
            weight: ENTRY_OVERHEAD + 2 * local.len(),
            updates: 0,
            dirty: false,
            used: true,
        };
        self.bytes += entry.weight;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.entries.push(None);
                Slot((self.entries.len() - 1) as u32)
            }
        };
        if let Some(place) = self.entries.get_mut(slot.0 as usize) {
            *place = Some(entry);
        }
        self.known.insert_unique(hash, Known { hash, slot }, |known| known.hash);
        slot
    }

    /// Counts an update of an entry and puts it among the dirty ones. Returns whether it is time to
    /// weigh it.
    #[inline]
    pub(crate) fn updated(&mut self, slot: Slot) -> bool {
        let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return false;
        };
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push_back(slot);
        }
        entry.updates = entry.updates.wrapping_add(1);
        entry.updates.is_power_of_two()
    }

    /// Whether an entry waits for a flush.
    #[inline]
    pub(crate) fn is_dirty(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|entry| entry.dirty)
    }

    /// Notes how long the serialised value of an entry is.
    pub(crate) fn weigh(&mut self, slot: Slot, value_len: usize) {
        let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let headers: usize = entry
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len))
            .sum();
        // Key and value are there as bytes and typed, and the typed form is about as large.
        let weight = ENTRY_OVERHEAD + 2 * entry.local.len() + 2 * value_len + headers;
        self.bytes = (self.bytes + weight).saturating_sub(entry.weight);
        entry.weight = weight;
    }

    /// Takes the next dirty entry for a flush: the one that has been dirty longest. It is clean now.
    pub(crate) fn next_dirty(&mut self) -> Option<Slot> {
        let slot = self.dirty.pop_front()?;
        if let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut) {
            entry.dirty = false;
            entry.updates = 0;
        }
        Some(slot)
    }

    /// The dirty entries, in the order of a flush.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = &Entry<K, V>> {
        self.dirty.iter().filter_map(|slot| self.get(*slot))
    }

    /// Evicts clean entries until the bound is kept.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Room {
        if self.bytes <= self.bytes_max { Room::Enough } else { self.evict(false) }
    }

    /// As [`Self::make_room`], but passes over dirty entries: for reads, which cannot flush.
    #[inline]
    pub(crate) fn make_room_for_read(&mut self) {
        if self.bytes > self.bytes_max {
            self.evict(true);
        }
    }

    /// Forgets everything, dirty entries as well.
    pub(crate) fn clear(&mut self) {
        let bytes_max = self.bytes_max;
        *self = Self::new(bytes_max);
    }

    /// About how many bytes the cache holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn evict(&mut self, pass_dirty: bool) -> Room {
        // Two rounds: in the first an entry may be spared for having been used.
        for _ in 0..2 * self.entries.len() {
            if self.bytes <= self.bytes_max {
                return Room::Enough;
            }
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let Some(entry) = self.entries.get_mut(self.hand).and_then(Option::as_mut) else {
                continue;
            };
            if std::mem::take(&mut entry.used) || (entry.dirty && pass_dirty) {
                continue;
            }
            if entry.dirty {
                return Room::Flush;
            }
            self.remove(Slot(self.hand as u32));
        }
        if self.bytes > self.bytes_max && !self.dirty.is_empty() {
            Room::Flush
        } else {
            Room::Enough
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        let hash = self.hasher.hash_one(&*entry.local);
        if let Ok(known) = self.known.find_entry(hash, |known| known.slot == slot) {
            known.remove();
        }
        self.bytes = self.bytes.saturating_sub(entry.weight);
        self.free.push(slot);
    }
}
