//! Sliding windows: around the records themselves.
//!
//! ```text
//!   ──x────y──────►     difference 5: records are in one window if their times differ by at most 5
//!     [────]            ends with y: both of its bounds belong to it
//!  [──]                 ends with x
//!      [────]           begins after x, and holds y
//! ```
//!
//! For each record there is a window that ends with it, and, if others follow within the difference, one that begins a
//! millisecond after it: so each set of records that are close to each other is in exactly one window.

use std::time::Duration;

use crate::time::millis;
use crate::time::time_windows::{Grace, NoGraceYet};

/// Windows around records whose times differ by at most this much. The grace is part of the type: how late a record may
/// come is never a silent default.
///
/// ```
/// use std::time::Duration;
/// use millstream::SlidingWindows;
///
/// let close = SlidingWindows::of_difference(Duration::from_secs(5)).grace(Duration::from_secs(60));
/// let strict = SlidingWindows::of_difference(Duration::from_secs(5)).no_grace();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows<G = Grace> {
    difference_ms: i64,
    grace: G,
}

impl SlidingWindows<NoGraceYet> {
    /// The first and the last record of a window are at most this much apart.
    pub fn of_difference(difference: Duration) -> Self {
        Self { difference_ms: millis(difference), grace: NoGraceYet }
    }

    /// A window takes records until stream time is more than this past its end.
    pub fn grace(self, grace: Duration) -> SlidingWindows {
        SlidingWindows { difference_ms: self.difference_ms, grace: Grace::of(grace) }
    }

    /// A window closes when stream time is past its end.
    pub fn no_grace(self) -> SlidingWindows {
        self.grace(Duration::ZERO)
    }
}

impl SlidingWindows {
    pub(crate) fn difference_ms(&self) -> i64 {
        self.difference_ms
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        self.grace.ms()
    }

    /// How long windows must be kept: a record may still need those that ended a difference before its own begin.
    pub(crate) fn retention_ms(&self) -> i64 {
        self.difference_ms.saturating_mul(2).saturating_add(self.grace_ms())
    }
}
