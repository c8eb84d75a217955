//! The broker goes and comes back, or is not there at first: nothing is lost, and the application
//! goes on by itself.

use millstream::{Streams, StreamsBuilder, StreamsConfig, StreamsState};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait::until_true;

use crate::process::{Counter, PATIENCE, Protocol};
use crate::records::Bench;

#[test]
fn stopped_and_started_again_classic() -> anyhow::Result<()> {
    stopped_and_started_again(Protocol::Classic)
}

#[test]
fn stopped_and_started_again_consumer() -> anyhow::Result<()> {
    stopped_and_started_again(Protocol::Consumer)
}

fn stopped_and_started_again(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut bench = Bench::new(&broker, "outage", 4)?;
    let state = tempfile::tempdir()?;
    let counter =
        Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol).exactly_once();
    let mut running = counter.start()?;
    running.wait_for_line("all tasks run")?;
    // Beyond the first commit: one that asks for the group's coordinator while the broker goes may wait inside the client
    // for an answer that nobody owes it any more.
    bench.send(1_000, 100)?;
    bench.wait_for_outputs(1)?;
    bench.send(5_000, 100)?;
    broker.stop()?;
    running.wait_for_line("WARN")?;
    broker.restart()?;
    bench.send(5_000, 100)?;
    bench.assert_each_once(&bench.read_until_complete()?);
    running.terminate()?;
    Ok(())
}

#[test]
fn stands_still_classic() -> anyhow::Result<()> {
    stands_still(Protocol::Classic)
}

#[test]
fn stands_still_consumer() -> anyhow::Result<()> {
    stands_still(Protocol::Consumer)
}

/// The broker answers nothing for longer than a transaction may last, in the middle of a backlog:
/// each worker drops what it has, and does it again once the broker goes on.
fn stands_still(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut bench = Bench::new(&broker, "still", 4)?;
    bench.send(30_000, 500)?;
    let state = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .exactly_once()
        .with("--workers", "2")
        .with("--commit-ms", "300")
        .with("--transaction-ms", "2000")
        .with("--slow-us", "200");
    let mut running = counter.start()?;
    // Beyond the first commit of both workers: a first one that asks for the group's coordinator
    // waits inside the client for as long as the broker stands still.
    bench.wait_for_outputs(4_000)?;
    broker.pause()?;
    // One that dropped its work cannot do so again before the broker goes on.
    let mut dropped = || running.wait_for_line("dropping everything since the last commit");
    let both = dropped().and_then(|_| dropped());
    broker.resume()?;
    both?;
    bench.assert_each_once(&bench.read_until_complete()?);
    running.terminate()?;
    Ok(())
}

#[test]
fn absent_at_start() -> anyhow::Result<()> {
    let broker = Broker::absent()?;
    let application = millstream_tests::kafka::unique("absent");
    let state = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &application, state.path(), Protocol::Classic);
    let mut running = counter.start()?;
    running.wait_for_line("waiting for the broker's answer")?;
    assert!(
        !running.output().contains("trying again"),
        "the first words come before the first answer"
    );
    running.wait_for_line("trying again")?;
    // It waits without burning the processor, and says so now and then.
    let before = cpu_ticks(running.pid())?;
    running.wait_for_line("waiting for the topics")?;
    running.wait_for_line("waiting for the topics")?;
    let ticks = cpu_ticks(running.pid())? - before;
    assert!(ticks < 50, "{ticks} hundredths of a second of processor time while waiting");
    broker.restart()?;
    let mut bench = Bench::named(&broker, application, 4)?;
    bench.send(1_000, 50)?;
    running.wait_for_line("all tasks run")?;
    bench.assert_table(&bench.read_until_complete()?);
    running.terminate()?;
    Ok(())
}

/// A broker that is away shows at once: no task has to fail for it.
#[test]
fn away_is_seen_in_the_metrics() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let application = unique("away");
    let [from, to] = ["in", "out"].map(|end| format!("{application}-{end}"));
    broker.create_topic(&from, 2)?;
    broker.create_topic(&to, 2)?;
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(from.as_str()).to(to.as_str());
    let state = tempfile::tempdir()?;
    let config = StreamsConfig::new(&application)
        .bootstrap_servers(broker.bootstrap())
        .state_dir(state.path());
    let streams = Streams::start(builder.build()?, config)?;
    let value = |begins: &str| {
        let text = streams.metrics();
        let line = text.lines().find(|line| line.starts_with(begins))?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    let connected = || value("millstream_kafka_brokers_connected{");
    let errors = || value("millstream_errors_total{kind=\"unavailable\"");
    until_true(PATIENCE, "a broker is connected", || Ok(connected() == Some(1)))?;
    until_true(PATIENCE, "it runs", || Ok(streams.state() == StreamsState::Running))?;
    let before = errors();
    broker.kill()?;
    until_true(PATIENCE, "no broker is connected", || Ok(connected() == Some(0)))?;
    until_true(PATIENCE, "an error is counted", || Ok(errors() > before))?;
    broker.restart()?;
    until_true(PATIENCE, "the broker is back", || Ok(connected() == Some(1)))?;
    Ok(streams.close()?)
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()?)
}
