//! The uncommitted writes of one store, typed and ordered by key bytes.
//!
//! A put leaves both forms of its value here: the typed one, so that reading it again costs no
//! decoding, and the bytes, which were needed for the changelog anyway and go to the store at the
//! commit. Forgetting the layer is the whole of a rollback.

use crate::batch::Batch;
use crate::error::Result;
use crate::range::{Direction, KeyRange, map_bounds};
use crate::spec::StoreId;
use crate::stores::TaskStores;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// What one entry costs beside its key and value: its place in the map, a quarter of which is free.
const ENTRY_OVERHEAD: usize = 128;

/// A key in its place in the map: comparing keys is most of what a put costs, and need not leave
/// the node for it. A window's has 20 bytes beside its key.
type InlineKey = SmallVec<[u8; 32]>;

/// The bytes of a value; a count, a sum or a timestamp needs nothing on the heap.
type InlineValue = SmallVec<[u8; 24]>;

/// One uncommitted write. Both forms are there (a put) or neither (a deletion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyEntry<V> {
    /// The value put; none: deleted.
    pub value: Option<V>,
    /// The value's bytes; none: deleted.
    bytes: Option<InlineValue>,
}

/// The uncommitted writes of one store.
#[derive(Clone, Debug)]
pub struct Dirty<V> {
    entries: BTreeMap<InlineKey, DirtyEntry<V>>,
    bytes: usize,
}

impl<V> Default for Dirty<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), bytes: 0 }
    }
}

impl<V> Dirty<V> {
    /// A layer without writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value and its bytes under a key.
    pub fn put(&mut self, key: &[u8], value: V, bytes: &[u8]) {
        let bytes = Some(InlineValue::from_slice(bytes));
        self.set(key, DirtyEntry { value: Some(value), bytes });
    }

    /// Deletes a key: it hides what the store holds under it.
    pub fn delete(&mut self, key: &[u8]) {
        self.set(key, DirtyEntry { value: None, bytes: None });
    }

    /// The uncommitted write of a key; none: ask the store.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&DirtyEntry<V>> {
        self.entries.get(key)
    }

    /// The writes of a range as they are now, in reading order; none for a deletion. Later writes
    /// do not change it, so the caller may write while it reads.
    #[must_use]
    pub fn snapshot(&self, range: &KeyRange, direction: Direction) -> Vec<(Vec<u8>, Option<V>)>
    where
        V: Clone,
    {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let (start, end) = range.clone().into_half_open();
        let Some(bounds) = map_bounds(&start, end.as_deref()) else {
            return Vec::new();
        };
        let entries = self.entries.range::<[u8], _>(bounds);
        let copy = |(key, entry): (&InlineKey, &DirtyEntry<V>)| (key.to_vec(), entry.value.clone());
        match direction {
            Direction::Forward => entries.map(copy).collect(),
            Direction::Backward => entries.rev().map(copy).collect(),
        }
    }

    /// The first key of a range in reading order, of this layer and the store below it as one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn edge(
        &self,
        stores: &TaskStores,
        store: StoreId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Option<Vec<u8>>> {
        let (start, end) = range.clone().into_half_open();
        let Some(bounds) = map_bounds(&start, end.as_deref()) else { return Ok(None) };
        let mut writes = self.entries.range::<[u8], _>(bounds);
        let mut put = std::iter::from_fn(|| match direction {
            Direction::Forward => writes.next(),
            Direction::Backward => writes.next_back(),
        });
        let here = put.find(|(_, entry)| entry.value.is_some()).map(|(key, _)| key.to_vec());
        for stored in stores.scan(store, range.clone(), direction) {
            let (key, _) = stored?;
            if here.as_ref().is_some_and(|here| direction.compare(here, &key).is_le()) {
                break;
            }
            if self.get(&key).is_none_or(|entry| entry.value.is_some()) {
                return Ok(Some(key));
            }
        }
        Ok(here)
    }

    /// About how much memory the layer takes, for the bound on uncommitted bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Moves the writes into a batch and leaves the layer empty: the commit.
    pub fn drain_into(&mut self, batch: &mut Batch, store: StoreId) {
        for (key, entry) in std::mem::take(&mut self.entries) {
            match entry.bytes {
                Some(bytes) => batch.put(store, &key, &bytes),
                None => batch.delete(store, &key),
            }
        }
        self.bytes = 0;
    }

    /// Forgets all writes: the rollback.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn set(&mut self, key: &[u8], entry: DirtyEntry<V>) {
        let added = cost(key, &entry);
        if let Some(old) = self.entries.get_mut(key) {
            self.bytes = self.bytes.saturating_sub(cost(key, old));
            *old = entry;
        } else {
            self.entries.insert(InlineKey::from_slice(key), entry);
        }
        self.bytes = self.bytes.saturating_add(added);
    }
}

/// The typed value is counted as large as its bytes; its real size is not ours to know.
fn cost<V>(key: &[u8], entry: &DirtyEntry<V>) -> usize {
    let value = entry.bytes.as_ref().map_or(0, SmallVec::len);
    key.len() + 2 * value + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_bytes_follows_what_is_there() {
        let mut dirty = Dirty::new();
        assert_eq!((dirty.bytes(), dirty.is_empty()), (0, true));
        dirty.put(b"key", 1, &[0; 100]);
        let one = dirty.bytes();
        assert!(one >= 203);
        dirty.put(b"key", 2, &[0; 40]);
        assert_eq!(dirty.bytes(), one - 120, "the same key again");
        dirty.delete(b"key");
        assert_eq!(dirty.bytes(), 3 + ENTRY_OVERHEAD, "a deletion is an entry too");
        dirty.put(b"", 3, &[]);
        assert_eq!(dirty.len(), 2);
        dirty.clear();
        assert_eq!((dirty.bytes(), dirty.len()), (0, 0));
    }

    #[test]
    fn a_snapshot_does_not_see_later_writes() {
        let mut dirty = Dirty::new();
        dirty.put(b"a", 1, &[1]);
        dirty.put(b"b", 2, &[2]);
        let snapshot = dirty.snapshot(&KeyRange::all(), Direction::Backward);
        dirty.put(b"a", 9, &[9]);
        dirty.clear();
        assert_eq!(snapshot, [(b"b".to_vec(), Some(2)), (b"a".to_vec(), Some(1))]);
    }
}
