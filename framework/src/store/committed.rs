//! What a store has committed, to be read from outside the chain of operators.
//!
//! Uncommitted writes are invisible here: neither the record cache nor the dirty layer is looked
//! at, so a reader never sees what an abort takes back.

use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Direction, KeyRange, StoreId, TaskStores};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp, Windowed};
use crate::store::codec::Codec;
use crate::store::keys::RowKeys;
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
    stores: TaskStores,
    id: StoreId,
    keys: Rc<dyn RowKeys<K>>,
    values: Codec<V>,
    /// Whether values have a timestamp in front.
    timed: bool,
    layout: Option<Layout>,
}

impl<K: Data, V: Data> Committed<K, V> {
    pub(super) fn new(
        (stores, id): (TaskStores, StoreId),
        keys: Rc<dyn RowKeys<K>>,
        values: Codec<V>,
        timed: bool,
        layout: Option<Layout>,
    ) -> Self {
        Self { stores, id, keys, values, timed, layout }
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &K) -> Result<Option<StoredEntry<K, V>>> {
        if self.layout.is_some() && self.clamp(self.keys.start(key), self.keys.start(key)).is_none()
        {
            return Ok(None);
        }
        let mut local = Vec::new();
        self.keys.encode(key, &mut local)?;
        let found = self.stores.get_with(self.id, &local, |bytes| self.entry(&local, bytes))?;
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
        let observed = self.stores.observed(self.id).unwrap_or(-1);
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
            for entry in self.stores.scan(self.id, range, direction) {
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
