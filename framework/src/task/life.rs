//! The life of a task.
//!
//! ```text
//!   Created ──► Restoring ──► Running ──► Suspended ──► Closed
//!      │  ▲         │            │  │          │  ▲        ▲
//!      │  │         └────────────┼──┴──────────┼──┼────────┤
//!      │  └──── rebuilt ─────────┴─────────────┘  │        │
//!      └───────────────────────────────────────── ┴────────┘
//! ```
//!
//! | state | means |
//! |---|---|
//! | created | its partitions are here; waits for positions, stores and a producer |
//! | restoring | its stores are read up to the end of their changelogs |
//! | running | processes records |
//! | suspended | its partitions were revoked; the stores stay open in case they come back |
//! | closed | the stores are closed |
//!
//! A task that is rebuilt after an abort becomes `Created` again: all of it but its stores is new.

use std::fmt;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Its partitions are here; it waits for positions, stores and a producer.
    Created,
    /// Its stores are read up to the end of their changelogs.
    Restoring,
    /// It processes records.
    Running,
    /// Its partitions were revoked; its stores are still open.
    Suspended,
    /// Its stores are closed.
    Closed,
}

impl TaskState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 5] =
        [Self::Created, Self::Restoring, Self::Running, Self::Suspended, Self::Closed];

    /// True if a task may go from this state to `next`.
    pub fn can_become(self, next: Self) -> bool {
        match self {
            Self::Created => next != Self::Created,
            Self::Restoring | Self::Running => {
                next != self && !(self == Self::Running && next == Self::Restoring)
            }
            Self::Suspended => matches!(next, Self::Created | Self::Closed),
            Self::Closed => next == Self::Created,
        }
    }

    /// The label in metrics and texts.
    pub fn label(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_moves_are_refused() {
        assert!(TaskState::Created.can_become(TaskState::Running));
        assert!(TaskState::Running.can_become(TaskState::Created));
        assert!(!TaskState::Running.can_become(TaskState::Restoring));
        assert!(!TaskState::Suspended.can_become(TaskState::Running));
        assert!(TaskState::ALL.iter().all(|state| !state.can_become(*state)));
    }
}
