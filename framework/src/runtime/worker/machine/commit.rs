//! The steps of a commit: what follows from which, and when it must not go on.

use super::events::{Action, Event};
use super::{CommitAt, Waits, WorkerMachine, aborted};

impl WorkerMachine {
    /// Begins a commit of all running tasks, unless something failed or was lost.
    pub(super) fn commit(&mut self) {
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
            (CommitAt::Look, Event::Work(true)) if self.has_producer => CommitAt::Flush,
            (CommitAt::Look, _) => return self.out.push(Action::NothingToCommit),
            (CommitAt::Flush, _) => CommitAt::Acknowledge,
            (CommitAt::Acknowledge, _) if self.rules.exactly_once => CommitAt::Generation,
            (CommitAt::Acknowledge, _) => CommitAt::CommitOffsets,
            (CommitAt::Generation, _) => CommitAt::SendOffsets,
            (CommitAt::SendOffsets, _) => CommitAt::EndTransaction,
            (CommitAt::EndTransaction | CommitAt::CommitOffsets, _) => CommitAt::Apply,
            (CommitAt::Apply, _) => return self.committed(),
        };
        // A flush may have taken long, and the group may have gone on.
        if matches!(next, CommitAt::SendOffsets | CommitAt::CommitOffsets) && self.has_lost() {
            return self.react(aborted("partitions were lost").into());
        }
        self.commit_step(next);
    }

    fn committed(&mut self) {
        self.aborts = 0;
        let purge = self.at.now.saturating_sub(self.purged) >= self.rules.purge_interval;
        if purge {
            self.purged = self.at.now;
        }
        self.out.push(Action::Committed { purge });
    }
}
