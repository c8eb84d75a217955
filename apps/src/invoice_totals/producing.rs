//! The producer: sends sample invoices at a steady rate.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context as _;
use millstream::log::{Log, OutgoingRecord, Producer, ProducerSpec, TopicHandle};
use millstream::murmur2_partition;
use millstream::record::{Headers, Timestamp};

use super::invoice::InvoiceSerde;
use super::money::Currency;
use super::samples::Samples;
use super::topics;

/// Records sent between two looks at the clock and at the request to stop.
const BURST_RECORDS_MAX: u64 = 1_000;
/// Longest pause: a request to stop is heard at once anyway.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How much to produce, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Pace {
    /// Sample invoices per second; 0: as many as the machine can
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Stop after so many invoices [default: never]
    #[arg(long)]
    pub(super) count: Option<u64>,
    /// The same seed gives the same clients and amounts
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How many clients
    #[arg(long, default_value_t = 8)]
    pub(super) clients: u32,
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("must be 0 or more".to_owned()) }
}

/// Pauses for up to this long; false: the program ends.
pub(super) fn pause(stop: &Receiver<()>, most: Duration) -> bool {
    matches!(stop.recv_timeout(most), Err(RecvTimeoutError::Timeout))
}

/// Sends invoices until the count is reached or `stop` says so; how many.
///
/// # Errors
/// When one could not be sent: the broker has then been away for longer than the client waits.
pub(super) fn produce(
    log: &dyn Log,
    pace: Pace,
    currency: Currency,
    stop: &Receiver<()>,
) -> anyhow::Result<u64> {
    let described = log.describe(&[topics::INVOICES])?.into_iter().next().flatten();
    let partitions = described.context("topic FACTURATION does not exist")?.partitions;
    let mut producer = log.producer(&ProducerSpec::default())?;
    let topic = producer.topic(topics::INVOICES)?;
    let start = jiff::Timestamp::now();
    let run = start.strftime("%Y%m%d%H%M%S").to_string();
    let samples = Samples::new(pace.seed, pace.clients, run);
    let mut out = Outlet {
        producer: &mut *producer,
        topic,
        partitions,
        samples,
        serde: InvoiceSerde { currency },
        bytes: Vec::new(),
    };
    let mut sent = 0;
    loop {
        let now = jiff::Timestamp::now();
        let due = due(pace, now.duration_since(start).as_secs_f64());
        for _ in 0..due.saturating_sub(sent).min(BURST_RECORDS_MAX) {
            out.send(Timestamp(now.as_millisecond()))?;
            sent += 1;
        }
        let finished = pace.count.is_some_and(|count| sent >= count);
        if finished || !pause(stop, wait(pace, due, sent)) {
            out.producer.flush()?;
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

/// Where invoices go.
struct Outlet<'a> {
    producer: &'a mut dyn Producer,
    topic: TopicHandle,
    partitions: i32,
    samples: Samples,
    serde: InvoiceSerde,
    bytes: Vec<u8>,
}

impl Outlet<'_> {
    fn send(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let invoice = self.samples.next(now);
        self.bytes.clear();
        self.serde.write(&invoice, &mut self.bytes).map_err(|error| anyhow::anyhow!(error))?;
        let key = invoice.number.as_bytes();
        self.producer.send(&OutgoingRecord {
            topic: self.topic,
            partition: murmur2_partition(key, self.partitions),
            key: Some(key),
            value: Some(&self.bytes),
            timestamp: Some(now.0),
            headers: &Headers::default(),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Pace = Pace { rate: 2.0, count: Some(5), seed: 1, clients: 1 };

    #[test]
    fn the_pace_is_kept_and_the_count_not_passed() {
        assert_eq!([0.0, 0.4, 0.5, 1.9].map(|at| due(SLOW, at)), [1, 1, 2, 4]);
        assert_eq!(due(SLOW, 100.0), 5);
        assert_eq!(due(Pace { rate: 0.0, count: None, ..SLOW }, 0.0), u64::MAX);
    }

    #[test]
    fn a_rate_is_a_number_from_zero() {
        assert_eq!(rate("2.5"), Ok(2.5));
        for text in ["-1", "NaN", "inf", "many"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
