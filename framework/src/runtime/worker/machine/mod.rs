//! What a worker decides: when it commits and how far a commit has come, what a failure drops, which
//! task starts next, what a revocation and the end of the instance leave.
//!
//! Plain state: events and the moment go in, actions come out. No actor, thread, channel, clock or
//! log is in here, so each order of events can be replayed. The host (`worker`) performs the actions
//! in their order. Some of them wait for something, and their outcome is handed in before anything
//! else: at most one of them is under way, so a failure knows exactly what was done before it.
//!
//! A task, seen from its worker; what others show of it (the board, the metrics) is told from here:
//!
//! ```text
//!   Assign ──► waiting ──Build──► restoring ──Run──► running        (Build may skip restoring)
//!                 ▲                   │                 │
//!                 └───── a failure ───┴─────────────────┤
//!   Revoke, Stop: suspended ◄───────────────────────────┘ ──30 s, or another Assign──► closed
//! ```
//!
//! A commit, step by step; each may fail, and then it is unknown whether the commit counts:
//!
//! ```text
//!   Look ─► Settle ─► Flush ─► Acknowledge ─┬─ exactly once ─► Generation ─► SendOffsets ─► EndTransaction ─┬─► Apply
//!             ▲         │                   └─ at least once ────────────────► CommitOffsets ───────────────┘
//!             └ futures ┘
//! ```
//!
//! `Settle` is done when no future is on its way. Until then the commit is left and begun again, and the
//! worker does what else comes; where partitions are about to leave, it blocks instead.
//!
//! Whether the worker still owns what it commits is looked at before the first step, and again
//! between `Generation` and `SendOffsets` (before `CommitOffsets`): under that generation the
//! partitions were owned then, and the broker refuses it once the group has gone on.

mod events;
mod commit;
mod failing;
mod starting;
mod stopping;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::{Error, Reaction};
use crate::record::TaskId;
use crate::task::TaskState;

pub(crate) use events::{Action, Event, Moment, WorkerRules};

/// A revoked task that has not come back after this has its stores closed.
pub(crate) const SUSPENDED_MAX: Duration = Duration::from_secs(30);

/// Where a hosted task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    Restoring,
    Running,
}

/// What is still to be done for an event.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Of all running tasks; whether it may block until their futures are done.
    Commit {
        block: bool,
    },
    Wake,
    Suspend(TaskId),
    Host(TaskId),
    Answer,
    /// All that are suspended.
    CloseAll,
    Close(TaskId),
    Advance,
    LookUp,
    Build(TaskId),
    Run(TaskId),
    /// All that was waiting was tried.
    Tried,
    RestoreOn,
    AbortTransaction,
    Fence,
    Ended,
}

/// The action that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    TakeOver,
    Commit(CommitAt),
    Open,
    LookUp,
    Build(TaskId),
    Run(TaskId),
    Restore,
    Suspend(TaskId),
    Close(TaskId),
    Answer,
    Abort,
    Fence,
    EndAgain,
}

/// How far a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommitAt {
    Look,
    Settle,
    Flush,
    Acknowledge,
    Generation,
    SendOffsets,
    EndTransaction,
    CommitOffsets,
    Apply,
}

/// A worker's decisions.
#[derive(Debug)]
pub(crate) struct WorkerMachine {
    rules: WorkerRules,
    at: Moment,
    tasks: BTreeMap<TaskId, Place>,
    /// With the time at which they were suspended.
    suspended: BTreeMap<TaskId, Duration>,
    has_producer: bool,
    /// A producer was dropped in the middle of a transaction, and none was opened since.
    left_open: bool,
    /// Losses of partitions that it was told of.
    losses_heard: u64,
    /// Tries to start tasks that did not get through, in a row.
    tries: u32,
    /// The last of them that did not, in this round.
    not_started: Option<Error>,
    /// Tries of restoring that failed, since a task was restored last.
    restore_tries: u32,
    /// Aborts since the last commit.
    aborts: u32,
    /// Tries to end what was left open, at the end.
    end_tries: u32,
    /// True once the instance was told to end: no task starts any more.
    given_up: bool,
    /// The worker ends, and waits for the broker until then.
    ends_by: Option<Duration>,
    advance_planned: bool,
    restore_planned: bool,
    /// When repartition topics were purged last.
    purged: Duration,
    /// The commit under way blocks for futures.
    commit_blocks: bool,
    /// Since when a commit waits for futures.
    settling: Option<Duration>,
    todo: VecDeque<Step>,
    waits: Option<Waits>,
    out: Vec<Action>,
}

impl WorkerMachine {
    pub(crate) fn new(rules: WorkerRules) -> Self {
        Self {
            rules,
            at: Moment::default(),
            tasks: BTreeMap::new(),
            suspended: BTreeMap::new(),
            has_producer: false,
            left_open: false,
            losses_heard: 0,
            tries: 0,
            not_started: None,
            restore_tries: 0,
            aborts: 0,
            end_tries: 0,
            given_up: false,
            ends_by: None,
            advance_planned: false,
            restore_planned: false,
            purged: Duration::ZERO,
            commit_blocks: false,
            settling: None,
            todo: VecDeque::new(),
            waits: None,
            out: Vec::new(),
        }
    }

    /// True if a task that begins should take care: the ones before it were dropped.
    pub(crate) fn is_after_abort(&self) -> bool {
        self.aborts > 0
    }

    /// Takes an event in and appends what follows. While an action is under way only its outcome
    /// may come.
    pub(crate) fn on(&mut self, event: Event, at: Moment, actions: &mut Vec<Action>) {
        self.at = at;
        match self.waits.take() {
            Some(Waits::EndAgain) => self.while_ending(&event),
            Some(waits) => self.came(waits, event),
            None => self.told(event),
        }
        while self.waits.is_none()
            && let Some(step) = self.todo.pop_front()
        {
            self.take(step);
        }
        actions.append(&mut self.out);
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::TakeOver => self.begin(Action::TakeOver, Waits::TakeOver),
            Event::Assign(tasks) => self.assign(tasks),
            Event::Revoke { tasks, lost } => {
                if lost {
                    self.react(aborted("partitions were lost").into());
                } else {
                    self.todo.push_back(Step::Commit { block: true });
                }
                self.todo.extend(tasks.into_iter().map(Step::Suspend));
                self.todo.push_back(Step::Answer);
            }
            // A message is on its way that says what failed or was lost.
            Event::CommitDue if self.at.task_failed || self.has_lost() => {}
            Event::CommitDue => {
                self.todo.extend([Step::Commit { block: false }, Step::Wake]);
            }
            Event::TaskFailed(failure)
                if failure.task.is_none_or(|task| self.is_at(task, Place::Running)) =>
            {
                self.react(failure);
            }
            Event::Advance => {
                self.advance_planned = false;
                self.todo.push_back(Step::Advance);
            }
            Event::RestoreStep => {
                self.restore_planned = false;
                self.begin(Action::Restore, Waits::Restore);
            }
            Event::Measured => self.close_suspended(SUSPENDED_MAX),
            Event::Stop { by } => self.stop(by),
            // The outcome of an action that is not under way any more.
            _ => {}
        }
    }

    /// The outcome of the action under way.
    fn came(&mut self, waits: Waits, event: Event) {
        match waits {
            Waits::TakeOver => self.took_over(event),
            Waits::Commit(at) => self.commit_came(at, event),
            Waits::Open | Waits::LookUp => self.looked(waits, event),
            Waits::Build(task) => self.built(task, event),
            Waits::Run(task) => self.ran(task, event),
            Waits::Restore => self.restored(event),
            Waits::Suspend(task) => {
                let open = matches!(event, Event::Suspended { open: true });
                self.tasks.remove(&task);
                if open {
                    self.suspended.insert(task, self.at.now);
                }
                let state = if open { TaskState::Suspended } else { TaskState::Closed };
                self.out.push(Action::State(task, state));
            }
            Waits::Close(task) => {
                if matches!(event, Event::Done) {
                    self.suspended.remove(&task);
                    self.out.push(Action::State(task, TaskState::Closed));
                } else {
                    // In use: tried again later, when the other handle on it may be gone.
                    self.suspended.insert(task, self.at.now);
                }
            }
            Waits::Answer => {
                if matches!(event, Event::Answered { in_time: false }) {
                    self.losses_heard += 1;
                }
            }
            Waits::Abort | Waits::Fence | Waits::EndAgain => self.ended_transaction(waits, event),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit { block } => self.commit(block),
            Step::Wake => self.out.push(Action::Wake),
            Step::Suspend(task) => {
                if self.tasks.contains_key(&task) {
                    self.begin(Action::Suspend(task), Waits::Suspend(task));
                }
            }
            Step::Host(task) => self.host(task),
            Step::Answer => self.begin(Action::Answer, Waits::Answer),
            Step::CloseAll => {
                for task in self.suspended.keys() {
                    self.todo.push_front(Step::Close(*task));
                }
            }
            Step::Close(task) => {
                if self.suspended.contains_key(&task) {
                    self.begin(Action::Close(task), Waits::Close(task));
                }
            }
            Step::Advance => self.advance(),
            Step::LookUp => self.begin(Action::LookUpPositions, Waits::LookUp),
            Step::Build(task) => {
                if self.is_at(task, Place::Waiting) {
                    self.begin(Action::Build(task), Waits::Build(task));
                }
            }
            Step::Run(task) => {
                // Not so if one before it failed, and all wait again.
                if self.is_at(task, Place::Restoring) {
                    self.begin(Action::Run(task), Waits::Run(task));
                }
            }
            Step::Tried => self.tried(),
            Step::RestoreOn => self.plan_restore_step(),
            Step::AbortTransaction => self.abort_transaction(),
            Step::Fence => self.fence(),
            Step::Ended => self.out.push(Action::Ended),
        }
    }

    fn begin(&mut self, action: Action, waits: Waits) {
        self.out.push(action);
        self.waits = Some(waits);
    }

    fn is_at(&self, task: TaskId, place: Place) -> bool {
        self.tasks.get(&task) == Some(&place)
    }

    /// True if partitions were taken from the worker and the message about it has not arrived yet.
    fn has_lost(&self) -> bool {
        self.at.losses != self.losses_heard
    }

    /// What follows from an error here. That a topic is missing is for good, unless it matched a pattern: the control
    /// thread sees that it is gone and revokes it.
    fn reaction(&self, error: &Error) -> Reaction {
        match error {
            Error::Topic { .. } | Error::MissingTopic { .. } if self.rules.topics_may_go => {
                Reaction::Rebuild
            }
            other => other.reaction(),
        }
    }

    /// True if trying again may be enough.
    fn is_passing(&self, error: &Error) -> bool {
        matches!(self.reaction(error), Reaction::Retry | Reaction::Rebuild)
    }

    fn close_suspended(&mut self, age: Duration) {
        let old =
            self.suspended.iter().filter(|(_, since)| self.at.now.saturating_sub(**since) >= age);
        self.todo.extend(old.map(|(task, _)| Step::Close(*task)));
    }
}

/// Why a commit does not take place.
fn aborted(reason: &str) -> Error {
    Error::Aborted { what: "a commit".to_owned(), reason: reason.to_owned() }
}
