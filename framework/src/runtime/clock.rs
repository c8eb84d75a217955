//! The one place where the machine's time is read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::record::Timestamp;

/// Where wall-clock time comes from.
pub(crate) trait WallClock: Send + Sync {
    /// Milliseconds since the epoch: for timestamps.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start that never goes back: for measuring and deadlines.
    fn elapsed(&self) -> Duration;
}

/// A clock shared by the threads of an instance.
pub(crate) type SharedClock = Arc<dyn WallClock>;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
