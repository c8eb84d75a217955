//! Signs of life of the threads: one that hangs in a closure or a call still has a thread, so only
//! what it does can show that it lives. One that waits for the broker lives, within bounds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log::BrokerWaits;

/// A thread that gives signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Beating {
    /// The thread that holds the membership in the group.
    Group,
    /// The thread that reads the global tables.
    Global,
    /// A worker.
    Worker(usize),
}

impl fmt::Display for Beating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("the thread of the group"),
            Self::Global => f.write_str("the thread of the global tables"),
            Self::Worker(index) => write!(f, "worker {index}"),
        }
    }
}

#[derive(Debug)]
struct Pulse {
    last: Duration,
    waits: BrokerWaits,
    /// Since when it was seen waiting whenever somebody looked.
    waiting_since: Option<Duration>,
}

/// When each thread was last seen alive, on the clock of the instance.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    pulses: Mutex<BTreeMap<Beating, Pulse>>,
}

impl Heartbeats {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Beating, Pulse>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread lives at `now`, as this one.
    pub(crate) fn beat(&self, who: Beating, now: Duration) {
        let waits = BrokerWaits::of_this_thread();
        self.lock().insert(who, Pulse { last: now, waits, waiting_since: None });
    }

    /// It ended in order; it is not expected to beat again.
    pub(crate) fn retire(&self, who: Beating) {
        self.lock().remove(&who);
    }

    /// Takes waiting for the broker as a sign of life, for up to `patience` each time. To be called
    /// far more often than a silence may last.
    pub(crate) fn look(&self, now: Duration, patience: Duration) {
        for pulse in self.lock().values_mut() {
            if !pulse.waits.is_waiting() {
                pulse.waiting_since = None;
            } else if now.saturating_sub(*pulse.waiting_since.get_or_insert(now)) <= patience {
                pulse.last = now;
            }
        }
    }

    /// The threads without a sign of life for longer than `most`, with the time since.
    pub(crate) fn stuck(&self, now: Duration, most: Duration) -> Vec<(Beating, Duration)> {
        let pulses = self.lock();
        let silent = pulses.iter().map(|(who, pulse)| (*who, now.saturating_sub(pulse.last)));
        silent.filter(|(_, silence)| *silence > most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::WaitingForBroker;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_silent_worker_is_stuck_until_it_beats_or_retires() {
        let beats = Heartbeats::default();
        beats.beat(Beating::Worker(0), S(1));
        beats.beat(Beating::Group, S(9));
        assert_eq!(beats.stuck(S(6), S(5)), [], "at the bound");
        assert_eq!(beats.stuck(S(10), S(5)), [(Beating::Worker(0), S(9))]);
        beats.beat(Beating::Worker(0), S(10));
        assert!(beats.stuck(S(10), S(5)).is_empty());
        beats.retire(Beating::Group);
        assert_eq!(beats.stuck(S(30), S(5)), [(Beating::Worker(0), S(20))]);
    }

    #[test]
    fn one_that_waits_for_the_broker_lives_as_long_as_that_may_take() {
        let beats = Heartbeats::default();
        beats.beat(Beating::Worker(0), S(0));
        let waiting = WaitingForBroker::begin();
        for now in 1..=100 {
            beats.look(S(now), S(99));
        }
        assert!(beats.stuck(S(100), S(5)).is_empty());
        // Just after the wait it has had no time to beat.
        drop(waiting);
        beats.look(S(101), S(99));
        assert!(beats.stuck(S(101), S(5)).is_empty());
        let _waiting = WaitingForBroker::begin();
        for now in 102..=210 {
            beats.look(S(now), S(99));
        }
        assert_eq!(beats.stuck(S(210), S(5)), [(Beating::Worker(0), S(9))], "longer than it may");
    }
}
