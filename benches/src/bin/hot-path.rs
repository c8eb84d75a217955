//! Instructions per record of the operators' hot path, counted by callgrind: they repeat exactly,
//! whatever else the machine does, so they can be held to a bound.
//!
//! `hot-path check` runs itself under valgrind for each topology with two numbers of records; the
//! difference is the cost of the records between, start-up not counted. A record comes from the
//! memory log, passes the chain, and goes back to it: the cost of that log is part of the count.

#![expect(clippy::print_stdout, reason = "its result is a table")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, Subcommand};
use millstream::record::{Record, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};
use millstream::{StreamsBuilder, TimeWindows, Topology};

/// Counts instructions per record.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sends this many records through a topology.
    Run { topology: String, records: i64 },
    /// Counts all topologies and holds them to their bounds.
    Check,
}

/// A topology with the most instructions that one record may cost. The bounds stand about a tenth
/// above what was counted when they were set: lower them when the path becomes shorter.
const BOUNDS: [(&str, u64); 3] = [("stateless", 9_000), ("count", 9_000), ("window", 9_000)];

const FEW: i64 = 2_000;
const MANY: i64 = 12_000;
const KEYS: i64 = 500;

fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        What::Run { topology, records } => run(&topology, records),
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
            .to("out"),
        "count" => records.group_by_key().count("counts").updates().to("out"),
        "window" => records
            .group_by_key()
            .windowed_by(TimeWindows::of(Duration::from_secs(5)).grace(Duration::from_secs(1)))
            .aggregate("sums", || 0_i64, |_, value, sum| sum + value)
            .updates()
            .to("out"),
        other => bail!("there is no topology {other}"),
    }
    Ok(builder.build()?)
}

fn run(name: &str, records: i64) -> anyhow::Result<()> {
    let options = DriverOptions { cache_bytes: 10 << 20, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&topology(name)?, &options)?;
    let input = (0..records).map(|number| {
        Record::new(format!("client-{:05}", number * 7_919 % KEYS), number, Timestamp(number / 10))
    });
    driver.pipe_together("in", input)?;
    Ok(())
}

fn check() -> anyhow::Result<()> {
    println!("{:<12} {:>22} {:>8}", "topology", "instructions a record", "at most");
    let mut over = Vec::new();
    for (name, most) in BOUNDS {
        let records = u64::try_from(MANY - FEW)?;
        let each = (instructions(name, MANY)? - instructions(name, FEW)?) / records;
        println!("{name:<12} {each:>22} {most:>8}");
        if each > most {
            over.push(name);
        }
    }
    ensure!(over.is_empty(), "over the bound: {}", over.join(", "));
    Ok(())
}

/// All instructions of a run, start-up included.
fn instructions(name: &str, records: i64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", name, &records.to_string()])
        .output()
        .context("valgrind (Debian's package of that name) is needed")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed under valgrind:\n{text}");
    let counted = text.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = counted.with_context(|| format!("no count in:\n{text}"))?;
    Ok(count.trim().parse()?)
}
