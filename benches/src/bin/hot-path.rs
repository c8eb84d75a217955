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

/// A topology with the most instructions that one record may cost. The bounds stand an eighth above
/// what was counted when they were set, since another build of the same code differs by some
/// percent: lower them when the path becomes shorter.
const BOUNDS: [(&str, u64); 3] = [("stateless", 910), ("count", 1_260), ("window", 1_660)];

const RECORDS: i64 = 10_000;
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
            .for_each(|key, value| drop(black_box((key, value)))),
        "count" => records.group_by_key().count("counts").updates().to("out"),
        "window" => records
            .group_by_key()
            .windowed_by(TimeWindows::of(Duration::from_secs(5)).grace(Duration::from_secs(1)))
            .aggregate("sums", || 0_i64, |_, value, sum| *sum += value)
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
        let each = instructions(name)? / u64::try_from(RECORDS)?;
        println!("{name:<12} {each:>22} {most:>8}");
        if each > most {
            over.push(name);
        }
    }
    ensure!(over.is_empty(), "over the bound: {}", over.join(", "));
    Ok(())
}

/// The instructions of a source's two functions with all that they call.
fn instructions(name: &str) -> anyhow::Result<u64> {
    let counts = std::env::temp_dir().join(format!("hot-path-{}-{name}", std::process::id()));
    let file = counts.display().to_string();
    let program = std::env::current_exe()?.display().to_string();
    let (tool, out) = ("--tool=callgrind", format!("--callgrind-out-file={file}"));
    finish("valgrind", &[tool, &out, &program, "run", name, &RECORDS.to_string()])?;
    let listed = finish("callgrind_annotate", &["--inclusive=yes", "--threshold=100", &file]);
    std::fs::remove_file(&counts)?;
    let listed = listed?;
    let of = |function: &str| -> anyhow::Result<u64> {
        let line = listed.lines().find(|line| line.contains(function) && line.contains(" ["));
        let count = line.and_then(|line| line.split_whitespace().next());
        let count = count.with_context(|| format!("{function} was not counted"))?;
        Ok(count.replace(',', "").parse()?)
    };
    Ok(of("SourceNode>::load")? + of("SourceNode>::fire")?)
}

/// Runs a program of Debian's package valgrind and returns what it prints.
fn finish(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{program} (package valgrind) is needed"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed:\n{errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
