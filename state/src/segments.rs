//! Time cut into segments: the arithmetic by which windows and sessions expire, the same for every
//! store.
//!
//! A store's *observed* time is the largest time that was ever put into it. Whole segments expire,
//! reads cut finer:
//!
//! ```text
//!  time ─┬────────────┬────────────┬────────────┬────────────┬──►
//!        │  segment 0 │  segment 1 │  segment 2 │  segment 3 │
//!                           │◄───────  retention  ────────►│observed
//!                           └ reads begin one past here
//!        └─dropped────┘└─ puts are kept from here on
//! ```

use crate::range::{Direction, KeyRange};
use std::ops::Bound;

/// By what the local keys of a window or session store are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowOrder {
    /// By segment, then key, then time: for reads of one key over time.
    KeyFirst,
    /// By time, then key: for reads of all keys in the order of time.
    TimeFirst,
    /// By segment, then key, then time, with an entry by time beside each: for both.
    KeyFirstAndTime,
}

impl WindowOrder {
    /// Whether there is an entry by time beside each row.
    #[must_use]
    pub fn has_entries(self) -> bool {
        self == Self::KeyFirstAndTime
    }
}

/// Entries by time begin with this, so they come after all rows: those begin with a time, which is never negative.
pub(crate) const ENTRY: u8 = 0x80;

/// The segments of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How long entries can be read, in milliseconds of the store's observed time.
    pub retention_ms: i64,
    /// The length of one segment.
    pub interval_ms: i64,
}

/// No segment is shorter: a segment costs a range to drop and a seek to read.
const INTERVAL_MIN_MS: i64 = 60_000;

impl Segments {
    /// Kafka Streams' choice for windows and sessions: half the retention, a minute at least.
    #[must_use]
    pub fn for_retention(retention_ms: i64) -> Self {
        Self { retention_ms, interval_ms: (retention_ms / 2).max(INTERVAL_MIN_MS) }
    }

    /// The segment that holds `time`; times before 0 count as 0.
    #[must_use]
    pub fn segment(&self, time: i64) -> i64 {
        time.max(0) / self.interval_ms.max(1)
    }

    /// The oldest segment that is kept at an observed time.
    #[must_use]
    pub fn oldest_live(&self, observed: i64) -> i64 {
        self.segment(observed.saturating_sub(self.retention_ms))
    }

    /// Whether a put at `time` is kept. `observed` already includes it.
    #[must_use]
    pub fn accepts(&self, time: i64, observed: i64) -> bool {
        self.segment(time) >= self.oldest_live(observed)
    }

    /// The part of the inclusive range `[from, to]` that can be read at an observed time; none when
    /// nothing is left. The end is cut at the observed time, past which nothing was ever put: so a
    /// range never covers more segments than live ones.
    #[must_use]
    pub fn clamp(&self, from: i64, to: i64, observed: i64) -> Option<(i64, i64)> {
        let first = observed.saturating_sub(self.retention_ms).saturating_add(1).max(0);
        let (from, to) = (from.max(first), to.min(observed));
        (from <= to).then_some((from, to))
    }

    /// The first and the last time of a segment.
    fn bounds(&self, segment: i64) -> (i64, i64) {
        let interval = self.interval_ms.max(1);
        let first = segment.saturating_mul(interval);
        (first, first.saturating_add(interval - 1))
    }
}

/// Time as it begins the local keys of a store, as a segment or in full: what reads of ranges and
/// expiry need to know about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    pub(crate) order: WindowOrder,
    pub(crate) segments: Segments,
}

impl Timeline {
    /// The ranges, in reading order, that cover `[from, to]` for one key, where `between` makes the
    /// range of that key within one segment.
    pub(crate) fn fetch(
        &self,
        from: i64,
        to: i64,
        direction: Direction,
        between: impl Fn(i64, i64) -> KeyRange,
    ) -> Vec<KeyRange> {
        let from = from.max(0);
        if to < from {
            return Vec::new();
        }
        if self.order == WindowOrder::TimeFirst {
            return vec![between(from, to)];
        }
        let mut ranges: Vec<KeyRange> = (self.segments.segment(from)..=self.segments.segment(to))
            .map(|segment| {
                let (first, last) = self.segments.bounds(segment);
                between(from.max(first), to.min(last))
            })
            .collect();
        if direction == Direction::Backward {
            ranges.reverse();
        }
        ranges
    }

    /// The ranges, in reading order, that cover `[from, to]` for a range of keys; they may hold others.
    pub(crate) fn fetch_keys(
        &self,
        keys: &KeyRange,
        from: i64,
        to: i64,
        direction: Direction,
    ) -> Vec<KeyRange> {
        let first = match &keys.lower {
            Bound::Included(key) | Bound::Excluded(key) => key.as_slice(),
            Bound::Unbounded => &[],
        };
        let last = match &keys.upper {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.as_slice()),
            Bound::Unbounded => None,
        };
        if self.order == WindowOrder::TimeFirst {
            return vec![self.fetch_all(from, to)];
        }
        self.fetch(from, to, direction, |from, to| {
            let segment = self.segments.segment(from);
            let begin = segment.to_be_bytes();
            let lower = [&begin[..], first].concat();
            match last {
                Some(last) => {
                    KeyRange::inclusive(lower, [&begin[..], &*last_local(last, to)].concat())
                }
                None => KeyRange {
                    lower: Bound::Included(lower),
                    upper: self.fetch_all(from, to).upper,
                },
            }
        })
    }

    /// The range that covers `[from, to]` for all keys.
    pub(crate) fn fetch_all(&self, from: i64, to: i64) -> KeyRange {
        let from = from.max(0);
        let (lower, upper) = match self.order {
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => {
                (self.segments.segment(from), self.segments.segment(to).checked_add(1))
            }
            // A time below 0 would sort last by its bytes; nothing is there.
            WindowOrder::TimeFirst => (from, to.max(-1).checked_add(1)),
        };
        KeyRange {
            lower: Bound::Included(lower.to_be_bytes().to_vec()),
            // What comes after all times is no row.
            upper: Bound::Excluded(upper.map_or(vec![ENTRY], |upper| upper.to_be_bytes().to_vec())),
        }
    }

    /// The range of the entries by time in `[from, to]`.
    pub(crate) fn entries(from: i64, to: i64) -> KeyRange {
        let entry = |time: i64| [[ENTRY].as_slice(), time.to_be_bytes().as_slice()].concat();
        let upper = to.max(-1).checked_add(1).map_or(vec![ENTRY + 1], entry);
        KeyRange { lower: Bound::Included(entry(from.max(0))), upper: Bound::Excluded(upper) }
    }

    /// The local key before which everything has expired; none when nothing has. Entries by time stand elsewhere:
    /// [`Self::expired_entries`].
    pub(crate) fn expired_before(&self, observed: i64) -> Option<Vec<u8>> {
        let oldest = self.segments.oldest_live(observed);
        let bound = match self.order {
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => oldest,
            WindowOrder::TimeFirst => self.segments.bounds(oldest).0,
        };
        (oldest > 0).then(|| bound.to_be_bytes().to_vec())
    }

    /// The range of the entries by time whose rows have expired; none where there are no entries, or nothing has.
    pub(crate) fn expired_entries(&self, observed: i64) -> Option<KeyRange> {
        let oldest = self.segments.oldest_live(observed);
        let expired = self.order.has_entries() && oldest > 0;
        expired.then(|| Self::entries(0, self.segments.bounds(oldest).0 - 1))
    }

    /// What of it decides about local keys: the order, and the interval where it is in the key.
    pub(crate) fn signature(&self, kind: u8) -> Vec<u8> {
        match self.order {
            WindowOrder::KeyFirst => {
                let mut signature = vec![kind, 0];
                signature.extend_from_slice(&self.segments.interval_ms.to_be_bytes());
                signature
            }
            WindowOrder::TimeFirst => vec![kind, 1],
            WindowOrder::KeyFirstAndTime => {
                let mut signature = vec![kind, 2];
                signature.extend_from_slice(&self.segments.interval_ms.to_be_bytes());
                signature
            }
        }
    }
}

/// What no key up to `last`, with its times, stands behind. A key that another begins with may stand behind it: its
/// times come first.
fn last_local(last: &[u8], to: i64) -> Vec<u8> {
    let behind = [to.to_be_bytes(), [u8::MAX; size_of::<i64>()]].concat();
    let prefixes = (0..=last.len()).filter_map(|len| last.get(..len));
    let local = |prefix: &'_ [u8]| [prefix, &*behind].concat();
    prefixes
        .max_by(|a, b| a.iter().chain(&behind).cmp(b.iter().chain(&behind)))
        .map(local)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_the_retention() {
        assert_eq!(Segments::for_retention(10_000).interval_ms, 60_000);
        assert_eq!(Segments::for_retention(3_600_000).interval_ms, 1_800_000);
    }

    #[test]
    fn a_put_is_kept_as_long_as_its_segment_lives() {
        let segments = Segments { retention_ms: 100_000, interval_ms: 60_000 };
        // observed - retention = 80_000: segment 1 is the oldest.
        assert_eq!(segments.oldest_live(180_000), 1);
        assert!(segments.accepts(60_000, 180_000));
        assert!(!segments.accepts(59_999, 180_000));
        // Before a whole retention has passed nothing expires.
        assert!(segments.accepts(0, 99_999));
        assert!(segments.accepts(-5, 99_999));
    }

    #[test]
    fn reads_cut_to_the_millisecond() {
        let segments = Segments { retention_ms: 100_000, interval_ms: 60_000 };
        assert_eq!(segments.clamp(0, i64::MAX, 180_000), Some((80_001, 180_000)));
        assert_eq!(segments.clamp(-10, 50, 1_000), Some((0, 50)));
        assert_eq!(segments.clamp(0, 80_000, 180_000), None);
        assert_eq!(segments.clamp(0, i64::MAX, -1), None, "nothing was ever put");
    }

    #[test]
    fn extremes_do_not_overflow() {
        let segments = Segments::for_retention(i64::MAX);
        assert_eq!(segments.oldest_live(i64::MAX), 0);
        assert_eq!(segments.clamp(i64::MIN, i64::MAX, i64::MAX), Some((1, i64::MAX)));
        let (_, last) = segments.bounds(segments.segment(i64::MAX));
        assert_eq!(last, i64::MAX);
        let none = Segments { retention_ms: 0, interval_ms: 0 };
        assert_eq!(none.segment(7), 7);
    }
}
