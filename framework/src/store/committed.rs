//! What a store has committed, to be read from outside the chain of operators.
//!
//! Uncommitted writes are invisible here: neither the record cache nor the dirty layer is looked
//! at, so a reader never sees what an abort takes back.

use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Direction, KeyRange, Scan, SharedStore, StoreId, TaskStores};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp, Windowed};
use crate::store::codec::Codec;
use crate::store::keys::{PlainKeys, RowKeys};
use crate::store::layout::Layout;
use crate::store::ranges::{Wanted, encoded_range};
use crate::store::row::decode_row;

/// An entry of a store.
///
/// ```
/// use millstream::StoredEntry;
/// use millstream::record::Timestamp;
///
/// /// A row of a table as a question brings it.
/// fn line(entry: &StoredEntry<String, i64>) -> String {
///     let at = entry.timestamp.map_or(-1, |at| at.0);
///     format!("{} = {} (at {at} ms)", entry.key, entry.value)
/// }
/// let row = StoredEntry { key: "ada".to_owned(), value: 3, timestamp: Some(Timestamp(5)) };
/// assert_eq!(line(&row), "ada = 3 (at 5 ms)");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The time of the row, in stores that keep one: those of tables.
    pub timestamp: Option<Timestamp>,
}

/// The committed state of one store in one task.
pub(crate) struct Committed<K, V> {
    place: Place,
    keys: Rc<dyn RowKeys<K>>,
    values: Codec<V>,
    /// Whether values have a timestamp in front.
    timed: bool,
    layout: Option<Layout>,
}

/// Where the bytes are.
enum Place {
    Task(TaskStores, StoreId),
    Shared(SharedStore),
}

impl Place {
    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        Ok(match self {
            Self::Task(stores, id) => stores.get_with(*id, key, read)?,
            Self::Shared(store) => store.get_with(key, read)?,
        })
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Scan {
        match self {
            Self::Task(stores, id) => stores.scan(*id, range, direction),
            Self::Shared(store) => store.scan(range, direction),
        }
    }

    fn observed(&self) -> Option<i64> {
        match self {
            Self::Task(stores, id) => stores.observed(*id),
            Self::Shared(_) => None,
        }
    }
}

impl<K: Data, V: Data> Committed<K, V> {
    /// The rows of a global table.
    pub(super) fn of_global(store: SharedStore, keys: Codec<K>, values: Codec<V>) -> Self {
        let keys = Rc::new(PlainKeys(keys));
        Self { place: Place::Shared(store), keys, values, timed: true, layout: None }
    }

    pub(super) fn new(
        (stores, id): (TaskStores, StoreId),
        keys: Rc<dyn RowKeys<K>>,
        values: Codec<V>,
        timed: bool,
        layout: Option<Layout>,
    ) -> Self {
        Self { place: Place::Task(stores, id), keys, values, timed, layout }
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &K) -> Result<Option<StoredEntry<K, V>>> {
        if self.layout.is_some() && self.clamp(self.keys.start(key), self.keys.start(key)).is_none()
        {
            return Ok(None);
        }
        let mut local = Vec::new();
        self.keys.encode(key, &mut local)?;
        let found = self.place.get_with(&local, |bytes| self.entry(&local, bytes))?;
        found.transpose()
    }

    /// Up to `limit` entries whose keys lie in a range, in the order of their bytes; of windows, in
    /// the order of the store.
    pub(crate) fn range(
        &self,
        bounds: impl RangeBounds<K>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredEntry<K, V>>> {
        let range =
            encoded_range(bounds, self.keys.all(), |key, into| self.keys.encode(key, into))?;
        let Some(wanted) = Wanted::of_all(self.layout, || self.clamp(0, i64::MAX)) else {
            return Ok(Vec::new());
        };
        self.scan(vec![range], direction, &wanted, limit)
    }

    fn clamp(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let observed = self.place.observed().unwrap_or(-1);
        self.layout?.segments().clamp(from, to, observed)
    }

    fn scan(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<StoredEntry<K, V>>> {
        let mut found = Vec::new();
        for range in ranges {
            for entry in self.place.scan(range, direction) {
                if found.len() >= limit {
                    return Ok(found);
                }
                let (local, bytes) = entry?;
                if wanted.holds(&local) {
                    found.push(self.entry(&local, &bytes)?);
                }
            }
        }
        Ok(found)
    }

    fn entry(&self, local: &[u8], bytes: &[u8]) -> Result<StoredEntry<K, V>> {
        let (value, timestamp) = if self.timed {
            let (value, time) = decode_row(&self.values, bytes)?;
            (value, Some(time))
        } else {
            (self.values.decode(bytes)?, None)
        };
        Ok(StoredEntry { key: self.keys.decode(local)?, value, timestamp })
    }
}

impl<K: Data, V: Data> Committed<Windowed<K>, V> {
    /// Up to `limit` windows of a key that start in `[from, to]`, by start.
    pub(crate) fn fetch(
        &self,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredEntry<Windowed<K>, V>>> {
        let Some(Layout::Window(layout)) = self.layout else {
            return Err(Error::Fatal {
                what: "fetching windows of a key".to_owned(),
                reason: "the store does not hold windows".to_owned(),
            });
        };
        let Some((from, to)) = self.clamp(from.0, to.0) else { return Ok(Vec::new()) };
        let mut local = Vec::new();
        self.keys.encode(&Windowed { key: key.clone(), start: from, end: from }, &mut local)?;
        let Some(window) = layout.decode(&local) else { return Ok(Vec::new()) };
        let ranges = layout.fetch(window.key, from, to, direction);
        let wanted = Wanted::Windows { layout, key: Some(window.key.to_vec()), from, to };
        self.scan(ranges, direction, &wanted, limit)
    }
}
