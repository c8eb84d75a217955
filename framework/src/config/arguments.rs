//! The settings as options of a program that has a command line of its own, made with `clap`.

use std::fmt;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::settings::{Entry, SETTINGS, StreamsConfig};
use super::sources::Sources;

/// Every setting as an option (`--num-stream-threads 4`), besides `--config FILE` and
/// `--set KEY=VALUE`, which also takes settings of the Kafka client (`kafka.*`). To be flattened
/// into a program's own arguments:
///
/// ```
/// use clap::Parser;
/// use millstream::ConfigArgs;
///
/// #[derive(Parser)]
/// struct Cli {
///     /// An option of the program's own
///     #[arg(long)]
///     currency: Option<String>,
///     #[command(flatten)]
///     settings: ConfigArgs,
/// }
///
/// let cli = Cli::parse_from(["totals", "--currency", "EUR", "--application-id", "totals",
///     "--log", "embedded"]);
/// let config = cli.settings.config()?;
/// assert_eq!(config.application_id, "totals");
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// `--help` explains all of them, `-h` only the few that are usual.
#[derive(Clone, Default)]
pub struct ConfigArgs {
    given: Vec<String>,
}

impl fmt::Debug for ConfigArgs {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.given.iter().map(|it| it.split_once('=').map_or("", |(name, _)| name));
        f.debug_list().entries(names).finish()
    }
}

impl ConfigArgs {
    /// File, environment, and the options that were given: what [`Sources::of_process`] would be
    /// if the command line held nothing else. The program's presets can be added.
    pub fn sources(&self) -> Sources {
        Sources::of_environment().arguments(&self.given)
    }

    /// The configuration from these sources.
    ///
    /// # Errors
    /// As [`StreamsConfig::load`].
    pub fn config(&self) -> crate::error::Result<StreamsConfig> {
        StreamsConfig::from_sources(&self.sources())
    }
}

const HEADING: &str = "Settings (docs/configuration.md)";
/// What `-h` lists.
const USUAL: [&str; 5] = ["application_id", "bootstrap_servers", "state_dir", "http", "log_level"];

/// The names of the options: clap keeps references.
static OPTIONS: LazyLock<Vec<String>> =
    LazyLock::new(|| SETTINGS.iter().map(|entry| entry.key.replace('_', "-")).collect());

fn option(entry: &'static Entry, name: &'static str) -> Arg {
    let default = (entry.show)(&StreamsConfig::default());
    let text: Vec<&str> = entry.doc.iter().map(|line| line.trim()).collect();
    let text = text.join(" ");
    let shown = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    let first = text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first);
    Arg::new(entry.key)
        .long(name)
        .value_name(if entry.bounds.is_some() { "NUMBER" } else { "VALUE" })
        .help(format!("{first}{shown}"))
        .long_help(format!("{text}{shown}"))
        .help_heading(HEADING)
        .hide_short_help(!USUAL.contains(&entry.key))
        .allow_negative_numbers(true)
}

fn key_and_value(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let command = command
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .help("A file with further settings (TOML or YAML)")
                    .help_heading(HEADING),
            )
            .arg(
                Arg::new("set")
                    .long("set")
                    .value_name("KEY=VALUE")
                    .help("Any setting, also of the Kafka client (kafka.NAME); may be repeated")
                    .help_heading(HEADING)
                    .action(ArgAction::Append)
                    .value_parser(key_and_value),
            );
        let options = SETTINGS.iter().zip(OPTIONS.iter());
        options.fold(command, |command, (entry, name)| command.arg(option(entry, name)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Self::default();
        found.update_from_arg_matches(matches)?;
        Ok(found)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let text = |key: &str| matches.get_one::<String>(key);
        let keys = SETTINGS.iter().map(|entry| entry.key).chain(["config"]);
        self.given.extend(keys.filter_map(|key| Some(format!("--{key}={}", text(key)?))));
        let set = matches.get_many::<String>("set").unwrap_or_default();
        self.given.extend(set.map(|setting| format!("--{setting}")));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long)]
        own: Option<String>,
        #[command(flatten)]
        settings: ConfigArgs,
    }

    fn parsed(arguments: &[&str]) -> Cli {
        Cli::try_parse_from([&["program"], arguments].concat()).unwrap()
    }

    fn config(arguments: &[&str]) -> crate::error::Result<StreamsConfig> {
        let given = &parsed(arguments).settings.given;
        let sources = Sources::default().preset("application_id", "app").arguments(given);
        StreamsConfig::from_sources(&sources.preset("log", "embedded"))
    }

    #[test]
    fn every_setting_is_an_option_beside_the_programs_own() {
        for entry in SETTINGS {
            let option = format!("--{}", entry.key.replace('_', "-"));
            let value = (entry.show)(&StreamsConfig::default());
            let given = parsed(&["--own", "x", &option, &value]);
            assert_eq!(given.own.as_deref(), Some("x"));
            assert_eq!(given.settings.given, [format!("--{}={value}", entry.key)]);
        }
        let negative = config(&["--max-task-idle-ms", "-1", "--num-stream-threads=3"]).unwrap();
        assert_eq!((negative.max_task_idle_ms, negative.num_stream_threads), (-1, 3));
    }

    #[test]
    fn settings_of_the_client_are_set_by_key_and_value() {
        let all = config(&["--set", "kafka.sasl.password=a=b", "--set", "linger_ms=7"]).unwrap();
        assert_eq!((all.kafka.all.get("sasl.password"), all.linger_ms), (Some("a=b"), 7));
        let text = config(&["--set", "comit_interval_ms=1"]).unwrap_err().to_string();
        assert!(text.contains("did you mean \"commit_interval_ms\"?"), "{text}");
        assert!(Cli::try_parse_from(["program", "--set", "nothing"]).is_err());
        let shown = format!("{:?}", parsed(&["--set", "kafka.sasl.password=hunter2"]));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_short_help_has_the_usual_and_the_long_help_all() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let short = Cli::command().render_help().to_string();
        assert!(short.contains("--bootstrap-servers") && !short.contains("--linger-ms"), "{short}");
        let long = Cli::command().render_long_help().to_string();
        assert!(long.contains("--linger-ms <NUMBER>") && long.contains("[default: 20]"), "{long}");
    }
}
