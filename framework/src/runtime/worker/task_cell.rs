//! What a worker and the actor of a task share, on one thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Result, panic_text};
use crate::record::TaskId;
use crate::task::Task;

/// A task and what its worker must know of it; empty once the task was taken away.
pub(crate) type TaskCell = Rc<RefCell<Option<Task>>>;

/// When the worker of a task wants to commit next, on the clock that never goes back.
pub(crate) type NextTick = Rc<Cell<Duration>>;

/// Runs a piece of a task; a panic becomes an error.
pub(crate) fn guarded<R>(task: TaskId, run: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(Error::Panicked { task, reason: panic_text(&*panic) }))
}
