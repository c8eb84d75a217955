//! Sessions: activity with short gaps.
//!
//! ```text
//!   ──x──x─x────────────x───x──────►     two sessions, if the gap in the middle is longer than the others
//!     [────]            [───]
//! ```
//!
//! A record belongs to a session of its key that ended at most one gap before it, or begins at most one gap after
//! it; one that belongs to several makes them one.

use std::time::Duration;

use crate::time::millis;
use crate::time::time_windows::{Grace, NoGraceYet};

/// Sessions that end after a gap without records. The grace is part of the type: how late a record may come is never
/// a silent default.
///
/// ```
/// use std::time::Duration;
/// use millstream::SessionWindows;
///
/// let visits = SessionWindows::with_gap(Duration::from_secs(1800)).grace(Duration::from_secs(60));
/// let strict = SessionWindows::with_gap(Duration::from_secs(5)).no_grace();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows<G = Grace> {
    gap_ms: i64,
    grace: G,
}

impl SessionWindows<NoGraceYet> {
    /// Records of one key are in one session if at most this much lies between two of them.
    pub fn with_gap(gap: Duration) -> Self {
        Self { gap_ms: millis(gap), grace: NoGraceYet }
    }

    /// A session takes records until stream time is this much past its end and gap.
    pub fn grace(self, grace: Duration) -> SessionWindows {
        SessionWindows { gap_ms: self.gap_ms, grace: Grace::of(grace) }
    }

    /// A session closes when stream time is a gap past its end.
    pub fn no_grace(self) -> SessionWindows {
        self.grace(Duration::ZERO)
    }
}

impl SessionWindows {
    pub(crate) fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        self.grace.ms()
    }

    /// What makes them unusable, if anything does.
    pub(crate) fn refusal(&self) -> Option<String> {
        (self.gap_ms <= 0).then(|| "their gap is less than a millisecond".to_owned())
    }
}
