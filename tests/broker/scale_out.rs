//! A second instance joins and leaves under load: nothing is lost and nothing counted twice.

use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol};
use crate::records::Bench;

#[test]
fn joins_and_leaves_under_load_classic() -> anyhow::Result<()> {
    joins_and_leaves_under_load(Protocol::Classic, false)
}

#[test]
fn joins_and_leaves_under_load_consumer() -> anyhow::Result<()> {
    joins_and_leaves_under_load(Protocol::Consumer, false)
}

#[test]
fn joins_and_leaves_under_load_exactly_once_classic() -> anyhow::Result<()> {
    joins_and_leaves_under_load(Protocol::Classic, true)
}

#[test]
fn joins_and_leaves_under_load_exactly_once_consumer() -> anyhow::Result<()> {
    joins_and_leaves_under_load(Protocol::Consumer, true)
}

fn joins_and_leaves_under_load(protocol: Protocol, exactly_once: bool) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "scale", 4)?;
    let (first_state, second_state) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let counter = |state: &tempfile::TempDir| {
        let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol);
        if exactly_once { counter.exactly_once() } else { counter }
    };
    let (first, second) = (counter(&first_state), counter(&second_state));
    let mut first = first.start()?;
    bench.send(10_000, 300)?;
    first.wait_for_line("all tasks run")?;
    let mut joined = second.start()?;
    bench.send(10_000, 300)?;
    joined.wait_for_line("all tasks run")?;
    bench.send(10_000, 300)?;
    // What the second had must go back to the first with its state.
    joined.terminate()?;
    bench.send(10_000, 300)?;
    let revisions = bench.read_until_complete()?;
    if exactly_once {
        bench.assert_each_once(&revisions);
    } else {
        bench.assert_table(&revisions);
    }
    first.terminate()?;
    Ok(())
}
