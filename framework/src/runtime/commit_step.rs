//! The moments of a commit.

use std::sync::Arc;

/// A moment of a commit, told to a listener on the worker's thread.
///
/// They are the moments between which a crash must not show: see [`StreamsOptions::on_commit`](crate::StreamsOptions::on_commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitStep {
    /// Outputs and changelog are acknowledged, and the offsets were sent to the transaction.
    OffsetsSent,
    /// The transaction is about to be ended (or, at-least-once, the offsets to be committed).
    Ending,
    /// The broker has confirmed it; nothing is known to the local stores yet.
    Ended,
    /// The local stores are about to take it over.
    Applying,
    /// All is done.
    Applied,
}

/// Called at each step of each commit.
pub(crate) type CommitListener = Arc<dyn Fn(CommitStep) + Send + Sync>;
