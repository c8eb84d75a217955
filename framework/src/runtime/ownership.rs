//! Whether a worker still owns what it works on.
//!
//! The group waits for a revocation only so long, and a worker may be in the middle of a slow record
//! meanwhile. When it comes back, its partitions belong to somebody else, and the member has another
//! generation, under which the group would take its positions. So the control thread counts for each
//! worker how often partitions were taken from it without its consent, before the group is told, and
//! the worker counts the losses it was told of: it commits only while the two are equal.
//!
//! ```text
//!   control thread   revoke ──────── time is up: expire, count ──► group goes on ──► assign
//!   worker                 (a slow record ...............)  tick: no commit   is told: drops all
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How often partitions were taken from each worker without its consent.
#[derive(Debug)]
pub(crate) struct Losses(Vec<AtomicU64>);

impl Losses {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicU64::new(0)).collect())
    }

    /// Partitions were taken from the worker. To be called before the group is told.
    pub(crate) fn note(&self, worker: usize) {
        if let Some(losses) = self.0.get(worker) {
            losses.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How often that has happened.
    pub(crate) fn count(&self, worker: usize) -> u64 {
        self.0.get(worker).map_or(0, |losses| losses.load(Ordering::SeqCst))
    }
}

/// Which revocation: an answer names the one it is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RevocationId(pub(crate) u64);

const OPEN: u8 = 0;
const ANSWERED: u8 = 1;
const LOST: u8 = 2;

/// What a revocation came to: either the worker answers in time, or the partitions are lost to it.
#[derive(Clone, Debug)]
pub(crate) struct Revocation(Arc<AtomicU8>);

impl Revocation {
    /// Partitions that the worker may commit before it gives them back.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(OPEN)))
    }

    /// Partitions that are gone already.
    pub(crate) fn lost() -> Self {
        Self(Arc::new(AtomicU8::new(LOST)))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.load(Ordering::SeqCst) == LOST
    }

    /// The worker answers; false if the partitions were lost before.
    pub(crate) fn answer(&self) -> bool {
        self.settle(ANSWERED)
    }

    /// The group waits no longer; false if it was settled before.
    pub(crate) fn expire(&self) -> bool {
        self.settle(LOST)
    }

    fn settle(&self, how: u8) -> bool {
        self.0.compare_exchange(OPEN, how, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_answered_or_lost_and_never_both() {
        let answered = Revocation::new();
        assert!(!answered.is_lost() && answered.answer());
        assert!(!answered.expire() && !answered.is_lost());
        let expired = Revocation::new();
        assert!(expired.expire() && !expired.answer() && expired.is_lost());
        let lost = Revocation::lost();
        assert!(lost.is_lost() && !lost.answer() && !lost.expire());
    }

    #[test]
    fn losses_are_counted_for_each_worker() {
        let losses = Losses::new(2);
        losses.note(1);
        losses.note(1);
        losses.note(2);
        assert_eq!([losses.count(0), losses.count(1), losses.count(2)], [0, 2, 0]);
    }
}
