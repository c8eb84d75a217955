//! The producer: sends sample sign-ins at a steady rate.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jiff::{SignedDuration, Timestamp};
use millstream::client::Producer;
use millstream::log::Log;
use millstream::record::Record;

use super::samples::Samples;
use super::sign_in::SignIn;
use super::topics;
use crate::program::{Pace, rate};

/// What to produce, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SignIns {
    /// Sign-ins per second; 0: as many as the machine can
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Stop after so many [default: never]
    #[arg(long)]
    pub(super) count: Option<u64>,
    /// The same seed gives the same people in the same order
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How many people
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) people: u32,
    /// With --count: they signed in over so many days until now, one after the other; 0: when they are sent
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    pub(super) days: u32,
}

impl SignIns {
    /// When number `index` signs in.
    fn at(&self, index: u64, start: Timestamp, now: Timestamp) -> Timestamp {
        let span_s = i64::from(self.days) * 86_400;
        match self.count {
            Some(count) if span_s > 0 => {
                let part = i64::try_from(
                    u128::from(count - index) * 1_000 * span_s.unsigned_abs() as u128
                        / u128::from(count),
                );
                start - SignedDuration::from_millis(part.unwrap_or_default())
            }
            _ => now,
        }
    }
}

/// Sends sign-ins until the count is reached or `stop` says so; how many.
///
/// # Errors
/// When one could not be sent: the broker has then been away for longer than the client waits.
pub(super) fn produce(
    log: &Arc<dyn Log>,
    sign_ins: SignIns,
    stop: &Receiver<()>,
) -> anyhow::Result<u64> {
    let mut producer = Producer::<String, SignIn>::open(log, topics::LOGINS)?;
    let mut samples = Samples::new(sign_ins.seed, sign_ins.people)?;
    let start = Timestamp::now();
    let mut index = 0;
    let pace = Pace { rate: sign_ins.rate, count: sign_ins.count };
    let sent = pace.keep(start, stop, |records, now| {
        for _ in 0..records {
            let sign_in = samples.next(sign_ins.at(index, start, now))?;
            index += 1;
            let at = millstream::record::Timestamp(sign_in.signed_in_at.ms());
            producer.send(Record::new(sign_in.sub.clone(), sign_in, at))?;
        }
        Ok(producer.flush()?)
    })?;
    producer.close()?;
    Ok(sent)
}

/// Writes so many sign-ins as lines, as `replay` reads them; the last one is of `until`.
///
/// # Errors
/// What writing fails with.
pub(super) fn write(
    sign_ins: SignIns,
    count: u64,
    until: Timestamp,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut samples = Samples::new(sign_ins.seed, sign_ins.people)?;
    let sign_ins = SignIns { count: Some(count), days: sign_ins.days.max(1), ..sign_ins };
    for index in 0..count {
        let sign_in = samples.next(sign_ins.at(index, until, until))?;
        serde_json::to_writer(&mut *out, &sign_in)?;
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_ins_are_spread_over_the_days_before_the_start() {
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-22T10:00:07Z".parse().unwrap();
        let spread = SignIns { rate: 0.0, count: Some(4), seed: 1, people: 1, days: 2 };
        let at = |sign_ins: SignIns, index| sign_ins.at(index, start, later).to_string();
        assert_eq!(at(spread, 0), "2026-11-20T10:00:00Z");
        assert_eq!(at(spread, 3), "2026-11-21T22:00:00Z");
        assert_eq!(at(SignIns { days: 0, ..spread }, 0), "2026-11-22T10:00:07Z");
        assert_eq!(at(SignIns { count: None, ..spread }, 0), "2026-11-22T10:00:07Z");
    }

    #[test]
    fn a_file_has_a_sign_in_a_line() {
        let sign_ins = SignIns { rate: 0.0, count: None, seed: 1, people: 3, days: 0 };
        let mut out = Vec::new();
        write(sign_ins, 20, "2026-11-22T10:00:00Z".parse().unwrap(), &mut out).unwrap();
        let lines: Vec<SignIn> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        assert_eq!(lines.len(), 20);
        assert!(lines.is_sorted_by_key(|it| it.signed_in_at));
    }
}
