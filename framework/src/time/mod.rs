//! Windows over event time: which windows a record falls into, and when one is closed.

mod any_windows;
mod emit;
mod time_windows;
mod unlimited_windows;
mod join_windows;
mod session_windows;
mod sliding_windows;
mod suppress;

pub(crate) use any_windows::AnyWindows;
pub use emit::Emit;
pub use join_windows::{JoinWindows, StatedGrace};
pub use session_windows::SessionWindows;
pub use sliding_windows::SlidingWindows;
pub(crate) use suppress::{Bounds, Full};
pub use suppress::{Suppress, SuppressPlan, Suppresses, UntilTimeLimit, UntilWindowCloses};
pub use time_windows::{Grace, NoGraceYet, TimeWindows};
pub use unlimited_windows::UnlimitedWindows;

use std::time::Duration;

use crate::record::Timestamp;

/// What the records of a key can be divided by: [`Windows`], [`SlidingWindows`] or [`SessionWindows`].
///
/// ```
/// use millstream::{KGroupedStream, Windowing, WindowedStream};
///
/// fn by<W: Windowing>(stream: &KGroupedStream<String, i64>, windows: W) -> WindowedStream<String, i64, W> {
///     stream.windowed_by(windows)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as windows",
    note = "windows need a stated grace: `.grace(..)` or `.no_grace()`"
)]
pub trait Windowing: Clone + Send + Sync + 'static {}

impl<W: Windows> Windowing for W {}
impl Windowing for SessionWindows {}
impl Windowing for SlidingWindows {}

/// Windows that do not depend on the records in them: fixed in size, aligned to the epoch.
///
/// A window is open while `end > stream time - grace`; stream time is that of the operator: the
/// largest timestamp it has seen.
///
/// ```
/// use millstream::record::Timestamp;
/// use millstream::{WindowStarts, Windows};
///
/// /// Whole hours.
/// #[derive(Clone)]
/// struct Hours;
///
/// impl Windows for Hours {
///     fn windows_for(&self, at: Timestamp) -> WindowStarts {
///         let start = at.0 / self.size_ms() * self.size_ms();
///         WindowStarts::new(start, start, self.size_ms())
///     }
///
///     fn size_ms(&self) -> i64 {
///         3_600_000
///     }
///
///     fn grace_ms(&self) -> i64 {
///         60_000
///     }
/// }
/// assert_eq!(Hours.windows_for(Timestamp(4_000_000)).collect::<Vec<_>>(), [3_600_000]);
/// assert_eq!(Hours.end(3_600_000), 7_200_000);
/// # let builder = millstream::StreamsBuilder::new();
/// # builder.stream::<String, String>("in").group_by_key().windowed_by(Hours).count("hours");
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub trait Windows: Clone + Send + Sync + 'static {
    /// The starts of the windows that a record of this time falls into, ascending.
    fn windows_for(&self, at: Timestamp) -> WindowStarts;

    /// From the start of a window to its end, in milliseconds.
    fn size_ms(&self) -> i64;

    /// How long after its end a window still takes records, in milliseconds.
    fn grace_ms(&self) -> i64;

    /// What makes these windows unusable, if anything does.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// The end of the window that starts at `start`, exclusive.
    fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size_ms())
    }
}

/// Starts of windows, ascending.
#[derive(Clone, Debug)]
pub struct WindowStarts {
    next: Option<i64>,
    last: i64,
    advance: i64,
}

impl WindowStarts {
    /// From `first` to `last` in steps of at least a millisecond; none if `first` is later than `last`.
    pub fn new(first: i64, last: i64, advance: i64) -> Self {
        Self { next: Some(first).filter(|first| *first <= last), last, advance: advance.max(1) }
    }
}

impl Iterator for WindowStarts {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        let start = self.next?;
        self.next = start.checked_add(self.advance).filter(|next| *next <= self.last);
        Some(start)
    }
}

/// A duration in whole milliseconds, cut off at the end of time.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
