//! The command line: `demo`, `run`, `produce`, `replay` and `reset`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use millstream::log::Log;
use millstream::{
    DropCounts, DropReason, LogKind, ResetOffsets, ResetPlan, Streams, StreamsConfig, init_logging,
};

use super::money::Currency;
use super::producing::{Invoices, produce};
use super::replay::Files;
use super::screen::Screen;
use super::topics;
use super::topology::{BadInvoices, Duplicates, Settings, topology};
use crate::program::{self, Application, Beside, Place, repeat, say, stopping};

const APPLICATION: Application =
    Application { id: "invoice-totals", idle_timeout_ms: "2000", topics: topics::TOPICS };

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
    #[arg(long, default_value_t = 5.0, value_parser = crate::program::rate)]
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
    invoices: Invoices,
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

impl Run {
    fn run(self) -> anyhow::Result<()> {
        let Self { place, counting } = self;
        program::run(&APPLICATION, &place, |config| Ok(topology(&counting.settings(config.log))?))
    }
}

impl Produce {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&APPLICATION, &[])?;
        init_logging(&config)?;
        let log = self.place.connect(&APPLICATION, &config)?;
        let (_running, never) = stopping();
        let sent = produce(&*log, self.invoices, self.currency, &never)?;
        say(&format!("sent {sent} invoices"));
        Ok(())
    }
}

impl Reset {
    fn run(self) -> anyhow::Result<()> {
        let config = self.place.configuration(&APPLICATION, &[])?;
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
        let config = self
            .place
            .configuration(&APPLICATION, &[("log", "embedded"), ("log_level", "warn")])?;
        init_logging(&config)?;
        let place = match config.log {
            LogKind::Kafka => "on Kafka",
            LogKind::Embedded => "on the embedded log",
        };
        let kept = config.application_dir();
        let log = self.place.connect(&APPLICATION, &config)?;
        let invoices =
            Invoices { rate: self.rate, count: self.count, seed: self.seed, clients: self.clients };
        let settings = self.counting.settings(config.log);
        let currency = settings.currency.clone();
        let mut screen = first_screen(&*log);
        let streams = Streams::with(topology(&settings)?, config).log(Arc::clone(&log)).start()?;
        say(&format!("invoice totals {place}, state in {}", from_home(&kept)));
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        say("Ctrl-C ends it, the next start goes on from there");
        say(&format!("{}\n", screen.as_ref().map(Screen::so_far).unwrap_or_default()));
        let (shown, drops) = (Arc::clone(&log), streams.drops());
        let mut beside = Beside::default();
        beside.start("prints totals", move |stop| {
            repeat("printing totals", stop, || {
                let open = screen.take().map_or_else(|| Screen::open(&*shown), Ok);
                open?.show(stop, || late_invoices(&drops))
            });
        });
        beside.start("produces", move |stop| {
            if invoices.rate > 0.0 {
                repeat("producing", stop, || {
                    produce(&*log, invoices, currency.clone(), stop).map(|_| ())
                });
            }
        });
        let outcome = streams.run_until_signal();
        beside.end();
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
fn first_screen(log: &dyn Log) -> Option<Screen> {
    let (_running, never) = stopping();
    let mut screen = None;
    repeat("reading totals", &never, || {
        screen = Some(Screen::open(log)?);
        Ok(())
    });
    screen
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
        let config = demo.place.configuration(&APPLICATION, &[("log", "embedded")]).unwrap();
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
        let config = place.configuration(&APPLICATION, &[("log", "embedded")]).unwrap();
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
                    let config = reset.place.configuration(&APPLICATION, &[]).unwrap();
                    (reset.on(&config).unwrap(), config)
                }
                other => panic!("{other:?}"),
            }
        };
        let (text, config) = reset(&[]);
        assert!(text.contains("there is nothing of it"), "{text}");
        let log = config.connect().unwrap();
        topics::TOPICS.create_missing(&*log, 1, |_| false).unwrap();
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
            demo(arguments)
                .place
                .configuration(&APPLICATION, &[("log", "embedded")])
                .unwrap()
                .idle_timeout_ms
        };
        assert_eq!(idle(&[]), Some(2_000));
        assert_eq!(idle(&["--idle-timeout-ms", "7"]), Some(7));
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let place = demo(&["--set", "comit_interval_ms=1"]).place;
        let text = place.configuration(&APPLICATION, &[]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"commit_interval_ms\"?"), "{text}");
    }
}
