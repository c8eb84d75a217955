//! The state directory of an instance.
//!
//! ```text
//! <state_dir>/<application id>/
//!   .lock             held by one process
//!   process-id        survives restarts: the transactional ids are made of it
//!   workers           how many had transactional ids when it ran last
//!   <task id>/        one RocksDB per task; see `cleaning` for when it is deleted
//!   global/<store>/   one RocksDB per global table
//!   .deleted-*        was a directory of a task
//! ```

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::log::whole_file::write_whole;
use crate::log::{DirLock, NotLocked};
use crate::record::TaskId;

const WORKERS: &str = "workers";
/// A broken file must not open producers for ever.
const FORMER_WORKERS_MAX: usize = 1024;

/// An instance's directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    root: PathBuf,
    process_id: Uuid,
    _lock: DirLock,
}

impl StateDir {
    /// Makes and locks the directory.
    ///
    /// # Errors
    /// `StateLocked` if another process or another instance of this one has it; `Config` if it
    /// cannot be made or written.
    pub(crate) fn open(state_dir: &Path, application_id: &str) -> Result<Self> {
        let root = state_dir.join(application_id);
        fs::create_dir_all(&root).map_err(|error| unusable(&root, &error))?;
        let lock = DirLock::take(&root, ".lock").map_err(|refused| match refused {
            NotLocked::Taken { by_this_program } => {
                Error::StateLocked { dir: root.clone(), by_this_program }
            }
            NotLocked::Unusable(error) => unusable(&root, &error),
        })?;
        let process_id = process_id(&root.join("process-id"))?;
        remove_leftovers(&root);
        Ok(Self { root, process_id, _lock: lock })
    }

    /// The id of this directory's process, the same after a restart.
    pub(crate) fn process_id(&self) -> Uuid {
        self.process_id
    }

    /// How many workers had transactional ids when the directory was used last; 0 if that was not noted
    /// it. A number that cannot be read is as none: their transactions then end by their time-out.
    pub(crate) fn former_workers(&self) -> usize {
        let text = fs::read_to_string(self.root.join(WORKERS)).unwrap_or_default();
        text.trim().parse().map_or(0, |workers: usize| workers.min(FORMER_WORKERS_MAX))
    }

    /// Notes how many workers have transactional ids from now on.
    ///
    /// # Errors
    /// `Config` if it cannot be written.
    pub(crate) fn note_workers(&self, workers: usize) -> Result<()> {
        let path = self.root.join(WORKERS);
        fs::write(&path, format!("{workers}\n")).map_err(|error| unusable(&path, &error))
    }

    /// The directories of tasks and of global tables that are in the directory of an application, locked or not.
    ///
    /// # Errors
    /// `Config` if it cannot be read.
    pub(crate) fn tasks_in(state_dir: &Path, application_id: &str) -> Result<Vec<PathBuf>> {
        let root = state_dir.join(application_id);
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&root, &error)),
        };
        let mut tasks = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unusable(&root, &error))?;
            if entry.file_name().to_str().is_some_and(is_state) {
                tasks.push(entry.path());
            }
        }
        tasks.sort();
        Ok(tasks)
    }

    /// Deletes the directories of tasks and of global tables; the process keeps its id.
    ///
    /// # Errors
    /// `Config` if one cannot be deleted.
    pub(crate) fn delete_tasks(&self) -> Result<()> {
        for entry in fs::read_dir(&self.root).map_err(|error| unusable(&self.root, &error))? {
            let entry = entry.map_err(|error| unusable(&self.root, &error))?;
            if entry.file_name().to_str().is_some_and(is_state) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| unusable(&path, &error))?;
            }
        }
        Ok(())
    }

    /// The directory of a global table.
    pub(crate) fn global(&self, store: &str) -> PathBuf {
        self.root.join(GLOBAL).join(store)
    }

    /// The directory of a task.
    pub(crate) fn task(&self, task: TaskId) -> PathBuf {
        self.root.join(task.to_string())
    }
}

impl StateDir {
    /// The tasks that have a directory here.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn tasks(&self) -> io::Result<Vec<TaskId>> {
        let mut tasks = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            tasks.extend(entry?.file_name().to_str().and_then(TaskId::parse));
        }
        Ok(tasks)
    }

    /// Deletes the directory of a task, which is not open. It gets another name first: what is
    /// left by a crash is no half of a database.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn remove(&self, task: TaskId) -> io::Result<()> {
        let leftover = self.root.join(format!("{LEFTOVER}{task}"));
        // Of a former try that could not be finished: a directory that is not empty is not replaced.
        if leftover.exists() {
            fs::remove_dir_all(&leftover)?;
        }
        fs::rename(self.task(task), &leftover)?;
        fs::remove_dir_all(leftover)
    }
}

/// In front of the names of directories that are being deleted.
const LEFTOVER: &str = ".deleted-";

/// Deletes what a crash left of directories that were being deleted.
fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(LEFTOVER))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "it cannot be deleted");
        }
    }
}

/// The directory of the global tables.
const GLOBAL: &str = "global";

/// True for the name of a directory that holds state.
fn is_state(name: &str) -> bool {
    name == GLOBAL || TaskId::parse(name).is_some()
}

/// Reads the id, or makes one; a crash leaves either none or a whole one.
fn process_id(path: &Path) -> Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|error| Error::Config(format!(
            "{} holds no process id ({error}); delete it if no transaction of this directory is open",
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            write_whole(path, &format!("{id}\n")).map_err(|error| unusable(path, &error))?;
            Ok(id)
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::Config(format!("state_dir: {} cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time_and_the_same_id_later() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), "app").unwrap();
        let id = first.process_id();
        assert!(matches!(StateDir::open(dir.path(), "app"), Err(Error::StateLocked { .. })));
        drop(first);
        assert_eq!(StateDir::open(dir.path(), "app").unwrap().process_id(), id);
    }

    #[test]
    fn a_removed_task_leaves_nothing_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), "app").unwrap();
        let root = dir.path().join("app");
        for name in ["0_1", "0_2", "notes", "0_x", "00_1"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("file"), "x").unwrap();
        }
        let task = |partition| TaskId { sub_topology: 0, partition };
        let mut tasks = state.tasks().unwrap();
        tasks.sort();
        assert_eq!(tasks, [task(1), task(2)]);
        // What a former try has left is not in the way.
        fs::create_dir_all(root.join(".deleted-0_1/more")).unwrap();
        state.remove(task(1)).unwrap();
        assert_eq!(state.tasks().unwrap(), [task(2)]);
        // A crash in the middle of it.
        fs::rename(root.join("0_2"), root.join(".deleted-0_2")).unwrap();
        drop(state);
        drop(StateDir::open(dir.path(), "app").unwrap());
        let mut left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".lock", "00_1", "0_x", "notes", "process-id"]);
    }

    #[test]
    fn a_broken_id_is_said_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(StateDir::open(dir.path(), "app").unwrap());
        let path = dir.path().join("app/process-id");
        fs::write(&path, "nonsense").unwrap();
        let error = StateDir::open(dir.path(), "app").unwrap_err();
        assert!(error.to_string().contains("process-id"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
    }

    #[test]
    fn the_number_of_workers_is_kept_and_a_broken_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), "app").unwrap();
        assert_eq!(state.former_workers(), 0);
        state.note_workers(3).unwrap();
        assert_eq!(state.former_workers(), 3);
        fs::write(dir.path().join("app/workers"), "99999").unwrap();
        assert_eq!(state.former_workers(), FORMER_WORKERS_MAX);
        fs::write(dir.path().join("app/workers"), "many").unwrap();
        assert_eq!(state.former_workers(), 0);
    }
}
