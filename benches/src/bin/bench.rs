//! The harness behind `./bench`: makes the input, runs the engines one after the other, compares and reports.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use millstream_benches::cluster::Cluster;
use millstream_benches::engines::{Engine, Figures, Places, Run};
use millstream_benches::produce::Input;
use millstream_benches::report::{self, Base, Report};
use millstream_benches::results::Results;
use millstream_benches::workload::{Guarantee, Workload};
use millstream_benches::{clock, measure};

/// The engine the goals are about.
const SUBJECT: Engine = Engine::Millstream;

/// `./bench` calls `run`; the other two are its parts, and useful alone.
#[derive(Debug, Parser)]
enum Arguments {
    /// Runs engines and compares them.
    Run(Box<Choice>),
    /// Makes the input only and prints its topic.
    Produce(Produce),
    /// Runs a command until the standard input is closed, and prints what it used.
    #[command(hide = true)]
    Measure {
        log: PathBuf,
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Produce {
    #[arg(long)]
    bootstrap: String,
    /// Invoices [default: 3000000, with --quick 300000].
    #[arg(long)]
    records: Option<u64>,
    /// Clients; joins are of ten times as many.
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// Partitions of the input.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Few records: says whether everything works, not how fast it is. Keeps no results.
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// One workload [default: all].
    workload: Option<Workload>,
    #[command(flatten)]
    input: Produce,
    /// One guarantee [default: at least once].
    #[arg(long)]
    guarantee: Option<Guarantee>,
    /// Engines, in this order [default: all].
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Engine>,
    /// Times each run is done, in turns; the figures are those of the run with the median CPU time.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    #[arg(long)]
    settings: PathBuf,
    #[arg(long)]
    kafka_streams: PathBuf,
    /// Folder for logs and state.
    #[arg(long)]
    work: PathBuf,
    /// Folder of the repository, for results and the page.
    #[arg(long)]
    repository: PathBuf,
    /// What was run, for the report.
    #[arg(long)]
    command: String,
    /// The commit, for the report.
    #[arg(long)]
    commit: String,
}

impl Produce {
    fn input(&self) -> Input {
        let records = self.records.unwrap_or(if self.quick { 300_000 } else { 3_000_000 });
        let Self { keys, partitions, seed, .. } = *self;
        Input { records, keys, partitions, seed }
    }
}

impl Choice {
    /// Whether nothing was narrowed down: then the goals' other rows are measured, too.
    fn whole(&self) -> bool {
        !self.input.quick
            && self.workload.is_none()
            && self.guarantee.is_none()
            && self.engines.is_empty()
    }

    /// The runs of one workload; all of them end with the same results where the input is the same.
    fn runs(&self, workload: Workload) -> Vec<Run> {
        let input = self.input.input();
        let guarantee = self.guarantee.unwrap_or(Guarantee::AtLeastOnce);
        let engines =
            if self.engines.is_empty() { Engine::value_variants() } else { &self.engines };
        let run = |engine, guarantee, input| Run { engine, workload, guarantee, input };
        let does = |engine: &&Engine| **engine != Engine::Bare || workload.has_bare();
        let engines = engines.iter().filter(does);
        let mut runs: Vec<Run> = engines.map(|engine| run(*engine, guarantee, input)).collect();
        if self.whole() && !workload.has_bare() {
            runs.push(run(SUBJECT, Guarantee::ExactlyOnce, input));
        } else if self.whole() {
            let two = [Engine::Bare, SUBJECT];
            runs.extend(two.map(|engine| run(engine, Guarantee::ExactlyOnce, input)));
            let more_keys = Input { keys: input.keys * 10, ..input };
            let more_partitions = Input { partitions: 32, ..input };
            for input in [more_keys, more_partitions] {
                runs.extend(two.map(|engine| run(engine, Guarantee::AtLeastOnce, input)));
            }
        }
        runs
    }

    fn places(&self) -> Places {
        Places {
            settings: self.settings.clone(),
            kafka_streams: self.kafka_streams.clone(),
            work: self.work.clone(),
        }
    }

    fn base(&self) -> Base {
        Base { keys: self.input.keys, partitions: self.input.partitions }
    }
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Run(choice) => compare(&choice),
        Arguments::Produce(produce) => {
            let input = produce.input();
            let invoices = input.invoices();
            invoices.ensure(&Cluster::at(&produce.bootstrap))?;
            say(&invoices.name())
        }
        Arguments::Measure { log, command } => measure::print(&measure::run(&command, &log)?),
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn compare(choice: &Choice) -> Result<()> {
    let cluster = Cluster::at(&choice.input.bootstrap);
    std::fs::create_dir_all(&choice.work)?;
    let places = choice.places();
    let machine = report::machine();
    let workloads = choice.workload.map_or_else(|| Workload::ALL.to_vec(), |one| vec![one]);
    let mut figures = Vec::new();
    let mut differences = Vec::new();
    for workload in workloads {
        let runs = choice.runs(workload);
        let mut turns = Vec::new();
        for _ in 0..choice.repeat.max(1) {
            turns.push(execute(&runs, &cluster, &places, &mut differences)?);
        }
        figures.extend(medians(turns));
    }
    let checks = report::checks(&figures, SUBJECT, choice.base());
    let report = Report {
        command: choice.command.clone(),
        commit: choice.commit.clone(),
        machine,
        date: clock::today().to_string(),
        subject: SUBJECT.name().to_owned(),
        figures,
        checks,
    };
    say(&format!("\n{}", report.tables()))?;
    if !differences.is_empty() {
        bail!("results differ:\n{}", differences.join("\n"));
    }
    keep(choice, &report)
}

/// Runs one workload; each result is compared with the first one of the same input.
fn execute(
    runs: &[Run],
    cluster: &Cluster,
    places: &Places,
    differences: &mut Vec<String>,
) -> Result<Vec<Figures>> {
    let mut figures = Vec::new();
    let mut reference: Option<(Vec<String>, &'static str, Results)> = None;
    for run in runs {
        run.ensure(cluster).context("making the input")?;
        let (line, results) = run.execute(cluster, places)?;
        say(&serde_json::to_string(&line)?)?;
        figures.push(line);
        match &reference {
            Some((topics, engine, first)) if *topics == run.topics() => {
                if let Some(difference) = first.difference(&results) {
                    let (ours, workload) = (run.engine.name(), run.workload);
                    differences.push(format!("{workload}, {engine} / {ours}: {difference}"));
                }
            }
            _ => reference = Some((run.topics(), run.engine.name(), results)),
        }
    }
    Ok(figures)
}

/// Of each run, the turn with the median CPU time.
fn medians(turns: Vec<Vec<Figures>>) -> Vec<Figures> {
    let mut by_run: Vec<Vec<Figures>> = Vec::new();
    for turn in turns {
        by_run.resize_with(turn.len(), Vec::new);
        for (run, figures) in by_run.iter_mut().zip(turn) {
            run.push(figures);
        }
    }
    let median = |mut run: Vec<Figures>| {
        run.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        (!run.is_empty()).then(|| run.swap_remove((run.len() - 1) / 2))
    };
    by_run.into_iter().filter_map(median).collect()
}

fn keep(choice: &Choice, report: &Report) -> Result<()> {
    if choice.input.quick {
        return Ok(());
    }
    let mut name = String::new();
    for part in [choice.workload.map(|w| w.to_string()), choice.guarantee.map(|g| g.to_string())] {
        name.extend(part.map(|part| format!("-{part}")));
    }
    report.keep(&choice.repository.join("benches/results"), &name)?;
    if name.is_empty() {
        report.publish(&choice.repository.join("docs/benchmarks.md"))?;
    }
    Ok(())
}
