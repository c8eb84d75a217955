//! `detect`: what of a window that is over is unusual for its series, and who is silent.
//!
//! | | |
//! |---|---|
//! | emits | a sighting for each window that is unusual; for a service that is silent for 60 s although a line a second is usual, one every ten seconds by the clock |
//! | drops | nothing |
//! | key | kind, service and series |
//! | time | the end of the window; of silence, the end of the last window and what has passed since by the clock |
//! | state | `baselines`, by series |

use std::collections::HashMap;
use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::{BoxError, Context, KeyValueStore, Processor, PunctuationType, Schedule};

use super::baseline::{Baseline, WINDOW_MS};
use super::kind::Kind;
use super::signal::Signal;
use crate::log_anomaly::mine::WarmUp;
use crate::log_anomaly::traffic::Measured;

/// So long without a line is silence,
const SILENCE_MS: i64 = 60_000;
/// where so many a second are usual.
const SILENCE_RATE_MIN: f64 = 1.0;
/// After so long it is told no more: it is known, or nobody will come back.
const TOLD_MS: i64 = 3_600_000;

/// When a service was heard last.
struct Heard {
    clock: i64,
    to: i64,
    rate: f64,
}

/// Looks at windows.
pub(in crate::log_anomaly) struct Detect {
    store: KeyValueStore<String, Baseline>,
    warm_up: WarmUp,
    heard: HashMap<String, Heard>,
}

impl Detect {
    pub(in crate::log_anomaly) fn new(
        store: KeyValueStore<String, Baseline>,
        warm_up: WarmUp,
    ) -> Self {
        Self { store, warm_up, heard: HashMap::new() }
    }
}

impl Processor<String, Measured> for Detect {
    type KOut = String;
    type VOut = Signal;

    fn init(&mut self, ctx: &mut Context<'_, String, Signal>) -> Result<(), BoxError> {
        let window = Duration::from_millis(WINDOW_MS.unsigned_abs());
        ctx.schedule(window, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Measured>,
        ctx: &mut Context<'_, String, Signal>,
    ) -> Result<(), BoxError> {
        let Record { key: series, value: measured, .. } = record;
        let mut baseline = self.store.get(&series)?.unwrap_or_default();
        for signal in baseline.see(&series, &measured, self.warm_up) {
            ctx.forward(Record::new(signal.key(), signal, Timestamp(measured.to)));
        }
        if measured.cell.route.is_none() && baseline.is_known(self.warm_up) {
            let (clock, to, rate) = (ctx.wall_clock().0, measured.to, baseline.rate());
            self.heard.insert(measured.cell.service, Heard { clock, to, rate });
        }
        Ok(self.store.put(series, baseline)?)
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        now: Timestamp,
        ctx: &mut Context<'_, String, Signal>,
    ) -> Result<(), BoxError> {
        self.heard.retain(|_, heard| now.0 - heard.clock <= TOLD_MS);
        for (service, heard) in &self.heard {
            let silent = now.0 - heard.clock;
            if silent < SILENCE_MS || heard.rate < SILENCE_RATE_MIN {
                continue;
            }
            let why =
                format!("no line for {} s, usually {:.1} a second", silent / 1_000, heard.rate);
            let about = (service.as_str(), service.as_str());
            let signal = Signal::new(Kind::RateDrop, about, 0.9, why);
            let signal = signal.value(0.0, (Some(SILENCE_RATE_MIN), None));
            let at = Timestamp(heard.to + silent);
            ctx.forward(Record::new(signal.key(), signal, at));
        }
        Ok(())
    }
}
