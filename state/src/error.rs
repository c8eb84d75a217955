//! What can go wrong in a store.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with local state. All of it is local: the changelog still has the state.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused an operation.
    #[error("store {store}: {reason}")]
    Store {
        /// The store or task.
        store: String,
        /// What the database said.
        reason: String,
    },
    /// A directory that cannot be opened or made.
    #[error("directory {dir}: {reason}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Bytes that no version of this crate wrote.
    #[error("store {store} holds bytes that cannot be read: {reason}")]
    Corrupt {
        /// The store.
        store: String,
        /// What is wrong with them.
        reason: String,
    },
}
