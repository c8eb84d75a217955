//! How a worker ends: its tasks are suspended and closed, and no transaction stays open behind it.
//!
//! Left open, one would hold up readers of committed records, and the next owners of the tasks, until
//! it times out. Where aborting it fails, a new producer of the same id ends it, and that is tried
//! again as long as the stop may take.

use std::time::Duration;

use super::events::{Action, Event};
use super::{Step, Waits, WorkerMachine};

impl WorkerMachine {
    pub(super) fn stop(&mut self, by: Duration) {
        self.ends_by = Some(by);
        self.todo.extend(self.tasks.keys().map(|task| Step::Suspend(*task)));
        let end = [Step::CloseAll, Step::AbortTransaction, Step::Fence, Step::Ended];
        self.todo.extend(end);
    }

    pub(super) fn abort_transaction(&mut self) {
        if self.has_producer {
            self.has_producer = false;
            self.begin(Action::AbortTransaction, Waits::Abort);
        }
    }

    pub(super) fn fence(&mut self) {
        if self.left_open {
            self.begin(Action::OpenProducer, Waits::Fence);
        }
    }

    pub(super) fn ended_transaction(&mut self, waits: Waits, event: Event) {
        match (waits, event) {
            (Waits::Abort, Event::Failed(_)) => self.left_open = true,
            (Waits::Fence, Event::Failed(failure)) => self.fence_again(failure.error),
            (Waits::Fence, _) => {
                self.left_open = false;
                self.out.push(Action::DropProducer);
            }
            _ => {}
        }
    }

    fn fence_again(&mut self, error: crate::error::Error) {
        let wait = self.rules.backoff.after(self.end_tries);
        self.end_tries = self.end_tries.saturating_add(1);
        if self.ends_by.is_some_and(|by| self.at.now + wait < by) && self.is_passing(&error) {
            self.out.push(Action::PlanEnd(wait));
            self.waits = Some(Waits::EndAgain);
        } else {
            self.out.push(Action::LeftOpen(error));
        }
    }

    /// Nothing is taken in any more while the end waits for its next try.
    pub(super) fn while_ending(&mut self, event: &Event) {
        match event {
            Event::EndAgain => self.todo.push_front(Step::Fence),
            _ => self.waits = Some(Waits::EndAgain),
        }
    }
}
