//! Several applications in one process on one embedded log, killed under load: each record counts once, all the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use millstream::client::{Assignment, Consumer};
use millstream::log::Log;
use millstream::log::embedded::{EmbeddedLog, EmbeddedOptions};

use crate::process::{Running, start};

/// When each process is killed: when so many are counted, in the middle of its work.
const KILLED_AT: [usize; 6] = [500, 4_000, 10_000, 20_000, 35_000, 50_000];
/// More than the next one needs, so that there is always work.
const SENT_EACH: u64 = 15_000;

#[test]
fn three_applications_on_one_log_are_killed_and_lose_and_repeat_nothing() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    for counted in KILLED_AT {
        let mut doomed = started(state.path(), SENT_EACH)?;
        doomed.wait_for_line(&format!("counted {counted}"))?;
        doomed.kill()?;
    }
    let mut last = started(state.path(), 100)?;
    last.wait_for_line("complete")?;
    // One signal ends all three in order.
    last.terminate()?;
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(state.path().join("log"), EmbeddedOptions::default())?);
    let mut wanted: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, _) in all_of(&log, "raw")? {
        let counts = wanted.entry(key).or_default();
        counts.push(i64::try_from(counts.len())? + 1);
    }
    let sent: usize = wanted.values().map(Vec::len).sum();
    ensure!(sent > 50_000, "only {sent} records were sent");
    assert_eq!(by_key(all_of(&log, "counts")?), wanted);
    wanted.values_mut().for_each(|counts| counts.retain(|count| count % 10 == 0));
    assert_eq!(by_key(all_of(&log, "tens")?), wanted);
    Ok(())
}

fn started(state: &Path, records: u64) -> anyhow::Result<Running> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_three-applications"));
    command.arg("--state-dir").arg(state).args(["--records", &records.to_string()]);
    start(&mut command)
}

/// What is committed of a topic, in order of each partition.
fn all_of(log: &Arc<dyn Log>, topic: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let assignment = Assignment::<String, i64>::from(topic).from_beginning();
    let all = Consumer::open(log, assignment)?.read_to_end(Duration::from_secs(60))?;
    Ok(all.into_iter().map(|read| (read.record.key, read.record.value)).collect())
}

fn by_key(records: Vec<(String, i64)>) -> BTreeMap<String, Vec<i64>> {
    let mut keys: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, value) in records {
        keys.entry(key).or_default().push(value);
    }
    keys
}
