//! Turns figures into ratios, holds them against what issue 4 asks for, and keeps them: one JSON file per run, and the
//! generated part of docs/benchmarks.md after a full one.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::engines::{Engine, Figures};
use crate::workload::{Guarantee, Workload};

/// Everything a reader needs to judge the figures, and to repeat them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How it was called.
    pub command: String,
    /// Of which commit.
    pub commit: String,
    /// On what.
    pub machine: String,
    /// When.
    pub date: String,
    /// The engine the checks are about.
    pub subject: String,
    /// One entry per run.
    pub figures: Vec<Figures>,
    /// What they say about the goals.
    pub checks: Vec<Check>,
}

/// One goal.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The workload.
    pub workload: String,
    /// What is compared.
    pub what: String,
    /// The ratio.
    pub value: f64,
    /// What is asked for; nothing if it is only reported.
    pub goal: Option<Goal>,
    /// Whether the goal is met.
    pub met: bool,
}

/// A bound of a ratio.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Goal {
    fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
        }
    }
}

/// Records per CPU second against Kafka Streams, and against the bare loop.
fn cpu_goals(workload: Workload) -> (Goal, Option<Goal>) {
    match workload {
        Workload::Stateless => (Goal::AtLeast(4.0), Some(Goal::AtLeast(0.7))),
        Workload::Count => (Goal::AtLeast(7.0), Some(Goal::AtLeast(0.6))),
        Workload::Window => (Goal::AtLeast(5.0), Some(Goal::AtLeast(0.55))),
        Workload::InvoiceTotals | Workload::JoinTable => (Goal::AtLeast(5.0), None),
        Workload::JoinStreams | Workload::Session | Workload::ForeignJoin => {
            (Goal::AtLeast(4.0), None)
        }
    }
}

/// The input every other one is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    /// Keys of the plain runs.
    pub keys: u64,
    /// Partitions of the plain runs.
    pub partitions: i32,
}

/// Holds the figures of `subject` against those of the others and against the goals.
#[must_use]
pub fn checks(figures: &[Figures], subject: Engine, base: Base) -> Vec<Check> {
    Workload::ALL.iter().flat_map(|workload| checks_of(figures, subject, base, *workload)).collect()
}

fn checks_of(figures: &[Figures], subject: Engine, base: Base, workload: Workload) -> Vec<Check> {
    let base = Base { keys: workload.keys(base.keys), ..base };
    let find = |engine: Engine, guarantee: Guarantee, keys: u64, partitions: i32| {
        figures.iter().find(|run| {
            run.engine == engine.name()
                && run.workload == workload.to_string()
                && run.guarantee == guarantee.to_string()
                && (run.keys, run.partitions) == (keys, partitions)
        })
    };
    let plain = |engine, guarantee| find(engine, guarantee, base.keys, base.partitions);
    let mut checks = Vec::new();
    let mut add = |what: &str, value: f64, goal: Option<Goal>| {
        let met = goal.is_none_or(|goal| goal.met_by(value));
        let (workload, what) = (workload.to_string(), what.to_owned());
        checks.push(Check { workload, what, value, goal, met });
    };
    let (against_java, against_bare) = cpu_goals(workload);
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let Some(ours) = plain(subject, guarantee) else { continue };
        if let Some(java) = plain(Engine::KafkaStreams, guarantee) {
            let wall = ours.records_per_s / java.records_per_s;
            let memory = ratio(ours.peak_rss_bytes, java.peak_rss_bytes);
            let cpu = ours.records_per_cpu_s / java.records_per_cpu_s;
            add(
                &format!("records per CPU-second / Kafka Streams, {guarantee}"),
                cpu,
                Some(against_java),
            );
            add(
                &format!("records per second / Kafka Streams, {guarantee}"),
                wall,
                Some(Goal::AtLeast(3.0)),
            );
            add(
                &format!("peak memory / Kafka Streams, {guarantee}"),
                memory,
                Some(Goal::AtMost(0.25)),
            );
        }
        if let Some(bare) = plain(Engine::Bare, guarantee) {
            let cpu = ours.records_per_cpu_s / bare.records_per_cpu_s;
            add(&format!("records per CPU-second / bare, {guarantee}"), cpu, against_bare);
        }
    }
    let Some(ours) = plain(subject, Guarantee::AtLeastOnce) else { return checks };
    let cost = |other: &Figures| (other.cpu_s / ours.cpu_s) / ratio(other.records, ours.records);
    if let Some(exactly) = plain(subject, Guarantee::ExactlyOnce) {
        add(
            "CPU per record: exactly once / at least once",
            cost(exactly),
            Some(Goal::AtMost(1.15)),
        );
        add("seconds: exactly once / at least once", exactly.seconds / ours.seconds, None);
    }
    if let Some(more) = find(subject, Guarantee::AtLeastOnce, base.keys * 10, base.partitions) {
        add("CPU per record: ten times the keys", cost(more), Some(Goal::AtMost(1.5)));
    }
    if let Some(more) = find(subject, Guarantee::AtLeastOnce, base.keys, 32) {
        add("CPU per record: 32 partitions", cost(more), Some(Goal::AtMost(1.3)));
    }
    checks
}

#[expect(clippy::cast_precision_loss, reason = "bytes and records are far below 2^52")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

impl Report {
    /// Both tables in Markdown.
    #[must_use]
    pub fn tables(&self) -> String {
        let mut text = String::from(
            "| workload | guarantee | keys | partitions | engine | records/s | records/CPU-s | CPU s | peak MB |\n\
             |---|---|--:|--:|---|--:|--:|--:|--:|\n",
        );
        for run in &self.figures {
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} | {} {} | {:.0} | {:.0} | {:.2} | {} |",
                run.workload,
                run.guarantee,
                run.keys,
                run.partitions,
                run.engine,
                run.version,
                run.records_per_s,
                run.records_per_cpu_s,
                run.cpu_s,
                run.peak_rss_bytes >> 20,
            );
        }
        if !self.checks.is_empty() {
            let subject = &self.subject;
            let _infallible = writeln!(
                text,
                "\n| workload | {subject} | ratio | goal | met |\n|---|---|--:|---|---|"
            );
        }
        for check in &self.checks {
            let goal = check.goal.map_or_else(|| "reported".to_owned(), Goal::text);
            let met = if check.met { "yes" } else { "**no**" };
            let _infallible = writeln!(
                text,
                "| {} | {} | {:.2} | {goal} | {met} |",
                check.workload, check.what, check.value
            );
        }
        text
    }

    /// What each thread of the engines had to do, for `invoice-totals` with its one hot key.
    #[must_use]
    pub fn threads(&self) -> String {
        let mut text = String::new();
        for run in self.figures.iter().filter(|run| run.workload == "invoice-totals") {
            let shown = run.threads.iter().take(6).map(|(name, cpu)| format!("{name} {cpu:.1}"));
            let shown: Vec<String> = shown.collect();
            let _infallible = writeln!(
                text,
                "- {}, {}, {} partitions: {}",
                run.engine,
                run.guarantee,
                run.partitions,
                shown.join(", ")
            );
        }
        text
    }

    /// Writes `DATE-COMMIT[-NAME].json` into the folder.
    pub fn keep(&self, folder: &Path, name: &str) -> Result<()> {
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}-{}{name}.json", self.date, self.commit));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&file, text + "\n").with_context(|| format!("{} not written", file.display()))
    }

    /// Replaces the generated part of the page; what is written by hand around it stays.
    pub fn publish(&self, page: &Path) -> Result<()> {
        const FROM: &str = "<!-- generated by ./bench: from here -->\n";
        const TO: &str = "<!-- generated by ./bench: to here -->\n";
        let old =
            fs::read_to_string(page).unwrap_or_else(|_| format!("# Benchmarks\n\n{FROM}{TO}"));
        let (head, rest) = old.split_once(FROM).context("the page lacks the mark of its start")?;
        let (_, tail) = rest.split_once(TO).context("the page lacks the mark of its end")?;
        let text = format!(
            "{head}{FROM}\nMade on {} by `{}` at commit {} on {}.\n\n{}\nCPU seconds by thread in `invoice-totals`:\n\n{}\n{TO}{tail}",
            self.date,
            self.command,
            self.commit,
            self.machine,
            self.tables(),
            self.threads(),
        );
        fs::write(page, text).with_context(|| format!("{} not written", page.display()))
    }
}

/// Processor, cores, memory and kernel of this machine, and how busy it was just before.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value =
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned());
        value.unwrap_or_else(|| "?".to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kilobytes: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let (gigabytes, kernel) = (kilobytes >> 20, kernel.trim());
    format!(
        "{cores} cores of {processor}, {gigabytes} GB, Linux {kernel}, load {load} at the start"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(engine: &str, guarantee: &str, cpu_s: f64, keys: u64) -> Figures {
        Figures {
            engine: engine.into(),
            version: "1".into(),
            workload: "count".into(),
            guarantee: guarantee.into(),
            records: 1000,
            seconds: cpu_s,
            records_per_s: 1000.0 / cpu_s,
            cpu_s,
            records_per_cpu_s: 1000.0 / cpu_s,
            peak_rss_bytes: 1 << 20,
            keys,
            partitions: 4,
            threads: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_held_against_the_goals() {
        let figures = [
            run("bare", "at_least_once", 1.0, 10),
            run("kafka-streams", "at_least_once", 6.0, 10),
            run("bare", "exactly_once", 1.1, 10),
            run("bare", "at_least_once", 2.0, 100),
        ];
        let checks = checks(&figures, Engine::Bare, Base { keys: 10, partitions: 4 });
        let met = |what: &str| {
            let check = checks.iter().find(|check| check.what.starts_with(what)).unwrap();
            (check.value, check.met)
        };
        assert_eq!(met("records per CPU-second / Kafka"), (6.0, false));
        assert_eq!(met("records per second / Kafka"), (6.0, true));
        assert_eq!(met("peak memory"), (1.0, false));
        assert_eq!(met("CPU per record: exactly"), (1.1, true));
        assert_eq!(met("CPU per record: ten"), (2.0, false));
    }

    #[test]
    fn what_is_written_by_hand_stays() {
        let folder = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let page = folder.join("page.md");
        let report = |commit: &str| Report {
            command: "./bench".into(),
            commit: commit.into(),
            machine: "m".into(),
            date: "2026-01-01".into(),
            subject: "bare".into(),
            figures: Vec::new(),
            checks: Vec::new(),
        };
        report("one").publish(&page).unwrap();
        let text = fs::read_to_string(&page).unwrap() + "by hand\n";
        fs::write(&page, text.replace("# Benchmarks", "# Measured")).unwrap();
        report("two").publish(&page).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(text.starts_with("# Measured") && text.ends_with("by hand\n"), "{text}");
        assert!(text.contains("commit two") && !text.contains("commit one"), "{text}");
    }
}
