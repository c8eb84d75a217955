//! Tells a thread that waits for the broker from one that hangs.
//!
//! A commit may wait as long as a transaction or a message may take, and a full producer holds up
//! the record that is sent: both are no fault of the thread. Whoever is about to wait for a broker
//! takes a [`WaitingForBroker`], which is seen by those who watch the thread. Such waits have limits
//! of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many waits a thread is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerWaits(Arc<AtomicU32>);

thread_local! {
    static MINE: BrokerWaits = BrokerWaits::default();
}

impl BrokerWaits {
    /// Those of the calling thread, for others to look at.
    pub(crate) fn of_this_thread() -> Self {
        MINE.with(Self::clone)
    }

    /// True while the thread waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// The calling thread waits for the broker as long as this lives.
#[derive(Debug)]
pub(crate) struct WaitingForBroker(BrokerWaits);

impl WaitingForBroker {
    pub(crate) fn begin() -> Self {
        let waits = BrokerWaits::of_this_thread();
        waits.0.fetch_add(1, Ordering::Relaxed);
        Self(waits)
    }
}

impl Drop for WaitingForBroker {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_until_its_last_wait_ends() {
        let mine = BrokerWaits::of_this_thread();
        assert!(!mine.is_waiting());
        let outer = WaitingForBroker::begin();
        drop(WaitingForBroker::begin());
        assert!(mine.is_waiting());
        let others = std::thread::spawn(BrokerWaits::of_this_thread).join().unwrap();
        assert!(!others.is_waiting());
        drop(outer);
        assert!(!mine.is_waiting());
    }
}
