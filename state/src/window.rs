//! Keys of windows, on the changelog and in the store.
//!
//! All integers are big-endian, so byte order is number order (times are never negative; a negative
//! start is written as 0). A key of the user's has any length, also none.
//!
//! ```text
//!  changelog       key ‖ start i64 ‖ seq i32                   Java's WindowKeySchema
//!
//!  KeyFirst        segment i64 ‖ key ‖ start i64 ‖ seq i32     segment = start / segment interval
//!  TimeFirst       start i64 ‖ key ‖ seq i32
//!  KeyFirstAndTime as KeyFirst, and beside it an entry without a value: 0x80 ‖ start i64 ‖ key ‖ seq i32
//! ```
//!
//! The changelog's form is Kafka Streams' own, so that its topics can be taken over. The local forms
//! are ours: both begin with time, so that what expires is one range and is dropped without being
//! looked at. `KeyFirst` finds the windows of one key with a seek per live segment; `TimeFirst`
//! reads windows in the order of their starts, which emit-on-close needs, and finds one window by
//! its key. `KeyFirstAndTime` does both for one more entry per row; entries sort after all rows.
//!
//! Keys of different lengths interleave in a range (`a` with a start whose bytes look like the rest
//! of a longer key), so what a range yields has to pass [`WindowLayout::holds`].

use crate::range::{Direction, KeyRange};
use crate::segments::{ENTRY, Segments, Timeline, WindowOrder};

/// How a window store lays out its keys and when they expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowLayout {
    /// By what the local keys are sorted.
    pub order: WindowOrder,
    /// How long windows can be read, in milliseconds of observed time.
    pub retention_ms: i64,
    /// The length of one segment; whole segments expire.
    pub segment_interval_ms: i64,
}

/// A window's key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowKey<'k> {
    /// The user's key.
    pub key: &'k [u8],
    /// The window's start.
    pub start: i64,
    /// 0, or the number of the put in a store that keeps duplicates.
    pub seq: i32,
}

const TIME: usize = size_of::<i64>();
const SEQ: usize = size_of::<i32>();

impl<'k> WindowKey<'k> {
    /// Reads a changelog key; none when it is too short to be one.
    #[must_use]
    pub fn from_changelog(bytes: &'k [u8]) -> Option<Self> {
        let (rest, seq) = bytes.split_last_chunk::<SEQ>()?;
        let (key, start) = rest.split_last_chunk::<TIME>()?;
        Some(Self { key, start: i64::from_be_bytes(*start), seq: i32::from_be_bytes(*seq) })
    }

    /// Writes the changelog key into `into`, in place of what was there.
    pub fn to_changelog(&self, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.key);
        into.extend_from_slice(&self.start.to_be_bytes());
        into.extend_from_slice(&self.seq.to_be_bytes());
    }
}

impl WindowLayout {
    /// A layout with Kafka Streams' segments for this retention.
    #[must_use]
    pub fn new(order: WindowOrder, retention_ms: i64) -> Self {
        let segments = Segments::for_retention(retention_ms);
        Self { order, retention_ms, segment_interval_ms: segments.interval_ms }
    }

    /// The same layout with segments of another length.
    #[must_use]
    pub fn with_segment_interval(mut self, segment_interval_ms: i64) -> Self {
        self.segment_interval_ms = segment_interval_ms;
        self
    }

    /// The arithmetic of expiry: which puts are kept, how reads are cut.
    #[must_use]
    pub fn segments(&self) -> Segments {
        Segments { retention_ms: self.retention_ms, interval_ms: self.segment_interval_ms }
    }

    /// Writes the local key of a window into `into`, in place of what was there.
    pub fn encode(&self, key: &[u8], start: i64, seq: i32, into: &mut Vec<u8>) {
        let start = start.max(0);
        into.clear();
        into.reserve(TIME + key.len() + TIME + SEQ);
        match self.order {
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => {
                into.extend_from_slice(&self.segments().segment(start).to_be_bytes());
                into.extend_from_slice(key);
                into.extend_from_slice(&start.to_be_bytes());
            }
            WindowOrder::TimeFirst => {
                into.extend_from_slice(&start.to_be_bytes());
                into.extend_from_slice(key);
            }
        }
        into.extend_from_slice(&seq.to_be_bytes());
    }

    /// Takes a local key apart; none when it is too short to be one.
    #[must_use]
    pub fn decode<'k>(&self, local: &'k [u8]) -> Option<WindowKey<'k>> {
        match self.order {
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => {
                let (segment, rest) = local.split_first_chunk::<TIME>()?;
                // An entry by time is no row.
                (segment.first()? & ENTRY == 0).then(|| WindowKey::from_changelog(rest))?
            }
            WindowOrder::TimeFirst => {
                let (start, rest) = local.split_first_chunk::<TIME>()?;
                let (key, seq) = rest.split_last_chunk::<SEQ>()?;
                Some(WindowKey {
                    key,
                    start: i64::from_be_bytes(*start),
                    seq: i32::from_be_bytes(*seq),
                })
            }
        }
    }

    /// Writes the local key for a changelog key into `into`; none when the changelog's key is too
    /// short to be one.
    #[must_use]
    pub fn local_from_changelog(&self, changelog: &[u8], into: &mut Vec<u8>) -> Option<()> {
        let window = WindowKey::from_changelog(changelog)?;
        self.encode(window.key, window.start, window.seq, into);
        Some(())
    }

    /// Writes the changelog key for a local key into `into`; none when the local key is too short
    /// to be one.
    #[must_use]
    pub fn changelog_from_local(&self, local: &[u8], into: &mut Vec<u8>) -> Option<()> {
        self.decode(local)?.to_changelog(into);
        Some(())
    }

    /// Whether a local key is a window of `key` (none: of any key) that starts in `[from, to]`.
    #[must_use]
    pub fn holds(&self, local: &[u8], key: Option<&[u8]>, from: i64, to: i64) -> bool {
        self.decode(local).is_some_and(|window| {
            from <= window.start && window.start <= to && key.is_none_or(|key| window.key == key)
        })
    }

    /// The ranges, in reading order, that hold the windows of `key` that start in `[from, to]`; what
    /// they yield must pass [`Self::holds`]. Cut the bounds with [`Segments::clamp`] first: there is
    /// a range for every segment between them.
    #[must_use]
    pub fn fetch(&self, key: &[u8], from: i64, to: i64, direction: Direction) -> Vec<KeyRange> {
        self.timeline().fetch(from, to, direction, |from, to| {
            let (mut lower, mut upper) = (Vec::new(), Vec::new());
            self.encode(key, from, 0, &mut lower);
            self.encode(key, to, i32::MAX, &mut upper);
            KeyRange::inclusive(lower, upper)
        })
    }

    /// The ranges, in reading order, that hold the windows of a range of keys that start in `[from, to]`: by segment,
    /// key and start. What they yield must be looked at: there may be others between them.
    #[must_use]
    pub fn fetch_keys(
        &self,
        keys: &KeyRange,
        from: i64,
        to: i64,
        direction: Direction,
    ) -> Vec<KeyRange> {
        self.timeline().fetch_keys(keys, from, to, direction)
    }

    /// The range that holds the windows of all keys that start in `[from, to]`; what it yields must
    /// pass [`Self::holds`]. Its order is the order of the local keys: by segment, key and start, or
    /// by start and key.
    #[must_use]
    pub fn fetch_all(&self, from: i64, to: i64) -> KeyRange {
        self.timeline().fetch_all(from, to)
    }

    /// The local key before which everything has expired at an observed time; none when nothing has.
    #[must_use]
    pub fn expired_before(&self, observed: i64) -> Option<Vec<u8>> {
        self.timeline().expired_before(observed)
    }

    /// Writes the entry by time of a local key into `into`; none where there are no entries, or when the key is too
    /// short to be one.
    #[must_use]
    pub fn entry(&self, local: &[u8], into: &mut Vec<u8>) -> Option<()> {
        if !self.order.has_entries() {
            return None;
        }
        let WindowKey { key, start, seq } = self.decode(local)?;
        self.by_time().encode(key, start, seq, into);
        into.insert(0, ENTRY);
        Some(())
    }

    /// Writes the local key of an entry by time into `into`; none when the entry is too short to be one.
    #[must_use]
    pub fn local_from_entry(&self, entry: &[u8], into: &mut Vec<u8>) -> Option<()> {
        let (_, entry) = entry.split_first()?;
        let WindowKey { key, start, seq } = self.by_time().decode(entry)?;
        self.encode(key, start, seq, into);
        Some(())
    }

    /// The range of the entries whose times lie in `[from, to]`, in the order of start and key.
    #[must_use]
    pub fn entries(from: i64, to: i64) -> KeyRange {
        Timeline::entries(from, to)
    }

    pub(crate) fn expired_entries(&self, observed: i64) -> Option<KeyRange> {
        self.timeline().expired_entries(observed)
    }

    fn by_time(&self) -> Self {
        Self { order: WindowOrder::TimeFirst, ..*self }
    }

    pub(crate) fn signature(&self) -> Vec<u8> {
        self.timeline().signature(1)
    }

    fn timeline(&self) -> Timeline {
        Timeline { order: self.order, segments: self.segments() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &[u8] = b"ab";

    fn layout(order: WindowOrder) -> WindowLayout {
        WindowLayout::new(order, 250).with_segment_interval(100)
    }

    fn encoded(order: WindowOrder, key: &[u8], start: i64, seq: i32) -> Vec<u8> {
        let mut local = vec![9; 3];
        layout(order).encode(key, start, seq, &mut local);
        local
    }

    #[test]
    fn changelog_keys_are_java_s() {
        // Recorded from Kafka Streams: key "c", start 100801.
        let recorded = [0x63, 0, 0, 0, 0, 0, 1, 0x89, 0xc1, 0, 0, 0, 0];
        let window = WindowKey::from_changelog(&recorded).unwrap();
        assert_eq!(window, WindowKey { key: b"c", start: 100_801, seq: 0 });
        let mut written = vec![1];
        window.to_changelog(&mut written);
        assert_eq!(written, recorded);
        assert_eq!(WindowKey::from_changelog(&[0; 11]), None);
    }

    #[test]
    fn local_keys_have_these_bytes() {
        assert_eq!(
            encoded(WindowOrder::KeyFirst, KEY, 0x0102, 3),
            [
                0, 0, 0, 0, 0, 0, 0, 2, // segment 258 / 100
                b'a', b'b', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3
            ]
        );
        assert_eq!(
            encoded(WindowOrder::TimeFirst, KEY, 0x0102, 3),
            [0, 0, 0, 0, 0, 0, 1, 2, b'a', b'b', 0, 0, 0, 3]
        );
        assert_eq!(layout(WindowOrder::KeyFirst).signature(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 100]);
        assert_eq!(layout(WindowOrder::TimeFirst).signature(), [1, 1]);
    }

    #[test]
    fn a_short_local_key_is_none() {
        assert_eq!(layout(WindowOrder::KeyFirst).decode(&[0; 19]), None);
        assert_eq!(layout(WindowOrder::TimeFirst).decode(&[0; 11]), None);
        assert_eq!(layout(WindowOrder::TimeFirst).local_from_changelog(&[0; 3], &mut vec![]), None);
    }

    #[test]
    fn a_fetch_has_a_range_for_each_segment_in_reading_order() {
        let layout = layout(WindowOrder::KeyFirst);
        let range = |from, to| {
            KeyRange::inclusive(
                encoded(WindowOrder::KeyFirst, KEY, from, 0),
                encoded(WindowOrder::KeyFirst, KEY, to, i32::MAX),
            )
        };
        let mut expected = vec![range(150, 199), range(200, 299), range(300, 310)];
        assert_eq!(layout.fetch(KEY, 150, 310, Direction::Forward), expected);
        expected.reverse();
        assert_eq!(layout.fetch(KEY, 150, 310, Direction::Backward), expected);
        assert_eq!(layout.fetch(KEY, -5, 20, Direction::Forward), [range(0, 20)]);
        assert!(layout.fetch(KEY, 20, 10, Direction::Forward).is_empty());
    }

    #[test]
    fn expiry_cuts_at_a_segment() {
        for order in [WindowOrder::KeyFirst, WindowOrder::TimeFirst] {
            let layout = layout(order);
            assert_eq!(layout.expired_before(349), None);
            let bound = layout.expired_before(350).unwrap();
            assert!(encoded(order, b"\xff\xff", 99, i32::MAX) < bound);
            assert!(encoded(order, b"", 100, 0) >= bound);
        }
    }

    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0_u8, 1, 97, 255]), 0..12)
    }

    fn order() -> impl Strategy<Value = WindowOrder> {
        prop_oneof![Just(WindowOrder::KeyFirst), Just(WindowOrder::TimeFirst)]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            order in order(), key in keys(), start in 0..i64::MAX, seq in 0..i32::MAX,
        ) {
            let layout = layout(order);
            let window = WindowKey { key: &key, start, seq };
            let local = encoded(order, &key, start, seq);
            prop_assert_eq!(layout.decode(&local), Some(window));
            let (mut changelog, mut back) = (Vec::new(), Vec::new());
            layout.changelog_from_local(&local, &mut changelog).unwrap();
            prop_assert_eq!(WindowKey::from_changelog(&changelog), Some(window));
            layout.local_from_changelog(&changelog, &mut back).unwrap();
            prop_assert_eq!(back, local);
        }

        /// Whatever the other keys are: the ranges of a fetch, read in order and filtered, are the
        /// windows of the key by time, and those of all keys are all of them.
        #[test]
        fn fetches_find_exactly_the_windows_asked_for(
            order in order(),
            windows in prop::collection::btree_set((keys(), 0_i64..500, 0..2), 0..40),
            key in keys(),
            from in -20_i64..520,
            len in -1_i64..400,
        ) {
            let layout = layout(order);
            let to = from + len;
            let stored: std::collections::BTreeSet<Vec<u8>> =
                windows.iter().map(|(key, start, seq)| encoded(order, key, *start, *seq)).collect();
            let asked = |start: &i64| from <= *start && *start <= to;
            for key in windows.iter().map(|(key, ..)| key).chain([&key]) {
                let mut found = Vec::new();
                for range in layout.fetch(key, from, to, Direction::Forward) {
                    found.extend(stored.iter().filter(|local| range.contains(local)));
                }
                found.retain(|local| layout.holds(local, Some(key), from, to));
                let found: Vec<(i64, i32)> = found
                    .iter()
                    .map(|local| layout.decode(local).map(|found| (found.start, found.seq)).unwrap())
                    .collect();
                let mut expected: Vec<(i64, i32)> = windows
                    .iter()
                    .filter(|(other, start, _)| other == key && asked(start))
                    .map(|(_, start, seq)| (*start, *seq))
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            let range = layout.fetch_all(from, to);
            let found = stored
                .iter()
                .filter(|local| range.contains(local) && layout.holds(local, None, from, to));
            let expected = windows.iter().filter(|(_, start, _)| asked(start)).count();
            prop_assert_eq!(found.count(), expected);
        }
    }
}
