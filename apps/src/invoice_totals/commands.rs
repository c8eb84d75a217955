//! The command line: `demo`, `run`, `produce`, `replay` and `reset`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use millstream::log::Log;
use millstream::{
    ConfigArgs, DropCounts, DropReason, Error, LogKind, Reaction, ResetOffsets, ResetPlan, Streams,
    StreamsConfig, init_logging,
};

use super::money::Currency;
use super::producing::{Pace, pause, produce};
use super::replay::Files;
use super::screen::{Screen, say};
use super::topics;
use super::topology::{BadInvoices, Duplicates, Settings, topology};

/// How long the demo's threads wait before they try again what failed.
const RETRY: Duration = Duration::from_secs(2);

/// Totals of invoices: of the last five seconds and of each client.
#[derive(Debug, Parser)]
#[command(name = "invoice-totals", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sample invoices and their totals, printed live: in this process alone, or on a Kafka
    Demo(Demo),
    /// The application alone: reads invoices from Kafka, writes totals
    Run(Run),
    /// Sends sample invoices to Kafka
    Produce(Produce),
    /// What comes out of a file of invoices, without a broker: records as JSON lines
    Replay(Replay),
    /// Makes the application begin from the start; without --execute only says what would be done
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Demo {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    counting: Counting,
    /// Sample invoices per second; 0: none
    #[arg(long, default_value_t = 5.0, value_parser = super::producing::rate)]
    rate: f64,
    /// Stop producing after so many invoices [default: never]
    #[arg(long)]
    count: Option<u64>,
    /// The same seed gives the same clients and amounts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many clients
    #[arg(long, default_value_t = 8)]
    clients: u32,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    counting: Counting,
}

#[derive(Debug, Args)]
struct Produce {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pace: Pace,
    /// The currency of all invoices
    #[arg(long, default_value_t)]
    currency: Currency,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    counting: Counting,
}

#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    place: Place,
    /// Do it: delete its internal topics, the positions of its group, and its state on this machine
    #[arg(long)]
    execute: bool,
    /// Begin at the first invoice that is still there instead of where the topology says
    #[arg(long)]
    to_earliest: bool,
}

/// Where to work.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    settings: ConfigArgs,
    /// Partitions of topics that have to be created [default: 1 on the embedded log, else 4]
    #[arg(long)]
    partitions: Option<i32>,
}

/// What to count.
#[derive(Debug, Args)]
struct Counting {
    /// The currency of all totals; invoices in another one are bad ones
    #[arg(long, default_value_t)]
    currency: Currency,
    /// What to do with records that are no invoices
    #[arg(long, value_enum, default_value_t)]
    bad_invoices: BadInvoices,
    /// What an invoice is whose number was there already within 7 days
    #[arg(long, value_enum, default_value_t)]
    duplicates: Duplicates,
    /// Seconds after its end in which a window still takes late invoices [default: 1 on the
    /// embedded log, where nobody is late, else 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=GRACE_MAX_S))]
    grace_s: Option<u64>,
    /// Seconds that issued_at may be ahead of the time of its record; with more it is a bad invoice
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    issued_ahead_max_s: u64,
}

/// The changelog keeps a day more than the windows need: with more grace than that it would have
/// to be made anew when the grace is changed.
const GRACE_MAX_S: u64 = 86_400;

impl Counting {
    fn settings(self, log: LogKind) -> Settings {
        let usual = if log == LogKind::Embedded { 1 } else { 60 };
        Settings {
            currency: self.currency,
            bad_invoices: self.bad_invoices,
            duplicates: self.duplicates,
            grace: Duration::from_secs(self.grace_s.unwrap_or(usual)),
            issued_ahead_max: Duration::from_secs(self.issued_ahead_max_s),
        }
    }
}

impl Place {
    /// The configuration: what this program presets, file, environment, command line. A cluster
    /// that is named anywhere is used.
    fn configuration(&self, presets: &[(&str, &str)]) -> anyhow::Result<StreamsConfig> {
        let mut sources = self
            .settings
            .sources()
            .preset("application_id", "invoice-totals")
            .preset("processing_guarantee", "exactly_once_v2")
            .preset("idle_timeout_ms", "2000")
            .preset("http", "127.0.0.1:0");
        for (key, value) in presets {
            sources = sources.preset(*key, *value);
        }
        let config = StreamsConfig::from_sources(&sources)?;
        let named = !config.bootstrap_servers.is_empty();
        Ok(if named { config.log(LogKind::Kafka) } else { config })
    }

    /// Connects to the log and makes sure that the topics are there, waiting for a broker that does
    /// not answer.
    fn connect(&self, config: &StreamsConfig) -> anyhow::Result<Arc<dyn Log>> {
        let log = self.log(config)?;
        let (_running, never) = stopping();
        topics::create_missing(&*log, self.topic_partitions(config), |most| pause(&never, most))?;
        Ok(log)
    }

    fn log(&self, config: &StreamsConfig) -> anyhow::Result<Arc<dyn Log>> {
        if config.log == LogKind::Kafka {
            say(&format!("connecting to the Kafka at {}", config.bootstrap_servers));
        }
        Ok(config.connect()?)
    }

    /// In one process more partitions share no work out, they only mix up the order of times.
    fn topic_partitions(&self, config: &StreamsConfig) -> i32 {
        let usual = if config.log == LogKind::Embedded { 1 } else { 4 };
        self.partitions.unwrap_or(usual)
    }
}

/// Runs the program with the command line of this process.
///
/// # Errors
/// What ended it.
pub fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Run(run) => run.run(),
        Command::Produce(produce) => produce.run(),
        Command::Replay(replay) => {
            let settings = replay.counting.settings(LogKind::Embedded);
            replay.files.replay(&settings, &mut std::io::stdout().lock())
        }
        Command::Reset(reset) => reset.run(),
    }
}

/// A way to stop threads: they hear it when the sender is dropped.
fn stopping() -> (Sender<()>, Receiver<()>) {
    channel()
}

impl Run {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&[])?;
        init_logging(&config)?;
        let log = self.place.log(&config)?;
        let partitions = self.place.topic_partitions(&config);
        let topology = topology(&self.counting.settings(config.log))?;
        // Started before its topics are there: it waits for them, and meanwhile says so over HTTP and ends
        // in order when it is told to.
        let streams = Streams::with(topology, config).log(Arc::clone(&log)).start()?;
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        let (running, stopped) = stopping();
        let creating = thread::spawn(move || {
            let created = topics::create_missing(&*log, partitions, |most| pause(&stopped, most));
            created.inspect_err(|error| tracing::error!(?error, "topics cannot be created"))
        });
        let outcome = streams.run_until_signal();
        drop(running);
        if creating.join().is_err() {
            tracing::error!("the thread that creates topics died");
        }
        Ok(outcome?)
    }
}

impl Produce {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&[])?;
        init_logging(&config)?;
        let log = self.place.connect(&config)?;
        let (_running, never) = stopping();
        let sent = produce(&*log, self.pace, self.currency, &never)?;
        say(&format!("sent {sent} invoices"));
        Ok(())
    }
}

impl Reset {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&[])?;
        init_logging(&config)?;
        say(&self.on(&config)?);
        Ok(())
    }

    /// Does it, or not; what there is to say.
    fn on(&self, config: &StreamsConfig) -> anyhow::Result<String> {
        let offsets = if self.to_earliest { ResetOffsets::Earliest } else { ResetOffsets::Delete };
        // All internal topics that it may have: those of duplicates that count are among them.
        let topology = topology(&Settings::default())?;
        let plan = ResetPlan::new(config.connect()?, &topology, config, offsets)?;
        if !self.execute {
            return Ok(format!("{plan}nothing was changed; --execute does it"));
        }
        plan.execute()?;
        Ok(format!(
            "{plan}done on this machine; others that ran an instance keep their state until they do the same"
        ))
    }
}

impl Demo {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&[("log", "embedded"), ("log_level", "warn")])?;
        init_logging(&config)?;
        let place = match config.log {
            LogKind::Kafka => "on Kafka",
            LogKind::Embedded => "on the embedded log",
        };
        let kept = config.application_dir();
        let log = self.place.connect(&config)?;
        let pace =
            Pace { rate: self.rate, count: self.count, seed: self.seed, clients: self.clients };
        let settings = self.counting.settings(config.log);
        let currency = settings.currency.clone();
        let (stop_screen, screen_stopped) = stopping();
        let mut screen = first_screen(&*log, &screen_stopped);
        let streams = Streams::with(topology(&settings)?, config).log(Arc::clone(&log)).start()?;
        say(&format!("invoice totals {place}, state in {}", from_home(&kept)));
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        say("Ctrl-C ends it, the next start goes on from there");
        say(&format!("{}\n", screen.as_ref().map(Screen::so_far).unwrap_or_default()));
        let (shown, drops) = (Arc::clone(&log), streams.drops());
        let printing = thread::spawn(move || {
            repeat("printing totals", &screen_stopped, || {
                let open = screen.take().map_or_else(|| Screen::open(&*shown), Ok);
                open?.show(&screen_stopped, || late_invoices(&drops))
            });
        });
        let (stop_producer, producer_stopped) = stopping();
        let producing = thread::spawn(move || {
            if pace.rate > 0.0 {
                repeat("producing", &producer_stopped, || {
                    produce(&*log, pace, currency.clone(), &producer_stopped).map(|_| ())
                });
            }
        });
        let outcome = streams.run_until_signal();
        drop((stop_producer, stop_screen));
        for helper in [producing, printing] {
            if helper.join().is_err() {
                tracing::error!("a thread of the demo died");
            }
        }
        outcome?;
        say("stopped; everything counted so far is kept");
        Ok(())
    }
}

/// How many invoices came too late: both windows, the running and the final one, count each.
fn late_invoices(drops: &DropCounts) -> u64 {
    drops.of(DropReason::Late).div_ceil(2)
}

/// A path as a person writes it.
fn from_home(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below = home.as_ref().and_then(|home| path.strip_prefix(home).ok());
    below.map_or_else(|| path.display().to_string(), |below| format!("~/{}", below.display()))
}

/// The screen as of before the start, so that what earlier runs left is told apart.
fn first_screen(log: &dyn Log, stop: &Receiver<()>) -> Option<Screen> {
    let mut screen = None;
    repeat("reading totals", stop, || {
        screen = Some(Screen::open(log)?);
        Ok(())
    });
    screen
}

/// Does something until it succeeds or the demo ends: a broker may be away for a while.
fn repeat(what: &str, stop: &Receiver<()>, mut once: impl FnMut() -> anyhow::Result<()>) {
    while let Err(error) = once() {
        let passing = error.downcast_ref::<Error>().map(Error::reaction) == Some(Reaction::Retry);
        let error = format!("{error:#}");
        if passing {
            tracing::info!(error, "{what}: the broker cannot do it now, trying again");
        } else {
            tracing::warn!(error, "{what} failed, trying again");
        }
        if !pause(stop, RETRY) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn demo(arguments: &[&str]) -> Demo {
        let all = ["invoice-totals", "demo"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Demo(demo) => demo,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let long = |name: &str| {
            Cli::command().find_subcommand_mut(name).unwrap().render_long_help().to_string()
        };
        let help = long("demo");
        for option in ["--bootstrap-servers", "--num-stream-threads", "--rate", "--currency"] {
            assert!(help.contains(option), "{option} in {help}");
        }
    }

    #[test]
    fn options_reach_the_configuration() {
        let options = ["--state-dir", "/kept", "--num-stream-threads", "3"];
        let demo = demo(&[&options[..], &["--set", "linger_ms=7"]].concat());
        let config = demo.place.configuration(&[("log", "embedded")]).unwrap();
        assert_eq!(config.log, LogKind::Embedded);
        assert_eq!(config.application_dir(), PathBuf::from("/kept/invoice-totals"));
        assert_eq!((config.num_stream_threads, config.linger_ms), (3, 7));
        assert!(config.is_exactly_once());
    }

    #[test]
    fn the_grace_is_a_setting_with_a_bound() {
        let settings = |arguments: &[&str], log| demo(arguments).counting.settings(log);
        assert_eq!(settings(&[], LogKind::Kafka).grace, Duration::from_secs(60));
        assert_eq!(settings(&[], LogKind::Kafka).issued_ahead_max, Duration::from_secs(86_400));
        assert_eq!(settings(&[], LogKind::Embedded).grace, Duration::from_secs(1));
        let most = settings(&["--grace-s", "86400"], LogKind::Embedded);
        assert_eq!(most.grace, Duration::from_secs(86_400));
        assert!(Cli::try_parse_from(["invoice-totals", "run", "--grace-s", "86401"]).is_err());
        let duplicates = settings(&["--duplicates", "count"], LogKind::Kafka).duplicates;
        assert_eq!(duplicates, Duplicates::Count);
        let ahead = settings(&["--issued-ahead-max-s", "0"], LogKind::Kafka).issued_ahead_max;
        assert_eq!(ahead, Duration::ZERO);
    }

    #[test]
    fn a_named_cluster_is_used() {
        let place = demo(&["--bootstrap-servers", "kafka:9092"]).place;
        let config = place.configuration(&[("log", "embedded")]).unwrap();
        assert_eq!(config.log, LogKind::Kafka);
        assert_eq!(config.bootstrap_servers, "kafka:9092");
    }

    #[test]
    fn a_reset_says_what_it_would_do_and_does_it_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().display().to_string();
        let reset = |more: &[&str]| {
            let all =
                ["invoice-totals", "reset", "--state-dir", &state_dir, "--set", "log=embedded"];
            match Cli::try_parse_from(all.iter().chain(more)).unwrap().command {
                Command::Reset(reset) => {
                    let config = reset.place.configuration(&[]).unwrap();
                    (reset.on(&config).unwrap(), config)
                }
                other => panic!("{other:?}"),
            }
        };
        let (text, config) = reset(&[]);
        assert!(text.contains("there is nothing of it"), "{text}");
        let log = config.connect().unwrap();
        topics::create_missing(&*log, 1, |_| false).unwrap();
        let streams = Streams::with(topology(&Settings::default()).unwrap(), config).log(log);
        let streams = streams.start().unwrap();
        let running = [millstream::StreamsState::Running];
        assert_eq!(streams.wait_for(&running, Duration::from_secs(60)), running[0]);
        streams.close().unwrap();
        let topic = "delete topic invoice-totals-by-client-repartition (1 partitions)";
        for (more, end) in [(&[][..], "nothing was changed"), (&["--execute"][..], "done")] {
            let (text, _) = reset(more);
            assert!(text.contains(topic) && text.contains(end), "{text}");
            assert!(text.contains("delete local state"), "{text}");
        }
        let (text, config) = reset(&["--to-earliest"]);
        assert!(text.contains("begin at 0 of FACTURATION-0"), "{text}");
        assert!(text.contains("there is nothing of it"), "{text}");
        let left = config.connect().unwrap().describe(&[topics::INVOICES]).unwrap();
        assert!(left.iter().all(Option::is_some));
    }

    #[test]
    fn windows_close_on_a_quiet_topic_unless_it_is_set_otherwise() {
        let idle = |arguments: &[&str]| {
            demo(arguments).place.configuration(&[("log", "embedded")]).unwrap().idle_timeout_ms
        };
        assert_eq!(idle(&[]), Some(2_000));
        assert_eq!(idle(&["--idle-timeout-ms", "7"]), Some(7));
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let place = demo(&["--set", "comit_interval_ms=1"]).place;
        let text = place.configuration(&[]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"commit_interval_ms\"?"), "{text}");
    }
}
