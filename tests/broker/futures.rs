//! Futures on their way while instances come, go and are killed: with exactly-once the result of each counts once.

use std::time::Duration;

use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, Protocol};
use crate::records::Bench;

const KEYS: u64 = 50;

/// Each record waits so long for its future: some are on their way at any moment.
const FUTURE_MS: &str = "30";

#[test]
fn killed_at_each_step_of_a_commit_classic() -> anyhow::Result<()> {
    killed_at_each_step_of_a_commit(Protocol::Classic)
}

#[test]
fn killed_at_each_step_of_a_commit_consumer() -> anyhow::Result<()> {
    killed_at_each_step_of_a_commit(Protocol::Consumer)
}

fn killed_at_each_step_of_a_commit(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "futures", 2)?;
    let state = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .exactly_once()
        .with("--future-ms", FUTURE_MS)
        .with("--commit-ms", "50");
    for step in ["offsets-sent:2", "ending:3", "ended:2", "applying:3"] {
        let mut running = counter.clone().with("--wait-at", step).start()?;
        bench.send(500, KEYS)?;
        running.wait_for_line("at ")?;
        running.kill()?;
    }
    let mut last = counter.start()?;
    bench.send(100, KEYS)?;
    last.wait_for_line("all tasks run")?;
    bench.assert_each_once(&bench.read_until_complete()?);
    last.terminate()?;
    Ok(())
}

#[test]
fn join_leave_and_are_killed_under_load_classic() -> anyhow::Result<()> {
    join_leave_and_are_killed_under_load(Protocol::Classic)
}

#[test]
fn join_leave_and_are_killed_under_load_consumer() -> anyhow::Result<()> {
    join_leave_and_are_killed_under_load(Protocol::Consumer)
}

/// Partitions move with futures on their way: a revocation waits for them, a kill -9 does not.
fn join_leave_and_are_killed_under_load(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "futures", 4)?;
    let (first_state, second_state) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let counter = |state: &tempfile::TempDir| {
        Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
            .exactly_once()
            .with("--future-ms", FUTURE_MS)
    };
    let (first, second) = (counter(&first_state), counter(&second_state));
    let mut staying = first.start()?;
    bench.send(1_000, KEYS)?;
    staying.wait_for_line("all tasks run")?;
    for round in 0..4 {
        let mut joined = second.start()?;
        joined.wait_for_line("all tasks run")?;
        let begun = wait::now();
        while begun.elapsed() < Duration::from_millis(500) {
            bench.send(50, KEYS)?;
        }
        if round % 2 == 0 {
            joined.kill()?;
        } else {
            joined.terminate()?;
        }
    }
    bench.send(100, KEYS)?;
    bench.assert_each_once(&bench.read_until_complete()?);
    staying.terminate()?;
    Ok(())
}
