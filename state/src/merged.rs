//! Reads over uncommitted and committed state as one: the dirty layer wins, its deletions hide.
//!
//! What comes from the dirty layer is typed already, what comes from the store is bytes: so only
//! the latter is decoded.

use crate::dirty::Dirty;
use crate::error::Result;
use crate::range::{Direction, KeyRange};
use crate::scan::Scan;
use crate::spec::StoreId;
use crate::stores::TaskStores;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec;

/// A value from one of the two layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<V> {
    /// From the dirty layer, not committed yet.
    Typed(V),
    /// From the store, to be decoded.
    Stored(Vec<u8>),
}

/// An iterator over ranges of a store with its dirty layer on top. It shows the dirty layer as it
/// was when the iterator was made; after an error it ends.
#[derive(Debug)]
pub struct Merged<V> {
    direction: Direction,
    current: Option<Part<V>>,
    rest: vec::IntoIter<Part<V>>,
}

/// One range: its dirty entries, its committed ones if there may be any, and the committed one read ahead.
#[derive(Debug)]
struct Part<V> {
    dirty: Peekable<vec::IntoIter<(Vec<u8>, Option<V>)>>,
    stored: Option<Peekable<Scan>>,
}

/// What is read as one; an upper layer hides what is below it.
#[derive(Debug)]
pub struct Layers<'a, V> {
    /// Keys of the ranges, in any order; without a value nothing is there.
    pub above: Vec<(Vec<u8>, Option<V>)>,
    /// What is not committed.
    pub dirty: &'a Dirty<V>,
    /// Where the committed entries are; none: there are surely none in the ranges, and none are looked for.
    pub stored: Option<(&'a TaskStores, StoreId)>,
}

impl<V: Clone> Layers<'_, V> {
    /// Reads ranges one after another. They are in reading order already, as [`crate::WindowLayout::fetch`] returns
    /// them.
    #[must_use]
    pub fn scan(mut self, ranges: Vec<KeyRange>, direction: Direction) -> Merged<V> {
        self.above.sort_by(|(a, _), (b, _)| direction.compare(a, b));
        let mut above = self.above;
        let parts: Vec<Part<V>> = ranges
            .into_iter()
            .map(|range| {
                let mut dirty = self.dirty.snapshot(&range, direction);
                if !above.is_empty() {
                    let (mine, rest) = std::mem::take(&mut above)
                        .into_iter()
                        .partition(|(key, _)| range.contains(key));
                    above = rest;
                    dirty = on_top(mine, dirty, direction);
                }
                let stored = self.stored.map(|(stores, id)| stores.scan(id, range, direction));
                Part { dirty: dirty.into_iter().peekable(), stored: stored.map(Iterator::peekable) }
            })
            .collect();
        Merged { direction, current: None, rest: parts.into_iter() }
    }
}

/// One list of two in reading order; of a key that is in both, what is above.
fn on_top<V>(
    above: Vec<(Vec<u8>, Option<V>)>,
    below: Vec<(Vec<u8>, Option<V>)>,
    direction: Direction,
) -> Vec<(Vec<u8>, Option<V>)> {
    if below.is_empty() {
        return above;
    }
    let mut all = Vec::with_capacity(above.len() + below.len());
    let mut below = below.into_iter().peekable();
    for (key, value) in above {
        while let Some(entry) = below.next_if(|(below, _)| direction.compare(below, &key).is_lt()) {
            all.push(entry);
        }
        below.next_if(|(below, _)| *below == key);
        all.push((key, value));
    }
    all.extend(below);
    all
}

impl<V: Clone> Merged<V> {
    /// Reads `range` of a store.
    #[must_use]
    pub fn new(
        dirty: &Dirty<V>,
        stores: &TaskStores,
        store: StoreId,
        range: KeyRange,
        direction: Direction,
    ) -> Self {
        Self::over(dirty, stores, store, vec![range], direction)
    }

    /// Reads ranges of a store one after another. They are in reading order already, as
    /// [`crate::WindowLayout::fetch`] returns them.
    #[must_use]
    pub fn over(
        dirty: &Dirty<V>,
        stores: &TaskStores,
        store: StoreId,
        ranges: Vec<KeyRange>,
        direction: Direction,
    ) -> Self {
        let stored = Some((stores, store));
        Layers { above: Vec::new(), dirty, stored }.scan(ranges, direction)
    }
}

impl<V> Iterator for Merged<V> {
    type Item = Result<(Vec<u8>, Found<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.current.is_none() {
                self.current = Some(self.rest.next()?);
            }
            match self.current.as_mut().and_then(|part| part.next(self.direction)) {
                Some(Ok(entry)) => return Some(Ok(entry)),
                Some(Err(error)) => {
                    self.current = None;
                    self.rest = Vec::new().into_iter();
                    return Some(Err(error));
                }
                None => self.current = None,
            }
        }
    }
}

impl<V> Part<V> {
    fn next(&mut self, direction: Direction) -> Option<Result<(Vec<u8>, Found<V>)>> {
        loop {
            let stored = self.stored.as_mut();
            let order = match (self.dirty.peek(), stored.and_then(|stored| stored.peek())) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) | (Some(_), Some(Err(_))) => Ordering::Greater,
                (Some((dirty, _)), Some(Ok((stored, _)))) => direction.compare(dirty, stored),
            };
            if order == Ordering::Greater {
                let stored = self.stored.as_mut()?.next()?;
                return Some(stored.map(|(key, bytes)| (key, Found::Stored(bytes))));
            }
            if order == Ordering::Equal {
                // The dirty entry hides the committed one.
                self.stored.as_mut().and_then(Iterator::next);
            }
            if let (key, Some(value)) = self.dirty.next()? {
                return Some(Ok((key, Found::Typed(value))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{StoreKind, StoreSpec};

    const STORE: StoreId = StoreId(0);

    fn stores() -> TaskStores {
        let spec = StoreSpec { name: "s".to_owned(), kind: StoreKind::KeyValue, in_memory: true };
        let stores = TaskStores::in_memory(&[spec]);
        let mut batch = stores.batch();
        for key in ["a", "b", "c", "d"] {
            batch.put(STORE, key.as_bytes(), b"old");
        }
        stores.write(batch).unwrap();
        stores
    }

    fn read(merged: Merged<u8>) -> String {
        let show = |entry: Result<(Vec<u8>, Found<u8>)>| {
            let (key, found) = entry.unwrap();
            let layer = match found {
                Found::Typed(value) => value.to_string(),
                Found::Stored(bytes) => String::from_utf8(bytes).unwrap(),
            };
            format!("{}={layer}", String::from_utf8(key).unwrap())
        };
        merged.map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_dirty_layer_wins_and_its_deletions_hide() {
        let (stores, mut dirty) = (stores(), Dirty::new());
        dirty.put(b"b", 1, &[1]);
        dirty.delete(b"c");
        dirty.put(b"e", 2, &[2]);
        dirty.delete(b"f");
        let merged = |direction| Merged::new(&dirty, &stores, STORE, KeyRange::all(), direction);
        assert_eq!(read(merged(Direction::Forward)), "a=old b=1 d=old e=2");
        assert_eq!(read(merged(Direction::Backward)), "e=2 d=old b=1 a=old");
    }

    #[test]
    fn ranges_are_read_one_after_another_as_they_were_at_first() {
        let (stores, mut dirty) = (stores(), Dirty::new());
        dirty.put(b"d1", 1, &[1]);
        let ranges = vec![KeyRange::prefix(b"d"), KeyRange::prefix(b"x"), KeyRange::prefix(b"a")];
        let merged = Merged::over(&dirty, &stores, STORE, ranges, Direction::Backward);
        dirty.put(b"a1", 2, &[2]);
        assert_eq!(read(merged), "d1=1 d=old a=old");
    }

    #[test]
    fn what_is_above_hides_what_is_below_and_need_not_be_in_order() {
        let (stores, mut dirty) = (stores(), Dirty::new());
        for (key, value) in [(b"b", 1), (b"e", 2), (b"g", 3)] {
            dirty.put(key, value, &[value]);
        }
        let above =
            || vec![(b"f".to_vec(), Some(7)), (b"e".to_vec(), None), (b"a".to_vec(), Some(8))];
        let read_in = |stored, direction| {
            let layers = Layers { above: above(), dirty: &dirty, stored };
            read(layers.scan(vec![KeyRange::all()], direction))
        };
        let stored = Some((&stores, STORE));
        assert_eq!(read_in(stored, Direction::Forward), "a=8 b=1 c=old d=old f=7 g=3");
        assert_eq!(read_in(stored, Direction::Backward), "g=3 f=7 d=old c=old b=1 a=8");
        assert_eq!(read_in(None, Direction::Forward), "a=8 b=1 f=7 g=3");
        let two = vec![KeyRange::prefix(b"g"), KeyRange::prefix(b"f"), KeyRange::prefix(b"a")];
        let layers = Layers { above: above(), dirty: &dirty, stored };
        assert_eq!(read(layers.scan(two, Direction::Forward)), "g=3 f=7 a=8");
    }

    #[test]
    fn an_error_ends_it() {
        let mut dirty = Dirty::new();
        dirty.put(b"a", 1, &[1]);
        let ranges = vec![KeyRange::all(), KeyRange::all()];
        let mut merged = Merged::over(&dirty, &stores(), StoreId(7), ranges, Direction::Forward);
        assert!(matches!(merged.next(), Some(Err(_))));
        assert!(merged.next().is_none());
    }

    proptest::proptest! {
        /// The edge of a range is what a whole read of it begins with.
        #[test]
        fn the_edge_is_the_first_that_is_read(
            writes in proptest::collection::vec((0..6_u8, proptest::bool::ANY), 0..6),
            from in 0..6_u8,
            to in 0..6_u8,
        ) {
            let stores = stores();
            let mut dirty = Dirty::new();
            for (key, put) in writes {
                match put {
                    true => dirty.put(&[b'a' + key], 0_u8, b"new"),
                    false => dirty.delete(&[b'a' + key]),
                }
            }
            for direction in [Direction::Forward, Direction::Backward] {
                let range = KeyRange::half_open([b'a' + from], [b'a' + to]);
                let mut all = Merged::new(&dirty, &stores, STORE, range.clone(), direction);
                let first = all.next().map(|entry| entry.unwrap().0);
                proptest::prop_assert_eq!(
                    dirty.edge(&stores, STORE, &range, direction).unwrap(), first
                );
            }
        }
    }
}
