//! The states of all tasks of an instance, for whoever waits for them or shows them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::task::{TaskId, TaskState};

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamsState {
    /// Topics are prepared and the group is joined.
    Starting,
    /// Tasks are being assigned, restored or started.
    Rebalancing,
    /// All assigned tasks run (there may be none).
    Running,
    /// It commits and leaves the group.
    Stopping,
    /// It ended as told.
    Stopped,
    /// It ended with an error.
    Failed,
}

#[derive(Debug)]
struct Board {
    instance: StreamsState,
    tasks: BTreeMap<TaskId, TaskState>,
}

/// The states, shared.
#[derive(Debug)]
pub(crate) struct TaskBoard {
    board: Mutex<Board>,
    changed: Condvar,
}

impl Default for TaskBoard {
    fn default() -> Self {
        let board = Board { instance: StreamsState::Starting, tasks: BTreeMap::new() };
        Self { board: Mutex::new(board), changed: Condvar::new() }
    }
}

impl TaskBoard {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a task's state; a move that is not in the life of a task is a fault, and said.
    pub(crate) fn set(&self, task: TaskId, state: TaskState) {
        let mut board = self.lock();
        let before = board.tasks.get(&task).copied();
        if before.is_some_and(|before| before != state && !before.can_become(state)) {
            tracing::error!(%task, ?before, %state, "a task made a forbidden move");
            debug_assert!(false, "task {task} cannot go from {before:?} to {state}");
        }
        board.tasks.insert(task, state);
        if matches!(board.instance, StreamsState::Rebalancing | StreamsState::Running) {
            board.instance = board.state_of_tasks();
        }
        self.changed.notify_all();
    }

    /// Notes the instance's state.
    pub(crate) fn set_instance(&self, state: StreamsState) {
        let mut board = self.lock();
        board.instance =
            if state == StreamsState::Running { board.state_of_tasks() } else { state };
        self.changed.notify_all();
    }

    /// The instance's state.
    pub(crate) fn instance(&self) -> StreamsState {
        self.lock().instance
    }

    /// The tasks with their states.
    pub(crate) fn tasks(&self) -> BTreeMap<TaskId, TaskState> {
        self.lock().tasks.clone()
    }

    /// Waits until the instance is in one of these states; the state it is in then.
    pub(crate) fn wait_for(&self, states: &[StreamsState], timeout: Duration) -> StreamsState {
        let board = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(board, timeout, |board| !states.contains(&board.instance));
        waited.unwrap_or_else(PoisonError::into_inner).0.instance
    }
}

impl Board {
    fn state_of_tasks(&self) -> StreamsState {
        let busy = self
            .tasks
            .values()
            .any(|state| matches!(state, TaskState::Created | TaskState::Restoring));
        if busy { StreamsState::Rebalancing } else { StreamsState::Running }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_means_that_all_assigned_tasks_run() {
        let board = TaskBoard::default();
        let task = TaskId { sub_topology: 0, partition: 1 };
        board.set(task, TaskState::Created);
        assert_eq!(board.instance(), StreamsState::Starting);
        board.set_instance(StreamsState::Running);
        assert_eq!(board.instance(), StreamsState::Rebalancing);
        board.set(task, TaskState::Running);
        assert_eq!(board.instance(), StreamsState::Running);
        assert_eq!(board.wait_for(&[StreamsState::Running], Duration::ZERO), StreamsState::Running);
    }
}
