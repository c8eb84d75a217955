//! The one place of this package that reads the machine's clock and waits: a comparison measures real time.

use std::time::{Duration, Instant};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured here")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits between two looks at something outside of this process.
#[expect(clippy::disallowed_methods, reason = "other processes are looked at from time to time")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Today in UTC, for the names of result files.
#[must_use]
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
