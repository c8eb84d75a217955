//! The store of a table: rows with timestamps, behind a record cache if wanted.
//!
//! An operator never forwards while it holds the store: what is to be forwarded comes back as a
//! value, since operators downstream may read the same store.
//!
//! ```text
//!  let outcome = store.borrow_mut().update(&key, &stamp, |old| ..)?;
//!  match outcome {
//!      Outcome::Forward { change, timestamp } => children.forward(..)     cache off: now
//!      Outcome::Held => {}                                                cache on: at the flush
//!      Outcome::Full => flush                                             cache on, and full
//!      Outcome::Expired => {}                                             counted by the host
//!  }
//!  flush: while let Some(held) = { store.borrow_mut().next_held()? } { children.forward(..) }
//! ```
//!
//! | | cache off | cache on |
//! |---|---|---|
//! | forwarded and logged | each write, in order | each changed key once per flush |
//! | `Change::old` | the row before the write | the row before the first write since the flush |
//! | a deletion of what was never there | forwarded | dropped; of a range that is read at each record, at once |

use std::any::Any;
use std::rc::Rc;

use millstream_state::{Batch, StoreId};

use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::{Change, Data, Headers, Timestamp};
use crate::serde::Null;
use crate::store::cache::{Below, CacheBudget, RecordCache, Room, Slot};
use crate::store::changelog::Changelog;
use crate::store::committed::Committed;
use crate::store::keys::RowKeys;
use crate::store::row::Row;
use crate::store::source_topic::SourceTopic;
use crate::store::state_store::StateStore;
use crate::store::table::kept::{Held, Outcome, Stamp};
use crate::store::table::rows::Rows;

/// The store of one table in one task.
pub(crate) struct TableStore<K, V> {
    pub(super) keys: Rc<dyn RowKeys<K>>,
    pub(super) rows: Rows<V>,
    pub(in crate::store) cache: Option<RecordCache<V>>,
    needs_old: bool,
    /// Keys say at which time a change is forwarded.
    told_by_keys: bool,
    /// The local key in hand.
    pub(super) local: Vec<u8>,
    /// Where values are measured.
    scratch: Vec<u8>,
    /// The local key of the row that is being handed on.
    pub(super) in_hand: Vec<u8>,
}

impl<K: Data, V: Data> TableStore<K, V> {
    pub(super) fn new(
        keys: Rc<dyn RowKeys<K>>,
        rows: Rows<V>,
        cache: Option<&CacheBudget>,
    ) -> Self {
        let cache = cache.filter(|budget| !budget.is_off()).map(RecordCache::new);
        Self {
            keys,
            rows,
            cache,
            needs_old: false,
            told_by_keys: false,
            local: Vec::new(),
            scratch: Vec::new(),
            in_hand: Vec::new(),
        }
    }

    /// Makes changes carry old values: called while the task is built, if an operator downstream
    /// needs them.
    pub(crate) fn send_old_values(&mut self) {
        self.needs_old = true;
    }

    /// Asks keys at which time a change is forwarded: for tables of sessions.
    pub(super) fn told_by_keys(&mut self) {
        self.told_by_keys = true;
    }

    /// Keeps what is dirty in order: for tables of which ranges are read at each record.
    pub(super) fn keep_ordered(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.keep_ordered();
        }
    }

    fn told(&self, key: &K, outcome: Outcome<V>) -> Outcome<V> {
        match outcome {
            Outcome::Forward { change, timestamp } => {
                Outcome::Forward { change, timestamp: self.told_at(key, timestamp) }
            }
            other => other,
        }
    }

    pub(super) fn told_at(&self, key: &K, time: Timestamp) -> Timestamp {
        if self.told_by_keys { self.keys.told_at(key, time) } else { time }
    }

    /// True if writes come back from [`Self::next_held`] and not from the write itself.
    #[cfg(test)]
    pub(crate) fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// The row of a key.
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>> {
        self.with(key, |row| row.map(|(value, time)| (value.clone(), time)))
    }

    /// What `read` makes of the row of a key, which it sees in place.
    pub(crate) fn with<R>(
        &mut self,
        key: &K,
        read: impl FnOnce(Option<(&V, Timestamp)>) -> R,
    ) -> Result<R> {
        let start = self.keys.start(key);
        if self.rows.logged().expiry().is_some_and(|expiry| !expiry.shows(start)) {
            return Ok(read(None));
        }
        self.keys.encode(key, &mut self.local)?;
        let Some(cache) = &mut self.cache else {
            let row = self.rows.read(&self.local, start)?;
            return Ok(read(row.as_ref().map(|(value, time)| (value, *time))));
        };
        let hash = cache.hash(&self.local);
        if let Some(entry) = cache.find(hash, &self.local).and_then(|slot| cache.get_mut(slot)) {
            return Ok(read(entry.row()));
        }
        let row = self.rows.read(&self.local, start)?;
        let result = read(row.as_ref().map(|(value, time)| (value, *time)));
        let slot = cache.insert_read((hash, &self.local), row);
        weigh(cache, &self.rows, slot, &mut self.scratch);
        cache.make_room_for_read();
        Ok(result)
    }

    /// Replaces the value of a key by what `make` makes of it; none deletes it. The row's time
    /// becomes the later one of its own and the record's.
    #[inline]
    pub(crate) fn update(
        &mut self,
        key: &K,
        stamp: &Stamp<'_>,
        make: impl FnOnce(Option<V>) -> Option<V>,
    ) -> Result<Outcome<V>> {
        let at = stamp.timestamp;
        self.change(key, stamp, |row| {
            let (value, time) = match row {
                Some((value, time)) => (Some(value), time.max(at)),
                None => (None, at),
            };
            (make(value), time)
        })
    }

    /// Puts a value with the record's own time; none deletes it.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Option<V>,
        stamp: &Stamp<'_>,
    ) -> Result<Outcome<V>> {
        if self.needs_old || self.rows.history.is_some() {
            return self.change(key, stamp, |_| (value, stamp.timestamp));
        }
        // Nobody asks what was there: do not read it.
        self.put_over((key, value), stamp, Below::Unread)
    }

    /// Puts the row of a key that has none, as the caller has seen.
    pub(crate) fn put_first(&mut self, key: &K, value: V, stamp: &Stamp<'_>) -> Result<Outcome<V>> {
        self.put_over((key, Some(value)), stamp, Below::Absent)
    }

    fn put_over(
        &mut self,
        (key, value): (&K, Option<V>),
        stamp: &Stamp<'_>,
        below: Below,
    ) -> Result<Outcome<V>> {
        if !self.admits(self.keys.start(key)) {
            return Ok(Outcome::Expired);
        }
        self.keys.encode(key, &mut self.local)?;
        let Some(cache) = &mut self.cache else {
            let written = self.write_through(stamp, None, (value, stamp.timestamp));
            return written.map(|outcome| self.told(key, outcome));
        };
        let hash = cache.hash(&self.local);
        let slot = match cache.find(hash, &self.local) {
            Some(slot) => slot,
            None => cache.insert((hash, &self.local), None, below),
        };
        self.hold(slot, stamp, |_| (value, stamp.timestamp))
    }

    /// The general write: `make` gets the row and returns the value and the time to forward it at,
    /// which is also the time of the row.
    pub(crate) fn change(
        &mut self,
        key: &K,
        stamp: &Stamp<'_>,
        make: impl FnOnce(Option<Row<V>>) -> (Option<V>, Timestamp),
    ) -> Result<Outcome<V>> {
        let start = self.keys.start(key);
        if !self.admits(start) {
            return Ok(Outcome::Expired);
        }
        self.keys.encode(key, &mut self.local)?;
        let Some(cache) = &mut self.cache else {
            let row = self.rows.read(&self.local, start)?;
            let old = row.as_ref().filter(|_| self.needs_old).map(|(value, _)| value.clone());
            let written = self.write_through(stamp, old, make(row));
            return written.map(|outcome| self.told(key, outcome));
        };
        let hash = cache.hash(&self.local);
        let slot = match cache.find(hash, &self.local) {
            Some(slot) => slot,
            None => {
                let row = self.rows.read(&self.local, start)?;
                cache.insert_read((hash, &self.local), row)
            }
        };
        self.hold(slot, stamp, make)
    }

    /// The next change to be forwarded by a flush; none: the flush is complete. The change is
    /// logged now.
    ///
    /// # Errors
    /// `BadRecord` for a row that its serde refuses: the caller gives it up, or fails.
    pub(crate) fn next_held(&mut self) -> Result<Option<Held<K, V>>> {
        while let Some((slot, old)) = self.cache.as_mut().and_then(RecordCache::next_dirty) {
            if !self.write_back(slot)? {
                continue;
            }
            let Some(entry) = self.cache.as_ref().and_then(|cache| cache.get(slot)) else {
                continue;
            };
            let key = self.keys.decode(&entry.local)?;
            let change = Change::latest(entry.value.clone(), old);
            let headers = entry.headers.clone();
            let timestamp = self.told_at(&key, entry.time);
            return Ok(Some(Held { key, change, timestamp, headers }));
        }
        self.make_room();
        Ok(None)
    }

    /// Flushes without forwarding: for tables whose changes nobody gets to see one by one.
    ///
    /// # Errors
    /// As [`Self::next_held`].
    pub(crate) fn settle(&mut self) -> Result<()> {
        while let Some((slot, _)) = self.cache.as_mut().and_then(RecordCache::next_dirty) {
            self.write_back(slot)?;
        }
        self.make_room();
        Ok(())
    }

    /// Forgets what the record cache holds of the row in hand, which cannot be written: it is again
    /// what it was at the last flush.
    pub(crate) fn give_up(&mut self) -> Result<()> {
        let row = self.rows.find(&self.in_hand)?;
        let Some(cache) = &mut self.cache else { return Ok(()) };
        let slot = cache.find(cache.hash(&self.in_hand), &self.in_hand);
        if let Some(entry) = slot.and_then(|slot| cache.get_mut(slot)) {
            entry.below = if row.is_some() { Below::Present } else { Below::Absent };
            let time = row.as_ref().map_or(Timestamp(-1), |(_, time)| *time);
            (entry.value, entry.time) = (row.map(|(value, _)| value), time);
            entry.headers = Headers::default();
        }
        Ok(())
    }

    /// After a flush: nothing is dirty, so what is too much can go.
    fn make_room(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.make_room();
        }
    }

    /// Whether a write to a window that starts then is not too late.
    #[inline]
    fn admits(&mut self, start: i64) -> bool {
        self.rows.logged_mut().expiry_mut().is_none_or(|expiry| expiry.admits(start))
    }

    /// A write with the cache off.
    fn write_through(
        &mut self,
        stamp: &Stamp<'_>,
        old: Option<V>,
        (new, timestamp): (Option<V>, Timestamp),
    ) -> Result<Outcome<V>> {
        if self.rows.history.is_some() {
            return self.write_version(old, (new, timestamp));
        }
        let row = new.clone().map(|value| (value, timestamp));
        let new = match self.rows.write(&self.local, row, stamp.timestamp)? {
            Some(_) => new,
            None => None,
        };
        Ok(Outcome::Forward { change: Change::latest(new, old), timestamp })
    }

    /// A write with the cache on.
    #[inline]
    fn hold(
        &mut self,
        slot: Slot,
        stamp: &Stamp<'_>,
        make: impl FnOnce(Option<Row<V>>) -> (Option<V>, Timestamp),
    ) -> Result<Outcome<V>> {
        let Some(cache) = &mut self.cache else { return Ok(Outcome::Held) };
        cache.soil(slot, self.needs_old);
        let Some(entry) = cache.get_mut(slot) else {
            return Err(lost_entry(self.rows.logged().name()));
        };
        let time = entry.time;
        let (value, time) = make(entry.value.take().map(|value| (value, time)));
        entry.time = if value.is_some() { time } else { stamp.timestamp };
        entry.value = value;
        entry.headers.clone_from(stamp.headers);
        if entry.value.is_none() && entry.below == Below::Absent && cache.is_ordered() {
            cache.forget(slot);
        } else if cache.updated(slot) {
            weigh(cache, &self.rows, slot, &mut self.scratch);
        }
        Ok(match cache.make_room() {
            Room::Enough => Outcome::Held,
            Room::Flush => Outcome::Full,
        })
    }

    /// Logs an entry of the cache and puts it into the dirty layer. False if there is nothing to
    /// do: a deletion of what was never there.
    fn write_back(&mut self, slot: Slot) -> Result<bool> {
        let Some(cache) = &mut self.cache else { return Ok(false) };
        let Some(entry) = cache.get_mut(slot) else { return Ok(false) };
        self.in_hand.clear();
        self.in_hand.extend_from_slice(&entry.local);
        if entry.value.is_none() {
            if entry.below == Below::Unread && !self.rows.logged().has(&entry.local)? {
                entry.below = Below::Absent;
            }
            if entry.below == Below::Absent {
                return Ok(false);
            }
        }
        let row = entry.value.clone().map(|value| (value, entry.time));
        let written = self.rows.write(&entry.local, row, entry.time)?;
        match written {
            Some(len) => {
                entry.below = Below::Present;
                cache.weigh(slot, len);
            }
            None => {
                entry.value = None;
                entry.below = Below::Absent;
                cache.weigh(slot, 0);
            }
        }
        Ok(true)
    }
}

impl<V> RecordCache<V> {
    /// Adds what was just read.
    fn insert_read(&mut self, hashed: (u64, &[u8]), row: Option<Row<V>>) -> Slot {
        let below = if row.is_some() { Below::Present } else { Below::Absent };
        self.insert(hashed, row, below)
    }
}

/// Measures the value of an entry, if it can make a difference. One that cannot be written weighs
/// nothing; the flush refuses it.
fn weigh<V: Data>(cache: &mut RecordCache<V>, rows: &Rows<V>, slot: Slot, scratch: &mut Vec<u8>) {
    if !RecordCache::<V>::WEIGHS_VALUES {
        return;
    }
    scratch.clear();
    let value = cache.get(slot).and_then(|entry| entry.value.as_ref());
    let null = value.map_or(Ok(Null::Yes), |value| rows.values().encode(value, scratch));
    cache.weigh(slot, if matches!(null, Ok(Null::No)) { scratch.len() } else { 0 });
}

fn lost_entry(store: &str) -> Error {
    Error::Fatal {
        what: format!("updating store {store}"),
        reason: "its record cache lost an entry".to_owned(),
    }
}

impl<K: Data, V: Data> StateStore for TableStore<K, V> {
    fn name(&self) -> &str {
        self.rows.logged().name()
    }

    fn id(&self) -> StoreId {
        self.rows.logged().id()
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.rows.logged().changelog()
    }

    fn source(&self) -> Option<&SourceTopic> {
        self.rows.logged().source()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(source) = self.rows.logged().source() else {
            return self.rows.restore(batch, record);
        };
        let Some((key, value)) = source.row(record) else { return Ok(()) };
        let (key, value, headers) = (Some(&*key), value.as_deref(), record.headers.clone());
        let RawRecord { offset, timestamp, .. } = *record;
        self.rows.restore(batch, &RawRecord { offset, timestamp, key, value, headers })
    }

    fn restored(&mut self, batch: &mut Batch) {
        if self.rows.history.is_some() {
            self.drain(batch);
        }
    }

    fn drain(&mut self, batch: &mut Batch) {
        let id = self.id();
        self.rows.logged_mut().drain(batch);
        if let Some(history) = &mut self.rows.history {
            history.drain(batch, id);
        }
    }

    fn drop_expired(&mut self) -> Result<()> {
        let id = self.id();
        match &mut self.rows.history {
            Some(history) => history.drop_expired(id),
            None => self.rows.logged().drop_expired(),
        }
    }

    fn rollback(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.clear();
        }
        if let Some(history) = &mut self.rows.history {
            history.rollback();
        }
        self.rows.logged_mut().rollback();
    }

    fn clear(&mut self) -> Result<()> {
        self.rollback();
        if let Some(history) = &mut self.rows.history {
            history.clear();
        }
        self.rows.logged_mut().clear()
    }

    fn cache_bytes(&self) -> usize {
        self.cache.as_ref().map_or(0, RecordCache::bytes)
    }

    fn committed(&self) -> Box<dyn Any> {
        let layout = self.rows.logged().expiry().map(|expiry| *expiry.layout());
        let values = self.rows.values().clone();
        let place = (self.rows.logged().stores().clone(), self.rows.logged().id());
        Box::new(Committed::new(place, Rc::clone(&self.keys), values, true, layout))
    }

    fn take_expired(&mut self) -> u64 {
        match &mut self.rows.history {
            Some(history) => history.take_expired(),
            None => self.rows.logged_mut().take_expired(),
        }
    }
}
