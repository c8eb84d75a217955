//! The window store of one task.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{
    Batch, Direction, Dirty, KeyRange, Merged, StoreId, StoreKind, StoreSpec, TaskStores,
    WindowKey, WindowLayout, WindowOrder,
};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, RecordTime, Timestamp, Windowed};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::expiry::Expiry;
use crate::store::keys::{RowKeys, WindowKeys};
use crate::store::options::{Serdes, StoreOptions, debug_by_options};
use crate::store::ranges::Wanted;
use crate::store::row::window_key;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StorePlace, StoreSupplier, TaskStore};
use crate::store::window::iterators::{WindowIterator, WindowKeysOf, WindowedIterator};

/// A window store for processors.
pub(crate) struct WindowSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) retention_ms: i64,
    pub(crate) window_size_ms: i64,
    /// Keeps all values put for one key and start, in the order of their puts.
    pub(crate) duplicates: bool,
}

impl<K, V> WindowSpec<K, V> {
    fn layout(&self) -> WindowLayout {
        WindowLayout::new(WindowOrder::KeyFirst, self.retention_ms)
    }
}

debug_by_options!(WindowSpec);

impl<K: Data, V: Data> StoreSupplier for WindowSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::Window(self.layout()))
    }

    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        let kept = self.retention_ms.saturating_add(retention_extra_ms);
        self.options.changelog_config(Some(kept))
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let codecs = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        let expiry = Expiry::new(self.layout(), &place.stores, place.id);
        let sizes = (self.window_size_ms, self.duplicates);
        Ok(TaskStore::new(WindowState::new(name, place, codecs, (changelog, expiry), sizes)))
    }
}

/// The store itself.
pub(crate) struct WindowState<K, V> {
    pub(super) name: Arc<str>,
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

    pub(super) fn put(&mut self, key: &K, value: Option<V>, start: Timestamp) -> Result<()> {
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

    pub(super) fn get(&mut self, key: &K, start: Timestamp) -> Result<Option<V>> {
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

    pub(super) fn of_key(
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

    pub(super) fn of_all(
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
