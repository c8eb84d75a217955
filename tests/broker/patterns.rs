//! A topic that appears under a pattern while an application runs: it is read from its start, with a count behind it,
//! nothing lost and nothing twice.

use std::time::Duration;

use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol};
use crate::records::Bench;

/// How soon the topic must be noticed.
const METADATA: &str = "1000";

fn counter(bench: &Bench<'_>, state: &tempfile::TempDir, protocol: Protocol) -> Counter {
    Counter::new(bench.broker.bootstrap(), &bench.application, state.path(), protocol)
        .exactly_once()
        .with("--pattern", &format!("{}(-.*)?", bench.input()))
        .with("--metadata-ms", METADATA)
}

#[test]
fn a_topic_that_appears_under_a_pattern_classic() -> anyhow::Result<()> {
    a_topic_that_appears_under_a_pattern(Protocol::Classic)
}

#[test]
fn a_topic_that_appears_under_a_pattern_consumer() -> anyhow::Result<()> {
    a_topic_that_appears_under_a_pattern(Protocol::Consumer)
}

fn a_topic_that_appears_under_a_pattern(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "pattern", 4)?;
    let state = tempfile::tempdir()?;
    let mut running = counter(&bench, &state, protocol).start()?;
    running.wait_for_line("all tasks run")?;
    bench.send(200, 20)?;
    let late = format!("{}-late", bench.input());
    broker.create_topic(&late, 4)?;
    // Before anybody has noticed it.
    bench.send_to(&late, 200, 20)?;
    bench.send(200, 20)?;
    running.wait_for_line("other topics match the patterns")?;
    bench.send_to(&late, 100, 20)?;
    bench.assert_each_once(&bench.read_until_complete()?);
    running.terminate()?;
    Ok(())
}

#[test]
fn a_topic_that_appears_around_a_kill_classic() -> anyhow::Result<()> {
    a_topic_that_appears_around_a_kill(Protocol::Classic)
}

#[test]
fn a_topic_that_appears_around_a_kill_consumer() -> anyhow::Result<()> {
    a_topic_that_appears_around_a_kill(Protocol::Consumer)
}

/// Killed shortly after the topic was noticed: what of it was committed is not read again, and the rest is not lost.
fn a_topic_that_appears_around_a_kill(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "pattern-kill", 4)?;
    let state = tempfile::tempdir()?;
    let counter = counter(&bench, &state, protocol);
    let mut doomed = counter.start()?;
    doomed.wait_for_line("all tasks run")?;
    bench.send(200, 20)?;
    let late = format!("{}-late", bench.input());
    broker.create_topic(&late, 4)?;
    bench.send_to(&late, 500, 20)?;
    doomed.wait_for_line("other topics match the patterns")?;
    let noticed = millstream_tests::wait::now();
    while noticed.elapsed() < Duration::from_millis(1_500) {
        bench.send_to(&late, 20, 20)?;
        bench.send(20, 20)?;
    }
    doomed.kill()?;
    bench.send_to(&late, 100, 20)?;
    let mut next = counter.start()?;
    next.wait_for_line("all tasks run")?;
    bench.assert_each_once(&bench.read_until_complete()?);
    next.terminate()?;
    Ok(())
}
