//! Committed entries of one store that are kept in memory as well, so that they need not be read from it.
//!
//! Which ones is for its owner to say: it asks here only for ranges that are here as a whole.

use crate::inline::{ENTRY_OVERHEAD, InlineKey, InlineValue};
use crate::range::{Direction, KeyRange, map_bounds};
use std::collections::BTreeMap;

/// Entries in the bytes of the store, by key.
#[derive(Debug, Default)]
pub struct Recent {
    entries: BTreeMap<InlineKey, InlineValue>,
    bytes: usize,
}

impl Recent {
    /// Without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what was written: a value, or none for a deletion.
    pub(crate) fn take(&mut self, key: InlineKey, value: Option<InlineValue>) {
        let len = key.len();
        let added = value.as_ref().map_or(0, |value| cost(len, value));
        let old = match value {
            Some(value) => self.entries.insert(key, value),
            None => self.entries.remove(&key),
        };
        let gone = old.map_or(0, |old| cost(len, &old));
        self.bytes = (self.bytes + added).saturating_sub(gone);
    }

    /// The entries of a range in reading order.
    #[must_use]
    pub fn read(&self, range: &KeyRange, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (start, end) = range.clone().into_half_open();
        let Some(bounds) = map_bounds(&start, end.as_deref()) else { return Vec::new() };
        let entries = self.entries.range::<[u8], _>(bounds);
        let copy = |(key, value): (&InlineKey, &InlineValue)| (key.to_vec(), value.to_vec());
        match direction {
            Direction::Forward => entries.map(copy).collect(),
            Direction::Backward => entries.rev().map(copy).collect(),
        }
    }

    /// Lets go of all entries but those whose keys are wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) {
        let mut bytes = 0;
        self.entries.retain(|key, value| {
            let is_wanted = wanted(key);
            bytes += if is_wanted { cost(key.len(), value) } else { 0 };
            is_wanted
        });
        self.bytes = bytes;
    }

    /// Lets go of all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// About how much memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(key_len: usize, value: &InlineValue) -> usize {
    key_len + value.len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirty::Dirty;
    use crate::spec::{StoreId, StoreKind, StoreSpec};
    use crate::stores::TaskStores;

    fn keys(recent: &Recent, direction: Direction) -> Vec<Vec<u8>> {
        recent.read(&KeyRange::all(), direction).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_commit_leaves_a_copy_here() {
        let spec = StoreSpec { name: "s".to_owned(), kind: StoreKind::KeyValue, in_memory: true };
        let (store, stores) = (StoreId(0), TaskStores::in_memory(&[spec]));
        let (mut dirty, mut recent) = (Dirty::new(), Recent::new());
        let mut commit = |writes: &[(&[u8], Option<&[u8]>)], recent: &mut Recent| {
            for (key, value) in writes {
                match value {
                    Some(value) => dirty.put(key, (), value),
                    None => dirty.delete(key),
                }
            }
            let mut batch = stores.batch();
            dirty.drain_and_keep(&mut batch, store, recent);
            stores.write(batch).unwrap();
            assert!(dirty.is_empty() && dirty.bytes() == 0);
        };
        commit(&[(b"a", Some(b"1")), (b"b", Some(b"22")), (b"c", Some(b"3"))], &mut recent);
        commit(&[(b"b", Some(b"4")), (b"c", None), (b"d", None)], &mut recent);
        let stored: Vec<_> =
            stores.scan(store, KeyRange::all(), Direction::Forward).map(Result::unwrap).collect();
        assert_eq!(recent.read(&KeyRange::all(), Direction::Forward), stored);
        assert_eq!(stored.len(), 2);
        assert_eq!(keys(&recent, Direction::Backward), [b"b", b"a"]);
        assert_eq!(recent.read(&KeyRange::prefix(b"b"), Direction::Forward).len(), 1);
    }

    #[test]
    fn the_count_of_bytes_follows_what_is_there() {
        let mut recent = Recent::new();
        let value = |len: usize| Some(InlineValue::from_elem(7, len));
        let key = |key: &[u8]| InlineKey::from_slice(key);
        recent.take(key(b"key"), value(100));
        let one = recent.bytes();
        assert_eq!(one, 103 + ENTRY_OVERHEAD);
        recent.take(key(b"key"), value(40));
        assert_eq!(recent.bytes(), one - 60);
        recent.take(key(b"other"), value(1));
        recent.retain(|key| key == b"key");
        assert_eq!(recent.bytes(), one - 60);
        recent.take(key(b"key"), None);
        assert_eq!(recent.bytes(), 0);
        recent.take(key(b"key"), value(1));
        recent.clear();
        assert_eq!((recent.bytes(), keys(&recent, Direction::Forward).len()), (0, 0));
    }
}
