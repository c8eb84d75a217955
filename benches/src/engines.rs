//! The engines: how each is started, and one measured run of one of them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::cluster::Cluster;
use crate::finish::Finish;
use crate::measure::Measured;
use crate::produce::{Input, Topic};
use crate::results::Results;
use crate::workload::{Guarantee, Workload};

/// How often the committed offsets are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// No run of three million records takes this long, unless an engine hangs.
const RUN_MAX: Duration = Duration::from_secs(900);

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Engine {
    /// Kafka Streams with `-Xmx1g`.
    KafkaStreams,
    /// The hand-written loop.
    Bare,
    /// What all this is about.
    Millstream,
}

impl Engine {
    /// Its name in results and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KafkaStreams => "kafka-streams",
            Self::Bare => "bare",
            Self::Millstream => "millstream",
        }
    }
}

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub struct Places {
    /// The settings all engines read.
    pub settings: PathBuf,
    /// Folder of the Java engine, compiled.
    pub kafka_streams: PathBuf,
    /// Folder for logs and state of the runs.
    pub work: PathBuf,
}

/// Counts the runs of this process.
static RUNS: AtomicU32 = AtomicU32::new(1);

/// What one run does.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Who.
    pub engine: Engine,
    /// What.
    pub workload: Workload,
    /// With which promise.
    pub guarantee: Guarantee,
    /// From which records.
    pub input: Input,
}

/// What a run has cost: the line that is printed and kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Name of the engine.
    pub engine: String,
    /// Its version, as it says itself.
    pub version: String,
    /// Name of the workload.
    pub workload: String,
    /// Name of the guarantee.
    pub guarantee: String,
    /// Records of the input, rows of tables among them.
    pub records: u64,
    /// From the start of the process until the last record was committed.
    pub seconds: f64,
    /// Records by wall-clock.
    pub records_per_s: f64,
    /// User and system time of the process, start and end included.
    pub cpu_s: f64,
    /// Records by CPU second.
    pub records_per_cpu_s: f64,
    /// The largest resident set.
    pub peak_rss_bytes: u64,
    /// Keys of the input.
    pub keys: u64,
    /// Partitions of the input.
    pub partitions: i32,
    /// CPU seconds of the busiest threads.
    pub threads: Vec<(String, f64)>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

impl Run {
    /// Runs the engine over the input and reads what it wrote; leaves no topic behind.
    pub fn execute(&self, cluster: &Cluster, places: &Places) -> Result<(Figures, Results)> {
        // Each run has a group of its own: an old one's commits would end it before it began.
        let stamp = format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let application = format!("bench-{}-{}-{stamp}", self.engine.name(), self.workload);
        let outcome = self.run_as(&application, cluster, places);
        let topics = cluster.topics()?.into_keys();
        let prefix = format!("{application}-");
        let own: Vec<String> = topics.filter(|topic| topic.starts_with(&prefix)).collect();
        cluster.delete_topics(&own)?;
        outcome.with_context(|| format!("{} {}", self.engine.name(), self.workload))
    }

    /// The topics that are read.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.input.topics(self.workload).iter().map(Topic::name).collect()
    }

    /// Makes what is read, unless it is there.
    pub fn ensure(&self, cluster: &Cluster) -> Result<()> {
        self.input.topics(self.workload).iter().try_for_each(|topic| topic.ensure(cluster))
    }

    fn run_as(
        &self,
        application: &str,
        cluster: &Cluster,
        places: &Places,
    ) -> Result<(Figures, Results)> {
        for topic in self.workload.outputs(application) {
            cluster.create_topic(&topic, self.input.partitions)?;
        }
        let state = places.work.join(application);
        fs::create_dir_all(&state)?;
        let log = places.work.join(format!("{application}.log"));
        let topics = self.topics();
        let finish = Finish::of(cluster, application, &topics, self.input.partitions)?;
        let command = self.command(application, cluster, places, &state);
        let (seconds, measured) = watch(&command, &log, &finish)?;
        fs::remove_dir_all(&state)?;
        let results = Results::read(cluster, self.workload, application)?;
        Ok((self.figures(version(&log)?, seconds, measured), results))
    }

    fn command(
        &self,
        application: &str,
        cluster: &Cluster,
        places: &Places,
        state: &Path,
    ) -> Vec<String> {
        let mut command = self.program(places);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let options = [
            ("--bootstrap", cluster.bootstrap().to_owned()),
            ("--workload", self.workload.to_string()),
            ("--guarantee", self.guarantee.to_string()),
            ("--input", self.topics().join(",")),
            ("--application-id", application.to_owned()),
            ("--settings", text(&places.settings)),
            ("--state-dir", text(state)),
        ];
        for (name, value) in options {
            command.extend([name.to_owned(), value]);
        }
        command
    }

    fn program(&self, places: &Places) -> Vec<String> {
        match self.engine {
            Engine::KafkaStreams => {
                let target = places.kafka_streams.join("target");
                let classes = format!(
                    "{}:{}/*",
                    target.join("classes").display(),
                    target.join("lib").display()
                );
                let java =
                    ["java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"];
                let mut program: Vec<String> = java.map(str::to_owned).into();
                program.extend([classes, "millstream.bench.Main".to_owned()]);
                program
            }
            Engine::Bare => vec![beside_us("engine-bare")],
            Engine::Millstream => vec![beside_us("engine-millstream")],
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of records are far below 2^52")]
    fn figures(&self, version: String, seconds: f64, measured: Measured) -> Figures {
        let topics = self.input.topics(self.workload);
        let records: u64 = topics.iter().map(|topic| topic.records).sum();
        Figures {
            engine: self.engine.name().to_owned(),
            version,
            workload: self.workload.to_string(),
            guarantee: self.guarantee.to_string(),
            records,
            seconds,
            records_per_s: records as f64 / seconds,
            cpu_s: measured.cpu_s,
            records_per_cpu_s: records as f64 / measured.cpu_s,
            peak_rss_bytes: measured.peak_rss_bytes,
            keys: self.workload.keys(self.input.keys),
            partitions: self.input.partitions,
            threads: measured.threads,
        }
    }
}

/// The program of that name in the folder of this one.
fn beside_us(name: &str) -> String {
    let folder = std::env::current_exe().ok().and_then(|us| us.parent().map(Path::to_path_buf));
    folder.unwrap_or_default().join(name).to_string_lossy().into_owned()
}

/// Runs the command below `bench measure` until everything is committed; the seconds until then, and what it used.
fn watch(command: &[String], log: &Path, finish: &Finish) -> Result<(f64, Measured)> {
    let start = clock::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("measure")
        .arg(log)
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let reached = until_reached(&mut child, finish, start);
    let seconds = start.elapsed().as_secs_f64();
    drop(child.stdin.take());
    let mut line = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut line)?;
    }
    child.wait()?;
    let measured: Measured = serde_json::from_str(&line).context("the engine was not measured")?;
    match reached {
        Ok(()) if measured.asked => Ok((seconds, measured)),
        Ok(()) => bail!("the engine ended by itself ({}), see {}", measured.status, log.display()),
        Err(error) => Err(error.context(format!("see {}", log.display()))),
    }
}

fn until_reached(child: &mut Child, finish: &Finish, start: std::time::Instant) -> Result<()> {
    while !finish.reached()? {
        if let Some(status) = child.try_wait()? {
            bail!("the engine has ended too early: {status}");
        }
        if start.elapsed() > RUN_MAX {
            bail!("the engine is not done after {RUN_MAX:?}");
        }
        clock::pause(LOOK);
    }
    Ok(())
}

/// The first line an engine prints names its version.
fn version(log: &Path) -> Result<String> {
    let log = BufReader::new(fs::File::open(log)?);
    for line in log.lines() {
        if let Ok(version) = serde_json::from_str::<Version>(&line?) {
            return Ok(version.version);
        }
    }
    bail!("the engine did not say its version")
}
