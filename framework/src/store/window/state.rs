//! The window store of one task.

use std::any::Any;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Batch, Direction, KeyRange, StoreId, StoreKind, WindowLayout, WindowOrder};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, Timestamp, Windowed};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::described::{self, Described};
use crate::store::expiry::Expiry;
use crate::store::keys::{RowKeys, WindowKeys};
use crate::store::layout::Layout;
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::ranges::{Wanted, encoded_range};
use crate::store::row::window_key;
use crate::store::serdes::Serdes;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::window::iterators::{Rows, WindowIterator, WindowKeysOf, WindowedIterator};
use crate::store::window::kept_rows::KeptRows;

/// A window store for processors.
pub(crate) struct WindowSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) retention_ms: i64,
    pub(crate) window_size_ms: i64,
    /// Keeps all values put for one key and start, in the order of their puts.
    pub(crate) duplicates: bool,
    /// How far back from the latest one rows are asked for all the time, if they are: so long they are in memory, too.
    pub(crate) kept_ms: Option<i64>,
}

impl<K, V> WindowSpec<K, V> {
    fn layout(&self) -> WindowLayout {
        WindowLayout::new(WindowOrder::KeyFirst, self.retention_ms)
    }
}

debug_by_options!(WindowSpec);

impl<K: Data, V: Data> StoreSupplier for WindowSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Window(self.layout())
    }

    fn retention_ms(&self) -> Option<i64> {
        Some(self.retention_ms)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (keys, values) = self.serdes.codecs(&self.options.name, place);
        let logged = Logged::open(&self.options, Some(Layout::Window(self.layout())), place)?;
        let observed = logged.expiry().map_or(-1, Expiry::observed);
        let kept = self.kept_ms.filter(|_| self.duplicates);
        let kept =
            kept.and_then(|ms| KeptRows::new(ms, observed, &place.cache_budget.of_kept_rows()));
        let seq = self.duplicates.then(|| Sequence::noted_in(place, logged.name()));
        Ok(TaskStore::new(WindowState {
            keys,
            values,
            logged,
            kept,
            layout: self.layout(),
            size_ms: self.window_size_ms,
            seq,
            key: Vec::new(),
            local: Vec::new(),
            bytes: Vec::new(),
        }))
    }
}

/// The store itself.
pub(crate) struct WindowState<K, V> {
    keys: Codec<K>,
    values: Codec<V>,
    pub(super) logged: Logged<V>,
    /// The latest rows, of a store with duplicates.
    kept: Option<KeptRows<V>>,
    layout: WindowLayout,
    size_ms: i64,
    /// The number of the last put, of a store with duplicates.
    seq: Option<Sequence>,
    /// Key, local key and value in hand.
    key: Vec<u8>,
    local: Vec<u8>,
    bytes: Vec<u8>,
}

/// Numbers the puts of a store with duplicates, over restarts too.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    last: i32,
    noted: i32,
}

impl Sequence {
    fn noted_in(place: &StorePlace, store: &str) -> Self {
        let noted = place.stores.meta(&sequence_note(store));
        let noted = noted.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
        Self { last: noted, noted }
    }

    /// Java's rule: from 1 on, and after the largest number from 0.
    fn next(&mut self) -> i32 {
        self.last = self.last.wrapping_add(1) & i32::MAX;
        self.last
    }
}

impl<K: Data, V: Data> WindowState<K, V> {
    /// Who was told that a put had expired counts it: the store does not.
    pub(crate) fn told_expired(&mut self) {
        if let Some(expiry) = self.logged.expiry_mut() {
            expiry.told();
        }
    }

    /// Puts a value (none deletes) and logs it at a time; false, and counted, if its window has expired.
    pub(crate) fn put(
        &mut self,
        key: &K,
        value: Option<V>,
        start: Timestamp,
        at: Timestamp,
    ) -> Result<bool> {
        self.keys.encode_key(key, &mut self.key)?;
        let start = start.0.max(0);
        let seq = self.seq.as_mut().map_or(0, Sequence::next);
        self.bytes.clear();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut self.bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        self.layout.encode(&self.key, start, seq, &mut self.local);
        self.logged.log(&self.local, value.as_ref().map(|_| &*self.bytes), at)?;
        let admitted = |expiry: &mut Expiry| expiry.admits(start);
        if value.is_none() && self.seq.is_some() {
            return Ok(true);
        }
        if !self.logged.expiry_mut().is_none_or(admitted) {
            return Ok(false);
        }
        match value {
            Some(value) => self.put_row((start, seq), value),
            None => self.logged.delete(&self.local),
        }
        Ok(true)
    }

    /// Puts the row in hand.
    #[inline]
    fn put_row(&mut self, (start, seq): (i64, i32), value: V) {
        let observed = self.logged.expiry().map_or(start, Expiry::observed);
        let kept = self.kept.as_mut();
        match kept.and_then(|kept| kept.takes(start, observed).then_some(kept)) {
            Some(kept) => {
                self.logged.append(&self.local, &self.bytes);
                kept.push(&self.key, (start, seq), value, self.bytes.len());
            }
            None => self.logged.put(&self.local, value, &self.bytes),
        }
    }

    pub(super) fn get(&mut self, key: &K, start: Timestamp) -> Result<Option<V>> {
        if self.seq.is_some() {
            let mut found = self.of_key(key, (start, start), Direction::Forward)?;
            return found.next().transpose().map(|first| first.map(|(_, value)| value));
        }
        if self.clamp(start, start).is_none() {
            return Ok(None);
        }
        self.keys.encode_key(key, &mut self.key)?;
        self.layout.encode(&self.key, start.0, 0, &mut self.local);
        self.logged.find(&self.local, |bytes| self.values.decode(bytes))
    }

    /// The part of a span of starts that can be read.
    fn clamp(&self, from: Timestamp, to: Timestamp) -> Option<(i64, i64)> {
        self.logged.expiry()?.clamp(from.0, to.0)
    }

    pub(crate) fn of_key(
        &mut self,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<WindowIterator<K, V>> {
        self.keys.encode_key(key, &mut self.key)?;
        let layout = self.layout;
        let (ranges, from, to) = match (self.clamp(from, to), &self.kept) {
            (Some((from, to)), Some(kept)) if from >= kept.from() => {
                let mut rows = kept.of_key(&self.key, (from, to));
                if direction == Direction::Backward {
                    rows.reverse();
                }
                return Ok(WindowIterator(Rows::Kept(rows.into_iter())));
            }
            (Some((from, to)), _) => (layout.fetch(&self.key, from, to, direction), from, to),
            (None, _) => (Vec::new(), 0, 0),
        };
        let wanted = Wanted::Windows { layout, key: Some(self.key.clone()), from, to };
        Ok(WindowIterator(Rows::Read(Box::new(self.scan(ranges, wanted, direction)))))
    }

    /// What is not committed and kept in memory alone, by local key.
    fn kept_alone(&self) -> Vec<(Vec<u8>, Option<V>)> {
        let rows = self.kept.iter().flat_map(KeptRows::uncommitted);
        rows.map(|(key, start, seq, value)| {
            let mut local = Vec::new();
            self.layout.encode(key, start, seq, &mut local);
            (local, Some(value.clone()))
        })
        .collect()
    }

    pub(super) fn of_all(
        &self,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> WindowedIterator<K, V> {
        let layout = self.layout;
        let (ranges, from, to) = match self.clamp(from, to) {
            Some((from, to)) => (vec![layout.fetch_all(from, to)], from, to),
            None => (Vec::new(), 0, 0),
        };
        self.scan(ranges, Wanted::Windows { layout, key: None, from, to }, direction)
    }

    /// As [`Self::of_all`], of a range of keys.
    pub(super) fn of_keys(
        &self,
        keys: impl RangeBounds<K>,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<WindowedIterator<K, V>> {
        let encode = |key: &K, into: &mut Vec<u8>| self.keys.encode_key(key, into);
        let (layout, keys) = (self.layout, encoded_range(keys, KeyRange::all(), encode)?);
        let (ranges, from, to) = match self.clamp(from, to) {
            Some((from, to)) => (layout.fetch_keys(&keys, from, to, direction), from, to),
            None => (Vec::new(), 0, 0),
        };
        Ok(self.scan(ranges, Wanted::WindowsOf { layout, keys, from, to }, direction))
    }

    fn scan(
        &self,
        ranges: Vec<KeyRange>,
        wanted: Wanted,
        direction: Direction,
    ) -> WindowedIterator<K, V> {
        let (codec, layout, size_ms) = (self.keys.clone(), self.layout, self.size_ms);
        let keys = WindowKeysOf { codec, layout, size_ms };
        WindowedIterator {
            merged: self.logged.scan_below(ranges, direction, self.kept_alone(), wanted.earliest()),
            wanted,
            keys,
            values: self.values.clone(),
        }
    }

    fn note_sequence(&mut self, batch: &mut Batch) {
        if let Some(seq) = &mut self.seq
            && seq.last != seq.noted
        {
            batch.set_meta(&sequence_note(self.logged.name()), &seq.last.to_be_bytes());
            seq.noted = seq.last;
        }
    }
}

/// Under which name the task notes the last number of a store with duplicates.
fn sequence_note(store: &str) -> Vec<u8> {
    format!("sequence:{store}").into_bytes()
}

impl<K: Data, V: Data> Described for WindowState<K, V> {
    fn described() -> String {
        described::of::<K, V>("a window store")
    }
}

impl<K: Data, V: Data> StateStore for WindowState<K, V> {
    fn name(&self) -> &str {
        self.logged.name()
    }

    fn id(&self) -> StoreId {
        self.logged.id()
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.logged.changelog()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        if let Some(numbers) = &mut self.seq {
            numbers.last = window_key(self.logged.name(), key)?.seq;
            self.note_sequence(batch);
        }
        if let Some(kept) = &mut self.kept {
            kept.misses(window_key(self.logged.name(), key)?.start);
        }
        self.logged.restore(batch, key, record.value)
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.logged.drain(batch);
        self.note_sequence(batch);
        if let Some(kept) = &mut self.kept {
            kept.committed(self.logged.expiry().map_or(-1, Expiry::observed));
        }
    }

    fn drop_expired(&mut self) -> Result<()> {
        self.logged.drop_expired()
    }

    fn rollback(&mut self) {
        self.logged.rollback();
        if let Some(kept) = &mut self.kept {
            kept.rollback();
        }
        if let Some(seq) = &mut self.seq {
            seq.last = seq.noted;
        }
    }

    fn clear(&mut self) -> Result<()> {
        self.rollback();
        if let Some(kept) = &mut self.kept {
            kept.clear();
        }
        self.logged.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<Windowed<K>>> =
            Rc::new(WindowKeys::new(self.keys.clone(), self.layout, self.size_ms));
        let place = (self.logged.stores().clone(), self.logged.id());
        Box::new(Committed::new(
            place,
            keys,
            self.values.clone(),
            false,
            Some(Layout::Window(self.layout)),
        ))
    }

    fn take_expired(&mut self) -> u64 {
        self.logged.take_expired()
    }
}
