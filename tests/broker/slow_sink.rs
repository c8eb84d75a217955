//! A topology slower than its source: what is fetched ahead stays bounded, and so does memory.

use millstream_tests::kafka::Broker;
use millstream_tests::wait;

use crate::process::{Counter, PATIENCE, Protocol};
use crate::records::Bench;

/// Far below what the input would take in memory, and well above the process itself.
const RESIDENT_KIB_MAX: u64 = 160 << 10;

#[test]
fn memory_stays_bounded() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let mut bench = Bench::new(&broker, "slow", 4)?;
    let state = tempfile::tempdir()?;
    // About 300 MB of records as the client keeps them, at 10,000 records a second and less.
    bench.send_padded(300_000, 100, 1_000)?;
    let counter =
        Counter::new(broker.bootstrap(), &bench.application, state.path(), Protocol::Classic)
            .with("--slow-us", "100")
            .with("--prefetch-bytes", "8000000");
    let mut running = counter.start()?;
    running.wait_for_line("all tasks run")?;
    let mut highest = 0;
    let started = wait::now();
    wait::until_true(PATIENCE, "ten seconds under load", || {
        highest = highest.max(resident_kib(running.pid())?);
        Ok(started.elapsed().as_secs() >= 10)
    })?;
    assert!(highest < RESIDENT_KIB_MAX, "{highest} KiB resident");
    running.terminate()?;
    Ok(())
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
}
