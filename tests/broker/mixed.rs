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
    killed_in_the_middle_of_all_operators(Protocol::Classic, 0x5eed_0011, false)
}

#[test]
fn killed_in_the_middle_of_all_operators_consumer() -> anyhow::Result<()> {
    killed_in_the_middle_of_all_operators(Protocol::Consumer, 0x5eed_0012, false)
}

/// The rows of the table come from its own topic each time.
#[test]
fn killed_with_fewer_topics_and_without_the_disk() -> anyhow::Result<()> {
    killed_in_the_middle_of_all_operators(Protocol::Consumer, 0x5eed_0013, true)
}

fn killed_in_the_middle_of_all_operators(
    protocol: Protocol,
    seed: u64,
    fewer_topics: bool,
) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "mixed", 2)?;
    let rows = Rows::new(&bench, 3)?;
    rows.send(0..KEYS)?;
    let application = bench.application.clone();
    let topic = format!("{application}-rows");
    let on = |state: &tempfile::TempDir| {
        let counter = Counter::new(broker.bootstrap(), &application, state.path(), protocol)
            .exactly_once()
            .with("--mixed", &topic)
            .with("--commit-ms", "50");
        if fewer_topics { counter.flag("--fewer-topics") } else { counter }
    };
    let mut state = tempfile::tempdir()?;
    let mut counter = on(&state);
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
        if fewer_topics {
            state = tempfile::tempdir()?;
            counter = on(&state);
        }
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
