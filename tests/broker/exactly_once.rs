//! kill -9 at the named points of a commit and at random moments: with exactly-once each input
//! counts once in the committed output, and no revision of a key is committed twice.

use std::time::Duration;

use anyhow::Context as _;
use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, PATIENCE, Protocol};
use crate::records::Bench;

/// The named points, as the counter knows them: after the offsets were sent, before the end of the
/// transaction, after it, before the local stores take it over.
const POINTS: [&str; 4] = ["offsets-sent:3", "ending:3", "ended:3", "applying:3"];

#[test]
fn killed_at_each_named_point_classic() -> anyhow::Result<()> {
    killed_at_each_named_point(Protocol::Classic)
}

#[test]
fn killed_at_each_named_point_consumer() -> anyhow::Result<()> {
    killed_at_each_named_point(Protocol::Consumer)
}

fn killed_at_each_named_point(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    for point in POINTS {
        let mut bench = Bench::new(&broker, "killed", 4)?;
        let state = tempfile::tempdir()?;
        let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
            .exactly_once();
        let mut doomed = counter.clone().with("--wait-at", point).start()?;
        doomed.wait_for_line("all tasks run")?;
        // Commits happen while there is something to commit, so input goes on until the point.
        wait::until_true(PATIENCE, point, || {
            bench.send(100, 50)?;
            Ok(doomed.has_said("at "))
        })?;
        doomed.kill()?;
        let mut next = counter.start()?;
        next.wait_for_line("all tasks run")?;
        bench.send(500, 50)?;
        bench.assert_each_once(&bench.read_until_complete()?);
        next.terminate()?;
    }
    Ok(())
}

#[test]
fn killed_twenty_times_at_random_classic() -> anyhow::Result<()> {
    killed_at_random(Protocol::Classic, 20, 0x5eed_0001)
}

#[test]
fn killed_twenty_times_at_random_consumer() -> anyhow::Result<()> {
    killed_at_random(Protocol::Consumer, 20, 0x5eed_0002)
}

fn killed_at_random(protocol: Protocol, times: u32, seed: u64) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "random", 4)?;
    let state = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .exactly_once()
        .with("--commit-ms", "50");
    let mut random = seed;
    for _ in 0..times {
        let mut running = counter.start()?;
        bench.send(200, 40)?;
        running.wait_for_line("all tasks run")?;
        // xorshift: the moment of the kill is spread over a few commits.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_millis(random % 400);
        let started = wait::now();
        while started.elapsed() < moment {
            bench.send(20, 40)?;
        }
        running.kill()?;
    }
    let mut last = counter.start()?;
    last.wait_for_line("all tasks run")?;
    let revisions = bench.read_until_complete().with_context(|| format!("seed {seed:#x}"))?;
    bench.assert_each_once(&revisions);
    last.terminate()?;
    Ok(())
}

/// The killed process leaves a transaction with the group's offsets in it, which the broker would
/// end after five minutes only. The next process ends it itself, before it asks for positions.
#[test]
fn a_kill_between_offsets_and_commit_does_not_stall_the_restart() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "pending", 4)?;
    let state = tempfile::tempdir()?;
    let bootstrap = broker.bootstrap();
    let counter = Counter::new(bootstrap, &bench.application, state.path(), Protocol::Classic)
        .exactly_once()
        .with("--transaction-ms", "300000");
    let mut doomed = counter.clone().with("--wait-at", "offsets-sent:3").start()?;
    doomed.wait_for_line("all tasks run")?;
    while !doomed.has_said("at ") {
        bench.send(100, 50)?;
    }
    doomed.kill()?;
    let mut next = counter.start()?;
    next.wait_for_line("all tasks run")?;
    bench.assert_each_once(&bench.read_until_complete()?);
    next.terminate()?;
    Ok(())
}
