//! One turn of a task: how far it may go, and why it ended.

use std::fmt;
use std::time::Duration;

use crate::record::Timestamp;

/// How far one turn may go.
pub(crate) struct TurnLimits<'a> {
    /// Most records.
    pub(crate) records: usize,
    /// Wall-clock time.
    pub(crate) now: Timestamp,
    /// The clock that never goes back.
    pub(crate) clock: &'a dyn Fn() -> Duration,
    /// When it is to end on that clock; it takes one record at least.
    pub(crate) ends: Duration,
}

impl fmt::Debug for TurnLimits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnLimits").field("records", &self.records).finish_non_exhaustive()
    }
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The budget is used up; there may be more.
    Budget,
    /// There is nothing to pull; new data wakes the task.
    Empty,
    /// There are records, but another input may still bring older ones: look again soon.
    Waiting,
    /// The uncommitted bytes reached their bound: commit before going on.
    Full,
    /// Futures are on their way, and no more may be: one that is done wakes the task.
    InFlight,
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) records: usize,
    pub(crate) rest: Rest,
}

/// What comes next in a turn.
pub(super) enum Choice {
    /// The record of this input.
    Record(usize),
    /// A record was taken and dropped by its source: choose again.
    Dropped,
    /// Nothing.
    Rest(Rest),
}
