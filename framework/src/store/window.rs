//! The window store of processors: values by key and time, which expire.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value of the key and start; with duplicates: adds one | value |
//! | `delete` | deletes it; with duplicates: nothing | null |
//! | a put that has expired | dropped and counted | as above |
//! | reads | cut at observed time - retention, to the millisecond | none |
//!
//! The observed time is the largest start that was put; a put is dropped once its segment (half the
//! retention, a minute at least) has left the retention as a whole. The changelog's keys are Java's:
//! `key ‖ start i64 ‖ seq i32`; `seq` counts the puts of a store with duplicates. Unlike Java's it is
//! kept over restarts, so that a put after one does not replace what was put before.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{
    Batch, Direction, Dirty, Found, KeyRange, Merged, StoreId, TaskStores, WindowKey,
};

use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::{Data, RecordTime, Timestamp, Windowed};
use crate::serde::Null;
use crate::store::StateStore;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::expiry::Expiry;
use crate::store::rows::window_key;
use crate::store::supplier::{StorePlace, TaskStore};
use crate::store::table_keys::{RowKeys, WindowKeys};
use crate::store::table_rows::Wanted;

/// A window store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. Times are starts of windows, ranges of
/// them include both ends. An iterator shows the store as it was when it was made: one may put and
/// forward while iterating.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the
/// processor's policy if passed on), and a failure of the state, which stops or rebuilds the task.
pub struct WindowStore<K, V>(Rc<RefCell<WindowState<K, V>>>);

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for WindowStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WindowStore").field(&self.0.borrow().name).finish()
    }
}

impl<K: Data, V: Data> WindowStore<K, V> {
    /// A handle on the store of a task.
    pub(crate) fn of(store: &TaskStore) -> Result<Self> {
        store.typed().map(Self)
    }

    /// Puts the value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// See [`WindowStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V, start: Timestamp) -> Result<()> {
        self.0.borrow_mut().put(&key, Some(value), start)
    }

    /// Deletes the value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn delete(&self, key: &K, start: Timestamp) -> Result<()> {
        self.0.borrow_mut().put(key, None, start)
    }

    /// The value of a key in the window that starts at `start`; with duplicates the first one.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn fetch(&self, key: &K, start: Timestamp) -> Result<Option<V>> {
        self.0.borrow_mut().get(key, start)
    }

    /// The values of a key in windows that start in `[from, to]`, by start.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn fetch_range(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowIterator<K, V>> {
        self.0.borrow_mut().of_key(key, (from, to), Direction::Forward)
    }

    /// As [`Self::fetch_range`], latest first.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn backward_fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowIterator<K, V>> {
        self.0.borrow_mut().of_key(key, (from, to), Direction::Backward)
    }

    /// The values of all keys in windows that start in `[from, to]`: by segment, then by key, then
    /// by start.
    pub fn fetch_all(&self, from: Timestamp, to: Timestamp) -> WindowedIterator<K, V> {
        self.0.borrow().of_all((from, to), Direction::Forward)
    }

    /// As [`Self::fetch_all`], in the opposite order.
    pub fn backward_fetch_all(&self, from: Timestamp, to: Timestamp) -> WindowedIterator<K, V> {
        self.0.borrow().of_all((from, to), Direction::Backward)
    }

    /// All that has not expired, in the order of [`Self::fetch_all`].
    pub fn all(&self) -> WindowedIterator<K, V> {
        self.fetch_all(Timestamp(0), Timestamp(i64::MAX))
    }
}

/// Windows of one key with their values, in order; after an error it ends.
pub struct WindowIterator<K, V>(WindowedIterator<K, V>);

impl<K, V> fmt::Debug for WindowIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowIterator").field("wanted", &self.0.wanted).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Iterator for WindowIterator<K, V> {
    type Item = Result<(Timestamp, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (local, found) = match self.0.next_found()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        Some(
            self.0
                .window(&local)
                .map(|window| Timestamp(window.start))
                .and_then(|start| Ok((start, self.0.value(found)?))),
        )
    }
}

/// Windows of all keys with their values, in order; after an error it ends.
pub struct WindowedIterator<K, V> {
    merged: Merged<V>,
    wanted: Wanted,
    keys: WindowKeysOf<K>,
    values: Codec<V>,
}

/// What it takes to read the key of a window.
struct WindowKeysOf<K> {
    codec: Codec<K>,
    layout: millstream_state::WindowLayout,
    size_ms: i64,
}

impl<K, V> fmt::Debug for WindowedIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowedIterator").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Iterator for WindowedIterator<K, V> {
    type Item = Result<(Windowed<K>, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (local, found) = match self.next_found()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        Some(self.entry(&local, found))
    }
}

impl<K: Data, V: Data> WindowedIterator<K, V> {
    fn next_found(&mut self) -> Option<Result<(Vec<u8>, Found<V>)>> {
        loop {
            match self.merged.next()? {
                Ok((local, found)) if self.wanted.holds(&local) => return Some(Ok((local, found))),
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
    }

    fn entry(&self, local: &[u8], found: Found<V>) -> Result<(Windowed<K>, V)> {
        let WindowKey { key, start, .. } = self.window(local)?;
        let key = self.keys.codec.decode(key)?;
        let end = start.saturating_add(self.keys.size_ms);
        Ok((Windowed { key, start, end }, self.value(found)?))
    }

    fn window<'k>(&self, local: &'k [u8]) -> Result<WindowKey<'k>> {
        self.keys.layout.decode(local).ok_or_else(|| Error::Fatal {
            what: "reading the key of a window".to_owned(),
            reason: "it is too short".to_owned(),
        })
    }

    fn value(&self, found: Found<V>) -> Result<V> {
        match found {
            Found::Typed(value) => Ok(value),
            Found::Stored(bytes) => self.values.decode(&bytes),
        }
    }
}

/// The store itself.
pub(crate) struct WindowState<K, V> {
    name: Arc<str>,
    id: StoreId,
    stores: TaskStores,
    keys: Codec<K>,
    values: Codec<V>,
    dirty: Dirty<V>,
    changelog: Option<Changelog>,
    expiry: Expiry,
    size_ms: i64,
    /// The number of the last put, of a store with duplicates.
    seq: Option<Sequence>,
    record_time: RecordTime,
    /// Key, local key and changelog key in hand.
    key: Vec<u8>,
    local: Vec<u8>,
    logged: Vec<u8>,
}

/// Numbers the puts of a store with duplicates, over restarts too.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    last: i32,
    noted: i32,
}

impl Sequence {
    /// Java's rule: from 1 on, and after the largest number from 0.
    fn next(&mut self) -> i32 {
        self.last = self.last.wrapping_add(1) & i32::MAX;
        self.last
    }
}

impl<K: Data, V: Data> WindowState<K, V> {
    pub(super) fn new(
        name: &Arc<str>,
        place: &StorePlace,
        (keys, values): (Codec<K>, Codec<V>),
        (changelog, expiry): (Option<Changelog>, Expiry),
        (size_ms, duplicates): (i64, bool),
    ) -> Self {
        let seq = duplicates.then(|| {
            let noted = place.stores.meta(&sequence_note(name));
            let noted = noted.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
            Sequence { last: noted, noted }
        });
        Self {
            name: Arc::clone(name),
            id: place.id,
            stores: place.stores.clone(),
            keys,
            values,
            dirty: Dirty::new(),
            changelog,
            expiry,
            size_ms,
            seq,
            record_time: place.record_time.clone(),
            key: Vec::new(),
            local: Vec::new(),
            logged: Vec::new(),
        }
    }

    fn put(&mut self, key: &K, value: Option<V>, start: Timestamp) -> Result<()> {
        self.keys.encode_key(key, &mut self.key)?;
        let start = start.0.max(0);
        let seq = self.seq.as_mut().map_or(0, Sequence::next);
        let mut bytes = Vec::new();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        if let Some(changelog) = &mut self.changelog {
            WindowKey { key: &self.key, start, seq }.to_changelog(&mut self.logged);
            let at = self.record_time.get();
            changelog.log(&self.logged, value.as_ref().map(|_| &*bytes), at)?;
        }
        if value.is_none() && self.seq.is_some() || !self.expiry.admits(start) {
            return Ok(());
        }
        self.expiry.layout().encode(&self.key, start, seq, &mut self.local);
        match value {
            Some(value) => self.dirty.put(&self.local, value, &bytes),
            None => self.dirty.delete(&self.local),
        }
        Ok(())
    }

    fn get(&mut self, key: &K, start: Timestamp) -> Result<Option<V>> {
        if self.seq.is_some() {
            let mut found = self.of_key(key, (start, start), Direction::Forward)?;
            return found.next().transpose().map(|first| first.map(|(_, value)| value));
        }
        if !self.expiry.shows(start.0) {
            return Ok(None);
        }
        self.keys.encode_key(key, &mut self.key)?;
        self.expiry.layout().encode(&self.key, start.0, 0, &mut self.local);
        if let Some(entry) = self.dirty.get(&self.local) {
            return Ok(entry.value.clone());
        }
        self.stores.get_with(self.id, &self.local, |bytes| self.values.decode(bytes))?.transpose()
    }

    fn of_key(
        &mut self,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<WindowIterator<K, V>> {
        self.keys.encode_key(key, &mut self.key)?;
        let layout = *self.expiry.layout();
        let (ranges, from, to) = match self.expiry.clamp(from.0, to.0) {
            Some((from, to)) => (layout.fetch(&self.key, from, to, direction), from, to),
            None => (Vec::new(), 0, 0),
        };
        let wanted = Wanted::Windows { layout, key: Some(self.key.clone()), from, to };
        Ok(WindowIterator(self.scan(ranges, wanted, direction)))
    }

    fn of_all(
        &self,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> WindowedIterator<K, V> {
        let layout = *self.expiry.layout();
        let (ranges, from, to) = match self.expiry.clamp(from.0, to.0) {
            Some((from, to)) => (vec![layout.fetch_all(from, to)], from, to),
            None => (Vec::new(), 0, 0),
        };
        self.scan(ranges, Wanted::Windows { layout, key: None, from, to }, direction)
    }

    fn scan(
        &self,
        ranges: Vec<KeyRange>,
        wanted: Wanted,
        direction: Direction,
    ) -> WindowedIterator<K, V> {
        let layout = *self.expiry.layout();
        let keys = WindowKeysOf { codec: self.keys.clone(), layout, size_ms: self.size_ms };
        WindowedIterator {
            merged: Merged::over(&self.dirty, &self.stores, self.id, ranges, direction),
            wanted,
            keys,
            values: self.values.clone(),
        }
    }

    fn note_sequence(&mut self, batch: &mut Batch) {
        if let Some(seq) = &mut self.seq
            && seq.last != seq.noted
        {
            batch.set_meta(&sequence_note(&self.name), &seq.last.to_be_bytes());
            seq.noted = seq.last;
        }
    }
}

/// Under which name the task notes the last number of a store with duplicates.
fn sequence_note(store: &str) -> Vec<u8> {
    format!("sequence:{store}").into_bytes()
}

impl<K: Data, V: Data> StateStore for WindowState<K, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        let WindowKey { key, start, seq } = window_key(&self.name, key)?;
        if let Some(numbers) = &mut self.seq {
            numbers.last = seq;
        }
        self.note_sequence(batch);
        if !self.expiry.restores(start, batch, self.id) {
            return Ok(());
        }
        self.expiry.layout().encode(key, start, seq, &mut self.local);
        match record.value {
            Some(value) => batch.put(self.id, &self.local, value),
            None => batch.delete(self.id, &self.local),
        }
        Ok(())
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.dirty.drain_into(batch, self.id);
        self.expiry.note(batch, self.id);
        self.note_sequence(batch);
    }

    fn drop_expired(&mut self) -> Result<()> {
        self.expiry.drop_expired(&self.stores, self.id)
    }

    fn rollback(&mut self) {
        self.dirty.clear();
        self.expiry.rollback();
        if let Some(seq) = &mut self.seq {
            seq.last = seq.noted;
        }
    }

    fn clear(&mut self) -> Result<()> {
        self.rollback();
        self.expiry.clear();
        Ok(self.stores.clear(self.id)?)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    fn committed(&self) -> Box<dyn Any> {
        let layout = *self.expiry.layout();
        let keys: Rc<dyn RowKeys<Windowed<K>>> =
            Rc::new(WindowKeys::new(self.keys.clone(), layout, self.size_ms));
        let place = (self.stores.clone(), self.id);
        Box::new(Committed::new(place, keys, self.values.clone(), false, Some(layout)))
    }

    fn take_expired(&mut self) -> u64 {
        self.expiry.take_dropped()
    }
}
