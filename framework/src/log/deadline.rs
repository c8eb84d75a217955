//! Real time for the waits on a broker, in one place.
//!
//! Everything else in the framework takes its time from a clock that tests can move. A broker
//! answers in real time only, so the bounds on waiting for it are measured in real time too.

use std::time::{Duration, Instant};

/// A moment after which waiting for the broker ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

/// More than a machine's clock may be able to hold is not needed.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Deadline {
    /// So far from now; a wait without end (`Duration::MAX`) is one of years.
    pub(crate) fn after(wait: Duration) -> Self {
        Self(now() + wait.min(LONGEST))
    }

    /// How long is left; zero once it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// True once it has passed.
    pub(crate) fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// Lets the calling thread rest before it asks again, at most until the deadline.
    pub(crate) fn rest(self, pause: Duration) {
        std::thread::park_timeout(pause.min(self.left()));
    }
}

/// The monotonic clock of the machine.
#[expect(clippy::disallowed_methods, reason = "a broker answers in real time, not in test time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_and_has_nothing_left_then() {
        assert!(Deadline::after(Duration::ZERO).passed());
        let far = Deadline::after(Duration::from_secs(60));
        assert!(!far.passed() && far.left() > Duration::from_secs(50));
        assert!(!Deadline::after(Duration::MAX).passed());
    }
}
