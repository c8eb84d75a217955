//! A global table is complete before the first record meets it, and a restart reads its tail only.

use anyhow::Context as _;
use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol, Running};
use crate::records::Bench;
use crate::rows::Rows;

fn counter(bench: &Bench<'_>, state: &std::path::Path, protocol: Protocol) -> Counter {
    let topic = format!("{}-rows", bench.application);
    let counter = Counter::new(bench.broker.bootstrap(), &bench.application, state, protocol);
    counter.with("--global", &topic)
}

/// The records that it took to complete the table.
fn records_read(running: &mut Running) -> anyhow::Result<u64> {
    let line = running.wait_for_line("the global table is complete")?;
    let (_, count) = line.split_once("records=").context("records in the line")?;
    Ok(count.split(' ').next().context("a number")?.parse()?)
}

/// The join is an inner one, so each record that came before its row is missing in the counts.
#[test]
fn a_million_rows_are_there_before_the_first_record() -> anyhow::Result<()> {
    const ROWS: u64 = 1_000_000;
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "global", 4)?;
    let rows = Rows::new(&bench, 3)?;
    rows.send(0..ROWS)?;
    bench.send(20_000, ROWS)?;
    let state = tempfile::tempdir()?;

    // Killed in the middle of it: what it has by then is of use.
    let mut first = counter(&bench, state.path(), Protocol::Consumer).start()?;
    first.wait_for_line("reading the global table")?;
    first.kill()?;

    let mut second = counter(&bench, state.path(), Protocol::Consumer).start()?;
    let read = records_read(&mut second)?;
    assert!(read <= ROWS, "{read} records of {ROWS}");
    bench.assert_table(&bench.read_until_complete()?);
    second.terminate()?;

    // Another instance has none of it, and reads it whole.
    let elsewhere = tempfile::tempdir()?;
    let mut third = counter(&bench, elsewhere.path(), Protocol::Consumer).start()?;
    assert_eq!(records_read(&mut third)?, ROWS);
    bench.send(20_000, ROWS)?;
    bench.assert_table(&bench.read_until_complete()?);
    third.terminate()?;
    Ok(())
}

#[test]
fn a_restart_reads_the_tail_only() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "global-tail", 2)?;
    let rows = Rows::new(&bench, 2)?;
    rows.send(0..5_000)?;
    let state = tempfile::tempdir()?;
    let counter = counter(&bench, state.path(), Protocol::Classic).exactly_once();

    let mut first = counter.start()?;
    assert_eq!(records_read(&mut first)?, 5_000);
    bench.send(1_000, 5_000)?;
    first.wait_for_line("all tasks run")?;
    bench.assert_each_once(&bench.read_until_complete()?);
    // It follows: some of these it may have when it is killed.
    rows.send(5_000..5_100)?;
    first.kill()?;

    rows.send(5_100..5_150)?;
    let mut second = counter.start()?;
    let tail = records_read(&mut second)?;
    assert!((50..=150).contains(&tail), "{tail} records read");
    bench.send(6_000, 5_150)?;
    bench.assert_each_once(&bench.read_until_complete()?);
    second.terminate()?;

    let mut third = counter.start()?;
    assert_eq!(records_read(&mut third)?, 0);
    third.wait_for_line("all tasks run")?;
    third.terminate()?;
    Ok(())
}
