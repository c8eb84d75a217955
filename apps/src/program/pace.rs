//! How much a producer sends, and how fast.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::stopping::pause;

/// Records sent between two looks at the clock and at the request to stop.
const BURST_RECORDS_MAX: u64 = 1_000;
/// Longest pause: a request to stop is heard at once anyway.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A steady rate, up to a count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Records per second; 0: as many as the machine can.
    pub(crate) rate: f64,
    /// Stops after so many.
    pub(crate) count: Option<u64>,
}

/// The rate that an option says.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("must be 0 or more".to_owned()) }
}

impl Pace {
    /// Sends records as they are due, counted from `start`, until the count is reached or `stop` says so; how many.
    /// They are sent in bursts: `burst` is told how many to send and what time it is.
    ///
    /// # Errors
    /// What a burst fails with.
    pub(crate) fn keep(
        self,
        start: jiff::Timestamp,
        stop: &Receiver<()>,
        mut burst: impl FnMut(u64, jiff::Timestamp) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let mut sent: u64 = 0;
        loop {
            let now = jiff::Timestamp::now();
            let due = self.due(now.duration_since(start).as_secs_f64());
            let records = due.saturating_sub(sent).min(BURST_RECORDS_MAX);
            burst(records, now)?;
            sent += records;
            let finished = self.count.is_some_and(|count| sent >= count);
            if finished || !pause(stop, self.wait(due, sent)) {
                return Ok(sent);
            }
        }
    }

    /// How many should have been sent by now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the cast stops at the largest count"
    )]
    fn due(self, elapsed_s: f64) -> u64 {
        let by_rate = if self.rate == 0.0 { u64::MAX } else { (elapsed_s * self.rate) as u64 + 1 };
        by_rate.min(self.count.unwrap_or(u64::MAX))
    }

    /// Until the next one is due, if none is due now.
    fn wait(self, due: u64, sent: u64) -> Duration {
        if due > sent || self.rate == 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(0.5 / self.rate).map_or(PAUSE_MAX, |gap| gap.min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stopping::stopping;
    use super::*;

    const SLOW: Pace = Pace { rate: 2.0, count: Some(5) };

    #[test]
    fn the_pace_is_kept_and_the_count_not_passed() {
        assert_eq!([0.0, 0.4, 0.5, 1.9].map(|at| SLOW.due(at)), [1, 1, 2, 4]);
        assert_eq!(SLOW.due(100.0), 5);
        assert_eq!(Pace { rate: 0.0, count: None }.due(0.0), u64::MAX);
    }

    #[test]
    fn a_rate_is_a_number_from_zero() {
        assert_eq!(rate("2.5"), Ok(2.5));
        for text in ["-1", "NaN", "inf", "many"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bursts_are_bounded_and_the_last_one_reaches_the_count() {
        let (_running, never) = stopping();
        let mut bursts = Vec::new();
        let pace = Pace { rate: 0.0, count: Some(2_500) };
        let sent = pace.keep(jiff::Timestamp::now(), &never, |records, _| {
            bursts.push(records);
            Ok(())
        });
        assert_eq!((sent.unwrap(), bursts), (2_500, vec![1_000, 1_000, 500]));
    }

    #[test]
    fn a_stop_ends_it_after_the_burst_under_way() {
        let (running, stopped) = stopping();
        drop(running);
        let pace = Pace { rate: 0.0, count: None };
        assert_eq!(pace.keep(jiff::Timestamp::now(), &stopped, |_, _| Ok(())).unwrap(), 1_000);
    }
}
