//! What a failure leads to.
//!
//! Whatever failed, and whatever follows: nothing since the last commit may be committed, neither by
//! the next tick, nor by a revocation, nor by a stop in order. Not even positions alone: the client
//! reports a lost output once, to the next call. So the tasks and their producer are
//! taken down at once, before the next action.

use super::events::Action;
use super::{Place, Step, WorkerMachine};
use crate::error::Reaction;
use crate::record::TaskId;
use crate::runtime::worker::failure::Failure;
use crate::task::TaskState;

impl WorkerMachine {
    /// Drops what is uncommitted, and starts again from the last commit or ends the instance.
    pub(super) fn react(&mut self, failure: Failure) {
        if self.given_up {
            return;
        }
        let Failure { task, error } = failure;
        let replaces = task.filter(|_| self.rules.replace_failed_tasks);
        self.settling = None;
        // What was to start does not: all of it waits again.
        self.todo.retain(|step| !matches!(step, Step::Build(_) | Step::Run(_) | Step::Tried));
        self.not_started = None;
        match self.reaction(&error) {
            Reaction::Retry | Reaction::Rebuild => self.abort(error, None),
            Reaction::Skip | Reaction::Stop if replaces.is_some() => self.abort(error, replaces),
            Reaction::Skip | Reaction::Stop => {
                self.given_up = true;
                self.out.push(Action::Fail(error));
                self.reset_tasks();
                self.todo.push_front(Step::AbortTransaction);
            }
        }
    }

    /// Drops everything since the last commit and starts all tasks again from there. The wait before
    /// grows from one abort to the next until a commit succeeds: that the tasks start says nothing.
    fn abort(&mut self, error: crate::error::Error, replaces: Option<TaskId>) {
        // A stop says by itself what it drops, and nothing starts again.
        let goes_on = !self.at.stops && self.ends_by.is_none();
        let wait = goes_on.then(|| self.rules.backoff.after(self.aborts));
        self.out.push(Action::Aborted { error, wait, replaces });
        self.reset_tasks();
        if self.has_producer {
            self.has_producer = false;
            self.left_open |= self.at.in_transaction;
            self.out.push(Action::DropProducer);
        }
        if let Some(wait) = wait {
            self.aborts = self.aborts.saturating_add(1);
            self.plan_advance(wait);
        }
    }

    /// All tasks wait, as they did before they started.
    fn reset_tasks(&mut self) {
        for (task, place) in &mut self.tasks {
            if std::mem::replace(place, Place::Waiting) != Place::Waiting {
                self.out.push(Action::Reset(*task));
                self.out.push(Action::State(*task, TaskState::Created));
            }
        }
    }
}
