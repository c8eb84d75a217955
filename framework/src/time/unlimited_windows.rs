//! One window from a point in time to the end of time.

use crate::record::Timestamp;
use crate::time::{WindowStarts, Windows};

/// One window that never ends. Records before its start are in no window; nothing is ever late,
/// and since it never closes it cannot emit on close.
///
/// ```
/// use millstream::UnlimitedWindows;
/// use millstream::record::Timestamp;
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let since = UnlimitedWindows::of().start_on(Timestamp(1_000));
/// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(since);
/// clicks.count("clicks");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for at in [999, 1_000, 5_000] {
///     driver.pipe("clicks", &text("ada", "/", at))?;
/// }
/// assert_eq!(driver.windowed_table::<String, i64>("clicks")?[0].1, 2);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnlimitedWindows {
    start_ms: i64,
}

impl UnlimitedWindows {
    /// The window from the epoch on.
    pub fn of() -> Self {
        Self::default()
    }

    /// The window from this time on.
    #[must_use]
    pub fn start_on(mut self, start: Timestamp) -> Self {
        self.start_ms = start.0;
        self
    }
}

impl Windows for UnlimitedWindows {
    #[inline]
    fn windows_for(&self, at: Timestamp) -> WindowStarts {
        let last = if at.0 >= self.start_ms { self.start_ms } else { self.start_ms - 1 };
        WindowStarts::new(self.start_ms, last, 1)
    }

    fn size_ms(&self) -> i64 {
        i64::MAX
    }

    fn grace_ms(&self) -> i64 {
        0
    }

    fn refusal(&self) -> Option<String> {
        (self.start_ms < 0).then(|| "they start before the epoch".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_before_the_start_are_in_no_window() {
        let windows = UnlimitedWindows::of().start_on(Timestamp(100));
        assert_eq!(windows.windows_for(Timestamp(99)).count(), 0);
        assert_eq!(windows.windows_for(Timestamp(100)).collect::<Vec<_>>(), [100]);
        assert_eq!(windows.windows_for(Timestamp(i64::MAX)).collect::<Vec<_>>(), [100]);
        assert_eq!(windows.end(100), i64::MAX);
    }
}
