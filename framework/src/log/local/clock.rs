//! The time of a broker in this process.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from.
#[derive(Debug)]
pub(crate) enum Clock {
    /// It stands still until it is moved.
    Manual(AtomicI64),
    /// The system's.
    System,
}

impl Clock {
    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        match self {
            Self::Manual(now) => now.load(Ordering::Acquire),
            Self::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a broker stamps records and ends transactions by the system's clock"
                )]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}
