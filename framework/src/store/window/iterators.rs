//! Windows of a store with their values, in order.

use std::fmt;

use millstream_state::{Found, Merged, WindowKey, WindowLayout};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp, Windowed};
use crate::store::codec::Codec;
use crate::store::ranges::Wanted;
use crate::store::window::kept_rows;

/// Windows of one key with their values, in order; after an error it ends.
///
/// ```
/// use millstream::{BoxError, WindowIterator};
///
/// /// The largest value, and the start of its window.
/// fn largest(entries: WindowIterator<String, i64>) -> Result<Option<(i64, i64)>, BoxError> {
///     let mut all = Vec::new();
///     for entry in entries {
///         let (start, value) = entry?;
///         all.push((value, start.0));
///     }
///     Ok(all.into_iter().max())
/// }
/// ```
pub struct WindowIterator<K, V>(pub(super) Rows<K, V>);

/// Where they are.
pub(super) enum Rows<K, V> {
    /// All of them in memory.
    Kept(<kept_rows::Found<V> as IntoIterator>::IntoIter),
    /// In the store, or in memory and there.
    Read(Box<WindowedIterator<K, V>>),
}

impl<K, V> fmt::Debug for WindowIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rows::Kept(rows) => f.debug_tuple("WindowIterator").field(&rows.len()).finish(),
            Rows::Read(read) => f.debug_tuple("WindowIterator").field(read).finish(),
        }
    }
}

impl<K: Data, V: Data> Iterator for WindowIterator<K, V> {
    type Item = Result<(Timestamp, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Rows::Kept(rows) => rows.next().map(Ok),
            Rows::Read(read) => read.next_of_its_key(),
        }
    }
}

/// Windows of all keys with their values, in order; after an error it ends.
///
/// ```
/// use millstream::{BoxError, WindowedIterator};
///
/// /// The keys that are there, with the ends of their windows.
/// fn ends(entries: WindowedIterator<String, i64>) -> Result<Vec<(String, i64)>, BoxError> {
///     let mut all = Vec::new();
///     for entry in entries {
///         let (window, _) = entry?;
///         all.push((window.key, window.end));
///     }
///     Ok(all)
/// }
/// ```
pub struct WindowedIterator<K, V> {
    pub(super) merged: Merged<V>,
    pub(super) wanted: Wanted,
    pub(super) keys: WindowKeysOf<K>,
    pub(super) values: Codec<V>,
}

/// What it takes to read the key of a window.
pub(super) struct WindowKeysOf<K> {
    pub(super) codec: Codec<K>,
    pub(super) layout: WindowLayout,
    pub(super) size_ms: i64,
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

    fn next_of_its_key(&mut self) -> Option<Result<(Timestamp, V)>> {
        let (local, found) = match self.next_found()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let start = self.window(&local).map(|window| Timestamp(window.start));
        Some(start.and_then(|start| Ok((start, self.value(found)?))))
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
