//! `values`: single values that were never seen, or are far above all others.
//!
//! | | |
//! |---|---|
//! | emits | a sighting of a new value of a field that has fewer than 50; of a number above three times the 99.9th percentile of the last hour |
//! | drops | nothing |
//! | key | kind, service and field |
//! | time | that of the line |
//! | state | `values`, by service: put when a value is new, and once a minute |

use std::collections::BTreeSet;
use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::serde::{Bincode, HasSerde};
use millstream::{BoxError, Context, KeyValueStore, Processor, PunctuationType, Schedule};
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::kind::Kind;
use super::signal::Signal;
use crate::log_anomaly::by_service::ByService;
use crate::log_anomaly::line::LogLine;
use crate::log_anomaly::mine::WarmUp;
use crate::log_anomaly::parse::Line;

/// A field with so many values is one of free text.
const VALUES_MAX: usize = 50;
/// Bytes of a value that are looked at.
const VALUE_BYTES_MAX: usize = 64;
/// So many times the highest thousandth is far above.
const OUTLIER_TIMES: f64 = 3.0;
const OUTLIER_QUANTILE: f64 = 0.999;
/// From so many numbers on there is a highest thousandth.
const NUMBERS_MIN: usize = 1_000;
/// An hour in six parts, of which the oldest goes.
const PARTS: usize = 6;
const PART_MS: i64 = 600_000;
/// The limit is computed anew at most so often.
const LIMIT_MS: i64 = 60_000;

/// What is known of a service's values.
#[derive(Clone, Serialize, Deserialize, Default)]
pub(in crate::log_anomaly) struct ValuesKept {
    lines: u64,
    first: Option<i64>,
    fields: [BTreeSet<String>; 5],
    numbers: [LastHour; 2],
}

impl HasSerde for ValuesKept {
    type Serde = Bincode;
}

/// The numbers of the last hour, and above what one is an outlier.
#[derive(Clone, Serialize, Deserialize, Default)]
struct LastHour {
    /// Newest first, with the number of their ten minutes.
    parts: Vec<(i64, DDSketch)>,
    limit: Option<f64>,
    limit_at: i64,
}

impl LastHour {
    /// The limit, if the number is above it. Then it is one of the numbers.
    fn judge(&mut self, at: i64, number: f64) -> Option<f64> {
        self.turn(at);
        if let Some((_, newest)) = self.parts.first_mut() {
            newest.add(number);
        }
        self.limit.filter(|limit| number > *limit && *limit > 0.0)
    }

    fn turn(&mut self, at: i64) {
        let part = at.div_euclid(PART_MS);
        let is_next = self.parts.first().is_none_or(|(newest, _)| part > *newest);
        if is_next {
            self.parts.insert(0, (part, DDSketch::new(Config::defaults())));
            self.parts.retain(|(old, _)| part - old < PARTS as i64);
        }
        if is_next || at - self.limit_at >= LIMIT_MS {
            self.limit_at = at;
            self.limit = self.limit();
        }
    }

    fn limit(&self) -> Option<f64> {
        let mut all = DDSketch::new(Config::defaults());
        for (_, part) in &self.parts {
            all.merge(part).ok()?;
        }
        let enough = all.count() >= NUMBERS_MIN;
        let highest = all.quantile(OUTLIER_QUANTILE).ok()?.filter(|_| enough)?;
        Some(highest * OUTLIER_TIMES)
    }
}

/// The fields, in the order in which they are kept.
fn fields(line: &LogLine) -> [(&'static str, Option<String>); 5] {
    [
        ("action", line.action.clone()),
        ("method", line.method.clone()),
        ("status", line.status.map(|status| status.to_string())),
        ("auth_method", line.auth_method.clone()),
        ("checkout_status", line.checkout_status.clone()),
    ]
}

fn numbers(line: &LogLine) -> [(&'static str, Option<f64>); 2] {
    [("latency_ms", line.latency_ms), ("cart_size", line.cart_size.map(f64::from))]
}

impl ValuesKept {
    /// What is unusual about a line, and whether a value is new.
    fn judge(&mut self, line: &LogLine, warm_up: WarmUp) -> (Vec<Signal>, bool) {
        self.lines += 1;
        let at = line.timestamp;
        let first = *self.first.get_or_insert(at);
        let is_over = warm_up.is_over(self.lines, at - first);
        let (mut told, mut is_new) = (Vec::new(), false);
        for ((name, value), known) in fields(line).into_iter().zip(&mut self.fields) {
            let Some(mut value) = value.filter(|_| known.len() < VALUES_MAX) else { continue };
            value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
            if known.contains(&value) {
                continue;
            }
            is_new = true;
            let subject = format!("{name}={value}");
            // The first value of a field says that there is one, no more.
            if is_over && !known.is_empty() {
                let why = format!("{name} was never {value} before, but one of {}", known.len());
                let about = (line.service.as_str(), subject.as_str());
                told.push(Signal::new(Kind::RareValue, about, 0.6, why).sample(&line.message));
            }
            known.insert(value);
        }
        for ((name, number), hour) in numbers(line).into_iter().zip(&mut self.numbers) {
            let Some(number) = number else { continue };
            if let Some(limit) = hour.judge(at, number).filter(|_| is_over) {
                let score = (1.0 - 0.5 * limit / number).clamp(0.5, 0.99);
                let why = format!(
                    "{name} {number} is over {OUTLIER_TIMES} times the 99.9th percentile of the last hour"
                );
                let about = (line.service.as_str(), name);
                let signal = Signal::new(Kind::Outlier, about, score, why).sample(&line.message);
                told.push(signal.value(number, (None, Some(limit))));
            }
        }
        (told, is_new)
    }
}

/// Looks at values.
pub(in crate::log_anomaly) struct Values {
    services: ByService<ValuesKept>,
    warm_up: WarmUp,
}

impl Values {
    pub(in crate::log_anomaly) fn new(
        store: KeyValueStore<String, ValuesKept>,
        warm_up: WarmUp,
    ) -> Self {
        Self { services: ByService::new(store), warm_up }
    }
}

impl Processor<String, Line> for Values {
    type KOut = String;
    type VOut = Signal;

    fn init(&mut self, ctx: &mut Context<'_, String, Signal>) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_secs(60), PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Line>,
        ctx: &mut Context<'_, String, Signal>,
    ) -> Result<(), BoxError> {
        let Record { key: service, value: line, timestamp, .. } = record;
        let told = self.services.change(&service, |kept| kept.judge(&line, self.warm_up))?;
        for signal in told {
            ctx.forward(Record::new(signal.key(), signal, timestamp));
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        _: &mut Context<'_, String, Signal>,
    ) -> Result<(), BoxError> {
        self.services.put_changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_anomaly::line::{Reader, ReaderSettings};

    const AT_ONCE: WarmUp = WarmUp { lines: 0, ms: 0 };

    fn line(at: i64, fields: &str) -> LogLine {
        let reader = Reader::new(ReaderSettings::default());
        let text = format!(r#"{{"message":"m","service":"shop",{fields}}}"#);
        reader.read(text.as_bytes(), at).unwrap().line
    }

    fn told(kept: &mut ValuesKept, line: &LogLine) -> Vec<(Kind, String)> {
        let (signals, _) = kept.judge(line, AT_ONCE);
        signals.into_iter().map(|signal| (signal.kind, signal.subject)).collect()
    }

    #[test]
    fn a_value_is_rare_once_and_free_text_never() {
        let mut kept = ValuesKept::default();
        for (method, wanted) in [("GET", 0), ("GET", 0), ("POST", 1), ("POST", 0)] {
            let line = line(0, &format!(r#""method":"{method}""#));
            assert_eq!(told(&mut kept, &line).len(), wanted, "{method}");
        }
        for n in 0..200 {
            told(&mut kept, &line(0, &format!(r#""action":"a{n}""#)));
        }
        assert_eq!(kept.fields[0].len(), VALUES_MAX);
        assert_eq!(told(&mut kept, &line(0, r#""action":"brand new""#)), []);
        assert_eq!(
            told(&mut kept, &line(0, r#""method":"PURGE""#)),
            [(Kind::RareValue, "method=PURGE".to_owned())]
        );
    }

    #[test]
    fn nothing_is_told_before_the_service_is_known() {
        let warm_up = WarmUp { lines: 10, ms: 1_000 };
        let mut kept = ValuesKept::default();
        let mut judge = |at, method: &str| {
            kept.judge(&line(at, &format!(r#""method":"{method}""#)), warm_up).0.len()
        };
        assert_eq!((0..20).map(|n| judge(0, &format!("A{n}"))).sum::<usize>(), 0, "too early");
        assert_eq!(judge(1_000, "B"), 1);
    }

    #[test]
    fn a_number_far_above_the_last_hour_is_an_outlier() {
        let mut kept = ValuesKept::default();
        for n in 0..2_000 {
            let line = line(n * 100, &format!(r#""latency_ms":{}"#, 50 + n % 50));
            assert_eq!(told(&mut kept, &line), []);
        }
        let found = told(&mut kept, &line(200_000, r#""latency_ms":400"#));
        assert_eq!(found, [(Kind::Outlier, "latency_ms".to_owned())]);
        assert_eq!(told(&mut kept, &line(200_000, r#""latency_ms":250"#)), []);
        // After an hour nothing is known any more.
        assert_eq!(told(&mut kept, &line(200_000 + 3_600_000, r#""latency_ms":4000"#)), []);
    }
}
