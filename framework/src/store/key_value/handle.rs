//! The key-value store of processors: no timestamps, no record cache, each put logged.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value; a value that its serde writes as null deletes | value or null |
//! | `put_if_absent` | puts if there is none, returns what is there | value if put |
//! | `delete` | deletes, returns what was there | null, also if nothing was there |
//! | reads | of uncommitted writes and of committed state | none |

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Direction, KeyRange};

use crate::error::Result;
use crate::record::Data;
use crate::store::key_value::iterator::KeyValueIterator;
use crate::store::key_value::state::KeyValueState;
use crate::store::supplier::TaskStore;

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
