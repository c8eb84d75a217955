//! The steps of a commit: what follows from which, and when it must not go on.

use super::events::{Action, Event};
use super::{CommitAt, Step, Waits, WorkerMachine, aborted};

impl WorkerMachine {
    /// Begins a commit of all running tasks, unless something failed or was lost.
    ///
    /// It waits for the futures of the tasks. A worker that does not `block` for them goes on with its
    /// other work meanwhile: the commit is left, and begins again when the futures are done or with the
    /// next tick, until it has waited for too long.
    pub(super) fn commit(&mut self, block: bool) {
        self.commit_blocks = block;
        if self.at.task_failed {
            return self.react(aborted("a task of the worker failed").into());
        }
        if self.has_lost() {
            return self.react(aborted("partitions were lost").into());
        }
        self.commit_step(CommitAt::Look);
    }

    fn commit_step(&mut self, at: CommitAt) {
        let action = match at {
            CommitAt::Look => Action::Look,
            CommitAt::Settle => Action::Settle { block: self.commit_blocks },
            CommitAt::Flush => Action::Flush,
            CommitAt::Acknowledge => Action::Acknowledge,
            CommitAt::Generation => Action::Generation,
            CommitAt::SendOffsets => Action::SendOffsets,
            CommitAt::EndTransaction => Action::EndTransaction,
            CommitAt::CommitOffsets => Action::CommitOffsets,
            CommitAt::Apply => Action::Apply,
        };
        self.begin(action, Waits::Commit(at));
    }

    pub(super) fn commit_came(&mut self, at: CommitAt, event: Event) {
        let next = match (at, event) {
            (_, Event::Failed(failure)) => return self.react(failure),
            (CommitAt::Look, Event::Work(true)) if self.has_producer => CommitAt::Settle,
            (CommitAt::Look, _) => {
                self.settling = None;
                return self.out.push(Action::NothingToCommit);
            }
            (CommitAt::Settle, Event::InFlight) => return self.wait_for_futures(),
            (CommitAt::Settle, _) => CommitAt::Flush,
            // What came out of the caches started further ones.
            (CommitAt::Flush, Event::InFlight) => CommitAt::Settle,
            (CommitAt::Flush, _) => CommitAt::Acknowledge,
            (CommitAt::Acknowledge, _) if self.rules.exactly_once => CommitAt::Generation,
            (CommitAt::Acknowledge, _) => CommitAt::CommitOffsets,
            (CommitAt::Generation, _) => CommitAt::SendOffsets,
            (CommitAt::SendOffsets, _) => CommitAt::EndTransaction,
            (CommitAt::EndTransaction | CommitAt::CommitOffsets, _) => CommitAt::Apply,
            (CommitAt::Apply, _) => return self.committed(),
        };
        // Futures or a flush may have taken long, and the group may have gone on.
        let needs_all = [CommitAt::Flush, CommitAt::SendOffsets, CommitAt::CommitOffsets];
        if needs_all.contains(&next) && self.has_lost() {
            return self.react(aborted("partitions were lost").into());
        }
        self.commit_step(next);
    }

    /// Futures are on their way: the commit begins again later, unless it has waited for too long.
    fn wait_for_futures(&mut self) {
        let since = *self.settling.get_or_insert(self.at.now);
        let waited = self.at.now.saturating_sub(since);
        if self.commit_blocks || waited >= self.rules.commit_wait_max {
            let reason = "futures are still on their way: a commit waits for them for half of \
                `transaction_timeout_ms` (with at-least-once, of `max_poll_interval_ms`), and where \
                partitions leave no longer than the group waits";
            self.react(aborted(reason).into());
        } else {
            // Nothing became possible by it.
            self.todo.retain(|step| !matches!(step, Step::Wake));
        }
    }

    /// True if a commit was left, since futures are on their way.
    pub(crate) fn waits_for_futures_to_end(&self) -> bool {
        self.settling.is_some()
    }

    fn committed(&mut self) {
        self.settling = None;
        self.aborts = 0;
        let purge = self.at.now.saturating_sub(self.purged) >= self.rules.purge_interval;
        if purge {
            self.purged = self.at.now;
        }
        self.out.push(Action::Committed { purge });
    }
}
