//! A commit and the futures of its tasks: none may be on its way when positions are taken.
//!
//! From the moment it wants to commit no record comes into tasks with futures; other tasks go on. What
//! is done meanwhile is handed on. A task that has none left says so by asking for a commit. Where the
//! partitions are about to leave, the worker blocks instead: the group waits only so long.

use std::time::Duration;

use crate::metrics::Beating;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::task_cell::{TaskCell, guarded};
use crate::runtime::worker::worker::Worker;

/// A worker that blocks for futures shows after so long that it lives, and looks whether it is to stop.
const LOOKS_UP_AFTER: Duration = Duration::from_secs(1);

impl Worker {
    /// Lets no record in where there are futures, and hands on what is done. True if some are left.
    pub(super) fn settle(&mut self, block: bool) -> Result<bool, Failure> {
        loop {
            let seen = self.instance.futures.arrived();
            self.collect_closed()?;
            if !self.has_futures_on_their_way() {
                return Ok(false);
            }
            let left = self.may_block();
            if !block || left.is_zero() {
                return Ok(true);
            }
            self.instance.beat(Beating::Worker(self.index));
            self.instance.futures.wait(seen, left.min(LOOKS_UP_AFTER));
        }
    }

    /// How long it may still block for futures, however often one commit has to: as long as a commit waits for
    /// them, and half as long as the group waits for a revocation or as a stop may take, since the commit comes after.
    fn may_block(&mut self) -> Duration {
        let settings = &self.instance.settings;
        let most = settings.commit_wait_max.min(settings.revoke_budget / 2);
        let stop = self.instance.stop_left(settings.close_timeout / 2);
        let now = self.instance.clock.elapsed();
        let ends = *self.blocks_until.get_or_insert(now.saturating_add(most));
        let left = ends.saturating_sub(now);
        stop.map_or(left, |stop| stop.min(left))
    }

    fn collect_closed(&self) -> Result<(), Failure> {
        for (id, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut().filter(|task| task.has_futures()) {
                task.close_intake(true);
                guarded(id, || task.collect()).map_err(|error| Failure::of(id, error))?;
            }
        }
        Ok(())
    }

    pub(super) fn has_futures_on_their_way(&self) -> bool {
        let on_their_way =
            |cell: &TaskCell| cell.borrow().as_ref().is_some_and(|task| task.in_flight() > 0);
        self.running().any(|(_, cell, _)| on_their_way(cell))
    }

    /// Records come in again: those that came meanwhile wake nobody.
    pub(super) fn open_intake(&self) {
        for (_, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut().filter(|task| task.is_closed()) {
                task.close_intake(false);
                task.wake();
            }
        }
    }
}
