//! A worker says what there is to do, whether it goes on, and why it does not.

use std::time::Duration;

use crate::error::Error;
use crate::record::TaskId;
use crate::runtime::board::Waiter;
use crate::runtime::stall::Report;
use crate::runtime::worker::worker::{Stage, Worker};

impl Worker {
    /// Says what there is to do and whether it goes on.
    pub(super) fn report_work(&mut self, restored: u64) {
        let now = self.instance.clock.elapsed();
        let mut work = Vec::new();
        let mut positions = Vec::new();
        for (id, stage) in &mut self.hosted {
            let inputs = match stage {
                Stage::Waiting { inputs, .. } => {
                    work.push(format!("task {id} waiting to start"));
                    positions
                        .extend(inputs.iter().map(|input| (input.partition.clone(), i64::MIN)));
                    continue;
                }
                Stage::Restoring(task) => {
                    work.push(format!("task {id} restoring"));
                    positions
                        .extend(task.inputs_mut().iter().map(|i| (i.partition.clone(), i64::MIN)));
                    continue;
                }
                Stage::Running { cell, .. } => cell,
            };
            let mut cell = inputs.borrow_mut();
            for input in cell.as_mut().map(|task| task.inputs_mut()).unwrap_or_default() {
                positions.push((input.partition.clone(), input.committable()));
                match input.remaining() {
                    None => work.push(format!("{} (nothing known of its end)", input.partition)),
                    Some(0) if input.head().is_none() => {}
                    Some(behind) => {
                        work.push(format!("{} ({} behind)", input.partition, behind.max(1)));
                    }
                }
            }
        }
        if self.progress.note(positions, restored) || work.is_empty() {
            self.progress.moved(now);
        }
        let report = Report { at: now, moved: self.progress.since(), work };
        self.instance.work.put(self.index, report);
    }

    pub(super) fn say_not_started(&self, error: &Error, wait: Duration) {
        self.instance.metrics.error(error);
        let what = format!("the start of tasks on worker {}: {error:?}", self.index);
        self.instance.waits_for(Waiter::Worker(self.index), what);
        tracing::warn!(worker = self.index, ?error, ?wait, "tasks cannot start yet");
    }

    /// Everything since the last commit is dropped; without a wait because the instance stops, which
    /// says by itself what it drops.
    pub(super) fn say_aborted(
        &self,
        error: &Error,
        wait: Option<Duration>,
        replaces: Option<TaskId>,
    ) {
        const WHAT: &str = "dropping everything since the last commit";
        if let Some(task) = replaces {
            tracing::error!(%task, ?error, "the task failed and is replaced");
        }
        let Some(wait) = wait else {
            return tracing::debug!(worker = self.index, ?error, "{WHAT}");
        };
        tracing::warn!(worker = self.index, ?error, ?wait, "{WHAT}");
        self.instance.metrics.aborts.inc();
        self.instance.metrics.error(error);
    }
}
