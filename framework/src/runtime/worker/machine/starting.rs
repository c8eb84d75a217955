//! How tasks start: producer, positions, build, restoring, running. What is not possible now is
//! tried again with back-off.
//!
//! The committed positions are looked up before anything is built, and so before the ends of the
//! changelogs are asked for: the reverse order would lose what a dying predecessor still commits in
//! between.

use std::time::Duration;

use super::events::{Action, Event};
use super::{Place, Step, Waits, WorkerMachine};
use crate::record::TaskId;
use crate::runtime::worker::failure::Failure;
use crate::task::TaskState;

impl WorkerMachine {
    pub(super) fn took_over(&mut self, event: Event) {
        let outcome = match event {
            Event::Failed(failure) => Err(failure.error),
            _ => Ok(()),
        };
        self.has_producer |= outcome.is_ok();
        self.out.push(Action::TookOver(outcome));
    }

    pub(super) fn assign(&mut self, tasks: Vec<TaskId>) {
        // Further inputs of a task that runs with what is here: it is built anew with all.
        if tasks.iter().any(|task| self.tasks.contains_key(task)) {
            self.todo.push_back(Step::Commit { block: true });
        }
        for task in tasks {
            self.todo.extend([Step::Suspend(task), Step::Host(task)]);
        }
        self.todo.extend([Step::CloseAll, Step::Advance]);
    }

    pub(super) fn host(&mut self, task: TaskId) {
        self.suspended.remove(&task);
        self.tasks.insert(task, Place::Waiting);
        self.out.push(Action::Host(task));
        self.out.push(Action::State(task, TaskState::Created));
    }

    /// Brings waiting tasks on as far as possible.
    pub(super) fn advance(&mut self) {
        // After a loss it does not know what it owns; the message about it will start them.
        if self.given_up || self.ends_by.is_some() || self.has_lost() {
            return;
        }
        let waiting = self.tasks.iter().filter(|(_, place)| **place == Place::Waiting);
        let waiting: Vec<Step> = waiting.map(|(task, _)| Step::Build(*task)).collect();
        if waiting.is_empty() && !self.left_open {
            return self.tried();
        }
        if !waiting.is_empty() {
            self.todo.push_back(Step::LookUp);
            self.todo.extend(waiting);
        }
        self.todo.push_back(Step::Tried);
        // With nothing waiting all that it had has moved away: nothing else would end the
        // transaction that was left open.
        if !self.has_producer {
            self.begin(Action::OpenProducer, Waits::Open);
        }
    }

    pub(super) fn looked(&mut self, waits: Waits, event: Event) {
        match event {
            Event::Failed(failure) => {
                let starts = |step: &Step| matches!(step, Step::LookUp | Step::Build(_));
                self.todo.retain(|step| !starts(step));
                self.cannot_start(failure);
            }
            _ if waits == Waits::Open => {
                self.has_producer = true;
                self.left_open = false;
            }
            _ => {}
        }
    }

    pub(super) fn built(&mut self, task: TaskId, event: Event) {
        match event {
            Event::Built { restores } => {
                self.tasks.insert(task, Place::Restoring);
                if restores {
                    self.out.push(Action::State(task, TaskState::Restoring));
                    self.todo.push_back(Step::RestoreOn);
                } else {
                    self.todo.push_front(Step::Run(task));
                }
            }
            Event::Failed(failure) => self.cannot_start(failure),
            _ => {}
        }
    }

    /// The others need not wait for what passes.
    fn cannot_start(&mut self, failure: Failure) {
        if self.is_passing(&failure.error) {
            self.not_started = Some(failure.error);
        } else {
            self.react(failure);
        }
    }

    pub(super) fn ran(&mut self, task: TaskId, event: Event) {
        match event {
            // It may have sent something, and it may have been told of a lost record of another.
            Event::Failed(failure) => {
                self.tasks.insert(task, Place::Waiting);
                self.out.push(Action::State(task, TaskState::Created));
                self.react(failure);
            }
            _ => {
                self.tasks.insert(task, Place::Running);
                self.out.push(Action::State(task, TaskState::Running));
            }
        }
    }

    pub(super) fn tried(&mut self) {
        let Some(error) = self.not_started.take() else {
            self.tries = 0;
            return self.out.push(Action::Started);
        };
        let wait = self.rules.backoff.after(self.tries);
        self.tries = self.tries.saturating_add(1);
        self.out.push(Action::NotStarted { error, wait });
        self.plan_advance(wait);
    }

    pub(super) fn plan_advance(&mut self, wait: Duration) {
        if !std::mem::replace(&mut self.advance_planned, true) {
            self.out.push(Action::PlanAdvance(wait));
        }
    }

    pub(super) fn plan_restore_step(&mut self) {
        let restores = self.tasks.values().any(|place| *place == Place::Restoring);
        if restores && !std::mem::replace(&mut self.restore_planned, true) {
            self.out.push(Action::PlanRestoreStep);
        }
    }

    pub(super) fn restored(&mut self, event: Event) {
        match event {
            Event::Restored(complete) => {
                if !complete.is_empty() {
                    self.restore_tries = 0;
                }
                self.todo.extend(complete.into_iter().map(Step::Run));
                self.todo.push_back(Step::RestoreOn);
            }
            Event::Failed(failure) if self.is_passing(&failure.error) => {
                self.restore_again(failure)
            }
            Event::Failed(failure) => self.react(failure),
            _ => {}
        }
    }

    /// Restoring failed: the tasks that restore try again later, the others go on meanwhile.
    fn restore_again(&mut self, failure: Failure) {
        // That tasks begin to restore says nothing.
        let wait = self.rules.backoff.after(self.restore_tries);
        self.restore_tries = self.restore_tries.saturating_add(1);
        self.out.push(Action::NotRestored { error: failure.error, wait });
        for (task, place) in &mut self.tasks {
            if *place == Place::Restoring {
                *place = Place::Waiting;
                self.out.push(Action::Reset(*task));
                self.out.push(Action::State(*task, TaskState::Created));
            }
        }
        self.plan_advance(wait);
    }
}
