//! An error on a worker, with where it came from.

use crate::error::Error;
use crate::record::TaskId;

/// An error, and the task it came from if it came from one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) task: Option<TaskId>,
    pub(crate) error: Error,
}

impl Failure {
    pub(crate) fn of(task: TaskId, error: Error) -> Self {
        Self { task: Some(task), error }
    }
}

impl From<Error> for Failure {
    /// A panic is its task's.
    fn from(error: Error) -> Self {
        let task = match &error {
            Error::Panicked { task, .. } => Some(*task),
            _ => None,
        };
        Self { task, error }
    }
}
