//! Ranges of keys and the direction in which they are read.

use std::cmp::Ordering;
use std::ops::Bound;

/// In which order a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending by key bytes.
    Forward,
    /// Descending by key bytes.
    Backward,
}

impl Direction {
    /// Compares two keys in reading order: `Less` is read first.
    #[must_use]
    pub fn compare(self, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            Self::Forward => left.cmp(right),
            Self::Backward => right.cmp(left),
        }
    }
}

/// A range of keys by their bytes. A range whose bounds cross is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where it begins.
    pub lower: Bound<Vec<u8>>,
    /// Where it ends.
    pub upper: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    /// Keys from `from` to `to`, both included.
    #[must_use]
    pub fn inclusive(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self { lower: Bound::Included(from.into()), upper: Bound::Included(to.into()) }
    }

    /// Keys from `from` up to `to`, `to` excluded.
    #[must_use]
    pub fn half_open(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self { lower: Bound::Included(from.into()), upper: Bound::Excluded(to.into()) }
    }

    /// Keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        // The end is the prefix without its trailing 0xff bytes, its last byte raised by one.
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Self::half_open(prefix, end);
            }
        }
        Self { lower: Bound::Included(prefix.to_vec()), upper: Bound::Unbounded }
    }

    /// Whether the range holds `key`.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let after_lower = match &self.lower {
            Bound::Included(lower) => key >= lower.as_slice(),
            Bound::Excluded(lower) => key > lower.as_slice(),
            Bound::Unbounded => true,
        };
        let before_upper = match &self.upper {
            Bound::Included(upper) => key <= upper.as_slice(),
            Bound::Excluded(upper) => key < upper.as_slice(),
            Bound::Unbounded => true,
        };
        after_lower && before_upper
    }

    /// The range as a first key and a key past the end (none: without end). Between byte strings
    /// the next key after `k` is `k` and a zero byte, so nothing is lost.
    pub(crate) fn into_half_open(self) -> (Vec<u8>, Option<Vec<u8>>) {
        let start = match self.lower {
            Bound::Included(key) => key,
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Vec::new(),
        };
        let end = match self.upper {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        };
        (start, end)
    }
}

/// The first key after `key`.
pub(crate) fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The bounds of a half-open range for an ordered map; none when the range is empty, for which
/// `BTreeMap::range` would panic.
pub(crate) fn map_bounds<'a>(start: &'a [u8], end: Option<&'a [u8]>) -> Option<MapBounds<'a>> {
    match end {
        Some(end) if end <= start => None,
        Some(end) => Some((Bound::Included(start), Bound::Excluded(end))),
        None => Some((Bound::Included(start), Bound::Unbounded)),
    }
}

type MapBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);
