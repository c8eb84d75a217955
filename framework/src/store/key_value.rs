//! The key-value store of processors: no timestamps, no record cache, each put logged.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value; a value that its serde writes as null deletes | value or null |
//! | `put_if_absent` | puts if there is none, returns what is there | value if put |
//! | `delete` | deletes, returns what was there | null, also if nothing was there |
//! | reads | of uncommitted writes and of committed state | none |

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, Direction, Dirty, Found, KeyRange, Merged, StoreId, TaskStores};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, RecordTime};
use crate::serde::Null;
use crate::store::StateStore;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::supplier::{StorePlace, TaskStore};
use crate::store::table_keys::{PlainKeys, RowKeys};
use crate::store::table_rows::encoded_range;

/// A key-value store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. Ranges go by the order of the serialised
/// keys. An iterator shows the store as it was when it was made: one may put, delete and forward
/// while iterating.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the
/// processor's policy if passed on), and a failure of the state, which stops or rebuilds the task.
pub struct KeyValueStore<K, V>(Rc<RefCell<KeyValueState<K, V>>>);

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyValueStore").field(&self.0.borrow().name).finish()
    }
}

impl<K: Data, V: Data> KeyValueStore<K, V> {
    /// A handle on the store of a task.
    pub(crate) fn of(store: &TaskStore) -> Result<Self> {
        store.typed().map(Self)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.0.borrow_mut().get(key)
    }

    /// Puts a value.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V) -> Result<()> {
        self.0.borrow_mut().put(&key, Some(value))
    }

    /// Puts a value if the key has none; returns the value that is there already.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put_if_absent(&self, key: K, value: V) -> Result<Option<V>> {
        let mut state = self.0.borrow_mut();
        let there = state.get(&key)?;
        if there.is_none() {
            state.put(&key, Some(value))?;
        }
        Ok(there)
    }

    /// Deletes a key; returns the value that was there.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn delete(&self, key: &K) -> Result<Option<V>> {
        let mut state = self.0.borrow_mut();
        let there = state.get(key)?;
        state.put(key, None)?;
        Ok(there)
    }

    /// The entries whose keys lie in a range, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>> {
        self.0.borrow().range(keys, Direction::Forward)
    }

    /// The entries whose keys lie in a range, descending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>> {
        self.0.borrow().range(keys, Direction::Backward)
    }

    /// The entries whose keys begin, as bytes, with the bytes of `prefix`, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn prefix_scan(&self, prefix: &K) -> Result<KeyValueIterator<K, V>> {
        let state = self.0.borrow();
        let mut bytes = Vec::new();
        state.keys.encode_key(prefix, &mut bytes)?;
        Ok(state.scan(KeyRange::prefix(&bytes), Direction::Forward))
    }

    /// All entries, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn all(&self) -> Result<KeyValueIterator<K, V>> {
        self.range(..)
    }

    /// All entries, descending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn reverse_all(&self) -> Result<KeyValueIterator<K, V>> {
        self.reverse_range(..)
    }

    /// About how many entries there are.
    pub fn approximate_entries(&self) -> u64 {
        let state = self.0.borrow();
        state.stores.entries_estimate(state.id) + state.dirty.len() as u64
    }
}

/// Entries of a key-value store, in order; after an error it ends.
pub struct KeyValueIterator<K, V> {
    merged: Merged<V>,
    keys: Codec<K>,
    values: Codec<V>,
}

impl<K, V> fmt::Debug for KeyValueIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyValueIterator").field(&self.keys).finish()
    }
}

impl<K: Data, V: Data> Iterator for KeyValueIterator<K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.merged.next()? {
            Ok((key, found)) => self.entry(&key, found),
            Err(error) => Err(error.into()),
        })
    }
}

impl<K: Data, V: Data> KeyValueIterator<K, V> {
    fn entry(&self, key: &[u8], found: Found<V>) -> Result<(K, V)> {
        let value = match found {
            Found::Typed(value) => value,
            Found::Stored(bytes) => self.values.decode(&bytes)?,
        };
        Ok((self.keys.decode(key)?, value))
    }
}

/// The store itself.
pub(crate) struct KeyValueState<K, V> {
    name: Arc<str>,
    id: StoreId,
    stores: TaskStores,
    keys: Codec<K>,
    values: Codec<V>,
    dirty: Dirty<V>,
    changelog: Option<Changelog>,
    record_time: RecordTime,
    /// The key in hand.
    local: Vec<u8>,
}

impl<K: Data, V: Data> KeyValueState<K, V> {
    pub(super) fn new(
        name: Arc<str>,
        place: &StorePlace,
        (keys, values): (Codec<K>, Codec<V>),
        changelog: Option<Changelog>,
    ) -> Self {
        Self {
            name,
            id: place.id,
            stores: place.stores.clone(),
            keys,
            values,
            dirty: Dirty::new(),
            changelog,
            record_time: place.record_time.clone(),
            local: Vec::new(),
        }
    }

    fn get(&mut self, key: &K) -> Result<Option<V>> {
        self.keys.encode_key(key, &mut self.local)?;
        if let Some(entry) = self.dirty.get(&self.local) {
            return Ok(entry.value.clone());
        }
        self.stores.get_with(self.id, &self.local, |bytes| self.values.decode(bytes))?.transpose()
    }

    fn put(&mut self, key: &K, value: Option<V>) -> Result<()> {
        self.keys.encode_key(key, &mut self.local)?;
        let at = self.record_time.get();
        let mut bytes = Vec::new();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        if let Some(changelog) = &mut self.changelog {
            changelog.log(&self.local, value.as_ref().map(|_| &*bytes), at)?;
        }
        match value {
            Some(value) => self.dirty.put(&self.local, value, &bytes),
            None => self.dirty.delete(&self.local),
        }
        Ok(())
    }

    fn range(
        &self,
        keys: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<KeyValueIterator<K, V>> {
        let range = encoded_range(keys, |key, into| self.keys.encode_key(key, into))?;
        Ok(self.scan(range, direction))
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> KeyValueIterator<K, V> {
        KeyValueIterator {
            merged: Merged::new(&self.dirty, &self.stores, self.id, range, direction),
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K: Data, V: Data> StateStore for KeyValueState<K, V> {
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
        match (record.key, record.value) {
            (Some(key), Some(value)) => batch.put(self.id, key, value),
            (Some(key), None) => batch.delete(self.id, key),
            (None, _) => {}
        }
        Ok(())
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.dirty.drain_into(batch, self.id);
    }

    fn rollback(&mut self) {
        self.dirty.clear();
    }

    fn clear(&mut self) -> Result<()> {
        self.dirty.clear();
        Ok(self.stores.clear(self.id)?)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.stores.clone(), self.id);
        Box::new(Committed::new(place, keys, self.values.clone(), false, None))
    }
}
