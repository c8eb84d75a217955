//! Entries of a key-value store, in order.

use std::fmt;

use millstream_state::{Found, Merged};

use crate::error::Result;
use crate::record::Data;
use crate::store::codec::Codec;

/// Entries of a key-value store, in order; after an error it ends.
///
/// ```
/// use millstream::{BoxError, KeyValueIterator};
///
/// /// The sum of what is left; the first error ends it.
/// fn sum(entries: KeyValueIterator<String, i64>) -> Result<i64, BoxError> {
///     let mut sum = 0;
///     for entry in entries {
///         let (_, left) = entry?;
///         sum += left;
///     }
///     Ok(sum)
/// }
/// ```
pub struct KeyValueIterator<K, V> {
    pub(super) merged: Merged<V>,
    pub(super) keys: Codec<K>,
    pub(super) values: Codec<V>,
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
