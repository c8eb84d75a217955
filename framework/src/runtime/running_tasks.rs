//! Where questions for the running tasks go.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix::Recipient;

use crate::record::TaskId;
use crate::runtime::worker::Ask;

/// The actors of the running tasks.
#[derive(Default)]
pub(crate) struct RunningTasks(Mutex<BTreeMap<TaskId, Recipient<Ask>>>);

impl fmt::Debug for RunningTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl RunningTasks {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Recipient<Ask>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task runs from now on.
    pub(crate) fn add(&self, task: TaskId, actor: Recipient<Ask>) {
        self.lock().insert(task, actor);
    }

    /// A task runs no more.
    pub(crate) fn remove(&self, task: TaskId) {
        self.lock().remove(&task);
    }
}
