//! The topology, as a function of its settings: the same on the test driver, the embedded log and
//! Kafka.

use std::time::Duration;

use millstream::record::Timestamp;
use millstream::serde::{Bincode, Plain};
use millstream::{
    Consumed, KStream, KeyValue, Lru, OnError, Rekeyed, SessionWindows, StreamsBuilder, Suppress,
    TimeWindows, Topology, TopologyErrors, Window,
};

use super::anomalies::{
    ADDRESSES_MAX, Attempts, Baseline, Detect, Merge, Open, Signal, Values, ValuesKept, Watch,
    act_of,
};
use super::line::{Reader, ReaderSettings};
use super::mine::{self, KeptTemplate, Mine, Mined, WarmUp};
use super::parse::{Line, Parse};
use super::topics;
use super::traffic::{
    Cell, Measured, Metric, Routes, RoutesKept, SLIDING, ShopHour, ShopMetric, Slide, purchase_of,
};
use super::visits::{Behaviour, BehaviourMetric, Over, Session, Visit, view_of};

const WINDOW: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);
/// A visit is over when nothing was heard for so long.
const VISIT_GAP: Duration = Duration::from_secs(1_800);
/// The last time that can be written.
const TIME_MAX_MS: i64 = 253_402_300_799_999;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How lines are read.
    pub reader: ReaderSettings,
    /// For how long after its end a window still takes lines.
    pub grace: Duration,
    /// Nothing learned is told of a service before so many lines of it
    pub warm_up_lines: u64,
    /// and so much time of it were seen.
    pub warm_up: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reader: ReaderSettings::default(),
            grace: Duration::from_secs(10),
            warm_up_lines: 1_000,
            warm_up: Duration::from_secs(600),
        }
    }
}

impl Settings {
    fn warm_up(&self) -> WarmUp {
        let ms = i64::try_from(self.warm_up.as_millis()).unwrap_or(i64::MAX);
        WarmUp { lines: self.warm_up_lines, ms }
    }
}

/// A record whose time no topic and no window can have.
#[derive(Debug, thiserror::Error)]
#[error("the record's time is {0} ms: before 1970 or after the year 9999")]
struct BadRecordTime(i64);

type Signals = KStream<String, Signal, Rekeyed>;

fn dead_letter() -> OnError {
    OnError::dead_letter(topics::DEAD_LETTERS)
}

/// All of it.
///
/// # Errors
/// All faults of the topology.
pub fn topology(settings: &Settings) -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let lines = lines(&builder, settings);
    let by_service = lines.repartition_with("by-service", Plain, Bincode);
    shop(&by_service, settings);
    let (mined, templates) = mined(&builder, &by_service, settings);
    let values = values(&builder, &mined, settings);
    let traffic = traffic(&builder, &mined, settings);
    let addresses = addresses(&builder, &lines);
    visits(&lines, settings);
    let signals = templates.merge(&values).merge(&traffic).merge(&addresses);
    let open = builder.store(KeyValue::<String, Open>::named("open-anomalies"));
    signals.repartition("signals").process("merge", &open, Merge::new).to(topics::ANOMALIES);
    builder.build()
}

/// Lines at their own times, by service.
fn lines(builder: &StreamsBuilder, settings: &Settings) -> KStream<String, Line, Rekeyed> {
    let source = Consumed::<Option<Vec<u8>>, Option<Vec<u8>>>::from(topics::LINES)
        .try_timestamp(|record, _| match record.timestamp {
            Timestamp(at @ 0..=TIME_MAX_MS) => Ok(Timestamp(at)),
            Timestamp(at) => Err(BadRecordTime(at)),
        })
        .on_error(dead_letter());
    let reader = Reader::new(settings.reader.clone());
    builder
        .stream(source)
        .process("parse", (), move |()| Parse::new(reader.clone()))
        .on_error(dead_letter())
}

/// Lines with their templates, and what is unusual about those.
fn mined(
    builder: &StreamsBuilder,
    by_service: &KStream<String, Line>,
    settings: &Settings,
) -> (KStream<String, Line, Rekeyed>, Signals) {
    let templates = builder.store(KeyValue::<String, KeptTemplate>::named("templates"));
    let warm_up = settings.warm_up();
    let mined = by_service.process("mine", &templates, move |store| Mine::new(store, warm_up));
    let lines = mined.flat_map_values(|mined| match mined {
        Mined::Line(line) => Some(line),
        _ => None,
    });
    let rows = mined.flat_map_values(|mined| match mined {
        Mined::Row(row) => Some(row),
        _ => None,
    });
    let signals = mined.flat_map_values(|mined| match mined {
        Mined::Signal(signal) => Some(signal),
        _ => None,
    });
    rows.named(mine::ROWS).to(topics::TEMPLATES);
    (lines.named(mine::LINES), signals.named(mine::SIGNALS))
}

fn values(
    builder: &StreamsBuilder,
    mined: &KStream<String, Line, Rekeyed>,
    settings: &Settings,
) -> Signals {
    let values = builder.store(KeyValue::<String, ValuesKept>::named("values"));
    let warm_up = settings.warm_up();
    mined.process("values", &values, move |store| Values::new(store, warm_up))
}

/// Requests in numbers, by service and by route.
fn traffic(
    builder: &StreamsBuilder,
    mined: &KStream<String, Line, Rekeyed>,
    settings: &Settings,
) -> Signals {
    let routes = builder.store(KeyValue::<String, RoutesKept>::named("routes"));
    let cells = mined
        .process("routes", &routes, Routes::new)
        .repartition("by-series")
        .group_by_key()
        .windowed_by(TimeWindows::of(WINDOW).grace(settings.grace))
        .aggregate("metrics-10s", Cell::default, |_, sample, cell| cell.add(sample));
    cells
        .updates()
        .try_map(|window, cell| {
            let metric = Metric::of("10s", (window.start, window.end), &cell, false);
            metric.map(|metric| (window.key, metric))
        })
        .on_error(dead_letter())
        .to(topics::METRICS);
    let over = cells
        .suppress("metrics-10s-final", Suppress::until_window_closes())
        .updates()
        .map(|window, cell| (window.key, Measured { from: window.start, to: window.end, cell }));
    written(&over, "10s");
    let kept = SLIDING + settings.grace + WINDOW;
    let recent = builder.store(Window::<String, Cell>::named("metrics-5m", kept, WINDOW));
    written(&over.process_values("slide", &recent, Slide), "5m");
    let baselines = builder.store(KeyValue::<String, Baseline>::named("baselines"));
    let warm_up = settings.warm_up();
    over.process("detect", &baselines, move |store| Detect::new(store, warm_up))
}

/// Windows that are over go out.
fn written(windows: &KStream<String, Measured, Rekeyed>, series: &'static str) {
    windows
        .try_map_values(move |Measured { from, to, cell }| {
            Metric::of(series, (from, to), &cell, true)
        })
        .on_error(dead_letter())
        .to(topics::METRICS);
}

fn shop(by_service: &KStream<String, Line>, settings: &Settings) {
    let hours = by_service
        .flat_map_values(|line| purchase_of(&line))
        .group_by_key()
        .windowed_by(TimeWindows::of(HOUR).grace(settings.grace))
        .aggregate("shop-1h", ShopHour::default, |_, purchase, hour| hour.add(purchase));
    let over = hours.suppress("shop-1h-final", Suppress::until_window_closes());
    for (table, is_final) in [(hours, false), (over, true)] {
        table
            .updates()
            .try_map(move |window, hour| {
                let metric =
                    ShopMetric::of(&window.key, (window.start, window.end), hour, is_final);
                metric.map(|metric| (window.key, metric))
            })
            .on_error(dead_letter())
            .to(topics::METRICS);
    }
}

fn addresses(builder: &StreamsBuilder, lines: &KStream<String, Line, Rekeyed>) -> Signals {
    let attempts = builder.store(Lru::<String, Attempts>::named("attempts", ADDRESSES_MAX));
    lines
        .flat_map(|_, line| act_of(&line))
        .repartition("by-address")
        .process("watch", &attempts, Watch)
}

fn visits(lines: &KStream<String, Line, Rekeyed>, settings: &Settings) {
    let visits = lines
        .flat_map(|_, line| view_of(&line))
        .repartition("by-user")
        .group_by_key()
        .windowed_by(SessionWindows::with_gap(VISIT_GAP).grace(settings.grace))
        .aggregate(
            "sessions",
            Visit::default,
            |_, view, visit| visit.add(view),
            |_, visit, later| visit.merge(later),
        );
    let over = visits.suppress("sessions-closed", Suppress::until_window_closes());
    let closed = over.updates();
    for (stream, is_closed) in [(visits.updates(), false), (closed.clone(), true)] {
        stream
            .try_map(move |session, visit| {
                let (from, to, user) = (session.start, session.end, session.key);
                Session::of(user.clone(), (from, to), visit, is_closed).map(|it| (user, it))
            })
            .on_error(dead_letter())
            .to(topics::SESSIONS);
    }
    let hours = closed
        .map(|session, visit| {
            let duration_ms = session.end - session.start;
            ("all".to_owned(), Over { visit, duration_ms })
        })
        .repartition("visits")
        .group_by_key()
        .windowed_by(TimeWindows::of(HOUR).grace(settings.grace))
        .aggregate("behaviour-1h", Behaviour::default, |_, over, hour| hour.add(&over));
    let ended = hours.suppress("behaviour-1h-final", Suppress::until_window_closes());
    for (table, is_final) in [(hours, false), (ended, true)] {
        table
            .updates()
            .try_map(move |window, hour| {
                let metric = BehaviourMetric::of((window.start, window.end), &hour, is_final);
                metric.map(|metric| (window.key, metric))
            })
            .on_error(dead_letter())
            .to(topics::METRICS);
    }
}

#[cfg(test)]
mod tests;
