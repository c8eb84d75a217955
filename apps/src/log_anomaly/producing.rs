//! The producer: sends sample lines at a steady rate.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use millstream::client::Producer;
use millstream::log::Log;
use millstream::record::{Record, Timestamp};

use super::samples::{HEADER, Samples};
use super::topics;

/// Records sent between two looks at the clock and at the request to stop.
const BURST_RECORDS_MAX: u64 = 1_000;
/// Longest pause: a request to stop is heard at once anyway.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Lines a second of what is made as fast as the machine can: only their times follow it.
pub(super) const USUAL_RATE: f64 = 20.0;

/// How much to produce, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Pace {
    /// Lines per second; 0: as many as the machine can
    #[arg(long, default_value_t = USUAL_RATE, value_parser = rate)]
    pub(super) rate: f64,
    /// Stop after so many lines [default: never]
    #[arg(long)]
    pub(super) count: Option<u64>,
    /// The same seed gives the same lines
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// The part of lines that is planted anomalies, each labelled in a header, after the first 25 min
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) anomalies: f64,
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("must be 0 or more".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=0.5).contains(&share) { Ok(share) } else { Err("must be from 0 to 0.5".to_owned()) }
}

/// Pauses for up to this long; false: the program ends.
pub(super) fn pause(stop: &Receiver<()>, most: Duration) -> bool {
    matches!(stop.recv_timeout(most), Err(RecvTimeoutError::Timeout))
}

/// Sends lines until the count is reached or `stop` says so; how many.
///
/// # Errors
/// When one could not be sent: the broker has then been away for longer than the client waits.
pub(super) fn produce(log: &Arc<dyn Log>, pace: Pace, stop: &Receiver<()>) -> anyhow::Result<u64> {
    let mut producer = Producer::<Option<String>, String>::open(log, topics::LINES)?;
    let start = jiff::Timestamp::now();
    let lines_per_s = if pace.rate > 0.0 { pace.rate } else { USUAL_RATE };
    let mut samples = Samples::new(pace.seed, start.as_millisecond(), lines_per_s, pace.anomalies);
    let mut sent = 0;
    loop {
        let now = jiff::Timestamp::now();
        let due = due(pace, now.duration_since(start).as_secs_f64());
        for _ in 0..due.saturating_sub(sent).min(BURST_RECORDS_MAX) {
            let sample = samples.next();
            // Lines do not come from the future: at most they are as late as this loop.
            let mut record = Record::new(None, sample.line, Timestamp(sample.at));
            if let Some(label) = &sample.label {
                record.headers.push(HEADER, Some(serde_json::to_vec(label)?));
            }
            producer.send(record)?;
            sent += 1;
        }
        producer.flush()?;
        let finished = pace.count.is_some_and(|count| sent >= count);
        if finished || !pause(stop, wait(pace, due, sent)) {
            producer.close()?;
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
fn due(pace: Pace, elapsed_s: f64) -> u64 {
    let by_rate = if pace.rate == 0.0 { u64::MAX } else { (elapsed_s * pace.rate) as u64 + 1 };
    by_rate.min(pace.count.unwrap_or(u64::MAX))
}

/// Until the next one is due, if none is due now.
fn wait(pace: Pace, due: u64, sent: u64) -> Duration {
    if due > sent || pace.rate == 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(0.5 / pace.rate).map_or(PAUSE_MAX, |gap| gap.min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Pace = Pace { rate: 2.0, count: Some(5), seed: 1, anomalies: 0.0 };

    #[test]
    fn the_pace_is_kept_and_the_count_not_passed() {
        assert_eq!([0.0, 0.4, 0.5, 1.9].map(|at| due(SLOW, at)), [1, 1, 2, 4]);
        assert_eq!(due(SLOW, 100.0), 5);
        assert_eq!(due(Pace { rate: 0.0, count: None, ..SLOW }, 0.0), u64::MAX);
    }

    #[test]
    fn rates_and_shares_are_numbers_within_bounds() {
        assert_eq!(rate("2.5"), Ok(2.5));
        assert_eq!(share("0.01"), Ok(0.01));
        for text in ["-1", "NaN", "inf", "many"] {
            assert!(rate(text).is_err() && share(text).is_err(), "{text}");
        }
        assert!(share("0.6").is_err());
    }
}
