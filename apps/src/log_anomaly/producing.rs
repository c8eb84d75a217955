//! The producer: sends sample lines at a steady rate.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use millstream::client::Producer;
use millstream::log::Log;
use millstream::record::{Record, Timestamp};

use super::samples::{HEADER, Samples};
use super::topics;
use crate::program::{Pace, rate};

/// Lines a second of what is made as fast as the machine can: only their times follow it.
pub(super) const USUAL_RATE: f64 = 20.0;

/// What to produce, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Lines {
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

impl Lines {
    /// The lines, at these times.
    pub(super) fn samples(&self, start: jiff::Timestamp) -> Samples {
        let lines_per_s = if self.rate > 0.0 { self.rate } else { USUAL_RATE };
        Samples::new(self.seed, start.as_millisecond(), lines_per_s, self.anomalies)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=0.5).contains(&share) { Ok(share) } else { Err("must be from 0 to 0.5".to_owned()) }
}

/// Sends lines until the count is reached or `stop` says so; how many.
///
/// # Errors
/// When one could not be sent: the broker has then been away for longer than the client waits.
pub(super) fn produce(
    log: &Arc<dyn Log>,
    lines: Lines,
    stop: &Receiver<()>,
) -> anyhow::Result<u64> {
    let mut producer = Producer::<Option<String>, String>::open(log, topics::LINES)?;
    let start = jiff::Timestamp::now();
    let mut samples = lines.samples(start);
    let pace = Pace { rate: lines.rate, count: lines.count };
    let sent = pace.keep(start, stop, |records, _| {
        for _ in 0..records {
            let sample = samples.next();
            // Lines do not come from the future: at most they are as late as this loop.
            let mut record = Record::new(None, sample.line, Timestamp(sample.at));
            if let Some(label) = &sample.label {
                record.headers.push(HEADER, Some(serde_json::to_vec(label)?));
            }
            producer.send(record)?;
        }
        Ok(producer.flush()?)
    })?;
    producer.close()?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_within_bounds() {
        assert_eq!(share("0.01"), Ok(0.01));
        for text in ["-1", "NaN", "inf", "many"] {
            assert!(share(text).is_err(), "{text}");
        }
        assert!(share("0.6").is_err());
    }
}
