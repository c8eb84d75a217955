//! What a worker does when something fails.
//!
//! Whatever failed, and whatever follows: nothing since the last commit may be committed, neither by
//! the next tick, nor by a revocation, nor by a stop in order. Not even positions alone: the client
//! tells of an output that was lost once, to whoever asks next. So the tasks and their producer are
//! taken down at once, in the same call.

use std::time::Duration;

use actix::Context;

use crate::error::{Error, Reaction};
use crate::record::TaskId;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::worker::Worker;

impl Worker {
    /// Drops what is uncommitted, and starts again from the last commit or ends the instance.
    pub(super) fn react(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        if self.given_up {
            return;
        }
        let Failure { task, error } = failure;
        let replace = self.instance.settings.replace_failed_tasks && task.is_some();
        match error.reaction() {
            Reaction::Retry | Reaction::Rebuild => self.abort(&error, ctx),
            Reaction::Skip | Reaction::Stop if replace => {
                tracing::error!(?task, %error, "the task failed and is replaced");
                self.abort(&error, ctx);
            }
            Reaction::Skip | Reaction::Stop => {
                self.given_up = true;
                self.instance.fail(error);
                self.end_transaction();
                self.take_down();
            }
        }
    }

    /// Drops everything since the last commit and starts all tasks again from there. The wait before
    /// grows from one abort to the next until a commit succeeds: that the tasks start says nothing.
    fn abort(&mut self, error: &Error, ctx: &mut Context<Self>) {
        if self.instance.stop_left(Duration::ZERO).is_some() {
            // A stop says by itself what it drops, and nothing starts again.
            tracing::debug!(worker = self.index, %error, "dropping everything since the last commit");
            return self.take_down();
        }
        tracing::warn!(worker = self.index, %error, "dropping everything since the last commit");
        self.instance.metrics.aborts.inc();
        self.instance.metrics.error(error);
        self.take_down();
        let wait = self.instance.settings.backoff(self.aborts);
        self.aborts = self.aborts.saturating_add(1);
        self.plan_advance(wait, ctx);
    }

    /// Ends the transaction of a worker that has no use for a producer any more: left open, it would
    /// hold up readers of committed records, and whoever takes the tasks over, until it times out.
    pub(super) fn end_transaction(&mut self) {
        let ended = match self.producer.take() {
            Some(producer) => producer.borrow_mut().abort_transaction(),
            // Opening one ends what a former one left; it is not needed for anything else.
            None if self.left_open => self.open_producer().map(|_| self.producer = None),
            None => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(worker = self.index, %error, "the open transaction is left to its time-out");
        }
    }

    /// All tasks wait, as they did before they started.
    fn take_down(&mut self) {
        let ids: Vec<TaskId> = self.hosted.keys().copied().collect();
        for id in ids {
            if let Some(task) = self.take_task(id) {
                self.wait_again(task);
            }
        }
        // The next one fences it and ends its transaction; what it still holds is never sent.
        if let Some(producer) = self.producer.take() {
            let (now, elapsed) = (self.instance.clock.now(), self.instance.clock.elapsed());
            let mut producer = producer.borrow_mut();
            self.left_open |= producer.is_in_transaction();
            self.refusals = producer.take_refusals(now, elapsed);
        }
    }
}
