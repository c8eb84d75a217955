//! kill -9 at each step of a commit and in between, with an outlet that keeps its positions beside its rows: each record is
//! there once, though files and broker know nothing of each other.

use std::time::Duration;

use millstream_tests::files::Files;
use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, PATIENCE, Protocol};
use crate::records::Bench;

#[test]
fn has_each_record_once_exactly_once() -> anyhow::Result<()> {
    has_each_record_once(true)
}

#[test]
fn has_each_record_once_at_least_once() -> anyhow::Result<()> {
    has_each_record_once(false)
}

fn has_each_record_once(exactly_once: bool) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "outlet", 2)?;
    let (state, files) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let dir = files.path().display().to_string();
    let protocol = Protocol::Consumer;
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .with("--outlet", &dir)
        .with("--commit-ms", "50");
    let counter = if exactly_once { counter.exactly_once() } else { counter };
    for step in ["ending:2", "ended:2", "applying:3", "ending:4"] {
        let mut running = counter.clone().with("--wait-at", step).start()?;
        running.wait_for_line("all tasks run")?;
        let begun = wait::now();
        while begun.elapsed() < Duration::from_millis(400) {
            bench.send(50, 10)?;
        }
        running.wait_for_line("at ")?;
        running.kill()?;
    }
    let mut last = counter.start()?;
    bench.send(100, 10)?;
    last.wait_for_line("all tasks run")?;
    let sent = usize::try_from(bench.expected.values().sum::<i64>())?;
    let mut wanted: Vec<String> = (0..sent).map(|at| at.to_string()).collect();
    wanted.sort();
    let complete = || Ok(Files::values(files.path())?.len() >= wanted.len());
    wait::until_true(PATIENCE, "all records in the files", complete)?;
    assert_eq!(Files::values(files.path())?, wanted);
    last.terminate()?;
    assert_eq!(Files::values(files.path())?, wanted);
    Ok(())
}
