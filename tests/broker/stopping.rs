//! The end of a process: in time, whatever hangs, and with an exit code and a last line that say
//! how it ended.

use std::time::Duration;

use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, Protocol, Running};
use crate::records::Bench;

/// It ends with a failure, and its output says that work was dropped.
fn ends_with_dropped_work(mut running: Running, because: &str) -> anyhow::Result<()> {
    let status = running.wait()?;
    let output = wait::until(crate::process::PATIENCE, "the reason", || {
        let output = running.output();
        Ok(output.lines().any(|line| line.starts_with("Error: ")).then_some(output))
    })?;
    assert!(!status.success(), "{status} after:\n{output}");
    for part in [because, "work since the last commit is dropped"] {
        assert!(output.contains(part), "{part} is missing in:\n{output}");
    }
    Ok(())
}

fn hanging(broker: &Broker, close_ms: &str) -> anyhow::Result<(tempfile::TempDir, Running)> {
    let mut bench = Bench::new(broker, "hanging", 1)?;
    let state = tempfile::tempdir()?;
    let application = &bench.application;
    let counter = Counter::new(broker.bootstrap(), application, state.path(), Protocol::Classic)
        .exactly_once()
        .with("--slow-us", "3600000000")
        .with("--close-ms", close_ms);
    let mut running = counter.start()?;
    running.wait_for_line("all tasks run")?;
    bench.send(1, 1)?;
    running.wait_for_line("a slow record")?;
    Ok((state, running))
}

/// A record takes an hour: the stop does not.
#[test]
fn a_record_that_hangs_does_not_hold_up_the_end() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let (_state, running) = hanging(&broker, "4000")?;
    running.tell_to_stop()?;
    ends_with_dropped_work(running, "stopping")
}

/// The stop may take an hour too: a second signal does not wait for it.
#[test]
fn a_second_signal_ends_at_once() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let (_state, mut running) = hanging(&broker, "3600000")?;
    running.tell_to_stop()?;
    running.wait_for_line("told to stop")?;
    // What comes at once is the same wish, told twice: it ends in order, as long as that may take.
    running.tell_to_stop()?;
    let told = wait::now();
    wait::until_true(crate::process::PATIENCE, "a wish of its own", || {
        Ok(told.elapsed() > Duration::from_secs(1))
    })?;
    running.tell_to_stop()?;
    ends_with_dropped_work(running, "a second signal")
}

#[test]
fn a_broker_that_is_away_does_not_hold_up_the_end_at_least_once() -> anyhow::Result<()> {
    a_broker_that_is_away_does_not_hold_up_the_end(false)
}

#[test]
fn a_broker_that_is_away_does_not_hold_up_the_end_exactly_once() -> anyhow::Result<()> {
    a_broker_that_is_away_does_not_hold_up_the_end(true)
}

/// The transaction may last ten minutes, so may the wait for its end.
fn a_broker_that_is_away_does_not_hold_up_the_end(exactly_once: bool) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut bench = Bench::new(&broker, "away", 1)?;
    let state = tempfile::tempdir()?;
    let application = &bench.application;
    let counter = Counter::new(broker.bootstrap(), application, state.path(), Protocol::Classic)
        .with("--slow-us", "200")
        .with("--transaction-ms", "600000")
        .with("--close-ms", "8000");
    let counter = if exactly_once { counter.exactly_once() } else { counter };
    let mut running = counter.start()?;
    running.wait_for_line("all tasks run")?;
    bench.send(20_000, 50)?;
    broker.kill()?;
    running.wait_for_line("WARN")?;
    running.tell_to_stop()?;
    ends_with_dropped_work(running, "stopping")
}

/// What ended the instance is the last thing it says, in words and not in Rust.
#[test]
fn the_reason_of_the_end_is_the_last_word() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "reason", 2)?;
    let state = tempfile::tempdir()?;
    let application = &bench.application;
    let counter = Counter::new(broker.bootstrap(), application, state.path(), Protocol::Classic)
        .exactly_once()
        .with("--poison", "777");
    let mut running = counter.start()?;
    running.wait_for_line("all tasks run")?;
    bench.send(1_000, 50)?;
    assert!(!running.wait()?.success());
    let output = wait::until(crate::process::PATIENCE, "the reason", || {
        let output = running.output();
        Ok(output.lines().any(|line| line.starts_with("Error: ")).then_some(output))
    })?;
    let (_, after) = output.split_once("the instance stops").unwrap_or_default();
    assert!(after.contains("poison"), "{output}");
    for word in ["WARN", "lost", "dropping"] {
        assert!(!after.contains(word), "{word} in the end of:\n{output}");
    }
    let mut errors = output.lines().filter(|line| line.contains("ERROR"));
    assert!(errors.next_back().unwrap_or_default().contains("ended by an error"), "{output}");
    Ok(())
}
