//! The states of all tasks of an instance: read by `wait_for`, `/readyz` and the metrics.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record::TaskId;
use crate::task::TaskState;

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

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiter {
    /// The instance, before it joins its group.
    Start,
    /// The global tables, which are not complete yet or cannot be read.
    Global,
    /// The member of the group, for its part or for the positions of it.
    Member,
    /// The group, which cannot be reached.
    Group,
    /// The tasks of a worker, which cannot start yet.
    Worker(usize),
}

/// What is waited for, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// What, and why it is not there yet if that is known.
    pub(crate) what: String,
    /// On the clock of the instance.
    pub(crate) since: Duration,
}

#[derive(Debug)]
struct Board {
    instance: StreamsState,
    tasks: BTreeMap<TaskId, TaskState>,
    waits: BTreeMap<Waiter, Wait>,
    /// The group is sharing out partitions, or the positions of new ones are looked up: what this
    /// instance is to run is not known yet.
    placing: bool,
    /// Where nothing goes on though there is work, each as a sentence.
    stalled: Vec<String>,
}

/// The states, shared.
#[derive(Debug)]
pub(crate) struct TaskBoard {
    board: Mutex<Board>,
    changed: Condvar,
}

impl Default for TaskBoard {
    fn default() -> Self {
        let board = Board {
            instance: StreamsState::Starting,
            tasks: BTreeMap::new(),
            waits: BTreeMap::new(),
            placing: false,
            stalled: Vec::new(),
        };
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

    /// Notes that somebody waits for something, until [`TaskBoard::has`] says otherwise.
    pub(crate) fn waits_for(&self, waiter: Waiter, what: String, now: Duration) {
        let mut board = self.lock();
        let since = board.waits.get(&waiter).map_or(now, |wait| wait.since);
        board.waits.insert(waiter, Wait { what, since });
    }

    /// Whoever waited has what it waited for.
    pub(crate) fn has(&self, waiter: Waiter) {
        self.lock().waits.remove(&waiter);
    }

    /// What is waited for now.
    pub(crate) fn waits(&self) -> BTreeMap<Waiter, Wait> {
        self.lock().waits.clone()
    }

    /// Where nothing goes on.
    pub(crate) fn stalled(&self, lines: Vec<String>) {
        self.lock().stalled = lines;
    }

    /// Where nothing goes on, each as a sentence.
    pub(crate) fn stalls(&self) -> Vec<String> {
        self.lock().stalled.clone()
    }

    /// What this instance is to run is not known (or is known again): it does not run meanwhile,
    /// whatever its tasks do.
    pub(crate) fn placing(&self, placing: bool) {
        let mut board = self.lock();
        board.placing = placing;
        if matches!(board.instance, StreamsState::Rebalancing | StreamsState::Running) {
            board.instance = board.state_of_tasks();
        }
        self.changed.notify_all();
    }

    /// True while it is not known what this instance is to run.
    pub(crate) fn is_placing(&self) -> bool {
        let board = self.lock();
        board.placing || board.instance == StreamsState::Starting
    }

    /// Notes the instance's state; an end is final.
    pub(crate) fn set_instance(&self, state: StreamsState) {
        let mut board = self.lock();
        if matches!(board.instance, StreamsState::Stopped | StreamsState::Failed) {
            return;
        }
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
        if busy || self.placing { StreamsState::Rebalancing } else { StreamsState::Running }
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

    #[test]
    fn tasks_that_run_are_not_all_while_more_are_placed() {
        let board = TaskBoard::default();
        board.set_instance(StreamsState::Running);
        assert_eq!(board.instance(), StreamsState::Running);
        board.placing(true);
        assert_eq!(board.instance(), StreamsState::Rebalancing);
        board.set(TaskId { sub_topology: 0, partition: 1 }, TaskState::Running);
        assert_eq!(board.instance(), StreamsState::Rebalancing);
        board.placing(false);
        assert_eq!(board.instance(), StreamsState::Running);
    }

    #[test]
    fn a_wait_counts_from_its_beginning_whatever_is_said_of_it() {
        let board = TaskBoard::default();
        let second = Duration::from_secs;
        board.waits_for(Waiter::Start, "topics".to_owned(), second(1));
        board.waits_for(Waiter::Start, "topics: no answer".to_owned(), second(5));
        let wait = Wait { what: "topics: no answer".to_owned(), since: second(1) };
        assert_eq!(board.waits().into_values().collect::<Vec<_>>(), [wait]);
        board.has(Waiter::Start);
        assert!(board.waits().is_empty());
    }
}
