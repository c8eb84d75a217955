//! An error on a worker, with where it came from.

use crate::error::Error;
use crate::record::TaskId;

/// An error, and the task it came from if it came from one.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) task: Option<TaskId>,
    pub(super) error: Error,
}

impl Failure {
    pub(super) fn of(task: TaskId, error: Error) -> Self {
        Self { task: Some(task), error }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { task: None, error }
    }
}
