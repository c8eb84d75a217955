//! Time that passes on idle inputs: when the nodes of a task are told of it, and what must have come before.

use std::time::Duration;

use crate::chain::PunctuationType;
use crate::error::Result;
use crate::record::Timestamp;
use crate::task::idle::TOLD;
use crate::task::input::Input;
use crate::task::running::Task;
use crate::task::turn::{Rest, Turn};

impl Task {
    /// Moves stream time by the clock if all inputs have been empty for long enough.
    pub(super) fn pass_time(&mut self, turn: Turn, now: Duration) -> Result<Turn> {
        // What futures will hand on came before.
        let rests = turn.rest == Rest::Empty && self.in_flight() == 0;
        let empty = rests && self.inputs.iter().all(Input::is_empty);
        if turn.records > 0 || !empty {
            self.idle.not_empty();
        }
        if empty && let Some(to) = self.idle.look(now, self.ctx.stream_time) {
            // What record caches hold back came before, and so did what futures make of it.
            if self.holds_back {
                self.flush()?;
            }
            if self.in_flight() > 0 {
                return Ok(turn);
            }
            self.dirty |= self.idle.is_noted(to);
            self.ctx.progress.insert(TOLD.to_owned(), to.0);
            self.tell_time(to)?;
            self.punctuate(PunctuationType::StreamTime)?;
        }
        Ok(turn)
    }

    pub(super) fn tell_time(&mut self, to: Timestamp) -> Result<()> {
        self.ctx.stream_time = self.ctx.stream_time.max(to);
        self.ctx.leave_record();
        for (_, node) in &self.nodes {
            let mut node = node.borrow_mut();
            // What those above have emitted came before.
            if self.holds_back {
                node.flush(&mut self.ctx)?;
            }
            if self.ctx.futures.in_flight() > 0 {
                // The others are told once it has come to something.
                return Ok(());
            }
            let emitted = node.time_passes(to, &mut self.ctx)?;
            self.dirty |= emitted;
            self.holds_back |= emitted;
        }
        self.holds_back = false;
        Ok(())
    }

    /// It is not known whether the inputs are empty: the log cannot be reached.
    pub(crate) fn hold_time(&mut self) {
        self.idle.not_empty();
    }

    /// True if stream time follows the clock while there is no input.
    pub(crate) fn follows_the_clock(&self) -> bool {
        self.idle.is_on()
    }

    /// How long to wait before the next turn, if none comes before, for time to be moved.
    pub(crate) fn idle_wait(&self, now: Duration) -> Option<Duration> {
        self.idle.wait(now)
    }
}
