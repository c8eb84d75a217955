//! What a worker has learnt of topics that refuse records for good.
//!
//! A log refuses a whole batch, after later records were sent, and says little about which record of
//! it is at fault; a transaction is lost with it. So the worker begins again at its last commit, once,
//! and from then on asks about each record for that topic that looks like the culprit before it is
//! sent: in a transaction of another producer that is always aborted or, without transactions, by
//! sending it alone. Whatever the topic refuses then follows the policy of its sink, with the record
//! in hand. Nothing is remembered of single records: what comes out of a cache, or bears the time of
//! the clock, need not come out the same again.
//!
//! | refused for | looks like the culprit |
//! |---|---|
//! | its size | at least half as large as the largest record that was refused |
//! | its timestamp | at least half as far ahead of the clock as the one furthest ahead, or as far behind |
//! | something else | without a key, if one of those refused had none |
//!
//! A record that is accepted narrows the look to what is beyond it. If the topic refuses again
//! although no culprit was found, the look gets wider, in the end to every record; and batches get
//! smaller, since good records can be too large together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::log::{OutgoingRecord, Refused, record_content_bytes};
use crate::record::{RefusalKind, Timestamp};

/// So long a topic is watched after it refused something. Longer: asking costs time where all is well
/// again. Shorter: a topic that goes on refusing costs an abort each time.
const WATCHED: Duration = Duration::from_secs(60);

/// The client's own bound of a batch, in bytes.
const BATCH_BYTES: usize = 1_000_000;

/// A timestamp that is less ahead of the clock is not refused for being ahead.
const LEAD_MS_MIN: i64 = 500;

/// What is watched, by topic.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    watches: BTreeMap<Arc<str>, Watch>,
    /// Every record of every topic is asked about.
    all: bool,
    batch_bytes_max: Option<usize>,
}

/// What looks like the culprit in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watch {
    /// Records of at least so many bytes.
    bytes: usize,
    /// Timestamps from here on, and up to here.
    from: i64,
    until: i64,
    /// By how much those move when a record beyond them is accepted.
    step: i64,
    keyless: bool,
    every: bool,
    /// Refusals in a row without a culprit.
    strikes: u32,
    since: Duration,
}

impl Refusals {
    /// Asks about every record: for hosts that cannot begin again.
    pub(crate) fn of_everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Takes in what was refused since the last commit.
    pub(crate) fn learn(&mut self, refused: &[Refused], now: Timestamp, elapsed: Duration) {
        let topics: BTreeSet<&Arc<str>> = refused.iter().map(|one| &one.partition.topic).collect();
        for topic in topics {
            let watch = self.watches.entry(Arc::clone(topic)).or_insert_with(Watch::nothing);
            watch.strikes += 1;
            watch.since = elapsed;
        }
        let mut too_large_again = false;
        for one in refused {
            if let Some(watch) = self.watches.get_mut(&one.partition.topic) {
                watch.widen(one, now);
                too_large_again |= watch.strikes > 1 && one.kind == RefusalKind::TooLarge;
            }
        }
        if too_large_again {
            let before = self.batch_bytes_max.unwrap_or(BATCH_BYTES);
            self.batch_bytes_max = Some((before / 8).max(1));
        }
    }

    /// How large the batches of a producer may be, if that is known to matter.
    pub(crate) fn batch_bytes_max(&self) -> Option<usize> {
        self.batch_bytes_max
    }

    /// Asks about every record from now on, or no longer; what it was before.
    pub(crate) fn ask_about_all(&mut self, all: bool) -> bool {
        std::mem::replace(&mut self.all, all)
    }

    /// True if some records of the topic are asked about.
    pub(crate) fn watches(&self, topic: &str) -> bool {
        self.all || self.watches.contains_key(topic)
    }

    /// True if this record is to be asked about.
    pub(crate) fn suspects(&self, topic: &str, record: &OutgoingRecord<'_>) -> bool {
        self.all || self.watches.get(topic).is_some_and(|watch| watch.suspects(record))
    }

    /// The topic takes this record, which was asked about.
    pub(crate) fn accepted(&mut self, topic: &str, record: &OutgoingRecord<'_>) {
        if let Some(watch) = self.watches.get_mut(topic) {
            watch.narrow(record);
        }
    }

    /// A culprit was found.
    pub(crate) fn found(&mut self, topic: &str) {
        if let Some(watch) = self.watches.get_mut(topic) {
            watch.strikes = 0;
        }
    }

    /// Lets go of topics that have refused nothing for long. True if any was.
    pub(crate) fn forget(&mut self, elapsed: Duration) -> bool {
        let before = self.watches.len();
        self.watches.retain(|_, watch| elapsed.saturating_sub(watch.since) < WATCHED);
        self.watches.len() < before
    }

    /// True if nothing is watched.
    pub(crate) fn is_empty(&self) -> bool {
        !self.all && self.watches.is_empty()
    }
}

impl Watch {
    fn nothing() -> Self {
        Self {
            bytes: usize::MAX,
            from: i64::MAX,
            until: i64::MIN,
            step: 1,
            keyless: false,
            every: false,
            strikes: 0,
            since: Duration::ZERO,
        }
    }

    fn widen(&mut self, refused: &Refused, now: Timestamp) {
        let again = self.strikes > 1;
        self.every |= self.strikes > 2;
        if refused.kind == RefusalKind::TooLarge {
            let times = if again { 16 } else { 2 };
            self.bytes = self.bytes.min(refused.bytes_max / times);
            return;
        }
        self.keyless |= refused.keyless;
        let lead = refused.latest.saturating_sub(now.0);
        let lag = now.0.saturating_sub(refused.earliest);
        let is_ahead = lead >= LEAD_MS_MIN;
        if is_ahead {
            self.step = lead / 2;
            self.from = self.from.min(now.0.saturating_add(self.step));
        }
        if (again || !is_ahead) && refused.kind == RefusalKind::BadTimestamp {
            self.step = (lag / 2).max(1);
            self.until = self.until.max(now.0.saturating_sub(self.step));
        }
        // Nothing tells it from others.
        let told = self.keyless || is_ahead || refused.kind == RefusalKind::BadTimestamp;
        self.every |= !told || (again && refused.kind == RefusalKind::Invalid);
    }

    fn suspects(&self, record: &OutgoingRecord<'_>) -> bool {
        self.every
            || (self.keyless && record.key.is_none())
            || record.timestamp.is_some_and(|at| at >= self.from || at <= self.until)
            || record_content_bytes(record) >= self.bytes
    }

    fn narrow(&mut self, record: &OutgoingRecord<'_>) {
        let bytes = record_content_bytes(record);
        if bytes >= self.bytes {
            self.bytes = bytes + 1;
        }
        if let Some(at) = record.timestamp {
            if at >= self.from {
                self.from = at.saturating_add(self.step);
            }
            if at <= self.until {
                self.until = at.saturating_sub(1);
            }
        }
        self.keyless &= record.key.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::TopicHandle;
    use crate::record::{Headers, TopicPartition};

    const NOW: Timestamp = Timestamp(10_000_000);
    const HOUR_MS: i64 = 3_600_000;

    fn refused(kind: RefusalKind, bytes_max: usize, times: (i64, i64), keyless: bool) -> Refused {
        Refused {
            partition: TopicPartition::new("t", 0),
            kind,
            bytes_max,
            earliest: times.0,
            latest: times.1,
            keyless,
            reason: "said".to_owned(),
        }
    }

    fn looks(refusals: &Refusals, bytes: usize, at: i64, keyed: bool) -> bool {
        sent(bytes, at, keyed, |record| refusals.suspects("t", record))
    }

    fn sent<T>(
        bytes: usize,
        at: i64,
        keyed: bool,
        act: impl FnOnce(&OutgoingRecord<'_>) -> T,
    ) -> T {
        let value = vec![0; bytes];
        act(&OutgoingRecord {
            topic: TopicHandle(0),
            partition: 0,
            key: keyed.then_some(&[]),
            value: Some(&value),
            timestamp: Some(at),
            headers: &Headers::default(),
        })
    }

    #[test]
    fn large_records_are_asked_about_until_larger_ones_are_known_to_pass() {
        let mut refusals = Refusals::default();
        assert!(!looks(&refusals, 10_000, NOW.0, true) && !refusals.watches("t"));
        let batch = refused(RefusalKind::TooLarge, 5_000, (NOW.0, NOW.0), true);
        refusals.learn(&[batch], NOW, Duration::ZERO);
        assert!(refusals.watches("t") && !refusals.watches("other"));
        assert!(!looks(&refusals, 2_499, NOW.0, true));
        assert!(looks(&refusals, 2_500, NOW.0, true));
        sent(3_000, NOW.0, true, |record| refusals.accepted("t", record));
        assert!(!looks(&refusals, 3_000, NOW.0, true));
        assert!(looks(&refusals, 3_001, NOW.0, true));
        assert_eq!(refusals.batch_bytes_max(), None);
    }

    #[test]
    fn a_topic_that_refuses_again_without_a_culprit_gets_small_batches_and_a_wider_look() {
        let mut refusals = Refusals::default();
        let batch = refused(RefusalKind::TooLarge, 160, (NOW.0, NOW.0), false);
        let again = std::slice::from_ref(&batch);
        refusals.learn(again, NOW, Duration::ZERO);
        refusals.learn(again, NOW, Duration::ZERO);
        assert_eq!(refusals.batch_bytes_max(), Some(BATCH_BYTES / 8));
        assert!(looks(&refusals, 10, NOW.0, true) && !looks(&refusals, 9, NOW.0, true));
        refusals.learn(again, NOW, Duration::ZERO);
        assert_eq!(refusals.batch_bytes_max(), Some(BATCH_BYTES / 64));
        assert!(looks(&refusals, 0, NOW.0, true));
        for _ in 0..10 {
            refusals.learn(again, NOW, Duration::ZERO);
        }
        assert_eq!(refusals.batch_bytes_max(), Some(1));
    }

    #[test]
    fn finding_a_culprit_keeps_the_look_as_it_is() {
        let mut refusals = Refusals::default();
        for _ in 0..5 {
            let batch = refused(RefusalKind::TooLarge, 5_000, (NOW.0, NOW.0), false);
            refusals.learn(&[batch], NOW, Duration::ZERO);
            refusals.found("t");
        }
        assert_eq!(refusals.batch_bytes_max(), None);
        assert!(!looks(&refusals, 2_499, NOW.0, true));
    }

    #[test]
    fn times_ahead_are_asked_about_and_the_look_moves_with_the_clock() {
        let mut refusals = Refusals::default();
        let ahead = NOW.0 + 2 * HOUR_MS;
        let batch = refused(RefusalKind::BadTimestamp, 10, (0, ahead), false);
        refusals.learn(&[batch], NOW, Duration::ZERO);
        assert!(looks(&refusals, 1, ahead, true) && looks(&refusals, 1, NOW.0 + HOUR_MS, true));
        // Old ones are usual: only what is ahead looks odd.
        assert!(!looks(&refusals, 1, NOW.0 + HOUR_MS - 1, true) && !looks(&refusals, 1, 0, true));
        sent(1, NOW.0 + HOUR_MS, true, |record| refusals.accepted("t", record));
        assert!(!looks(&refusals, 1, NOW.0 + HOUR_MS + 1, true));
        assert!(looks(&refusals, 1, ahead, true));
    }

    #[test]
    fn times_behind_are_asked_about_where_none_is_ahead() {
        let mut refusals = Refusals::default();
        let batch = refused(RefusalKind::BadTimestamp, 10, (0, NOW.0), false);
        refusals.learn(&[batch], NOW, Duration::ZERO);
        assert!(looks(&refusals, 1, 0, true) && looks(&refusals, 1, NOW.0 / 2, true));
        assert!(!looks(&refusals, 1, NOW.0 / 2 + 1, true));
    }

    #[test]
    fn records_without_a_key_are_asked_about_if_one_was_refused() {
        let mut refusals = Refusals::default();
        let batch = refused(RefusalKind::Invalid, 10, (NOW.0, NOW.0), true);
        refusals.learn(&[batch], NOW, Duration::ZERO);
        assert!(looks(&refusals, 1, NOW.0, false) && !looks(&refusals, 1, NOW.0, true));
        // A broker may check what it likes.
        let mut refusals = Refusals::default();
        let batch = refused(RefusalKind::Invalid, 10, (NOW.0, NOW.0), false);
        refusals.learn(&[batch], NOW, Duration::ZERO);
        assert!(looks(&refusals, 1, NOW.0, true));
    }

    #[test]
    fn a_topic_is_let_go_after_its_time() {
        let mut refusals = Refusals::default();
        let batch = refused(RefusalKind::TooLarge, 5_000, (NOW.0, NOW.0), false);
        refusals.learn(&[batch], NOW, Duration::from_secs(1));
        assert!(!refusals.forget(WATCHED) && refusals.watches("t"));
        assert!(refusals.forget(WATCHED + Duration::from_secs(1)) && refusals.is_empty());
    }
}
