//! One owner at a time for a directory: a lock on a file in it, and whether this program is the one that has it.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::log::locked::locked;

/// The lock files that this program holds.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A directory that is ours until this is dropped; the system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct DirLock {
    path: PathBuf,
    file: File,
}

/// Why a directory cannot be had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Somebody has it: this very program or another process.
    Taken { by_this_program: bool },
    /// The lock file cannot be made or locked.
    Unusable(io::Error),
}

impl From<io::Error> for NotLocked {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error)
    }
}

impl DirLock {
    /// Locks the file of this name in a directory that is there.
    ///
    /// # Errors
    /// If somebody has it, or if it cannot be made.
    pub(crate) fn take(dir: &Path, name: &str) -> Result<Self, NotLocked> {
        // By another way to the same directory it is the same lock.
        let path = fs::canonicalize(dir)?.join(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        let mut held = locked(&HELD);
        match file.try_lock() {
            Ok(()) => {
                held.insert(path.clone());
                Ok(Self { path, file })
            }
            Err(TryLockError::WouldBlock) => {
                Err(NotLocked::Taken { by_this_program: held.contains(&path) })
            }
            Err(TryLockError::Error(error)) => Err(NotLocked::Unusable(error)),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        let mut held = locked(&HELD);
        // Should this fail, closing the file does it.
        let _ = self.file.unlock();
        held.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_who_has_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let ours = DirLock::take(dir.path(), "lock").unwrap();
        let again = DirLock::take(&dir.path().join("."), "lock");
        assert!(matches!(again, Err(NotLocked::Taken { by_this_program: true })), "{again:?}");
        drop(ours);
        // A lock that was not taken here is another's.
        let other = File::options().write(true).open(dir.path().join("lock")).unwrap();
        other.try_lock().unwrap();
        let taken = DirLock::take(dir.path(), "lock");
        assert!(matches!(taken, Err(NotLocked::Taken { by_this_program: false })), "{taken:?}");
        drop(other);
        DirLock::take(dir.path(), "lock").unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_cannot_be_had() {
        let dir = tempfile::tempdir().unwrap();
        let refused = DirLock::take(&dir.path().join("none"), "lock");
        assert!(matches!(refused, Err(NotLocked::Unusable(_))), "{refused:?}");
    }
}
