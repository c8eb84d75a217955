//! The embedded log: durable, in one process, without a server.
//!
//! Topics, positions of groups and transactions are in one RocksDB (`layout` draws the bytes).
//! The end of a transaction is one write batch, so exactly-once holds on one machine. Members of
//! the process share partitions as a group would; there are no members elsewhere: a directory
//! belongs to one process at a time.
//!
//! How durable: a flush, a commit and a committed position are written to RocksDB's write-ahead
//! log before they return. A process that is killed loses nothing of them. A machine that loses
//! power may lose the last ones, whole batches from the end, never parts; with
//! [`EmbeddedOptions::sync`] it loses none, at the price of an fsync each.
//!
//! Topics: `cleanup.policy`, `retention.ms` and `delete.retention.ms` count, others do not.
//! Without `retention.ms` records stay until they are deleted. Old records are looked for when the
//! log is opened and after each 100,000 records.
//!
//! What differs from Kafka: a transaction ends in all its partitions and positions at one moment,
//! since it is one write batch, so the last stable offset is never late; records of aborted
//! transactions are not kept, also for readers of uncommitted records; a dropped producer ends its
//! transaction at once, and a dropped member leaves at once.

mod compaction;
mod disk;
mod layout;
mod options;
mod recovery;
mod storage;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use self::disk::Disk;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::layout::any_row_on_disk;
pub use self::options::EmbeddedOptions;
use super::local::group::GroupLimits;
use super::local::handle::Handle;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::log::dir_lock::{DirLock, NotLocked};
use crate::log::local::{Broker, Clock, LocalLog, Manners};
use crate::log::whole_file::write_whole;

const LOCK_FILE: &str = "millstream.lock";
const IDENTITY_FILE: &str = "identity";

/// How long a static member may stay away, and how long a rebalance waits for a member that does
/// not poll: Kafka's defaults.
const GROUPS: GroupLimits = GroupLimits { session_ms: 45_000, rebalance_ms: 300_000 };

/// Larger records are refused, as they are by a Kafka with its default settings doubled: what is
/// developed here shall not break there by much.
const RECORD_BYTES_MAX: usize = 2 << 20;

/// A durable log in this process; clones are the same log.
#[derive(Clone, Debug)]
pub struct EmbeddedLog {
    log: Arc<LocalLog<Disk>>,
    identity: Arc<str>,
}

impl EmbeddedLog {
    /// Opens the log in a directory, which is created if it is not there.
    ///
    /// # Errors
    /// `StateLocked` when another log has the directory open; `Fatal` when it cannot be read.
    pub fn open(dir: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let dir = dir.as_ref();
        let lock = take_lock(dir)?;
        let identity = identity_in(dir)?.into();
        let disk = Disk::open(&dir.join("log"), lock, options)?;
        let state = recovery::recover(&disk)?;
        let manners = Manners {
            clock: Clock::System,
            groups: GROUPS,
            dropped_is_gone: true,
            record_bytes_max: RECORD_BYTES_MAX,
        };
        let broker = Broker::new(disk, manners, state);
        broker.clean(true)?;
        Ok(Self { log: Arc::new(LocalLog(Arc::new(broker))), identity })
    }

    /// True if there is a log in this directory, opened by somebody or not.
    pub(crate) fn is_in(dir: &Path) -> bool {
        dir.join(LOCK_FILE).is_file()
    }

    /// Gives a topic more partitions, up to so many. Records of a key that are there already stay
    /// where they are.
    ///
    /// # Errors
    /// `Topic` when there is no such topic, or when it has as many already.
    pub fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        self.log.0.with(|state| self.log.0.add_partitions(state, topic, partitions))
    }

    /// The names of all topics, sorted.
    pub fn topic_names(&self) -> Vec<String> {
        self.log.0.with(|state| state.topics.names())
    }
}

/// What tells the log in this directory from all others: random, made with it.
fn identity_in(dir: &Path) -> Result<String> {
    let path = dir.join(IDENTITY_FILE);
    match fs::read_to_string(&path) {
        Ok(identity) if !identity.is_empty() => return Ok(identity),
        Ok(_) => {}
        Err(reason) if reason.kind() == ErrorKind::NotFound => {}
        Err(reason) => return Err(cannot_open(dir, &reason)),
    }
    let identity = format!("embedded-{}", Uuid::new_v4());
    write_whole(&path, &identity).map_err(|reason| cannot_open(dir, &reason))?;
    Ok(identity)
}

fn take_lock(dir: &Path) -> Result<DirLock> {
    fs::create_dir_all(dir).map_err(|reason| cannot_open(dir, &reason))?;
    DirLock::take(dir, LOCK_FILE).map_err(|refused| match refused {
        NotLocked::Taken { by_this_program } => {
            Error::StateLocked { dir: dir.to_path_buf(), by_this_program }
        }
        NotLocked::Unusable(reason) => cannot_open(dir, &reason),
    })
}

fn cannot_open(dir: &Path, reason: &std::io::Error) -> Error {
    Error::Fatal {
        what: format!("opening the embedded log in {}", dir.display()),
        reason: format!("{reason}; the setting state_dir says where it lies"),
    }
}

impl Handle for EmbeddedLog {
    fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn own_identity(&self) -> Option<String> {
        Some(self.identity.to_string())
    }
}

#[cfg(test)]
mod tests;
