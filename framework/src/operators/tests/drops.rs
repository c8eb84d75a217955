//! Records that go no further, and where they go instead.

use std::time::Duration;

use crate::error::Error;
use crate::log::memory::MemoryRecord;
use crate::operators::{Context, Joined, KStream, Processor};
use crate::policy::{DropReason, OnError};
use crate::record::{Record, Timestamp};
use crate::source::Consumed;
use crate::store::Materialized;
use crate::testing::{DriverOptions, TopologyDriver, text};
use crate::time::{JoinWindows, SessionWindows, SlidingWindows, TimeWindows};
use crate::topology::{StreamsBuilder, Topology};
use crate::{BoxError, PunctuationType, Schedule};

const MS: fn(u64) -> Duration = Duration::from_millis;

type Null = Option<String>;

fn letters() -> OnError {
    OnError::dead_letter("letters")
}

fn nullable(key: Option<&str>, value: Option<&str>, at: i64) -> Record<Null, Null> {
    Record::new(key.map(str::to_owned), value.map(str::to_owned), Timestamp(at))
}

fn header(letter: &MemoryRecord, name: &str) -> Option<String> {
    let value = letter.headers.last(&format!("__streams.errors.{name}"))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Reason, key, value and origin of each letter since the last call.
fn read(driver: &mut TopologyDriver) -> Vec<String> {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "-".to_owned(),
    };
    let line = |letter: &MemoryRecord| {
        let reason = header(letter, "message").unwrap();
        let from = header(letter, "topic").unwrap_or("nowhere".to_owned());
        format!("{reason}: {} {} of {from}", text(&letter.key), text(&letter.value))
    };
    driver.read_raw("letters").unwrap().iter().map(line).collect()
}

fn drawn(draw: impl FnOnce(&StreamsBuilder)) -> Topology {
    let builder = StreamsBuilder::new();
    draw(&builder);
    builder.build().unwrap()
}

/// Pipes records into `in` and asserts which letters come of them, and that each is counted.
fn check(topology: &Topology, records: &[Record<Null, Null>], wanted: &[&str]) {
    let mut driver = TopologyDriver::new(topology).unwrap();
    for record in records {
        driver.pipe("in", record).unwrap();
    }
    assert_eq!(read(&mut driver), wanted);
    let counted: u64 = DropReason::ALL.iter().map(|reason| driver.dropped(*reason)).sum();
    assert_eq!(counted, wanted.len() as u64);
}

const IN: [(Option<&str>, Option<&str>); 3] =
    [(None, Some("v")), (Some("k"), None), (Some("k"), Some("v"))];

fn nulls() -> Vec<Record<Null, Null>> {
    IN.iter().map(|(key, value)| nullable(*key, *value, 5)).collect()
}

const NULL_KEY: &str = "null_key: - v of in";
const NULL_VALUE: &str = "null_value: k - of in";

#[test]
fn null_keys_and_values_of_what_keeps_rows() {
    let stream = |builder: &StreamsBuilder| builder.stream::<Null, Null>("in");
    let counted = drawn(|it| drop(stream(it).group_by_key().count("n").on_drop(letters())));
    check(&counted, &nulls(), &[NULL_KEY, NULL_VALUE]);
    let tabled = drawn(|it| drop(stream(it).to_table("t").on_drop(letters())));
    check(&tabled, &nulls(), &[NULL_KEY]);
    let table = drawn(|it| drop(it.table::<Null, String>("in", "t").on_drop(letters())));
    check(&table, &nulls(), &[NULL_KEY]);
    let windows = TimeWindows::of(MS(10)).no_grace();
    let timed = drawn(|it| {
        drop(stream(it).group_by_key().windowed_by(windows).count("n").on_drop(letters()));
    });
    check(&timed, &nulls(), &[NULL_KEY]);
    let windows = SessionWindows::with_gap(MS(10)).no_grace();
    let sessions = drawn(|it| {
        drop(stream(it).group_by_key().windowed_by(windows).count("n").on_drop(letters()));
    });
    check(&sessions, &nulls(), &[NULL_KEY]);
    let windows = SlidingWindows::of_difference(MS(10)).no_grace();
    let sliding = drawn(|it| {
        drop(stream(it).group_by_key().windowed_by(windows).count("n").on_drop(letters()));
    });
    check(&sliding, &nulls(), &[NULL_KEY, NULL_VALUE]);
}

#[test]
fn null_keys_before_a_repartition_topic() {
    let through = drawn(|it| {
        it.stream::<Null, Null>("in").repartition("r").on_drop(letters()).to("out");
    });
    check(&through, &nulls(), &[NULL_KEY]);
    // The grouping's topic has no handle of its own: the table speaks for it.
    let grouped = drawn(|it| {
        let grouped = it.stream::<Null, Null>("in").group_by(|key, _| key.clone());
        drop(grouped.count("n").on_drop(letters()));
    });
    check(&grouped, &nulls(), &[NULL_KEY, "null_value: k - of app-n-repartition"]);
    let groups = drawn(|it| {
        let table = it.table::<Null, String>("in", "t");
        let grouped = table.group_by(|_, value| (None::<String>, value.clone()));
        drop(grouped.count("n").on_drop(letters()));
    });
    check(&groups, &nulls()[2..], &["null_key: k v of in"]);
    let cogrouped = drawn(|it| {
        let grouped = it.stream::<Null, Null>("in").group_by(|key, _| key.clone());
        let rows = grouped.cogroup(|| 0_i64, |_, _, n| *n += 1).aggregate("n");
        drop(rows.on_drop(letters()));
    });
    check(&cogrouped, &nulls()[..1], &[NULL_KEY]);
}

#[test]
fn nulls_in_joins() {
    let within = JoinWindows::within(MS(10)).no_grace();
    let streams = drawn(|it| {
        let (l, r): (KStream<Null, Null>, KStream<Null, Null>) = (it.stream("in"), it.stream("r"));
        l.join("j", &r, within, |_, _| 1_i64).on_drop(letters()).to("out");
    });
    check(&streams, &nulls(), &[NULL_KEY, NULL_VALUE]);
    let table = drawn(|it| {
        let rows = it.table::<Null, String>("t", "t");
        let stream = it.stream::<Null, Null>("in");
        stream.join_table(&rows, |_, row| row.clone()).on_drop(letters()).to("out");
    });
    check(&table, &nulls(), &[NULL_KEY]);
    let global = drawn(|it| {
        let rows = it.global_table::<String, String>("t", "t");
        let stream = it.stream::<Null, Null>("in");
        let joined = stream.join_global(&rows, |key, _| key.clone(), |_, row| row.clone());
        joined.on_drop(letters()).to("out");
    });
    check(&global, &nulls()[..1], &[NULL_KEY]);
    let foreign = drawn(|it| {
        let rows = it.table::<String, String>("t", "t");
        let left = it.table::<Null, String>("in", "in");
        let joined = left.join_foreign("f", &rows, |_, _| None::<String>, |_, row| row.clone());
        joined.on_drop(letters()).updates().to("out");
    });
    check(&foreign, &nulls()[2..], &["null_key: k v of in"]);
}

#[test]
fn what_is_late() {
    let at = |key: &str, at| nullable(Some(key), Some("v"), at);
    let records = [at("k", 100), at("k", 80), at("k", 81)];
    let late = ["late: k v of in", "late: k v of in"];
    let timed = TimeWindows::of(MS(10)).no_grace();
    let sessions = SessionWindows::with_gap(MS(5)).no_grace();
    let sliding = SlidingWindows::of_difference(MS(5)).no_grace();
    let grouped = |builder: &StreamsBuilder| builder.stream::<Null, Null>("in").group_by_key();
    for topology in [
        drawn(|it| drop(grouped(it).windowed_by(timed).count("n").on_drop(letters()))),
        drawn(|it| drop(grouped(it).windowed_by(sessions).count("n").on_drop(letters()))),
        drawn(|it| drop(grouped(it).windowed_by(sliding).count("n").on_drop(letters()))),
    ] {
        check(&topology, &records, &late);
        let mut driver = TopologyDriver::new(&topology).unwrap();
        for record in &records[..2] {
            driver.pipe("in", record).unwrap();
        }
        let letter = driver.read_raw("letters").unwrap().pop().unwrap();
        assert_eq!((letter.timestamp, header(&letter, "offset").unwrap()), (80, "1".to_owned()));
        let more = header(&letter, "stacktrace").unwrap();
        assert!(more.starts_with("late\ncaused by: its ") && more.contains("80 ms"), "{more}");
    }
}

#[test]
fn what_the_store_does_not_keep_any_more() {
    let at = |at| nullable(Some("k"), Some("v"), at);
    let history = drawn(|it| {
        let rows = Materialized::named("t").versioned(MS(100));
        drop(it.table::<Null, String>("in", rows).on_drop(letters()));
    });
    check(&history, &[at(1_000), at(899), at(900)], &["expired: k v of in"]);
    let within = JoinWindows::within(MS(10)).no_grace();
    let remembered = drawn(|it| {
        let (l, r): (KStream<Null, Null>, KStream<Null, Null>) = (it.stream("in"), it.stream("r"));
        l.join("j", &r, within, |_, _| 1_i64).on_drop(letters()).to("out");
    });
    check(&remembered, &[at(1_000_000), at(5)], &["expired: k v of in"]);
}

#[test]
fn what_was_overtaken() {
    let at = |at| nullable(Some("k"), Some("v"), at);
    let versioned = |it: &StreamsBuilder| {
        it.table::<Null, String>("in", Materialized::named("t").versioned(MS(100)))
    };
    let joined = drawn(|it| {
        let other = it.table::<Null, String>("other", "other");
        let joined = versioned(it).join(&other, |l, _| l.clone());
        joined.on_drop(letters()).updates().to("out");
    });
    check(&joined, &[at(20), at(10)], &["stale: k v of in"]);
    let grouped = drawn(|it| {
        let groups = versioned(it).group_by(|key, value| (key.clone(), value.clone()));
        drop(groups.count("n").on_drop(letters()));
    });
    check(&grouped, &[at(20), at(10)], &["stale: k v of in"]);
}

#[test]
fn what_has_no_time() {
    let source = Consumed::<Null, Null>::from("in").timestamp(|_, _| None).on_drop(letters());
    let topology = drawn(|it| it.stream(source).to("out"));
    check(&topology, &nulls()[2..], &["bad_timestamp: k v of in"]);
}

#[test]
fn a_row_that_a_flush_hands_on_is_a_letter_of_its_own() {
    let topology = drawn(|it| {
        let counts = it.stream::<String, String>("in").group_by_key().count("n").updates();
        let nobodys = counts.map(|_, count| (None::<String>, count)).repartition("r");
        nobodys.on_drop(letters()).to("out");
    });
    let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
    driver.pipe_together("in", [text("a", "v", 1), text("b", "v", 2), text("a", "v", 3)]).unwrap();
    let letters = driver.read_raw("letters").unwrap();
    let found = |letter: &MemoryRecord| {
        let count = letter.value.clone().unwrap().last().copied().unwrap();
        (letter.key.clone().unwrap(), count, header(letter, "topic").unwrap())
    };
    let changelog = "app-n-changelog".to_owned();
    let mut found: Vec<_> = letters.iter().map(found).collect();
    found.sort();
    assert_eq!(found, [(b"a".to_vec(), 2, changelog.clone()), (b"b".to_vec(), 1, changelog)]);
}

struct Ticks;

impl Processor<Null, Null> for Ticks {
    type KOut = Null;
    type VOut = Null;

    fn init(&mut self, ctx: &mut Context<'_, Null, Null>) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_secs(1), PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(
        &mut self,
        _: Record<Null, Null>,
        _: &mut Context<'_, Null, Null>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        now: Timestamp,
        ctx: &mut Context<'_, Null, Null>,
    ) -> Result<(), BoxError> {
        for (key, value) in [(None, Some("tick")), (Some("k"), None), (None, None)] {
            ctx.forward(nullable(key, value, now.0));
        }
        Ok(())
    }
}

/// It has no bytes; the node that drops it writes it.
#[test]
fn what_a_punctuation_made_is_not_lost() {
    let ticks =
        |it: &StreamsBuilder| it.stream::<Null, Null>("in").process("ticks", (), |()| Ticks);
    let topology = drawn(|it| {
        ticks(it).repartition("r").on_drop(letters()).to("out");
    });
    let mut driver = TopologyDriver::new(&topology).unwrap();
    driver.advance_wall_clock(Duration::from_secs(1)).unwrap();
    let wanted = ["null_key: - tick of nowhere", "null_key: - - of nowhere"];
    assert_eq!(read(&mut driver), wanted);
}

/// Without a serde for it nobody knows what it is: stopping loses nothing.
#[test]
fn what_cannot_be_written_stops_the_application() {
    let topology = drawn(|it| {
        let rows = it.global_table::<String, String>("t", "t");
        let ticks = it.stream::<Null, Null>("in").process("ticks", (), |()| Ticks);
        let how = Joined::named("j");
        let joined = ticks.join_global_with(
            how,
            &rows,
            |_, _| None::<String>,
            |_, row: &String| row.clone(),
        );
        joined.on_drop(letters()).to("out");
    });
    let mut driver = TopologyDriver::new(&topology).unwrap();
    let error = driver.advance_wall_clock(Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, Error::BadRecord { .. }), "{error:?}");
}

#[test]
fn a_policy_to_fail_names_the_record() {
    let topology = drawn(|it| {
        drop(it.stream::<Null, Null>("in").group_by_key().count("n").on_drop(OnError::Fail));
    });
    let mut driver = TopologyDriver::new(&topology).unwrap();
    let error = format!("{:?}", driver.pipe("in", &nullable(None, Some("v"), 1)).unwrap_err());
    assert!(error.contains("null_key") && error.contains("in-0@0"), "{error}");
}
