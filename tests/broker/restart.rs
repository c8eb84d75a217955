//! A restart reads the tail of the changelog only, and none of it after an orderly stop.

use anyhow::Context as _;
use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol, Running};
use crate::records::Bench;

/// The records that a process restored, by its log: one line per changelog partition.
fn restored(running: &mut Running) -> anyhow::Result<u64> {
    let mut records = 0;
    for line in running.output().lines().filter(|line| line.contains(" restored task=")) {
        let (_, count) = line.split_once("records=").context("records in the line")?;
        records += count.trim().parse::<u64>()?;
    }
    Ok(records)
}

#[test]
fn reads_the_tail_only_classic() -> anyhow::Result<()> {
    reads_the_tail_only(Protocol::Classic)
}

#[test]
fn reads_the_tail_only_consumer() -> anyhow::Result<()> {
    reads_the_tail_only(Protocol::Consumer)
}

fn reads_the_tail_only(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "restart", 4)?;
    let state = tempfile::tempdir()?;
    let counter =
        Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol).exactly_once();

    let mut first = counter.start()?;
    bench.send(5_000, 100)?;
    first.wait_for_line("all tasks run")?;
    bench.assert_each_once(&bench.read_until_complete()?);
    assert_eq!(restored(&mut first)?, 0);
    first.terminate()?;

    // After an orderly stop the stores are at the end of their changelogs.
    let mut second = counter.clone().with("--wait-at", "applying:1").start()?;
    second.wait_for_line("all tasks run")?;
    assert_eq!(restored(&mut second)?, 0);
    // One commit that the broker has and the stores have not: that is the tail.
    bench.send(300, 100)?;
    second.wait_for_line("at Applying")?;
    second.kill()?;

    let mut third = counter.start()?;
    third.wait_for_line("all tasks run")?;
    let tail = restored(&mut third)?;
    assert!((1..=300).contains(&tail), "{tail} records restored");
    bench.assert_each_once(&bench.read_until_complete()?);
    third.terminate()?;

    // Without its directory an instance reads the whole changelog.
    let elsewhere = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &bench.application, elsewhere.path(), protocol);
    let mut fourth = counter.exactly_once().start()?;
    fourth.wait_for_line("all tasks run")?;
    assert_eq!(restored(&mut fourth)?, 5_300);
    fourth.terminate()?;
    Ok(())
}
