//! Keys of versioned stores: the latest version of each key, and earlier ones by when they ended.
//!
//! ```text
//!  latest      0 ‖ key
//!  past        1 ‖ segment i64 ‖ key ‖ from i64       segment = end of the version / segment interval
//!  deleted     2 ‖ key                                the latest version is a deletion
//!  by time     3 ‖ from i64 ‖ key                     beside it, so that it can be forgotten in time
//! ```
//!
//! A version ends when the next one begins. What ended before the history is one range per store and is dropped unseen;
//! the latest version of a key never expires, but its deletion does. In the changelog there is the key alone.

use crate::range::KeyRange;
use crate::segments::Segments;

/// How a versioned store lays out its keys and when versions expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionLayout {
    /// How long versions can be read after they ended, in milliseconds of observed time.
    pub history_ms: i64,
    /// The length of one segment; whole segments expire.
    pub segment_interval_ms: i64,
}

const LATEST: u8 = 0;
const PAST: u8 = 1;
const DELETED: u8 = 2;
const BY_TIME: u8 = 3;
const TIME: usize = size_of::<i64>();

impl VersionLayout {
    /// A layout with Kafka Streams' segments for this history: the longer it is, the more of them.
    #[must_use]
    pub fn new(history_ms: i64) -> Self {
        let segment_interval_ms = match history_ms {
            ..60_001 => (history_ms / 3).max(2_000),
            60_001..300_001 => (history_ms / 5).max(20_000),
            300_001..3_600_001 => (history_ms / 12).max(60_000),
            _ => (history_ms / 24).max(300_000),
        };
        Self { history_ms, segment_interval_ms }
    }

    fn segments(&self) -> Segments {
        Segments { retention_ms: self.history_ms, interval_ms: self.segment_interval_ms }
    }

    /// What stands before a key where its latest version is.
    pub const LATEST_PREFIX: u8 = LATEST;

    /// Writes the local key of a version that has ended into `into`, in place of what was there.
    pub fn past(&self, key: &[u8], from: i64, to: i64, into: &mut Vec<u8>) {
        into.clear();
        into.push(PAST);
        into.extend_from_slice(&self.segments().segment(to).to_be_bytes());
        into.extend_from_slice(key);
        into.extend_from_slice(&from.max(0).to_be_bytes());
    }

    /// When the version of `key` begins that stands under a local key; none if that is another key's, or none's.
    #[must_use]
    pub fn from_of_past(&self, local: &[u8], key: &[u8]) -> Option<i64> {
        let (rest, from) = local.split_last_chunk::<TIME>()?;
        let rest = rest.strip_prefix(&[PAST])?.split_at_checked(TIME)?.1;
        (rest == key).then(|| i64::from_be_bytes(*from))
    }

    /// The ranges, in reading order, that hold the versions of `key` that ended after `at`, where nothing ended after
    /// `observed`; what they yield must pass [`Self::from_of_past`].
    #[must_use]
    pub fn ended_after(&self, key: &[u8], at: i64, observed: i64) -> Vec<KeyRange> {
        let segments = self.segments();
        let (first, last) = (segments.segment(at), segments.segment(observed));
        let live = first.max(segments.oldest_live(observed))..=last;
        let range = |segment: i64| {
            let bound = |from: i64| {
                [&[PAST], segment.to_be_bytes().as_slice(), key, &from.to_be_bytes()].concat()
            };
            KeyRange::inclusive(bound(0), bound(i64::MAX))
        };
        live.map(range).collect()
    }

    /// Where it is noted that the latest version of a key is a deletion.
    #[must_use]
    pub fn deleted(key: &[u8]) -> Vec<u8> {
        [&[DELETED], key].concat()
    }

    /// The entry by time of a deletion.
    #[must_use]
    pub fn deleted_at(key: &[u8], from: i64) -> Vec<u8> {
        [&[BY_TIME], from.max(0).to_be_bytes().as_slice(), key].concat()
    }

    /// The range of the deletions that are older than an observed time's history.
    #[must_use]
    pub fn forgotten(&self, observed: i64) -> Option<KeyRange> {
        let oldest = observed.saturating_sub(self.history_ms);
        (oldest > 0)
            .then(|| KeyRange::half_open(Self::deleted_at(&[], 0), Self::deleted_at(&[], oldest)))
    }

    /// Key and time of an entry by time.
    #[must_use]
    pub fn key_of_entry(entry: &[u8]) -> Option<(&[u8], i64)> {
        let (from, key) = entry.strip_prefix(&[BY_TIME])?.split_first_chunk::<TIME>()?;
        Some((key, i64::from_be_bytes(*from)))
    }

    /// The range of versions that have expired at an observed time; none when nothing has.
    pub(crate) fn expired(&self, observed: i64) -> Option<KeyRange> {
        let oldest = self.segments().oldest_live(observed);
        let bound = |segment: i64| [[PAST].as_slice(), &segment.to_be_bytes()].concat();
        (oldest > 0).then(|| KeyRange::half_open(bound(0), bound(oldest)))
    }

    pub(crate) fn signature(&self) -> Vec<u8> {
        [[3].as_slice(), &self.segment_interval_ms.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_kafka_streams_own() {
        let interval = |history| VersionLayout::new(history).segment_interval_ms;
        assert_eq!([interval(1_000), interval(60_000), interval(120_000)], [2_000, 20_000, 24_000]);
        assert_eq!([interval(3_600_000), interval(86_400_000)], [300_000, 3_600_000]);
    }

    #[test]
    fn keys_have_these_bytes() {
        let layout = VersionLayout { history_ms: 1_000, segment_interval_ms: 100 };
        let mut local = vec![9];
        layout.past(b"k", 2, 258, &mut local);
        assert_eq!(local, [1, 0, 0, 0, 0, 0, 0, 0, 2, b'k', 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(layout.from_of_past(&local, b"k"), Some(2));
        assert_eq!(layout.from_of_past(&local, b""), None);
        assert_eq!(layout.from_of_past(&local[..10], b""), None);
        assert_eq!(VersionLayout::deleted(b"k"), [2, b'k']);
        let entry = VersionLayout::deleted_at(b"k", 1);
        assert_eq!(entry, [3, 0, 0, 0, 0, 0, 0, 0, 1, b'k']);
        assert_eq!(VersionLayout::key_of_entry(&entry), Some((&b"k"[..], 1)));
    }

    #[test]
    fn what_ended_before_the_history_is_one_range() {
        let layout = VersionLayout { history_ms: 1_000, segment_interval_ms: 100 };
        assert_eq!(layout.expired(1_099), None);
        let expired = layout.expired(1_250).unwrap();
        let mut local = Vec::new();
        for (to, gone) in [(199, true), (200, false)] {
            layout.past(b"\xff\xff", 3, to, &mut local);
            assert_eq!(expired.contains(&local), gone, "{to}");
        }
        assert!(!expired.contains(&VersionLayout::deleted(b"")));
        let forgotten = layout.forgotten(1_250).unwrap();
        assert!(forgotten.contains(&VersionLayout::deleted_at(b"\xff", 249)));
        assert!(!forgotten.contains(&VersionLayout::deleted_at(b"", 250)));
        assert_eq!(layout.ended_after(b"k", 0, 450).len(), 5);
        assert_eq!(layout.ended_after(b"k", 0, 1_450).len(), 11, "from the oldest that lives");
    }
}
