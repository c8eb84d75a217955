//! What a worker's host does.

use crate::runtime::worker::machine::{Action, Event, Moment};

use super::worker::{Message, Place, Way, can_fail, error};
use super::world::World;

impl World {
    /// One action, or one message.
    pub(super) fn work(&mut self, worker: usize, fails: Option<Way>) {
        if let Some(action) = self.workers[worker].actions.pop_front() {
            if let Some(outcome) = self.perform(worker, action, fails) {
                self.on_worker(worker, outcome);
            }
            return;
        }
        let here = &mut self.workers[worker];
        if here.ended {
            return;
        }
        let event = match here.mailbox.pop_front() {
            None => return,
            Some(Message::Tell(event)) => event,
            Some(Message::Assign(tasks)) => {
                let ids = tasks.iter().map(|assigned| assigned.task).collect();
                here.assigned = tasks.into_iter().map(|one| (one.task, one.inputs)).collect();
                Event::Assign(ids)
            }
            Some(Message::Revoke { tasks, revocation, id }) => {
                let lost = revocation.is_lost();
                here.revocation = Some((revocation, id));
                Event::Revoke { tasks, lost }
            }
        };
        self.on_worker(worker, event);
    }

    pub(super) fn on_worker(&mut self, worker: usize, event: Event) {
        let here = &mut self.workers[worker];
        let at = Moment {
            now: self.now,
            losses: self.losses[worker],
            task_failed: here.task_failed.is_some(),
            in_transaction: here.producer == Some(true),
            stops: false,
        };
        let mut actions = Vec::new();
        here.machine.on(event, at, &mut actions);
        here.actions.extend(actions);
    }

    /// Does what the worker's host does; its outcome, where it waits for one.
    pub(super) fn perform(
        &mut self,
        worker: usize,
        action: Action,
        fails: Option<Way>,
    ) -> Option<Event> {
        if let Some(way) = fails
            && can_fail(&action)
        {
            return Some(self.fail(worker, &action, way));
        }
        let here = &mut self.workers[worker];
        match action {
            Action::Look => return Some(Event::Work(here.runs())),
            Action::Acknowledge => {
                here.producer = here.producer.map(|_| self.exactly_once);
            }
            Action::Generation => here.generation = Some(self.client_generation),
            Action::SendOffsets => {
                if here.generation != Some(self.generation) {
                    return Some(self.fail(worker, &action, Way::Rebuild));
                }
                self.positions_count(worker);
            }
            // Under whatever generation the client has at that moment, so that a loss just before it
            // is not seen: at-least-once does not promise more.
            Action::CommitOffsets if self.client_generation != self.generation => {
                return Some(self.fail(worker, &action, Way::Rebuild));
            }
            Action::CommitOffsets => {
                assert!(!here.spoilt, "what was done before a failure counts");
                assert!(here.in_flight.is_empty(), "what is on its way is committed");
            }
            Action::EndTransaction => here.producer = Some(false),
            Action::Settle { block } => return Some(here.settle(block)),
            Action::Flush => return Some(here.flush()),
            Action::Apply | Action::TakeOver | Action::LookUpPositions => {}
            Action::OpenProducer => {
                here.producer = here.producer.or(Some(false));
                here.left_open = false;
            }
            Action::AbortTransaction => here.producer = None,
            Action::Build(task) => {
                here.put(task, Place::Restoring);
                return Some(Event::Built { restores: task.partition == 1 });
            }
            Action::Run(task) => {
                here.put(task, Place::Running);
                // What it sends when it begins is part of a transaction.
                here.producer = here.producer.map(|_| self.exactly_once);
            }
            Action::Restore => return Some(Event::Restored(here.at(Place::Restoring).collect())),
            Action::Suspend(task) => {
                let (_, inputs) = here.hosted.remove(&task).expect("a task that is here");
                here.given_back.extend(inputs);
                here.suspended.insert(task);
                here.in_flight.remove(&task);
                here.task_failed.take_if(|failed| *failed == task);
                return Some(Event::Suspended { open: true });
            }
            Action::Close(task) => assert!(here.suspended.remove(&task), "{task} is not kept"),
            Action::Answer => return Some(self.answer(worker)),
            told => {
                self.note(worker, &told);
                return None;
            }
        }
        Some(Event::Done)
    }

    pub(super) fn note(&mut self, worker: usize, action: &Action) {
        let here = &mut self.workers[worker];
        match action {
            Action::DropProducer => here.drop_producer(),
            Action::Reset(task) => {
                here.in_flight.remove(task);
                here.put(*task, Place::Waiting);
                here.task_failed.take_if(|failed| failed == task);
                if !here.runs() {
                    here.spoilt = false;
                }
            }
            Action::Host(task) => {
                let mut inputs = here.assigned.remove(task).expect("what it reads");
                inputs.append(&mut here.given_back);
                here.suspended.remove(task);
                here.hosted.insert(*task, (Place::Waiting, inputs));
            }
            // All tasks are built anew, or none takes records any more.
            Action::Committed { .. } | Action::NothingToCommit | Action::Aborted { .. } => {
                here.closed = false;
            }
            Action::PlanAdvance(_) => here.timers.advance = true,
            Action::PlanRestoreStep => here.timers.restore = true,
            Action::PlanEnd(_) => here.timers.end = true,
            Action::LeftOpen(_) => here.told_left_open = true,
            Action::Ended => here.ended = true,
            Action::Fail(_) => self.failed = true,
            _ => {}
        }
    }

    pub(super) fn fail(&mut self, worker: usize, action: &Action, way: Way) -> Event {
        let here = &mut self.workers[worker];
        match action {
            Action::Run(task) => {
                here.put(*task, Place::Waiting);
                here.spoilt |= here.runs();
            }
            Action::AbortTransaction => here.drop_producer(),
            // These are tried again, and nothing was done.
            Action::OpenProducer
            | Action::TakeOver
            | Action::LookUpPositions
            | Action::Build(_)
            | Action::Restore
            | Action::Close(_) => {}
            _ => here.spoilt = true,
        }
        Event::Failed(error(way).into())
    }

    /// The broker takes the positions of what runs.
    pub(super) fn positions_count(&mut self, worker: usize) {
        let here = &self.workers[worker];
        assert!(here.in_flight.is_empty(), "what is on its way is committed");
        assert!(!here.spoilt, "what was done before a failure counts");
        for (task, (place, inputs)) in &here.hosted {
            for input in inputs.iter().filter(|_| *place == Place::Running) {
                let partition = &input.partition;
                assert!(self.mine.contains(partition), "{task} commits {partition} of another");
            }
        }
    }

    pub(super) fn answer(&mut self, worker: usize) -> Event {
        let here = &mut self.workers[worker];
        let (revocation, id) = here.revocation.take().expect("a revocation");
        let in_time = revocation.answer();
        self.answers.push_back((id, std::mem::take(&mut here.given_back)));
        self.answered += 1;
        Event::Answered { in_time }
    }
}
