//! Keys of sessions, on the changelog and in the store.
//!
//! ```text
//!  changelog       key ‖ end i64 ‖ start i64                   Java's SessionKeySchema
//!
//!  KeyFirst        segment i64 ‖ key ‖ end i64 ‖ start i64     segment = end / segment interval
//!  TimeFirst       end i64 ‖ start i64 ‖ key
//!  KeyFirstAndTime as KeyFirst, and beside it an entry without a value: 0x80 ‖ end i64 ‖ start i64 ‖ key
//! ```
//!
//! Sessions expire by their end, so time in a local key is the end; otherwise as [`crate::WindowLayout`]:
//! big-endian, times below 0 written as 0, one range for what expires, and what a range yields has to
//! pass [`SessionLayout::holds`].

use crate::range::{Direction, KeyRange};
use crate::segments::{ENTRY, Segments, Timeline, WindowOrder};

/// How a session store lays out its keys and when they expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLayout {
    /// By what the local keys are sorted.
    pub order: WindowOrder,
    /// How long sessions can be read, in milliseconds of observed time.
    pub retention_ms: i64,
    /// The length of one segment; whole segments expire.
    pub segment_interval_ms: i64,
}

/// A session's key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey<'k> {
    /// The user's key.
    pub key: &'k [u8],
    /// The time of its first record.
    pub start: i64,
    /// The time of its last record.
    pub end: i64,
}

const TIME: usize = size_of::<i64>();

impl<'k> SessionKey<'k> {
    /// Reads a changelog key; none when it is too short to be one.
    #[must_use]
    pub fn from_changelog(bytes: &'k [u8]) -> Option<Self> {
        let (rest, start) = bytes.split_last_chunk::<TIME>()?;
        let (key, end) = rest.split_last_chunk::<TIME>()?;
        Some(Self { key, start: i64::from_be_bytes(*start), end: i64::from_be_bytes(*end) })
    }

    /// Writes the changelog key into `into`, in place of what was there.
    pub fn to_changelog(&self, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.key);
        into.extend_from_slice(&self.end.to_be_bytes());
        into.extend_from_slice(&self.start.to_be_bytes());
    }
}

impl SessionLayout {
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

    /// The arithmetic of expiry, by the ends of sessions.
    #[must_use]
    pub fn segments(&self) -> Segments {
        Segments { retention_ms: self.retention_ms, interval_ms: self.segment_interval_ms }
    }

    /// Writes the local key of a session into `into`, in place of what was there.
    pub fn encode(&self, session: SessionKey<'_>, into: &mut Vec<u8>) {
        let (start, end) = (session.start.max(0), session.end.max(0));
        into.clear();
        into.reserve(TIME + session.key.len() + TIME + TIME);
        match self.order {
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => {
                into.extend_from_slice(&self.segments().segment(end).to_be_bytes());
                into.extend_from_slice(session.key);
                into.extend_from_slice(&end.to_be_bytes());
                into.extend_from_slice(&start.to_be_bytes());
            }
            WindowOrder::TimeFirst => {
                into.extend_from_slice(&end.to_be_bytes());
                into.extend_from_slice(&start.to_be_bytes());
                into.extend_from_slice(session.key);
            }
        }
    }

    /// Takes a local key apart; none when it is too short to be one.
    #[must_use]
    pub fn decode<'k>(&self, local: &'k [u8]) -> Option<SessionKey<'k>> {
        let (time, rest) = local.split_first_chunk::<TIME>()?;
        if time.first()? & ENTRY != 0 {
            // An entry by time is no row.
            return None;
        }
        match self.order {
            // The segment says nothing that the end does not.
            WindowOrder::KeyFirst | WindowOrder::KeyFirstAndTime => {
                SessionKey::from_changelog(rest)
            }
            WindowOrder::TimeFirst => {
                let (start, key) = rest.split_first_chunk::<TIME>()?;
                let (start, end) = (i64::from_be_bytes(*start), i64::from_be_bytes(*time));
                Some(SessionKey { key, start, end })
            }
        }
    }

    /// Writes the local key for a changelog key into `into`; none when the changelog's key is too
    /// short to be one.
    #[must_use]
    pub fn local_from_changelog(&self, changelog: &[u8], into: &mut Vec<u8>) -> Option<()> {
        self.encode(SessionKey::from_changelog(changelog)?, into);
        Some(())
    }

    /// Writes the changelog key for a local key into `into`; none when the local key is too short
    /// to be one.
    #[must_use]
    pub fn changelog_from_local(&self, local: &[u8], into: &mut Vec<u8>) -> Option<()> {
        self.decode(local)?.to_changelog(into);
        Some(())
    }

    /// Whether a local key is a session of `key` (none: of any key) that ends in `[from, to]` and
    /// starts at `latest_start` or before.
    #[must_use]
    pub fn holds(
        &self,
        local: &[u8],
        key: Option<&[u8]>,
        ends: (i64, i64),
        latest_start: i64,
    ) -> bool {
        self.decode(local).is_some_and(|session| {
            ends.0 <= session.end
                && session.end <= ends.1
                && session.start <= latest_start
                && key.is_none_or(|key| session.key == key)
        })
    }

    /// The ranges, in reading order, that hold the sessions of `key` that end in `[from, to]`; what
    /// they yield must pass [`Self::holds`]. Cut the bounds with [`Segments::clamp`] first: there is
    /// a range for every segment between them.
    #[must_use]
    pub fn fetch(&self, key: &[u8], from: i64, to: i64, direction: Direction) -> Vec<KeyRange> {
        self.timeline().fetch(from, to, direction, |from, to| {
            let (mut lower, mut upper) = (Vec::new(), Vec::new());
            self.encode(SessionKey { key, start: 0, end: from }, &mut lower);
            self.encode(SessionKey { key, start: i64::MAX, end: to }, &mut upper);
            KeyRange::inclusive(lower, upper)
        })
    }

    /// The ranges, in reading order, that hold the sessions of a range of keys that end in `[from, to]`: by segment,
    /// key, end and start. What they yield must be looked at: there may be others between them.
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

    /// The range that holds the sessions of all keys that end in `[from, to]`; what it yields must
    /// pass [`Self::holds`]. Its order is the order of the local keys: by segment, key, end and
    /// start, or by end, start and key.
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
        let session = self.decode(local)?;
        self.by_time().encode(session, into);
        into.insert(0, ENTRY);
        Some(())
    }

    /// Writes the local key of an entry by time into `into`; none when the entry is too short to be one.
    #[must_use]
    pub fn local_from_entry(&self, entry: &[u8], into: &mut Vec<u8>) -> Option<()> {
        let (_, entry) = entry.split_first()?;
        let session = self.by_time().decode(entry)?;
        self.encode(session, into);
        Some(())
    }

    pub(crate) fn expired_entries(&self, observed: i64) -> Option<KeyRange> {
        self.timeline().expired_entries(observed)
    }

    fn by_time(&self) -> Self {
        Self { order: WindowOrder::TimeFirst, ..*self }
    }

    pub(crate) fn signature(&self) -> Vec<u8> {
        self.timeline().signature(2)
    }

    fn timeline(&self) -> Timeline {
        Timeline { order: self.order, segments: self.segments() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(order: WindowOrder) -> SessionLayout {
        SessionLayout::new(order, 250).with_segment_interval(100)
    }

    fn encoded(order: WindowOrder, key: &[u8], start: i64, end: i64) -> Vec<u8> {
        let mut local = vec![9; 3];
        layout(order).encode(SessionKey { key, start, end }, &mut local);
        local
    }

    #[test]
    fn keys_have_these_bytes() {
        let session = SessionKey { key: b"ab", start: 5, end: 0x0102 };
        let mut changelog = vec![1];
        session.to_changelog(&mut changelog);
        let plain = [b'a', b'b', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(changelog, plain);
        assert_eq!(SessionKey::from_changelog(&changelog), Some(session));
        assert_eq!(SessionKey::from_changelog(&[0; 15]), None);
        let key_first = encoded(WindowOrder::KeyFirst, b"ab", 5, 0x0102);
        assert_eq!(key_first, [&[0, 0, 0, 0, 0, 0, 0, 2][..], &plain].concat());
        assert_eq!(
            encoded(WindowOrder::TimeFirst, b"ab", 5, 0x0102),
            [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5, b'a', b'b']
        );
        assert_eq!(layout(WindowOrder::KeyFirst).signature()[..2], [2, 0]);
    }

    fn sessions() -> impl Strategy<Value = (Vec<u8>, i64, i64)> {
        let key = prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..12);
        (key, 0_i64..500, 0_i64..60).prop_map(|(key, start, len)| (key, start, start + len))
    }

    proptest! {
        #[test]
        fn fetches_find_exactly_the_sessions_asked_for(
            order in prop_oneof![Just(WindowOrder::KeyFirst), Just(WindowOrder::TimeFirst)],
            sessions in prop::collection::btree_set(sessions(), 0..40),
            from in -20_i64..520,
            len in -1_i64..400,
            latest_start in 0_i64..520,
        ) {
            let layout = layout(order);
            let to = from + len;
            let stored: std::collections::BTreeSet<Vec<u8>> =
                sessions.iter().map(|(key, start, end)| encoded(order, key, *start, *end)).collect();
            let asked = |start: i64, end: i64| from <= end && end <= to && start <= latest_start;
            for (key, ..) in &sessions {
                let mut found = Vec::new();
                for range in layout.fetch(key, from, to, Direction::Forward) {
                    found.extend(stored.iter().filter(|local| range.contains(local)));
                }
                found.retain(|local| layout.holds(local, Some(key), (from, to), latest_start));
                let found: Vec<(i64, i64)> = found
                    .iter()
                    .map(|local| layout.decode(local).map(|found| (found.end, found.start)).unwrap())
                    .collect();
                let mut expected: Vec<(i64, i64)> = sessions
                    .iter()
                    .filter(|(other, start, end)| other == key && asked(*start, *end))
                    .map(|(_, start, end)| (*end, *start))
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            for (one, ..) in &sessions {
                for (other, ..) in &sessions {
                    let keys = KeyRange::inclusive(one.clone(), other.clone());
                    let ranges = layout.fetch_keys(&keys, from, to, Direction::Forward);
                    let holds = |local: &&Vec<u8>| {
                        let key = layout.decode(local).is_some_and(|session| keys.contains(session.key));
                        key && layout.holds(local, None, (from, to), i64::MAX)
                    };
                    let found: Vec<_> = ranges
                        .iter()
                        .flat_map(|range| stored.iter().filter(|local| range.contains(local)))
                        .filter(holds)
                        .collect();
                    let expected: Vec<_> = stored.iter().filter(holds).collect();
                    prop_assert_eq!(found, expected);
                }
            }
            let range = layout.fetch_all(from, to);
            let found = stored.iter().filter(|local| {
                range.contains(local) && layout.holds(local, None, (from, to), latest_start)
            });
            let expected = sessions.iter().filter(|(_, start, end)| asked(*start, *end)).count();
            prop_assert_eq!(found.count(), expected);
        }
    }
}
