//! Instructions per record of the operators' hot path, counted by callgrind: they repeat exactly,
//! whatever else the machine does, so they can be held to a bound.
//!
//! `hot-path check` runs itself under valgrind for each topology. What a source does with a record is
//! counted (decoding it, and sending it down the whole chain), not the log that it comes from.

#![expect(clippy::print_stdout, reason = "its result is a table")]

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, Subcommand};
use millstream::record::{Record, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};
use millstream::{
    JoinWindows, SessionWindows, SlidingWindows, StreamsBuilder, TimeWindows, Topology,
};

/// Counts instructions per record.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sends this many records through a topology, after some that make its rows.
    Run { topology: String, rows: i64, records: i64 },
    /// Counts all topologies and holds them to their bounds.
    Check,
}

/// A topology and what one record may cost it.
struct Case {
    topology: &'static str,
    /// Rows that are there before the records, and are not counted: of the table of a join, or changed and not yet
    /// flushed ones of a record cache.
    rows: i64,
    /// The most instructions of one record. The bounds stand an eighth above what was counted when they were set, since
    /// another build of the same code differs by some percent: lower them when the path becomes shorter.
    most: u64,
}

const CASES: [Case; 9] = [
    Case { topology: "stateless", rows: 0, most: 910 },
    Case { topology: "count", rows: 0, most: 1_260 },
    Case { topology: "window", rows: 0, most: 1_660 },
    Case { topology: "session", rows: 0, most: 13_800 },
    Case { topology: "sliding", rows: 0, most: 21_600 },
    Case { topology: "join-streams", rows: 0, most: 10_700 },
    Case { topology: "join-table", rows: KEYS, most: 4_600 },
    // A range over the record cache: what it costs must not grow with what else is in the cache.
    Case { topology: "range", rows: FEW, most: 12_400 },
    Case { topology: "range", rows: 30_000, most: 13_800 },
];

const RECORDS: i64 = 10_000;
const KEYS: i64 = 500;
/// The keys of `range`.
const FEW: i64 = 10;
/// So many records come to one stream of a join before some come to the other.
const TURN: i64 = 500;

fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        What::Run { topology, rows, records } => run(&topology, rows, records),
        What::Check => check(),
    }
}

fn topology(name: &str) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let records = builder.stream::<String, i64>("in");
    match name {
        "stateless" => records
            .filter(|_, value| value % 10 != 0)
            .map_values(|value: i64| value * 3)
            .filter_not(|key, _| key.is_empty())
            .map_values_with_key(|key, value: i64| value + key.len() as i64)
            .for_each(|key, value| drop(black_box((key, value)))),
        "count" => records.group_by_key().count("counts").updates().to("out"),
        "window" => records
            .group_by_key()
            .windowed_by(TimeWindows::of(Duration::from_secs(5)).grace(Duration::from_secs(1)))
            .aggregate("sums", || 0_i64, |_, value, sum| *sum += value)
            .updates()
            .to("out"),
        // A key comes each 50 ms.
        "session" | "range" => records
            .group_by_key()
            .windowed_by(SessionWindows::with_gap(Duration::from_secs(5)).no_grace())
            .aggregate("sums", || 0_i64, |_, value, sum| *sum += value, |_, sum, more| *sum += more)
            .updates()
            .to("out"),
        "sliding" => records
            .group_by_key()
            .windowed_by(SlidingWindows::of_difference(Duration::from_millis(100)).no_grace())
            .aggregate("sums", || 0_i64, |_, value, sum| *sum += value)
            .updates()
            .to("out"),
        "join-streams" => {
            let other = builder.stream::<String, i64>("other");
            let near = JoinWindows::within(Duration::from_millis(25)).no_grace();
            records.join("near", &other, near, |one, other| one + other).to("out");
        }
        "join-table" => {
            let table = builder.table::<String, i64>("rows", "rows");
            records.join_table(&table, |value, row| value + row).to("out");
        }
        other => bail!("there is no topology {other}"),
    }
    Ok(builder.build()?)
}

fn record(number: i64, keys: i64, at: i64) -> Record<String, i64> {
    Record::new(format!("client-{:05}", number * 7_919 % keys), number, Timestamp(at))
}

fn run(name: &str, rows: i64, records: i64) -> anyhow::Result<()> {
    let options = DriverOptions { cache_bytes: 10 << 20, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&topology(name)?, &options)?;
    let before = (0..rows).map(|number| record(number, rows, 0));
    match name {
        // All in one go: a commit would flush the cache.
        "range" => {
            let input = (0..records).map(|number| record(number, FEW, number / 10));
            driver.pipe_together("in", before.chain(input))?;
        }
        "join-streams" => {
            for turn in (0..records / 2).step_by(TURN as usize) {
                let input = (turn..turn + TURN).map(|number| record(number, KEYS, number / 5));
                driver.pipe_together("in", input.clone())?;
                driver.pipe_together("other", input)?;
            }
        }
        _ => {
            if rows > 0 {
                driver.pipe_together("rows", before)?;
            }
            let input = (0..records).map(|number| record(number, KEYS, number / 10));
            driver.pipe_together("in", input)?;
        }
    }
    Ok(())
}

fn check() -> anyhow::Result<()> {
    println!("{:<12} {:>6} {:>22} {:>8}", "topology", "rows", "instructions a record", "at most");
    let mut over = Vec::new();
    for Case { topology, rows, most } in CASES {
        let before = if rows > 0 { instructions(topology, rows, 0)? } else { 0 };
        let all = instructions(topology, rows, RECORDS)?;
        let each = all.saturating_sub(before) / u64::try_from(RECORDS)?;
        println!("{topology:<12} {rows:>6} {each:>22} {most:>8}");
        if each > most {
            over.push(topology);
        }
    }
    ensure!(over.is_empty(), "over the bound: {}", over.join(", "));
    Ok(())
}

/// The instructions of the sources' two functions with all that they call: nothing else is collected. What the tables
/// of `callgrind_annotate` say of one function depends on how its file is spelt in the debug information.
fn instructions(name: &str, rows: i64, records: i64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=*SourceNode>::load*", "--toggle-collect=*SourceNode>::fire*"])
        .arg(std::env::current_exe()?)
        .args(["run", name, &rows.to_string(), &records.to_string()])
        .output()
        .context("valgrind (the package of this name) is needed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.with_context(|| format!("nothing was counted:\n{said}"))?.1;
    let collected: u64 = collected.trim().parse()?;
    ensure!(collected > 0, "{name} has no source whose functions were found");
    Ok(collected)
}
