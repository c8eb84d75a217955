//! `merge`: many sightings become one anomaly with a life.
//!
//! | | |
//! |---|---|
//! | emits | an anomaly when it is seen first, at most every 10 s while it is seen, and once when it was not seen for 60 s |
//! | drops | sightings of further anomalies while 10,000 are open; counted |
//! | key | the anomaly's id |
//! | time | that of the sighting; of closing, 60 s after the last one |
//! | state | `open-anomalies`, by kind, service and subject |
//!
//! ```text
//!   sighting ─► open ──► updated ──► closed
//!                 └───────────────────▲  60 s without a sighting: by the time of sightings, or by the clock
//! ```

use std::collections::HashMap;
use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::serde::{Bincode, HasSerde};
use millstream::{
    BoxError, Context, Counter, Gauge, KeyValueStore, Processor, PunctuationType, Schedule,
};
use serde::{Deserialize, Serialize};

use super::anomaly::{Anomaly, State};
use super::kind::{Kind, Severity};
use super::signal::Signal;
use crate::log_anomaly::clock_text::utc_text;

/// An anomaly that was not seen for so long is over.
const QUIET_MS: i64 = 60_000;
/// Between two updates.
const UPDATES_MS: i64 = 10_000;
/// How often it is looked whether one is over.
const LOOKS: Duration = Duration::from_secs(5);
/// More at once help nobody, and each is looked at every few seconds.
const OPEN_MAX: u64 = 10_000;

/// An open anomaly, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Open {
    id: u64,
    signal: Signal,
    first_seen: i64,
    last_seen: i64,
    /// When it was last seen by the clock, and when it was told by the time of sightings.
    seen_at: i64,
    told: i64,
    count: u64,
}

impl HasSerde for Open {
    type Serde = Bincode;
}

impl Open {
    fn anomaly(&self, state: State) -> Result<Anomaly, BoxError> {
        let Signal { kind, service, subject, score, value, low, high, why, sample } =
            self.signal.clone();
        Ok(Anomaly {
            id: format!("{:016x}", self.id),
            kind,
            category: kind.category().to_owned(),
            severity: Severity::of(score),
            score,
            service,
            subject,
            value,
            low,
            high,
            why,
            first_seen: utc_text(self.first_seen)?,
            last_seen: utc_text(self.last_seen)?,
            count: self.count,
            state,
            sample,
        })
    }

    /// Takes in a sighting. The sample stays the first one.
    fn see(&mut self, signal: Signal, at: i64) {
        self.count += 1;
        let score = self.signal.score.max(signal.score);
        let sample = self.signal.sample.take().or_else(|| signal.sample.clone());
        if at >= self.last_seen {
            self.signal = signal;
        }
        (self.signal.score, self.signal.sample) = (score, sample);
        self.last_seen = self.last_seen.max(at);
    }
}

/// Keeps what is open.
pub(in crate::log_anomaly) struct Merge {
    store: KeyValueStore<String, Open>,
    open: HashMap<Kind, u64>,
    gauges: HashMap<Kind, Gauge>,
    refused: Counter,
}

type Ctx<'a, 'b> = &'a mut Context<'b, String, Anomaly>;

impl Merge {
    pub(in crate::log_anomaly) fn new(store: KeyValueStore<String, Open>) -> Self {
        let (open, gauges) = (HashMap::new(), HashMap::new());
        Self { store, open, gauges, refused: Counter::default() }
    }

    fn tell(open: &Open, state: State, at: i64, ctx: Ctx<'_, '_>) -> Result<(), BoxError> {
        let anomaly = open.anomaly(state)?;
        ctx.forward(Record::new(anomaly.id.clone(), anomaly, Timestamp(at)));
        Ok(())
    }

    /// So many more are open.
    fn opened(&mut self, kind: Kind, more: i64) {
        let open = self.open.entry(kind).or_default();
        *open = open.saturating_add_signed(more);
        if let Some(gauge) = self.gauges.get(&kind) {
            gauge.set(*open as f64);
        }
    }

    fn close(&mut self, key: &String, open: &Open, ctx: Ctx<'_, '_>) -> Result<(), BoxError> {
        self.store.delete(key)?;
        self.opened(open.signal.kind, -1);
        Self::tell(open, State::Closed, open.last_seen.saturating_add(QUIET_MS), ctx)
    }

    fn open(
        &mut self,
        key: String,
        signal: Signal,
        at: i64,
        ctx: Ctx<'_, '_>,
    ) -> Result<(), BoxError> {
        if self.open.values().sum::<u64>() >= OPEN_MAX {
            self.refused.inc();
            return Ok(());
        }
        let (kind, severity) = (signal.kind, Severity::of(signal.score));
        let labels = [("kind", kind.name()), ("severity", severity.name())];
        let help = "Anomalies that opened.";
        ctx.metrics().counter("log_anomaly_anomalies_total", help, &labels)?.inc();
        let open = Open {
            id: id(&key, at),
            signal,
            first_seen: at,
            last_seen: at,
            seen_at: ctx.wall_clock().0,
            told: at,
            count: 1,
        };
        Self::tell(&open, State::Open, at, ctx)?;
        self.store.put(key, open)?;
        self.opened(kind, 1);
        Ok(())
    }
}

/// FNV-1a: the same for the same anomaly after a restart.
fn id(key: &str, at: i64) -> u64 {
    let bytes = key.bytes().chain(at.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Processor<String, Signal> for Merge {
    type KOut = String;
    type VOut = Anomaly;

    fn init(&mut self, ctx: &mut Context<'_, String, Anomaly>) -> Result<(), BoxError> {
        ctx.schedule(LOOKS, PunctuationType::StreamTime);
        ctx.schedule(LOOKS, PunctuationType::WallClockTime);
        let help = "Anomalies that are open.";
        for kind in Kind::ALL {
            let labels = [("kind", kind.name())];
            let gauge = ctx.metrics().gauge("log_anomaly_open_anomalies", help, &labels)?;
            self.gauges.insert(kind, gauge);
        }
        let help = "Sightings that opened no anomaly, since too many were open.";
        self.refused = ctx.metrics().counter("log_anomaly_not_opened_total", help, &[])?;
        let mut kinds = Vec::new();
        for entry in self.store.all()? {
            kinds.push(entry?.1.signal.kind);
        }
        kinds.into_iter().for_each(|kind| self.opened(kind, 1));
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Signal>,
        ctx: &mut Context<'_, String, Anomaly>,
    ) -> Result<(), BoxError> {
        let Record { key, value: signal, timestamp: Timestamp(at), .. } = record;
        let Some(mut open) = self.store.get(&key)? else {
            return self.open(key, signal, at, ctx);
        };
        if at - open.last_seen > QUIET_MS {
            self.close(&key, &open, ctx)?;
            return self.open(key, signal, at, ctx);
        }
        open.see(signal, at);
        open.seen_at = ctx.wall_clock().0;
        if at - open.told >= UPDATES_MS {
            open.told = at;
            Self::tell(&open, State::Updated, at, ctx)?;
        }
        Ok(self.store.put(key, open)?)
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        ctx: &mut Context<'_, String, Anomaly>,
    ) -> Result<(), BoxError> {
        let (seen, clock) = (ctx.stream_time().0, ctx.wall_clock().0);
        let mut over = Vec::new();
        for entry in self.store.all()? {
            let (key, open) = entry?;
            if seen - open.last_seen > QUIET_MS || clock - open.seen_at > QUIET_MS {
                over.push((key, open));
            }
        }
        over.iter().try_for_each(|(key, open)| self.close(key, open, ctx))
    }
}

#[cfg(test)]
mod tests {
    use millstream::testing::TopologyDriver;
    use millstream::{KeyValue, StreamsBuilder};

    use super::*;

    struct Bench(TopologyDriver);

    impl Bench {
        fn new() -> Self {
            let builder = StreamsBuilder::new();
            let store = builder.store(KeyValue::<String, Open>::named("open"));
            builder.stream("in").process("merge", &store, Merge::new).to("out");
            Self(TopologyDriver::new(&builder.build().unwrap()).unwrap())
        }

        fn see(&mut self, subject: &str, score: f64, at: i64) {
            let signal =
                Signal::new(Kind::BruteForce, ("sshd", subject), score, format!("at {at}"));
            let signal = signal.sample(&format!("line at {at}"));
            self.0.pipe("in", &Record::new(signal.key(), signal, Timestamp(at))).unwrap();
        }

        fn told(&mut self) -> Vec<String> {
            let all = self.0.read::<String, Anomaly>("out").unwrap();
            let line = |it: &Anomaly| {
                format!("{:?} {} {} {}", it.state, it.subject, it.count, &it.last_seen[17..19])
            };
            all.iter().map(|it| line(&it.value)).collect()
        }
    }

    #[test]
    fn it_opens_once_is_updated_every_ten_seconds_and_closes_after_a_minute() {
        let mut bench = Bench::new();
        for at in (0..25_000).step_by(500) {
            bench.see("10.0.0.1", 0.6, at);
        }
        let told = bench.told();
        assert_eq!(
            told,
            ["Open 10.0.0.1 1 00", "Updated 10.0.0.1 21 10", "Updated 10.0.0.1 41 20"]
        );
        // Another one moves the time on.
        bench.see("10.0.0.2", 0.6, 84_000);
        assert_eq!(bench.told(), ["Open 10.0.0.2 1 24"]);
        bench.see("10.0.0.2", 0.6, 90_000);
        assert_eq!(bench.told(), ["Closed 10.0.0.1 50 24"]);
        let metrics = bench.0.metrics();
        let line = "log_anomaly_open_anomalies{kind=\"brute_force\",application=\"app\"} 1";
        assert!(metrics.contains(line), "{metrics}");
        let line = "log_anomaly_anomalies_total{kind=\"brute_force\",severity=\"warning\",application=\"app\"} 2";
        assert!(metrics.contains(line), "{metrics}");
    }

    #[test]
    fn without_further_sightings_the_clock_closes_it_and_it_may_open_again() {
        let mut bench = Bench::new();
        bench.see("10.0.0.1", 0.6, 0);
        bench.0.advance_wall_clock(Duration::from_secs(60)).unwrap();
        assert_eq!(bench.told(), ["Open 10.0.0.1 1 00"]);
        bench.0.advance_wall_clock(Duration::from_secs(5)).unwrap();
        assert_eq!(bench.told(), ["Closed 10.0.0.1 1 00"]);
        bench.see("10.0.0.1", 0.6, 120_000);
        // What was seen too long ago is closed when it is seen again, even if nothing else was seen.
        bench.see("10.0.0.1", 0.6, 300_000);
        let told = bench.told();
        assert_eq!(told, ["Open 10.0.0.1 1 00", "Closed 10.0.0.1 1 00", "Open 10.0.0.1 1 00"]);
    }

    #[test]
    fn the_highest_score_and_the_first_line_stay_and_ids_are_of_one_life() {
        let mut bench = Bench::new();
        bench.see("10.0.0.1", 0.9, 0);
        bench.see("10.0.0.1", 0.6, 10_000);
        bench.see("10.0.0.1", 0.6, 100_000);
        let all: Vec<Anomaly> = bench
            .0
            .read::<String, Anomaly>("out")
            .unwrap()
            .into_iter()
            .map(|it| it.value)
            .collect();
        let [first, updated, closed, next] = &all[..] else { panic!("{all:?}") };
        assert_eq!((updated.score, updated.severity), (0.9, Severity::Critical));
        assert_eq!(
            (updated.sample.as_deref(), updated.why.as_str()),
            (Some("line at 0"), "at 10000")
        );
        assert!(first.id == updated.id && first.id == closed.id && first.id != next.id);
    }

    #[test]
    fn no_more_are_open_than_the_bound() {
        let mut bench = Bench::new();
        let signals = (0..OPEN_MAX + 5).map(|n| {
            let signal = Signal::new(Kind::PathScan, ("web", &n.to_string()), 0.6, String::new());
            Record::new(signal.key(), signal, Timestamp(1))
        });
        bench.0.pipe_together("in", signals).unwrap();
        assert_eq!(bench.told().len() as u64, OPEN_MAX);
        assert!(bench.0.metrics().contains("log_anomaly_not_opened_total{application=\"app\"} 5"));
    }
}
