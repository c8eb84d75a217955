//! Time on idle inputs: what waits for it is closed as if a record of that time had come.

use std::path::Path;
use std::time::Duration;

use crate::operators::{Context, Joined, KStream, KTable, Processor};
use crate::policy::{DropReason, OnError};
use crate::record::{Data, Record, Timestamp, Windowed};
use crate::serde::HasSerde;
use crate::store::Materialized;
use crate::testing::{DriverOptions, TopologyDriver, text};
use crate::time::{Emit, JoinWindows, SessionWindows, SlidingWindows, Suppress, TimeWindows};
use crate::topology::{StreamsBuilder, Topology};
use crate::{BoxError, PunctuationType, Schedule};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// All windows here are longer.
const TIMEOUT: u64 = 4;

fn kept_in(topology: &Topology, dir: Option<&Path>) -> TopologyDriver {
    let (idle_timeout, state_dir) = (Some(MS(TIMEOUT)), dir.map(Path::to_owned));
    let options = DriverOptions { idle_timeout, state_dir, ..DriverOptions::default() };
    TopologyDriver::with_options(topology, &options).unwrap()
}

fn idling(topology: &Topology) -> TopologyDriver {
    kept_in(topology, None)
}

fn counts<K: Data>(table: &KTable<K, i64>, key: fn(&K) -> String) {
    table.updates().map(move |window, count| (key(&window), count)).to("out");
}

/// Key, value and time of what came out since the last call.
fn out<V: HasSerde>(driver: &mut TopologyDriver) -> Vec<(String, V, i64)> {
    let out = driver.read::<String, V>("out").unwrap();
    out.into_iter().map(|record| (record.key, record.value, record.timestamp.0)).collect()
}

fn row<V>(key: &str, value: V, at: i64) -> (String, V, i64) {
    (key.to_owned(), value, at)
}

/// Moves the clock so far that `last` is the last millisecond in which nothing comes out.
fn nothing_until<V: HasSerde + Data>(
    driver: &mut TopologyDriver,
    last: u64,
) -> Vec<(String, V, i64)> {
    driver.advance_wall_clock(MS(last)).unwrap();
    assert_eq!(out::<V>(driver).len(), 0);
    driver.advance_wall_clock(MS(1)).unwrap();
    out(driver)
}

fn windows(emit: Emit) -> Topology {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of(MS(10)).grace(MS(5));
    let stream = builder.stream::<String, String>("in").group_by_key();
    let table = stream.windowed_by(windows).emit(emit).count("w");
    counts(&table, |window| format!("{}@{}", window.key, window.start));
    builder.build().unwrap()
}

#[test]
fn windows_close_and_what_comes_later_is_late() {
    let mut driver = idling(&windows(Emit::OnWindowClose));
    driver.pipe("in", &text("k", "v", 3)).unwrap();
    assert_eq!(nothing_until::<i64>(&mut driver, 11), [row("k@0", 1, 3)]);
    driver.pipe("in", &text("k", "v", 9)).unwrap();
    assert_eq!(driver.dropped(DropReason::Late), 1);
    driver.pipe("in", &text("k", "v", 10)).unwrap();
    assert_eq!(driver.dropped(DropReason::Late), 1);
}

#[test]
fn time_stands_still_as_long_as_records_come_and_without_the_setting() {
    let topology = windows(Emit::OnWindowClose);
    let mut driver = idling(&topology);
    for _ in 0..20 {
        driver.pipe("in", &text("k", "v", 3)).unwrap();
        driver.advance_wall_clock(MS(TIMEOUT - 1)).unwrap();
    }
    assert_eq!(out::<i64>(&mut driver), []);
    let mut off = TopologyDriver::new(&topology).unwrap();
    off.pipe("in", &text("k", "v", 3)).unwrap();
    off.advance_wall_clock(MS(1_000_000)).unwrap();
    assert_eq!(out::<i64>(&mut off), []);
}

#[test]
fn a_restart_does_not_forget_what_time_it_was() {
    for emit in [Emit::OnUpdate, Emit::OnWindowClose] {
        let dir = tempfile::tempdir().unwrap();
        let topology = windows(emit);
        let mut before = kept_in(&topology, Some(dir.path()));
        before.pipe("in", &text("k", "v", 3)).unwrap();
        before.advance_wall_clock(MS(11)).unwrap();
        drop(before);
        // Stream time is 14: one millisecond is missing.
        let mut driver = kept_in(&topology, Some(dir.path()));
        driver.advance_wall_clock(MS(TIMEOUT)).unwrap();
        let closed = if emit == Emit::OnUpdate { vec![] } else { vec![row("k@0", 1, 3)] };
        assert_eq!(out::<i64>(&mut driver), closed, "{emit:?}");
        drop(driver);
        let mut driver = kept_in(&topology, Some(dir.path()));
        driver.pipe("in", &text("k", "v", 9)).unwrap();
        assert_eq!(driver.dropped(DropReason::Late), 1, "{emit:?}");
    }
}

#[test]
fn sessions_and_sliding_windows_close() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let sessions = stream.windowed_by(SessionWindows::with_gap(MS(5)).grace(MS(2)));
    let table = sessions.emit(Emit::OnWindowClose).count("sessions");
    counts(&table, |session| format!("session {}-{}", session.start, session.end));
    let sliding = stream.windowed_by(SlidingWindows::of_difference(MS(5)).grace(MS(20)));
    let table = sliding.emit(Emit::OnWindowClose).count("sliding");
    counts(&table, |window| format!("window {}-{}", window.start, window.end));
    let mut driver = idling(&builder.build().unwrap());
    for at in [100, 103] {
        driver.pipe("in", &text("k", "v", at)).unwrap();
    }
    assert_eq!(nothing_until::<i64>(&mut driver, 7), [row("session 100-103", 2, 103)]);
    // At 121, 124 and 127.
    assert_eq!(nothing_until::<i64>(&mut driver, 9), [row("window 95-100", 1, 100)]);
    assert_eq!(nothing_until::<i64>(&mut driver, 2), [row("window 98-103", 2, 103)]);
    assert_eq!(nothing_until::<i64>(&mut driver, 2), [row("window 101-106", 1, 103)]);
    for at in [95, 98] {
        driver.pipe("in", &text("k", "v", at)).unwrap();
    }
    assert_eq!(driver.dropped(DropReason::Late), 4);
}

#[test]
fn what_is_suppressed_comes_out() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let windowed = stream.windowed_by(TimeWindows::of(MS(10)).grace(MS(5))).count("w");
    let closed = windowed.suppress("closed", Suppress::until_window_closes());
    counts(&closed, |window: &Windowed<String>| window.key.clone());
    let seldom = stream.count("all").suppress("seldom", Suppress::until_time_limit(MS(30)));
    counts(&seldom, |key: &String| format!("all {key}"));
    let mut driver = idling(&builder.build().unwrap());
    driver.pipe("in", &text("k", "v", 3)).unwrap();
    assert_eq!(nothing_until::<i64>(&mut driver, 11), [row("k", 1, 3)]);
    assert_eq!(nothing_until::<i64>(&mut driver, 17), [row("all k", 1, 3)]);
}

fn joined(how: fn(&StreamsBuilder, JoinWindows)) -> Topology {
    let builder = StreamsBuilder::new();
    how(&builder, JoinWindows::within(MS(10)).after(MS(20)).grace(MS(5)));
    builder.build().unwrap()
}

fn sides(builder: &StreamsBuilder) -> (KStream<String, String>, KStream<String, String>) {
    (builder.stream("l"), builder.stream("r"))
}

fn both(l: Option<&String>, r: Option<&String>) -> String {
    format!("{l:?} {r:?}")
}

#[test]
fn who_met_nobody_is_given_out() {
    let left = joined(|builder, within| {
        let (l, r) = sides(builder);
        l.left_join("j", &r, within, |l, r| both(Some(l), r)).to("out");
    });
    let outer = joined(|builder, within| {
        let (l, r) = sides(builder);
        l.outer_join("j", &r, within, both).to("out");
    });
    // A left record waits for 25 ms, a right one for 15.
    for (topology, topic, last, alone) in [
        (&left, "l", 25, Some("Some(\"v\") None")),
        (&left, "r", 25, None),
        (&outer, "l", 25, Some("Some(\"v\") None")),
        (&outer, "r", 15, Some("None Some(\"v\")")),
    ] {
        let mut driver = idling(topology);
        driver.pipe(topic, &text("k", "v", 100)).unwrap();
        let wanted: Vec<_> =
            alone.map(|alone| row("k", alone.to_owned(), 100)).into_iter().collect();
        assert_eq!(nothing_until::<String>(&mut driver, last), wanted, "{topic}");
        driver.advance_wall_clock(MS(1_000)).unwrap();
        assert_eq!(out::<String>(&mut driver), [], "{topic}");
    }
}

#[test]
fn who_met_nobody_and_fails_is_a_dead_letter_of_its_own() {
    let topology = joined(|builder, within| {
        let (l, r) = sides(builder);
        let joined = l.outer_join("j", &r, within, both);
        let refused = joined.try_map_values(|_| Err::<String, _>("refused"));
        refused.on_error(OnError::dead_letter("letters")).to("out");
    });
    let mut driver = idling(&topology);
    for value in ["first", "second"] {
        driver.pipe("l", &text("k", value, 100)).unwrap();
    }
    driver.pipe("r", &text("other", "right", 101)).unwrap();
    driver.advance_wall_clock(MS(100)).unwrap();
    let letters = driver.read::<String, String>("letters").unwrap();
    let letters: Vec<_> = letters.iter().map(|it| (&*it.key, &*it.value, it.timestamp.0)).collect();
    // By time: those of the left wait for longer, but all are over.
    assert_eq!(letters, [("k", "first", 100), ("k", "second", 100), ("other", "right", 101)]);
}

#[test]
fn a_join_that_waits_for_its_table_goes_on() {
    let builder = StreamsBuilder::new();
    let prices = Materialized::named("prices").versioned(MS(1_000));
    let prices = builder.table::<String, String>("prices", prices);
    let orders = builder.stream::<String, String>("orders");
    let how = Joined::named("priced").grace(MS(10));
    orders.join_table_with(how, &prices, |order, price| format!("{order} {price}")).to("out");
    let mut driver = idling(&builder.build().unwrap());
    driver.pipe("orders", &text("pen", "1", 20)).unwrap();
    driver.pipe("prices", &text("pen", "9", 19)).unwrap();
    assert_eq!(nothing_until::<String>(&mut driver, 9), [row("pen", "1 9".to_owned(), 20)]);
}

#[test]
fn each_task_has_its_own_time() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let first = stream.windowed_by(TimeWindows::of(MS(10)).no_grace());
    let first = first.emit(Emit::OnWindowClose).count("first").updates();
    let again = first.group_by(|_, count| count.to_string());
    let second = again.windowed_by(TimeWindows::of(MS(20)).no_grace());
    let second = second.emit(Emit::OnWindowClose).count("second");
    counts(&second, |window: &Windowed<String>| window.key.clone());
    let mut driver = idling(&builder.build().unwrap());
    driver.pipe("in", &text("k", "v", 3)).unwrap();
    driver.advance_wall_clock(MS(7)).unwrap();
    // The first window has closed, and is the first record of the second task.
    assert_eq!(nothing_until::<i64>(&mut driver, 16), [row("1", 1, 3)]);
}

struct Ticks;

impl Processor<String, String> for Ticks {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        ctx.schedule(MS(10), PunctuationType::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        _: Record<String, String>,
        _: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        now: Timestamp,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(text("tick", &format!("{}", ctx.stream_time().0), now.0));
        Ok(())
    }
}

#[test]
fn punctuations_by_stream_time_are_run() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").process("ticks", (), |()| Ticks).to("out");
    let mut driver = idling(&builder.build().unwrap());
    driver.pipe("in", &text("k", "v", 100)).unwrap();
    let _ = out::<String>(&mut driver);
    driver.advance_wall_clock(MS(9)).unwrap();
    assert_eq!(out::<String>(&mut driver).len(), 0);
    driver.advance_wall_clock(MS(1)).unwrap();
    assert_eq!(out::<String>(&mut driver), [row("tick", "110".to_owned(), 110)]);
}
