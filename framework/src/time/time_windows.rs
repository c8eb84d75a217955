//! Tumbling and hopping windows.
//!
//! ```text
//!  tumbling (advance = size)      [0    10) [10   20) [20   30)
//!  hopping  (advance < size)      [0    10)
//!                                     [5    15)
//!                                          [10   20)
//! ```
//!
//! Aligned to the epoch; start inclusive, end exclusive. A record of time `t` falls into the
//! windows that start at `(max(0, t - size + advance) / advance) * advance` and every `advance`
//! after it, up to `t`.

use std::time::Duration;

use crate::record::Timestamp;
use crate::time::{WindowStarts, Windows, millis};

/// The grace of windows for which none was stated yet. Such windows cannot be used.
///
/// ```
/// use std::time::Duration;
/// use millstream::{Grace, NoGraceYet, TimeWindows};
///
/// let open: TimeWindows<NoGraceYet> = TimeWindows::of(Duration::from_secs(60));
/// let stated: TimeWindows<Grace> = open.grace(Duration::from_secs(5));
/// // `windowed_by(open)` does not compile.
/// # let builder = millstream::StreamsBuilder::new();
/// builder.stream::<String, String>("in").group_by_key().windowed_by(stated).count("n");
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoGraceYet;

/// A stated grace, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(i64);

impl Grace {
    pub(super) fn of(grace: Duration) -> Self {
        Self(millis(grace))
    }

    pub(super) fn ms(self) -> i64 {
        self.0
    }
}

/// Tumbling or hopping windows. The grace is part of the type: how late a record may come is
/// never a silent default.
///
/// ```
/// use std::time::Duration;
/// use millstream::TimeWindows;
///
/// let per_minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
/// let hopping = TimeWindows::of(Duration::from_secs(60))
///     .grace(Duration::from_secs(5))
///     .advance_by(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows<G = Grace> {
    size_ms: i64,
    advance_ms: i64,
    grace: G,
}

impl TimeWindows<NoGraceYet> {
    /// Windows of this size, one after the other.
    pub fn of(size: Duration) -> Self {
        Self { size_ms: millis(size), advance_ms: millis(size), grace: NoGraceYet }
    }

    /// A window takes records until stream time is this much past its end.
    pub fn grace(self, grace: Duration) -> TimeWindows {
        self.with_grace(Grace(millis(grace)))
    }

    /// A window closes when stream time reaches its end.
    pub fn no_grace(self) -> TimeWindows {
        self.with_grace(Grace(0))
    }

    fn with_grace(self, grace: Grace) -> TimeWindows {
        TimeWindows { size_ms: self.size_ms, advance_ms: self.advance_ms, grace }
    }
}

impl<G> TimeWindows<G> {
    /// A window begins every `advance`: they overlap if that is shorter than their size.
    #[must_use]
    pub fn advance_by(mut self, advance: Duration) -> Self {
        self.advance_ms = millis(advance);
        self
    }
}

impl Windows for TimeWindows {
    #[inline]
    fn windows_for(&self, at: Timestamp) -> WindowStarts {
        let advance = self.advance_ms.max(1);
        let earliest = at.0.saturating_sub(self.size_ms).saturating_add(advance).max(0);
        WindowStarts::new(earliest / advance * advance, at.0, advance)
    }

    fn size_ms(&self) -> i64 {
        self.size_ms
    }

    fn grace_ms(&self) -> i64 {
        self.grace.0
    }

    fn refusal(&self) -> Option<String> {
        let (size, advance) = (self.size_ms, self.advance_ms);
        if size <= 0 {
            Some("their size is less than a millisecond".to_owned())
        } else if advance <= 0 || advance > size {
            Some(format!("they advance by {advance} ms, which is not in 1..={size}"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(size: u64, advance: u64) -> TimeWindows {
        let ms = Duration::from_millis;
        TimeWindows::of(ms(size)).no_grace().advance_by(ms(advance))
    }

    fn starts(windows: &TimeWindows, at: i64) -> Vec<i64> {
        windows.windows_for(Timestamp(at)).collect()
    }

    #[test]
    fn a_record_is_in_one_tumbling_window() {
        let tumbling = windows(10, 10);
        assert_eq!(starts(&tumbling, 0), [0]);
        assert_eq!(starts(&tumbling, 9), [0]);
        assert_eq!(starts(&tumbling, 10), [10]);
    }

    #[test]
    fn a_record_is_in_all_hopping_windows_around_it() {
        let hopping = windows(10, 3);
        assert_eq!(starts(&hopping, 2), [0]);
        assert_eq!(starts(&hopping, 12), [3, 6, 9, 12]);
        assert_eq!(starts(&hopping, 13), [6, 9, 12]);
    }

    #[test]
    fn impossible_windows_are_refused() {
        assert_eq!(windows(10, 10).refusal(), None);
        for bad in [windows(0, 0), windows(10, 0), windows(10, 11)] {
            assert!(bad.refusal().is_some(), "{bad:?}");
        }
    }
}
