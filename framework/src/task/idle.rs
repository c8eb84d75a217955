//! Time on idle inputs: where stream time is moved by the clock, since no record moves it.
//!
//! ```text
//!  stream time      t ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┐ t + timeout ──────► t + how long the inputs were empty
//!  inputs           empty since ..          │ timeout is over     ..
//! ```
//!
//! It goes on from where the records left it, as fast as the clock: where events are old, or clocks differ, the next
//! record finds it where its own time is about. Before the first record there is nothing to go on from.

use std::time::Duration;

use crate::record::Timestamp;

/// Under this name the time that was told to the nodes is noted with the committed offsets. No store can have it.
pub(super) const TOLD: &str = "stream time";
/// How often time is moved: results of an idle input come this much later at most.
const STEP: Duration = Duration::from_millis(100);
/// What moves by less is not worth a commit of its own.
const NOTED_MS: i64 = 1_000;

/// When and how far time moves.
#[derive(Debug, Default)]
pub(super) struct IdleTime {
    /// Without it time never moves by itself.
    timeout: Option<Duration>,
    empty: Option<Empty>,
}

#[derive(Clone, Copy, Debug)]
struct Empty {
    /// On the clock that never goes back.
    since: Duration,
    /// Stream time then.
    from: i64,
    /// The time that was noted last.
    noted: i64,
}

impl IdleTime {
    pub(super) fn after(timeout: Option<Duration>) -> Self {
        Self { timeout, empty: None }
    }

    pub(super) fn is_on(&self) -> bool {
        self.timeout.is_some()
    }

    /// There was something to take, or it is not known whether there is.
    pub(super) fn not_empty(&mut self) {
        self.empty = None;
    }

    /// All inputs are empty: where stream time is to be moved, if it is.
    pub(super) fn look(&mut self, now: Duration, stream: Timestamp) -> Option<Timestamp> {
        let timeout = self.timeout.filter(|_| stream.0 >= 0)?;
        let begun = Empty { since: now, from: stream.0, noted: stream.0 };
        let Empty { since, from, .. } = *self.empty.get_or_insert(begun);
        let empty = now.saturating_sub(since);
        let to = from.saturating_add(i64::try_from(empty.as_millis()).unwrap_or(i64::MAX));
        (empty >= timeout && to > stream.0).then_some(Timestamp(to))
    }

    /// True if that time has to be committed though nothing was emitted: after a second, then more and more seldom, so
    /// that a restart waits for a part of it again, and an input that stays empty costs next to nothing.
    pub(super) fn is_noted(&mut self, to: Timestamp) -> bool {
        let Some(empty) = &mut self.empty else { return false };
        let due = to.0.saturating_sub(empty.noted) >= NOTED_MS.max((empty.noted - empty.from) / 8);
        if due {
            empty.noted = to.0;
        }
        due
    }

    /// How long to wait until the next look; `None` if there is nothing to look for.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let timeout = self.timeout?;
        let begins = self.empty.map_or(Duration::ZERO, |empty| empty.since + timeout);
        Some(begins.saturating_sub(now).max(STEP.min(timeout)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn looks(idle: &mut IdleTime, stream: i64, at: &[u64]) -> Vec<Option<i64>> {
        let look = |at: &u64| idle.look(MS(*at), Timestamp(stream)).map(|to| to.0);
        at.iter().map(look).collect()
    }

    #[test]
    fn time_goes_on_from_the_records_once_the_timeout_is_over() {
        let mut idle = IdleTime::after(Some(MS(50)));
        assert_eq!(
            looks(&mut idle, 7, &[1_000, 1_049, 1_050, 1_060]),
            [None, None, Some(57), Some(67)]
        );
        assert_eq!(looks(&mut idle, 67, &[1_060, 1_061]), [None, Some(68)]);
        idle.not_empty();
        assert_eq!(looks(&mut idle, 70, &[1_062, 1_111, 1_112]), [None, None, Some(120)]);
    }

    #[test]
    fn it_stands_still_without_a_record_or_a_timeout() {
        assert_eq!(looks(&mut IdleTime::after(Some(MS(5))), -1, &[0, 10_000]), [None, None]);
        let mut off = IdleTime::default();
        assert_eq!(looks(&mut off, 7, &[0, 10_000]), [None, None]);
        assert_eq!((off.is_on(), off.wait(MS(0))), (false, None));
    }

    #[test]
    fn it_is_looked_again_when_the_timeout_is_over_and_then_step_by_step() {
        let mut idle = IdleTime::after(Some(MS(5_000)));
        assert_eq!(idle.wait(MS(1_000)), Some(STEP));
        let _ = idle.look(MS(1_000), Timestamp(0));
        assert_eq!(idle.wait(MS(1_000)), Some(MS(5_000)));
        assert_eq!(idle.wait(MS(5_990)), Some(STEP));
        assert_eq!(idle.wait(MS(9_000)), Some(STEP));
    }

    #[test]
    fn an_input_that_stays_empty_is_noted_more_and_more_seldom() {
        let mut idle = IdleTime::after(Some(MS(100)));
        let _ = idle.look(MS(0), Timestamp(0));
        let noted = |idle: &mut IdleTime, until: i64| -> Vec<i64> {
            (1..=until).filter(|at| idle.is_noted(Timestamp(*at))).collect()
        };
        assert_eq!(noted(&mut idle, 3_000), [1_000, 2_000, 3_000]);
        let mut idle = IdleTime::after(Some(MS(100)));
        let _ = idle.look(MS(0), Timestamp(0));
        let day = noted(&mut idle, 86_400_000).len();
        assert!(day < 100, "{day}");
    }
}
