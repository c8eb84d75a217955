//! Scheduled work: when a punctuation is due, and when it is due next.
//!
//! | clock | first due | checked |
//! |---|---|---|
//! | stream time | as soon as any stream time is known (due time 0) | after each record |
//! | wall clock | one interval after scheduling | when the host looks at the clock |
//!
//! After firing at its due time with the clock at `now`, the next due time is
//! `due + every`, or, where that has passed too, the first one after `now` in the same phase:
//! missed ticks are skipped (Kafka Streams' `PunctuationSchedule`).

use crate::record::Timestamp;

/// Which time drives a punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Event time: the highest timestamp seen by the task.
    Stream,
    /// The machine's time.
    Wall,
}

/// A scheduled punctuation, as `schedule` returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule(pub(crate) u32);

#[derive(Debug)]
struct Entry {
    id: Schedule,
    node: usize,
    clock: Clock,
    every_ms: i64,
    due: Timestamp,
}

/// The punctuations of one task.
#[derive(Debug, Default)]
pub(crate) struct Punctuations {
    entries: Vec<Entry>,
    made: u32,
    /// The earliest stream-time due, so that a record costs one comparison.
    next_stream: Option<Timestamp>,
}

impl Punctuations {
    pub(crate) fn schedule(
        &mut self,
        node: usize,
        every_ms: i64,
        clock: Clock,
        wall_clock: Timestamp,
    ) -> Schedule {
        let id = Schedule(self.made);
        self.made += 1;
        let every_ms = every_ms.max(1);
        let due = match clock {
            Clock::Stream => Timestamp(0),
            Clock::Wall => Timestamp(wall_clock.0.saturating_add(every_ms)),
        };
        self.entries.push(Entry { id, node, clock, every_ms, due });
        self.refresh();
        id
    }

    pub(crate) fn cancel(&mut self, which: Schedule) {
        self.entries.retain(|entry| entry.id != which);
        self.refresh();
    }

    pub(crate) fn due(
        &mut self,
        clock: Clock,
        now: Timestamp,
    ) -> Option<(usize, Schedule, Timestamp)> {
        if now.0 < 0 || (clock == Clock::Stream && self.next_stream.is_none_or(|at| at > now)) {
            return None;
        }
        let entry = self
            .entries
            .iter_mut()
            .filter(|entry| entry.clock == clock && entry.due <= now)
            .min_by_key(|entry| (entry.due, entry.id.0))?;
        let next = entry.due.0 + entry.every_ms;
        entry.due = Timestamp(if now.0 >= next {
            entry.due.0 + ((now.0 - entry.due.0) / entry.every_ms + 1) * entry.every_ms
        } else {
            next
        });
        let fired = (entry.node, entry.id, now);
        self.refresh();
        Some(fired)
    }

    pub(crate) fn next_wall_clock(&self) -> Option<Timestamp> {
        self.earliest(Clock::Wall)
    }

    fn earliest(&self, clock: Clock) -> Option<Timestamp> {
        self.entries.iter().filter(|e| e.clock == clock).map(|e| e.due).min()
    }

    fn refresh(&mut self) {
        self.next_stream = self.earliest(Clock::Stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(p: &mut Punctuations, clock: Clock, now: i64) -> Vec<i64> {
        std::iter::from_fn(|| p.due(clock, Timestamp(now))).map(|(_, _, at)| at.0).collect()
    }

    #[test]
    fn stream_time_fires_at_once_and_skips_missed_ticks() {
        let mut p = Punctuations::default();
        p.schedule(0, 10, Clock::Stream, Timestamp(0));
        assert_eq!(fired(&mut p, Clock::Stream, -1), Vec::<i64>::new());
        assert_eq!(fired(&mut p, Clock::Stream, 34), vec![34]);
        assert_eq!(fired(&mut p, Clock::Stream, 39), Vec::<i64>::new());
        assert_eq!(fired(&mut p, Clock::Stream, 40), vec![40]);
    }

    #[test]
    fn wall_clock_waits_one_interval_and_keeps_its_phase() {
        let mut p = Punctuations::default();
        p.schedule(0, 10, Clock::Wall, Timestamp(5));
        assert_eq!(p.next_wall_clock(), Some(Timestamp(15)));
        assert_eq!(fired(&mut p, Clock::Wall, 14), Vec::<i64>::new());
        assert_eq!(fired(&mut p, Clock::Wall, 36), vec![36]);
        assert_eq!(p.next_wall_clock(), Some(Timestamp(45)));
    }

    #[test]
    fn cancelled_ones_do_not_fire() {
        let mut p = Punctuations::default();
        let id = p.schedule(0, 10, Clock::Stream, Timestamp(0));
        p.cancel(id);
        assert_eq!(fired(&mut p, Clock::Stream, 100), Vec::<i64>::new());
    }
}
