//! Notices that nothing goes on though there is something to do, whatever the cause.
//!
//! Each worker says once per measurement what it has to do and when it last got on. Getting on is
//! a position that is higher than it ever was here (so going over the same records again and again
//! is none), or state that was restored. One that says nothing hangs, with work in its hands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::record::TopicPartition;

/// How often lag, sizes and the like are measured.
pub(super) const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// So many pieces of work are named at most.
const NAMED_MAX: usize = 5;

/// What a worker says of its work.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) at: Duration,
    /// When it got on, or had nothing to do.
    pub(super) moved: Duration,
    pub(super) work: Vec<String>,
}

/// What all workers said last.
#[derive(Debug, Default)]
pub(crate) struct WorkReports(Mutex<BTreeMap<usize, Report>>);

impl WorkReports {
    pub(super) fn put(&self, worker: usize, report: Report) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, report);
    }

    /// The worker ended.
    pub(crate) fn retire(&self, worker: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }

    /// The workers that have not got on for longer than `after` though they have work, each as a
    /// sentence.
    pub(crate) fn stalled(&self, now: Duration, after: Duration) -> Vec<String> {
        let reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(worker, report): (&usize, &Report)| {
            let silent = now.saturating_sub(report.at);
            // As of the report: what has been done since is not known.
            let still = report.at.saturating_sub(report.moved);
            if silent > after + 2 * MEASURE_INTERVAL {
                let s = silent.as_secs();
                return Some(format!("worker {worker} has been in one record or call for {s} s"));
            }
            if report.work.is_empty() || still <= after {
                return None;
            }
            let named: Vec<&str> = report.work.iter().take(NAMED_MAX).map(String::as_str).collect();
            let more = report.work.len() - named.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Some(format!(
                "worker {worker} has not got on for {} s with {}{more}",
                still.as_secs(),
                named.join(", ")
            ))
        };
        reports.iter().filter_map(line).collect()
    }
}

/// How far a worker has come.
#[derive(Debug, Default)]
pub(crate) struct WorkProgress {
    highest: BTreeMap<TopicPartition, i64>,
    moved: Duration,
}

impl WorkProgress {
    /// It got on, or had nothing to do.
    pub(super) fn moved(&mut self, now: Duration) {
        self.moved = now;
    }

    /// When it got on last.
    pub(super) fn since(&self) -> Duration {
        self.moved
    }

    /// Notes positions and the number of records restored since the last call; true if the worker
    /// got on.
    pub(super) fn note(&mut self, positions: Vec<(TopicPartition, i64)>, restored: u64) -> bool {
        let here: BTreeSet<&TopicPartition> = positions.iter().map(|(at, _)| at).collect();
        self.highest.retain(|partition, _| here.contains(partition));
        let mut moved = restored > 0;
        for (partition, position) in positions {
            let highest = self.highest.entry(partition).or_insert(i64::MIN);
            moved |= position > *highest;
            *highest = position.max(*highest);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn going_over_the_same_records_again_is_no_progress() {
        let mut progress = WorkProgress::default();
        let at = |position| vec![(TopicPartition::new("in", 0), position)];
        assert!(progress.note(at(5), 0));
        assert!(!progress.note(at(3), 0));
        assert!(!progress.note(at(5), 0));
        assert!(progress.note(at(6), 0));
        assert!(progress.note(at(6), 1), "restored");
        assert!(!progress.note(Vec::new(), 0));
        assert!(progress.note(at(1), 0), "it came anew");
    }

    #[test]
    fn work_without_progress_is_a_stall_past_the_bound() {
        let reports = WorkReports::default();
        let report = |at, moved, work: &[&str]| Report {
            at: S(at),
            moved: S(moved),
            work: work.iter().map(|name| (*name).to_owned()).collect(),
        };
        reports.put(0, report(70, 10, &["in-0 (3 behind)"]));
        reports.put(1, report(70, 10, &[]));
        assert!(reports.stalled(S(70), S(60)).is_empty(), "at the bound");
        assert!(reports.stalled(S(72), S(60)).is_empty(), "what came since is not known");
        reports.put(0, report(71, 10, &["in-0 (3 behind)"]));
        let lines = reports.stalled(S(71), S(60));
        assert_eq!(lines, ["worker 0 has not got on for 61 s with in-0 (3 behind)"]);
        reports.put(0, report(71, 71, &["in-0 (3 behind)"]));
        assert!(reports.stalled(S(72), S(60)).is_empty());
        assert!(reports.stalled(S(132), S(60)).is_empty(), "the second may be about to speak");
        assert_eq!(reports.stalled(S(133), S(60)).len(), 1);
        assert_eq!(reports.stalled(S(134), S(60)).len(), 2);
        reports.retire(0);
        reports.retire(1);
        assert!(reports.stalled(S(999), S(60)).is_empty());
    }

    #[test]
    fn a_long_list_of_work_is_cut() {
        let reports = WorkReports::default();
        let work = (0..8).map(|n| format!("in-{n}")).collect();
        reports.put(0, Report { at: S(100), moved: S(0), work });
        let line = reports.stalled(S(100), S(60)).remove(0);
        assert!(line.ends_with("with in-0, in-1, in-2, in-3, in-4 and 3 more"), "{line}");
    }
}
