//! One process per state directory: the second is told so and ends.

use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol};
use crate::records::Bench;

#[test]
fn a_directory_in_use_is_refused() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let bench = Bench::new(&broker, "locked", 4)?;
    let state = tempfile::tempdir()?;
    let counter =
        Counter::new(broker.bootstrap(), &bench.application, state.path(), Protocol::Classic);
    let mut first = counter.start()?;
    first.wait_for_line("all tasks run")?;
    let mut second = counter.start()?;
    let line = second.wait_for_line("in use by another process")?;
    assert!(line.contains(&state.path().display().to_string()), "{line}");
    assert!(!second.wait()?.success());
    first.terminate()?;
    Ok(())
}
