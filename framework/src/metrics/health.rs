//! Signs of life of the workers: a worker that hangs in a closure or a call still has a thread,
//! so only what it does can show that it lives.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// When each worker was last seen alive, on the clock of the instance.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    last: Mutex<BTreeMap<usize, Duration>>,
}

impl Heartbeats {
    /// The worker lives at `now`.
    pub(crate) fn beat(&self, worker: usize, now: Duration) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, now);
    }

    /// The worker ended in order; it is not expected to beat again.
    pub(crate) fn retire(&self, worker: usize) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }

    /// The workers without a sign of life for longer than `most`, with the time since.
    pub(crate) fn stuck(&self, now: Duration, most: Duration) -> Vec<(usize, Duration)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = last.iter().map(|(worker, at)| (*worker, now.saturating_sub(*at)));
        silent.filter(|(_, silence)| *silence > most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_worker_is_stuck_until_it_beats_or_retires() {
        let s = Duration::from_secs;
        let beats = Heartbeats::default();
        beats.beat(0, s(1));
        beats.beat(1, s(9));
        assert_eq!(beats.stuck(s(10), s(5)), [(0, s(9))]);
        beats.beat(0, s(10));
        assert!(beats.stuck(s(10), s(5)).is_empty());
        beats.retire(1);
        assert_eq!(beats.stuck(s(30), s(5)), [(0, s(20))]);
    }
}
