//! kill -9 in the middle of a topology in which each record passes a join of two streams, a session, what `suppress` holds
//! back, a future and a join by foreign key: with exactly-once each input counts once in the committed output.

use std::time::Duration;

use anyhow::Context as _;
use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, Protocol};
use crate::records::Bench;
use crate::rows::Rows;

const KEYS: u64 = 20;
const KILLS: u32 = 6;

#[test]
fn killed_in_the_middle_of_all_operators_classic() -> anyhow::Result<()> {
    killed_in_the_middle_of_all_operators(Protocol::Classic, 0x5eed_0011)
}

#[test]
fn killed_in_the_middle_of_all_operators_consumer() -> anyhow::Result<()> {
    killed_in_the_middle_of_all_operators(Protocol::Consumer, 0x5eed_0012)
}

fn killed_in_the_middle_of_all_operators(protocol: Protocol, seed: u64) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "mixed", 2)?;
    let rows = Rows::new(&bench, 3)?;
    rows.send(0..KEYS)?;
    let state = tempfile::tempdir()?;
    let topic = format!("{}-rows", bench.application);
    let counter = Counter::new(broker.bootstrap(), &bench.application, state.path(), protocol)
        .exactly_once()
        .with("--mixed", &topic)
        .with("--commit-ms", "50");
    let mut random = seed;
    for _ in 0..KILLS {
        let mut running = counter.start()?;
        bench.send(100, KEYS)?;
        running.wait_for_line("all tasks run")?;
        // xorshift: the moment of the kill is spread over a few commits.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_millis(random % 600);
        let started = wait::now();
        while started.elapsed() < moment {
            bench.send(20, KEYS)?;
        }
        running.kill()?;
    }
    let mut last = counter.start()?;
    last.wait_for_line("all tasks run")?;
    bench.send(100, KEYS)?;
    let revisions = bench.read_until_complete().with_context(|| format!("seed {seed:#x}"))?;
    bench.assert_table(&revisions);
    // An answer that was overtaken is dropped, so not each count comes out; but none comes twice, and none goes back.
    for (key, counts) in &revisions {
        assert!(counts.is_sorted_by(|one, next| one < next), "{key}: {counts:?}");
    }
    last.terminate()?;
    Ok(())
}
