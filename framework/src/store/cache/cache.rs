//! The record cache of a table: what is merged per key between two commits.
//!
//! An update of a key that is here costs one hash lookup: the value is changed in place, nothing is
//! allocated, serialised, logged or forwarded. A flush hands on each changed key once, in the order
//! in which the keys were last changed, as in Kafka Streams: a row has the time of its last change, so
//! another order would make late what was not. It leaves them here, clean, for reads.
//!
//! The cache is bounded by bytes (`cache_budget` says by how many). Values are measured by
//! serialising: when an entry comes in, when it is flushed, and when the number of its updates
//! reaches a power of two (from 128 on: every 128), so that an aggregate that grows is seen to grow.
//! What has to go is found by a clock hand: an entry that was used since the hand came by last stays
//! for another round. If the one to go is dirty, all dirty ones are flushed, as in Kafka Streams.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashTable};
use millstream_state::KeyRange;
use smallvec::SmallVec;

use crate::record::{Headers, Timestamp};
use crate::store::cache::budget::{CacheBudget, Part};
use crate::store::row::Row;

/// What an entry costs beside itself: its place in the table, which is between half and fully
/// taken, and in the order of the dirty ones.
const PLACE_BYTES: usize = 16;
/// Keys of at most this length stand in their entry; a window's has 20 bytes beside its key.
const INLINE_BYTES: usize = 32;
/// The entries grow by this share, not by doubling: what is reserved and not used counts nowhere.
const GROWTH_SHARE: usize = 8;
/// Fewer forgotten entries than these are left among the dirty ones until they are passed.
const FORGOTTEN_MIN: usize = 64;

/// A key as it stands in the store.
pub(crate) type LocalKey = SmallVec<[u8; INLINE_BYTES]>;

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

/// One key. There may be very many: what only dirty ones need stands in the order of those.
pub(crate) struct Entry<V> {
    pub(crate) local: LocalKey,
    /// The value as of now; none: there is no row.
    pub(crate) value: Option<V>,
    /// Of the row; if there is none, of the record that deleted it.
    pub(crate) time: Timestamp,
    /// Of the record that changed it last.
    pub(crate) headers: Headers,
    weight: u32,
    updates: u8,
    /// When it was last changed, counted in changes of the cache.
    changed: u64,
    pub(crate) below: Below,
    dirty: bool,
    /// Used since the clock hand came by.
    used: bool,
}

impl<V> Entry<V> {
    /// The row as of now.
    pub(crate) fn row(&self) -> Option<(&V, Timestamp)> {
        self.value.as_ref().map(|value| (value, self.time))
    }
}

/// The number of an entry, until it is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The cache keeps to its bound.
    Enough,
    /// It does not, and the next to go is dirty: flush.
    Flush,
}

/// The record cache of one table in one task.
pub(crate) struct RecordCache<V> {
    known: HashTable<Slot>,
    entries: Vec<Option<Entry<V>>>,
    free: Vec<Slot>,
    dirty: VecDeque<Slot>,
    /// So many of these are of entries that were forgotten; their slots are taken until they are passed.
    forgotten: usize,
    /// How many changes there were, and whether the dirty entries are in the order of theirs.
    changes: u64,
    in_order: bool,
    /// What was handed on last of each dirty entry; empty where operators downstream do not ask.
    old: VecDeque<Option<V>>,
    /// The dirty ones by their keys, for tables of which ranges are read at each record.
    ordered: Option<BTreeMap<LocalKey, Slot>>,
    hasher: DefaultHashBuilder,
    hand: usize,
    part: Part,
}

impl<V> RecordCache<V> {
    /// Whether values have anything on the heap, without which all of them weigh the same.
    pub(crate) const WEIGHS_VALUES: bool = std::mem::needs_drop::<V>();

    pub(crate) fn new(budget: &CacheBudget) -> Self {
        Self {
            known: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            dirty: VecDeque::new(),
            forgotten: 0,
            changes: 0,
            in_order: true,
            old: VecDeque::new(),
            ordered: None,
            hasher: DefaultHashBuilder::default(),
            hand: 0,
            part: budget.part(),
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
        // One hash in 128 that differs gets past the table, so it is not kept beside the slot.
        let same = |slot: &Slot| self.get(*slot).is_some_and(|entry| *entry.local == *local);
        self.known.find(hash, same).copied()
    }

    /// The entry of a slot.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry<V>> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    /// The entry of a slot; it counts as used.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry<V>> {
        let entry = self.entries.get_mut(slot.0 as usize)?.as_mut()?;
        entry.used = true;
        Some(entry)
    }

    /// Adds a clean entry.
    pub(crate) fn insert(
        &mut self,
        (hash, local): (u64, &[u8]),
        row: Option<Row<V>>,
        below: Below,
    ) -> Slot {
        let (value, time) = match row {
            Some((value, time)) => (Some(value), time),
            None => (None, Timestamp(-1)),
        };
        let entry = Entry {
            local: LocalKey::from_slice(local),
            value,
            time,
            headers: Headers::default(),
            weight: 0,
            updates: 0,
            changed: 0,
            below,
            dirty: false,
            used: true,
        };
        let slot = self.free.pop().unwrap_or_else(|| self.new_slot());
        if let Some(place) = self.entries.get_mut(slot.0 as usize) {
            *place = Some(entry);
        }
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.known.insert_unique(hash, slot, |slot| {
            let entry = entries.get(slot.0 as usize).and_then(Option::as_ref);
            entry.map_or(0, |entry| hasher.hash_one(&*entry.local))
        });
        self.weigh(slot, 0);
        slot
    }

    fn new_slot(&mut self) -> Slot {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact((len / GROWTH_SHARE).max(64));
        }
        self.entries.push(None);
        Slot(len as u32)
    }

    /// Puts an entry among the dirty ones, before it is changed. `keep_old`: its value now is what
    /// was handed on last, and will be asked for; always or never so for one cache.
    #[inline]
    pub(crate) fn soil(&mut self, slot: Slot, keep_old: bool)
    where
        V: Clone,
    {
        let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        self.changes += 1;
        entry.changed = self.changes;
        if entry.dirty {
            self.in_order = false;
        } else {
            entry.dirty = true;
            self.dirty.push_back(slot);
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(entry.local.clone(), slot);
            }
            if keep_old {
                self.old.push_back(entry.value.clone());
            }
        }
    }

    /// Counts an update of an entry. Returns whether it is time to weigh it.
    #[inline]
    pub(crate) fn updated(&mut self, slot: Slot) -> bool {
        Self::WEIGHS_VALUES
            && self.get_mut(slot).is_some_and(|entry| {
                // After the highest power of two that there is room for, it is met again and again.
                entry.updates = entry.updates.checked_add(1).unwrap_or(1 << 7);
                entry.updates.is_power_of_two()
            })
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
        let key = if entry.local.spilled() { entry.local.capacity() } else { 0 };
        // What a value has on the heap is about as large as its bytes.
        let value = if Self::WEIGHS_VALUES { value_len } else { 0 };
        let weight = size_of::<Option<Entry<V>>>() + PLACE_BYTES + key + value + headers;
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.part.replace(entry.weight as usize, weight as usize);
        entry.weight = weight;
    }

    /// Takes the next dirty entry for a flush: the one whose last change is the longest ago, and the value
    /// that was handed on before. It is clean now.
    pub(crate) fn next_dirty(&mut self) -> Option<(Slot, Option<V>)> {
        if !self.in_order {
            self.put_in_order();
        }
        loop {
            let slot = self.dirty.pop_front()?;
            let old = self.old.pop_front().flatten();
            let entry = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut);
            let Some(entry) = entry else {
                self.forgotten -= 1;
                self.free.push(slot);
                continue;
            };
            entry.dirty = false;
            entry.updates = 0;
            if let Some(ordered) = &mut self.ordered {
                ordered.remove(&entry.local);
            }
            return Some((slot, old));
        }
    }

    /// Puts the dirty entries in the order of their last changes; the places of those that were forgotten come first.
    fn put_in_order(&mut self) {
        self.in_order = true;
        let mut old = std::mem::take(&mut self.old).into_iter();
        let changed = |slot: &Slot| self.get(*slot).map_or(0, |entry| entry.changed);
        let mut dirty: Vec<_> =
            self.dirty.iter().map(|slot| (changed(slot), *slot, old.next())).collect();
        dirty.sort_unstable_by_key(|(changed, ..)| *changed);
        self.dirty.clear();
        for (_, slot, old) in dirty {
            self.dirty.push_back(slot);
            self.old.extend(old);
        }
    }

    /// Whether dirty entries are kept in order.
    #[inline]
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Forgets a dirty entry that is no row and never was one to anybody: a range need not pass it, nor a flush.
    pub(crate) fn forget(&mut self, slot: Slot) {
        let Some(entry) = self.take_out(slot) else { return };
        if let Some(ordered) = &mut self.ordered {
            ordered.remove(&entry.local);
        }
        self.forgotten += 1;
        if self.forgotten > FORGOTTEN_MIN && self.forgotten > self.dirty.len() / 2 {
            self.close_gaps();
        }
    }

    /// Passes what was forgotten among the dirty ones.
    fn close_gaps(&mut self) {
        let mut old = std::mem::take(&mut self.old).into_iter();
        for slot in std::mem::take(&mut self.dirty) {
            let old = old.next();
            if self.get(slot).is_some() {
                self.dirty.push_back(slot);
                self.old.extend(old);
            } else {
                self.free.push(slot);
            }
        }
        self.forgotten = 0;
    }

    /// Keeps the dirty entries in order from now on: a range of them costs then what it holds.
    pub(crate) fn keep_ordered(&mut self) {
        self.ordered = Some(BTreeMap::new());
    }

    /// The dirty entries whose keys lie in one of the ranges.
    pub(crate) fn dirty_in(&self, ranges: &[KeyRange]) -> Vec<&Entry<V>> {
        let slots: Vec<Slot> = match &self.ordered {
            Some(ordered) => ranges
                .iter()
                .flat_map(|range| {
                    let bound = |bound: &Bound<Vec<u8>>| {
                        bound.as_ref().map(|key| LocalKey::from_slice(key))
                    };
                    let (lower, upper) = (bound(&range.lower), bound(&range.upper));
                    // An empty range the other way round is a panic of `BTreeMap`'s.
                    let is_range = match (&lower, &upper) {
                        (Bound::Included(lower), Bound::Included(upper)) => lower <= upper,
                        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
                        (
                            Bound::Included(lower) | Bound::Excluded(lower),
                            Bound::Included(upper) | Bound::Excluded(upper),
                        ) => lower < upper,
                    };
                    is_range.then(|| ordered.range((lower, upper))).into_iter().flatten()
                })
                .map(|(_, slot)| *slot)
                .collect(),
            None => self.dirty.iter().copied().collect(),
        };
        let entries = slots.into_iter().filter_map(|slot| self.get(slot));
        entries.filter(|entry| ranges.iter().any(|range| range.contains(&entry.local))).collect()
    }

    /// Evicts clean entries until the bound is kept.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Room {
        if self.part.is_exceeded() { self.evict(false) } else { Room::Enough }
    }

    /// As [`Self::make_room`], but passes over dirty entries: for reads, which cannot flush.
    #[inline]
    pub(crate) fn make_room_for_read(&mut self) {
        if self.part.is_exceeded() {
            self.evict(true);
        }
    }

    /// Forgets everything, dirty entries as well.
    pub(crate) fn clear(&mut self) {
        let ordered = self.ordered.is_some();
        *self = Self::new(&self.part.budget().clone());
        if ordered {
            self.keep_ordered();
        }
    }

    /// About how many bytes the cache holds.
    pub(crate) fn bytes(&self) -> usize {
        self.part.bytes()
    }

    fn evict(&mut self, pass_dirty: bool) -> Room {
        // Two rounds: in the first an entry may be spared for having been used.
        for _ in 0..2 * self.entries.len() {
            if !self.part.is_exceeded() {
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
        let is_dirty = self.dirty.len() > self.forgotten;
        if self.part.is_exceeded() && is_dirty { Room::Flush } else { Room::Enough }
    }

    fn remove(&mut self, slot: Slot) {
        if self.take_out(slot).is_some() {
            self.free.push(slot);
        }
    }

    /// Takes an entry out; its slot stays taken.
    fn take_out(&mut self, slot: Slot) -> Option<Entry<V>> {
        let entry = self.entries.get_mut(slot.0 as usize).and_then(Option::take)?;
        let hash = self.hasher.hash_one(&*entry.local);
        if let Ok(known) = self.known.find_entry(hash, |known| *known == slot) {
            known.remove();
        }
        self.part.replace(entry.weight as usize, 0);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is dirty in the order of a flush, and in that of the keys.
    fn dirty_keys(cache: &mut RecordCache<i64>) -> [Vec<Vec<u8>>; 2] {
        let ordered = cache.dirty_in(&[KeyRange::all()]);
        let ordered = ordered.iter().map(|entry| entry.local.to_vec()).collect();
        let mut flushed = Vec::new();
        while let Some((slot, old)) = cache.next_dirty() {
            let entry = cache.get(slot).unwrap();
            assert_eq!(old, Some(i64::from(entry.local[0])));
            flushed.push(entry.local.to_vec());
        }
        [flushed, ordered]
    }

    #[test]
    fn what_was_forgotten_is_passed_and_its_place_is_used_again() {
        for count in [10_u8, 200] {
            let mut cache = RecordCache::<i64>::new(&CacheBudget::new(1 << 16));
            cache.keep_ordered();
            let add = |cache: &mut RecordCache<i64>, key: u8| {
                let hash = cache.hash(&[key]);
                let row = Some((i64::from(key), Timestamp(0)));
                let slot = cache.insert((hash, &[key]), row, Below::Absent);
                cache.soil(slot, true);
                slot
            };
            let slots: Vec<Slot> = (0..count).rev().map(|key| add(&mut cache, key)).collect();
            for slot in slots.iter().skip(2) {
                cache.forget(*slot);
            }
            add(&mut cache, 3);
            let (first, second) = (vec![count - 1], vec![count - 2]);
            let [flushed, ordered] = dirty_keys(&mut cache);
            assert_eq!(flushed, [first.clone(), second.clone(), vec![3]]);
            assert_eq!(ordered, [vec![3], second, first]);
            let places = cache.entries.len();
            for key in 0..count - 3 {
                add(&mut cache, key);
            }
            assert!(cache.entries.len() <= places.max(usize::from(count)), "{places}");
        }
    }

    #[test]
    fn what_was_flushed_is_no_longer_among_the_dirty_ones_in_order() {
        let mut cache = RecordCache::<i64>::new(&CacheBudget::new(1 << 16));
        cache.keep_ordered();
        for key in [b"b", b"a"] {
            let hash = cache.hash(key);
            let slot = cache.insert((hash, key), Some((1, Timestamp(0))), Below::Unread);
            cache.soil(slot, false);
        }
        let dirty = |cache: &RecordCache<i64>| -> Vec<Vec<u8>> {
            let entries = cache.dirty_in(&[KeyRange::all()]);
            entries.iter().map(|entry| entry.local.to_vec()).collect()
        };
        assert_eq!(dirty(&cache), [b"a", b"b"]);
        cache.next_dirty();
        assert_eq!(dirty(&cache), [b"a"]);
    }
}
