//! Sessions of a store with their values, in order.

use std::fmt;
use std::rc::Rc;

use millstream_state::{Found, Merged};

use crate::error::Result;
use crate::record::{Data, Session};
use crate::store::codec::Codec;
use crate::store::keys::RowKeys;
use crate::store::ranges::Wanted;

/// Sessions with their values, in order; after an error it ends.
///
/// ```
/// use millstream::{BoxError, SessionIterator};
///
/// /// How long the longest session is, from its first record to its last.
/// fn longest(sessions: SessionIterator<String, i64>) -> Result<i64, BoxError> {
///     let mut longest = 0;
///     for found in sessions {
///         let (session, _) = found?;
///         longest = longest.max(session.end - session.start);
///     }
///     Ok(longest)
/// }
/// ```
pub struct SessionIterator<K, V> {
    pub(super) merged: Merged<V>,
    pub(super) wanted: Wanted,
    pub(super) keys: Rc<dyn RowKeys<Session<K>>>,
    pub(super) values: Codec<V>,
}

impl<K, V> fmt::Debug for SessionIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionIterator").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Iterator for SessionIterator<K, V> {
    type Item = Result<(Session<K>, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.merged.next()? {
                Ok((local, found)) if self.wanted.holds(&local) => {
                    return Some(self.entry(&local, found));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

impl<K: Data, V: Data> SessionIterator<K, V> {
    fn entry(&self, local: &[u8], found: Found<V>) -> Result<(Session<K>, V)> {
        let value = match found {
            Found::Typed(value) => value,
            Found::Stored(bytes) => self.values.decode(&bytes)?,
        };
        Ok((self.keys.decode(local)?, value))
    }
}
