//! The order in which a record cache hands on what it has held back, where the time of a row decides what comes of it.

use std::time::Duration;

use crate::policy::DropReason;
use crate::record::Windowed;
use crate::testing::{DriverOptions, TopologyDriver, text};
use crate::time::{Suppress, TimeWindows};
use crate::topology::{StreamsBuilder, Topology};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn cached(topology: &Topology) -> TopologyDriver {
    let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
    TopologyDriver::with_options(topology, &options).unwrap()
}

fn out(driver: &mut TopologyDriver) -> Vec<(String, i64)> {
    let out = driver.read::<String, i64>("out").unwrap();
    out.into_iter().map(|record| (record.key, record.value)).collect()
}

/// Kafka Streams hands on in the order of the last changes, so `k` goes before what closes its window.
#[test]
fn a_window_that_was_still_open_is_given_out_once_and_whole() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let windows = TimeWindows::of(MS(10)).grace(MS(15));
    let closed =
        stream.windowed_by(windows).count("w").suppress("s", Suppress::until_window_closes());
    closed
        .updates()
        .map(|window: Windowed<String>, count| (format!("{}@{}", window.key, window.start), count))
        .to("out");
    let mut driver = cached(&builder.build().unwrap());
    driver.pipe("in", &text("k", "v", 3)).unwrap();
    driver
        .pipe_together("in", [text("z", "v", 24), text("k", "v", 4), text("z", "v", 29)])
        .unwrap();
    assert_eq!(driver.dropped(DropReason::Late), 0);
    assert_eq!(out(&mut driver), [("k@0".to_owned(), 2)]);
}

/// As above: in the order of the last changes their times ascend.
#[test]
fn rows_of_records_that_came_in_order_are_not_late() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key().count("n").updates();
    let windows = TimeWindows::of(MS(10)).no_grace();
    let windowed = counts.group_by_key().windowed_by(windows).count("w").updates();
    windowed.map(|window: Windowed<String>, count| (window.key, count)).to("out");
    let mut driver = cached(&builder.build().unwrap());
    driver.pipe_together("in", [text("a", "v", 1), text("b", "v", 2), text("a", "v", 50)]).unwrap();
    assert_eq!(driver.dropped(DropReason::Late), 0);
    let mut found = out(&mut driver);
    found.sort();
    assert_eq!(found, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
}
