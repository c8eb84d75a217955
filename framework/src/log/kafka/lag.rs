//! How much is left in a partition, without asking the broker.
//!
//! librdkafka knows three things locally. The high watermark of the last fetch (cheap to read,
//! but it counts records of open transactions, which a committed reader will not get yet). The
//! consumed position, which moves over control records once the queue has been pulled past them.
//! And, in its statistics only, the last stable offset. The watermark decides where it can;
//! where it says that something is left, a statistics report of the *same* watermark settles
//! whether that is an open transaction: the last stable offset of a partition moves only with its
//! watermark, since a transaction ends with a record of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use crate::log::locked::locked;
use crate::record::TopicPartition;

/// What is known of a partition at one moment; offsets are negative where unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// High watermark of the last fetch.
    pub(super) high: i64,
    /// The watermark that was there before the partition was assigned: says nothing new.
    pub(super) high_before: i64,
    /// Next position after everything pulled, control records included.
    pub(super) consumed: i64,
    /// Next position after the last record handed out.
    pub(super) handed_out: i64,
    /// What the last statistics said.
    pub(super) report: Option<Report>,
}

/// What statistics say of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// High watermark.
    high: i64,
    /// The end for this reader: last stable offset, or the watermark if it reads uncommitted.
    stable: i64,
    /// The end that the fetcher reached last; negative if it has not reached one.
    reached: i64,
}

impl Known {
    /// How many offsets are left behind `position`; `None` as long as nothing was fetched.
    pub(super) fn remaining(&self, position: i64) -> Option<u64> {
        let fetched = self.high != self.high_before
            || self.consumed >= 0
            || self.report.is_some_and(|report| report.reached >= 0);
        if self.high < 0 || !fetched {
            return None;
        }
        let end = match self.report {
            Some(report) if report.high == self.high && report.stable >= 0 => report.stable,
            _ => self.high,
        };
        // Records that were pulled but stand before the caller's position count for it.
        let from = if position < self.handed_out { position } else { position.max(self.consumed) };
        Some(u64::try_from(end - from).unwrap_or(0))
    }
}

/// To how many brokers the member is connected, shared by the clients that are a log's member one
/// after the other.
#[derive(Debug, Default)]
pub(super) struct Brokers(Mutex<Option<usize>>);

impl Brokers {
    /// As the last statistics said; `None` as long as there are none.
    pub(super) fn connected(&self) -> Option<usize> {
        *locked(&self.0)
    }
}

/// The statistics of one consumer, read only when someone wants to know.
#[derive(Debug, Default)]
pub(super) struct Reports {
    wanted: AtomicBool,
    last: Mutex<HashMap<TopicPartition, Report>>,
    brokers: Arc<Brokers>,
}

impl Reports {
    /// The last report of a partition; asks for a new one.
    pub(super) fn of(&self, partition: &TopicPartition) -> Option<Report> {
        self.wanted.store(true, Ordering::Relaxed);
        locked(&self.last).get(partition).copied()
    }

    /// Of a member: its brokers are told to others.
    pub(super) fn telling(brokers: Arc<Brokers>) -> Self {
        Self { brokers, ..Self::default() }
    }

    /// Asks for a new report.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Forgets a partition: what was said of it belongs to an earlier assignment.
    pub(super) fn forget(&self, partition: &TopicPartition) {
        locked(&self.last).remove(partition);
    }

    /// Reads the client's statistics, if wanted.
    pub(super) fn take(&self, json: &[u8]) {
        if !self.wanted.swap(false, Ordering::Relaxed) {
            return;
        }
        match serde_json::from_slice::<Statistics<'_>>(json) {
            Ok(statistics) => {
                *locked(&self.brokers.0) = Some(statistics.connected());
                *locked(&self.last) = statistics.reports();
            }
            Err(error) => tracing::warn!(%error, "client statistics cannot be read"),
        }
    }
}

#[derive(Deserialize)]
struct Statistics<'a> {
    #[serde(borrow)]
    topics: HashMap<Cow<'a, str>, TopicStatistics>,
    #[serde(borrow, default)]
    brokers: HashMap<Cow<'a, str>, BrokerStatistics<'a>>,
}

#[derive(Deserialize)]
struct BrokerStatistics<'a> {
    /// Negative for an address to begin with, and for what stands for a coordinator.
    nodeid: i32,
    #[serde(borrow)]
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    hi_offset: i64,
    ls_offset: i64,
    eof_offset: i64,
}

impl Statistics<'_> {
    fn connected(&self) -> usize {
        self.brokers.values().filter(|broker| broker.nodeid >= 0 && broker.state == "UP").count()
    }

    fn reports(self) -> HashMap<TopicPartition, Report> {
        let mut all = HashMap::new();
        for (topic, TopicStatistics { partitions }) in self.topics {
            // Partition -1 collects what belongs to none.
            for (partition, p) in partitions.into_iter().filter(|(number, _)| *number >= 0) {
                let report =
                    Report { high: p.hi_offset, stable: p.ls_offset, reached: p.eof_offset };
                all.insert(TopicPartition::new(&*topic, partition), report);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Known =
        Known { high: -1001, high_before: -1001, consumed: -1001, handed_out: 0, report: None };

    #[test]
    fn nothing_is_known_before_the_first_fetch() {
        assert_eq!(FRESH.remaining(0), None);
        let stale = Known { high: 10, high_before: 10, ..FRESH };
        assert_eq!(stale.remaining(10), None, "the watermark is from before");
        let report = Some(Report { high: 10, stable: 10, reached: 10 });
        assert_eq!(Known { report, ..stale }.remaining(10), Some(0));
        assert_eq!(Known { high: 0, ..FRESH }.remaining(0), Some(0), "fetched and empty");
    }

    #[test]
    fn control_records_at_the_end_do_not_count() {
        let known = Known { high: 11, consumed: 11, handed_out: 10, ..FRESH };
        assert_eq!(known.remaining(10), Some(0));
        assert_eq!(known.remaining(4), Some(7), "records in the caller's hands count");
    }

    #[test]
    fn an_open_transaction_at_the_end_does_not_count_once_reported() {
        let known = Known { high: 15, consumed: 10, handed_out: 10, ..FRESH };
        assert_eq!(known.remaining(10), Some(5));
        let report = Some(Report { high: 15, stable: 10, reached: 10 });
        assert_eq!(Known { report, ..known }.remaining(10), Some(0));
        let moved = Known { high: 16, report, ..known };
        assert_eq!(moved.remaining(10), Some(6), "the report is of an older watermark");
    }

    #[test]
    fn statistics_are_read_when_wanted() {
        let json = br#"{"name":"x","brokers":{
            "a:1/bootstrap":{"name":"a:1/bootstrap","nodeid":-1,"state":"UP"},
            "a:1/1":{"name":"a:1/1","nodeid":1,"state":"UP"},
            "b:1/2":{"name":"b:1/2","nodeid":2,"state":"TRY_CONNECT"}},"topics":{"orders":{"topic":"orders","partitions":{
            "0":{"partition":0,"hi_offset":7,"ls_offset":5,"eof_offset":5,"txmsgs":1},
            "-1":{"partition":-1,"hi_offset":-1001,"ls_offset":-1001,"eof_offset":-1001}}}}}"#;
        let reports = Reports::default();
        let orders = TopicPartition::new("orders", 0);
        reports.take(json);
        assert_eq!(reports.of(&orders), None, "nobody had asked");
        assert_eq!(reports.brokers.connected(), None);
        reports.take(json);
        assert_eq!(reports.of(&orders), Some(Report { high: 7, stable: 5, reached: 5 }));
        assert_eq!(reports.brokers.connected(), Some(1));
        reports.forget(&orders);
        assert_eq!(reports.of(&orders), None);
    }
}
