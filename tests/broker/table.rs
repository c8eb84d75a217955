//! Produce, process, consume: the final table equals a batch computation over the same input.

use millstream_tests::kafka::Broker;

use crate::process::{Counter, Protocol};
use crate::records::Bench;

#[test]
fn equals_a_batch_computation_classic() -> anyhow::Result<()> {
    equals_a_batch_computation(Protocol::Classic)
}

#[test]
fn equals_a_batch_computation_consumer() -> anyhow::Result<()> {
    equals_a_batch_computation(Protocol::Consumer)
}

fn equals_a_batch_computation(protocol: Protocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "table", 6)?;
    let state = tempfile::tempdir()?;
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .with("--workers", "2")
        .with("--cache-bytes", "1000000");
    let mut running = counter.start()?;
    bench.send(20_000, 500)?;
    running.wait_for_line("all tasks run")?;
    bench.send(20_000, 700)?;
    bench.assert_table(&bench.read_until_complete()?);
    running.terminate()?;
    Ok(())
}
