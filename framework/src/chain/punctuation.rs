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
///
/// ```
/// use std::time::Duration;
/// use millstream::{BoxError, Context, Processor, PunctuationType, Schedule};
/// use millstream::record::{Record, Timestamp};
///
/// /// Remembers which of its two schedules is which.
/// #[derive(Default)]
/// struct Twice { stream: Option<Schedule>, wall: Option<Schedule> }
///
/// impl Processor<String, String> for Twice {
///     type KOut = String;
///     type VOut = String;
///
///     fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         let minute = Duration::from_secs(60);
///         self.stream = Some(ctx.schedule(minute, PunctuationType::StreamTime));
///         self.wall = Some(ctx.schedule(minute, PunctuationType::WallClockTime));
///         Ok(())
///     }
///
///     fn process(&mut self, _: Record<String, String>, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         Ok(())
///     }
///
///     fn punctuate(&mut self, which: Schedule, now: Timestamp, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         let what = if self.stream == Some(which) { "stream" } else { "wall" };
///         ctx.forward(Record::new(what.to_owned(), String::new(), now));
///         Ok(())
///     }
/// }
///
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// # let builder = StreamsBuilder::new();
/// builder.stream("in").process("twice", (), |()| Twice::default()).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "v", 1))?;
/// driver.advance_wall_clock(Duration::from_secs(60))?;
/// let fired = driver.read::<String, String>("out")?;
/// assert_eq!(fired.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["stream", "wall"]);
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// Event time: the highest timestamp seen by the task.
    StreamTime,
    /// The machine's time.
    WallClockTime,
}

/// A scheduled punctuation, as `schedule` returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule(pub(crate) u32);

#[derive(Debug)]
struct Entry {
    id: Schedule,
    node: usize,
    clock: PunctuationType,
    every_ms: i64,
    /// `None`: never again, it would be past the end of time.
    due: Option<Timestamp>,
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
        clock: PunctuationType,
        wall_clock: Timestamp,
    ) -> Schedule {
        let id = Schedule(self.made);
        self.made += 1;
        let every_ms = every_ms.max(1);
        let due = match clock {
            PunctuationType::StreamTime => Some(Timestamp(0)),
            PunctuationType::WallClockTime => wall_clock.0.checked_add(every_ms).map(Timestamp),
        };
        self.entries.push(Entry { id, node, clock, every_ms, due });
        self.refresh();
        id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn cancel(&mut self, which: Schedule) {
        self.entries.retain(|entry| entry.id != which);
        self.refresh();
    }

    pub(crate) fn due(
        &mut self,
        clock: PunctuationType,
        now: Timestamp,
    ) -> Option<(usize, Schedule, Timestamp)> {
        if now.0 < 0
            || (clock == PunctuationType::StreamTime && self.next_stream.is_none_or(|at| at > now))
        {
            return None;
        }
        if clock == PunctuationType::WallClockTime {
            self.follow(now);
        }
        let (due, entry) = self
            .entries
            .iter_mut()
            .filter(|entry| entry.clock == clock)
            .filter_map(|entry| entry.due.filter(|due| *due <= now).map(|due| (due, entry)))
            .min_by_key(|(due, entry)| (*due, entry.id.0))?;
        entry.due = next_after(due, entry.every_ms, now);
        let fired = (entry.node, entry.id, now);
        self.refresh();
        Some(fired)
    }

    /// A machine's clock that is set back must not hold a punctuation back for as long: none is due
    /// later than one interval from now.
    fn follow(&mut self, now: Timestamp) {
        for entry in
            self.entries.iter_mut().filter(|entry| entry.clock == PunctuationType::WallClockTime)
        {
            let latest = Timestamp(now.0.saturating_add(entry.every_ms));
            entry.due = entry.due.map(|due| due.min(latest));
        }
    }

    pub(crate) fn next_wall_clock(&self) -> Option<Timestamp> {
        self.earliest(PunctuationType::WallClockTime)
    }

    fn earliest(&self, clock: PunctuationType) -> Option<Timestamp> {
        self.entries.iter().filter(|e| e.clock == clock).filter_map(|e| e.due).min()
    }

    fn refresh(&mut self) {
        self.next_stream = self.earliest(PunctuationType::StreamTime);
    }
}

/// The first time after `now` that is a whole number of intervals after `due`.
fn next_after(due: Timestamp, every_ms: i64, now: Timestamp) -> Option<Timestamp> {
    let missed = now.0.checked_sub(due.0)? / every_ms;
    missed.checked_add(1)?.checked_mul(every_ms)?.checked_add(due.0).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(p: &mut Punctuations, clock: PunctuationType, now: i64) -> Vec<i64> {
        std::iter::from_fn(|| p.due(clock, Timestamp(now))).map(|(_, _, at)| at.0).collect()
    }

    #[test]
    fn stream_time_fires_at_once_and_skips_missed_ticks() {
        let mut p = Punctuations::default();
        p.schedule(0, 10, PunctuationType::StreamTime, Timestamp(0));
        assert_eq!(fired(&mut p, PunctuationType::StreamTime, -1), Vec::<i64>::new());
        assert_eq!(fired(&mut p, PunctuationType::StreamTime, 34), vec![34]);
        assert_eq!(fired(&mut p, PunctuationType::StreamTime, 39), Vec::<i64>::new());
        assert_eq!(fired(&mut p, PunctuationType::StreamTime, 40), vec![40]);
    }

    #[test]
    fn wall_clock_waits_one_interval_and_keeps_its_phase() {
        let mut p = Punctuations::default();
        p.schedule(0, 10, PunctuationType::WallClockTime, Timestamp(5));
        assert_eq!(p.next_wall_clock(), Some(Timestamp(15)));
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, 14), Vec::<i64>::new());
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, 36), vec![36]);
        assert_eq!(p.next_wall_clock(), Some(Timestamp(45)));
    }

    #[test]
    fn the_end_of_time_fires_once_and_never_again() {
        for every_ms in [1, 10, i64::MAX - 1, i64::MAX] {
            let mut p = Punctuations::default();
            p.schedule(0, every_ms, PunctuationType::StreamTime, Timestamp(0));
            assert_eq!(
                fired(&mut p, PunctuationType::StreamTime, i64::MAX - 1),
                vec![i64::MAX - 1]
            );
            let last = fired(&mut p, PunctuationType::StreamTime, i64::MAX);
            assert!(last.len() <= 1, "{every_ms}: {last:?}");
            assert_eq!(fired(&mut p, PunctuationType::StreamTime, i64::MAX), Vec::<i64>::new());
        }
        let mut p = Punctuations::default();
        p.schedule(0, 2, PunctuationType::WallClockTime, Timestamp(i64::MAX - 1));
        assert_eq!(p.next_wall_clock(), None);
        p.schedule(0, 1, PunctuationType::WallClockTime, Timestamp(i64::MAX - 1));
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, i64::MAX), vec![i64::MAX]);
        assert_eq!(p.next_wall_clock(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_back_for_longer_than_an_interval() {
        let mut p = Punctuations::default();
        p.schedule(0, 10, PunctuationType::WallClockTime, Timestamp(1_000));
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, 1_010), vec![1_010]);
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, 20), Vec::<i64>::new());
        assert_eq!(p.next_wall_clock(), Some(Timestamp(30)));
        assert_eq!(fired(&mut p, PunctuationType::WallClockTime, 30), vec![30]);
    }

    #[test]
    fn cancelled_ones_do_not_fire() {
        let mut p = Punctuations::default();
        let id = p.schedule(0, 10, PunctuationType::StreamTime, Timestamp(0));
        p.cancel(id);
        assert_eq!(fired(&mut p, PunctuationType::StreamTime, 100), Vec::<i64>::new());
    }
}
