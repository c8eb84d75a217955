//! A record cache and the number of partitions change no table in the end; a view shows what kept rows would.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::ProcessingGuarantee::ExactlyOnceV2;
use millstream::record::{Record, Session, Timestamp, Windowed};
use millstream::testing::{DriverOptions, TopologyDriver};
use millstream::{KTable, SessionWindows, SlidingWindows, StreamsBuilder, TimeWindows, Topology};
use proptest::prelude::*;

use super::world::{World, every_store, inputs};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Nothing is late.
const GRACE: Duration = Duration::from_secs(3600);

/// The outputs of [`every_store`] that say of each key what is there in the end.
const TABLES: [&str; 4] = ["counts", "foreign", "tables", "grouped"];

/// Sessions and windows as rows by key and time.
type Totals = BTreeMap<String, i64>;

#[test]
fn one_partition_and_four_end_in_the_same_tables_with_and_without_a_cache() {
    let records = inputs(4, 400);
    let rows = |partitions: i32, cache_bytes: usize| {
        let mut world = World::new(partitions, ExactlyOnceV2);
        world.cache_bytes = cache_bytes;
        let dir = tempfile::tempdir().unwrap();
        records.iter().for_each(|record| world.append(record));
        let streams = world.start(&every_store(), &dir);
        world.settle(&streams);
        streams.close().unwrap();
        TABLES.map(|topic| {
            let rows = world.rows(topic);
            assert!(rows.len() > 1, "{topic}: {rows:?}");
            // A deletion, or that nothing was ever said.
            let there = rows.into_iter().filter(|(_, row)| row.as_deref() != Some("None"));
            (topic, there.collect::<BTreeMap<_, _>>())
        })
    };
    let expected = rows(1, 0);
    assert_eq!(rows(4, 0), expected);
    assert_eq!(rows(1, 1 << 20), expected);
    assert_eq!(rows(4, 1 << 20), expected);
}

fn windowed() -> Topology {
    let builder = StreamsBuilder::new();
    let by_key = builder.stream::<String, i64>("in").group_by_key();
    let sum = |_: &String, value: i64, sum: &mut i64| *sum += value;
    let sessions = by_key.windowed_by(SessionWindows::with_gap(MS(10)).grace(GRACE));
    let sessions = sessions.aggregate("sessions", || 0, sum, |_, sum, later| *sum += later);
    let name = |key: &str, start: i64, end: i64| format!("{key} {start} {end}");
    sessions.to_stream().map(move |it, sum| (name(&it.key, it.start, it.end), sum)).to("sessions");
    let sliding = by_key.windowed_by(SlidingWindows::of_difference(MS(10)).grace(GRACE));
    let sliding = sliding.aggregate("sliding", || 0, sum);
    sliding.to_stream().map(move |it, sum| (name(&it.key, it.start, it.end), sum)).to("sliding");
    let hops = TimeWindows::of(MS(20)).advance_by(MS(10)).grace(GRACE);
    let hops = by_key.windowed_by(hops).aggregate("hops", || 0, sum);
    hops.to_stream().map(move |it, sum| (name(&it.key, it.start, it.end), sum)).to("hops");
    let plain = by_key.aggregate("plain", || 0, sum);
    plain.group_by(|key, sum| (key.clone(), *sum)).reduce("sums", |a, b| a + b, |a, b| a - b);
    builder.build().unwrap()
}

/// The rows of all stores, and what the outputs say of each key.
fn ends_in(records: &[(u8, i64, i64)], cache_bytes: usize, together: usize) -> Vec<Totals> {
    let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&windowed(), &options).unwrap();
    for chunk in records.chunks(together) {
        let records = chunk
            .iter()
            .map(|(key, at, value)| Record::new(format!("k{key}"), *value, Timestamp(*at)));
        driver.pipe_together("in", records).unwrap();
    }
    let mut all = Vec::new();
    for store in ["plain", "sums"] {
        let rows = driver.table::<String, i64>(store).unwrap();
        all.push(rows.into_iter().map(|(key, row, _)| (key, row)).collect());
    }
    for store in ["sliding", "hops"] {
        let rows = driver.windowed_table::<String, i64>(store).unwrap();
        let row = |(window, row, _): (Windowed<String>, i64, Timestamp)| {
            (format!("{} {} {}", window.key, window.start, window.end), row)
        };
        all.push(rows.into_iter().map(row).collect());
    }
    let rows = driver.session_table::<String, i64>("sessions").unwrap();
    let row = |(it, row, _): (Session<String>, i64, Timestamp)| {
        (format!("{} {} {}", it.key, it.start, it.end), row)
    };
    all.push(rows.into_iter().map(row).collect());
    for topic in ["sliding", "hops", "sessions"] {
        let mut said = Totals::new();
        for record in driver.read::<String, Option<i64>>(topic).unwrap() {
            match record.value {
                Some(value) => drop(said.insert(record.key, value)),
                None => drop(said.remove(&record.key)),
            }
        }
        all.push(said);
    }
    assert_eq!(all[2..5], all[5..8], "the outputs say what is in the stores");
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_cache_of_any_size_ends_in_the_same_tables(
        records in proptest::collection::vec((0..3_u8, 0..150_i64, 1..9_i64), 1..60),
        cache_bytes in prop_oneof![Just(600_usize), Just(4_000), Just(1 << 20)],
        together in 1..30_usize,
    ) {
        let expected = ends_in(&records, 0, 1);
        prop_assert_eq!(ends_in(&records, cache_bytes, together), expected);
    }

    #[test]
    fn a_view_shows_what_kept_rows_would(
        changes in proptest::collection::vec((0..3_u8, 0..4_u8, proptest::option::weighted(0.7, 0..9_i64)), 1..60),
    ) {
        let mut driver = TopologyDriver::new(&views()).unwrap();
        let mut at = 0;
        for (topic, key, value) in changes {
            at += 1;
            let topic = ["left", "right", "asks"][usize::from(topic)];
            let record = Record::new(format!("k{key}"), value, Timestamp(at));
            driver.pipe(topic, &record).unwrap();
        }
        for name in VIEWS {
            let seen = driver.read::<String, String>(&format!("{name}-seen")).unwrap();
            let kept = driver.read::<String, String>(&format!("{name}-kept")).unwrap();
            prop_assert_eq!(seen, kept, "{}", name);
        }
    }
}

const VIEWS: [&str; 4] = ["filtered", "mapped", "joined", "both"];

/// Views and the same tables kept, asked for their rows by a stream.
fn views() -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, i64>("left", "left-rows");
    let right = builder.table::<String, i64>("right", "right-rows");
    let asks = builder.stream::<String, Option<i64>>("asks");
    let make = |name: &str| -> KTable<String, i64> {
        let even = || left.filter(|_, row| row % 2 == 0);
        let tenfold = |table: &KTable<String, i64>| table.map_values(|row: &i64| row * 10);
        let joined = |table: &KTable<String, i64>| {
            table.outer_join(&right, |l, r| {
                l.copied().unwrap_or(-1) * 100 + r.copied().unwrap_or(-1)
            })
        };
        match name {
            "filtered" => even().filter_not(|_, row| *row == 4),
            "mapped" => tenfold(&even()),
            "joined" => joined(&left),
            _ => tenfold(&joined(&even())).filter(|_, row| row % 3 != 0),
        }
    };
    for name in VIEWS {
        let (view, kept) = (make(name), make(name).materialized(&*format!("{name}-rows")));
        let row = |_, row: Option<&i64>| format!("{row:?}");
        asks.left_join_table(&view, row).to(format!("{name}-seen"));
        asks.left_join_table(&kept, row).to(format!("{name}-kept"));
    }
    builder.build().unwrap()
}
