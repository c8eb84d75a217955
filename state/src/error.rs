//! What can go wrong in a store.

use std::fmt;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with local state. All of it is local: the changelog still has the state.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused an operation: rebuild the task.
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
    /// Bytes that no version of this crate wrote: delete the directory and restore.
    #[error("store {store} holds bytes that cannot be read: {reason}")]
    Corrupt {
        /// The store.
        store: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A directory that another version wrote in a format this one does not know.
    #[error(
        "directory {dir} has state of format {found}, this version reads format {known}: \
         use the version that wrote it, or delete the directory to restore from the changelogs"
    )]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format in it.
        found: u32,
        /// The only format this version reads.
        known: u32,
    },
    /// The task's stores were closed, or are in use by an operation in progress: a fault in the
    /// calling program.
    #[error("stores of {task} are {state}")]
    Unavailable {
        /// The task's directory.
        task: String,
        /// Why they cannot be used.
        state: &'static str,
    },
    /// A store that the task was not opened with: a fault in the calling program.
    #[error("the task has no store number {id}")]
    UnknownStore {
        /// The number asked for.
        id: u16,
    },
}

impl fmt::Debug for Error {
    /// Its text: that is what the end of a `main` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
