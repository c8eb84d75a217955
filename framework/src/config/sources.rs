//! Where settings come from, and what is said when one cannot be read.
//!
//! Later sources win: what the program presets, the file, the environment, the command line.

use std::path::{Path, PathBuf};

use config::{FileFormat, Map, Source as _, Value, ValueKind};

use super::settings::{KafkaOverrides, SETTINGS, StreamsConfig};
use super::value::{Given, Setting as _};
use crate::error::{Error, Result};

const PREFIX: &str = "MILLSTREAM_";
/// Variables with the prefix that are not settings: they belong to scripts and test suites.
const NOT_SETTINGS: [&str; 4] = ["CONFIG", "CACHE", "BOOTSTRAP", "VECTORS"];
/// The same, for all that begin so.
const NOT_SETTINGS_PREFIX: &str = "TEST_";
const FILES: [&str; 3] = ["millstream.toml", "millstream.yaml", "millstream.yml"];

/// Where to read settings from; [`Sources::of_process`] is what [`StreamsConfig::load`] reads.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    presets: Vec<(String, String)>,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Sources {
    /// The file named by `--config` or `MILLSTREAM_CONFIG`, else `millstream.toml` or
    /// `millstream.yaml` in the working directory if there is one; the environment; the command
    /// line.
    pub fn of_process() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let found = FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        Self { file: found, ..Self::default() }.environment(std::env::vars()).arguments(arguments)
    }

    /// Sets a default of the program's own, below all other sources.
    #[must_use]
    pub fn preset(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.presets.push((key.into(), value.into()));
        self
    }

    /// Reads this file (TOML or YAML, by its ending).
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Reads these variables instead of none: those that begin with `MILLSTREAM_`.
    #[must_use]
    pub fn environment(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = vars.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        self
    }

    /// Reads this command line (without the program's name): `--key value` or `--key=value`.
    #[must_use]
    pub fn arguments(mut self, all: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments = all.into_iter().map(Into::into).collect();
        self
    }

    fn read(&self) -> Result<StreamsConfig> {
        let mut reading = Reading { config: StreamsConfig::default(), faults: Vec::new() };
        for (key, value) in &self.presets {
            reading.set("preset", key, &Given::Text(value.clone()));
        }
        let arguments = self.parse_arguments(&mut reading.faults);
        let named_by = |name: &str, among: &[(String, String)]| {
            among.iter().rev().find(|(key, _)| key == name).map(|(_, path)| PathBuf::from(path))
        };
        let file = named_by("config", &arguments)
            .or_else(|| named_by("MILLSTREAM_CONFIG", &self.environment))
            .or_else(|| self.file.clone());
        if let Some(path) = file {
            reading.file(&path);
        }
        for (name, value) in &self.environment {
            reading.variable(name, value);
        }
        for (key, value) in arguments.iter().filter(|(key, _)| key != "config") {
            reading.set("command line", key, &Given::Text(value.clone()));
        }
        if reading.faults.is_empty() {
            return Ok(reading.config);
        }
        Err(Error::Config(reading.faults.join("; ")))
    }

    fn parse_arguments(&self, faults: &mut Vec<String>) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut rest = self.arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix("--") else {
                faults.push(format!("command line: unexpected \"{argument}\""));
                continue;
            };
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (option, rest.next().cloned()),
            };
            match value {
                Some(value) => found.push((spelled_as_key(key), value)),
                None => faults.push(format!("command line: --{key} needs a value")),
            }
        }
        found
    }
}

/// `--bootstrap-servers` is `bootstrap_servers`; the client's own names stay as they are.
fn spelled_as_key(option: &str) -> String {
    if option.starts_with("kafka.") { option.to_owned() } else { option.replace('-', "_") }
}

/// A configuration in the making, and what was wrong so far.
struct Reading {
    config: StreamsConfig,
    faults: Vec<String>,
}

impl Reading {
    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let format = match path.extension().and_then(|it| it.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("yaml" | "yml") => FileFormat::Yaml,
            _ => {
                self.faults.push(format!("{name}: the ending must be .toml, .yaml or .yml"));
                return;
            }
        };
        match config::File::from(path).format(format).collect() {
            Ok(table) => self.table(&name, "", table),
            Err(error) => self.faults.push(file_fault(&name, &error.to_string())),
        }
    }

    /// Tables are the parts of a dotted key, however they are nested.
    fn table(&mut self, origin: &str, path: &str, table: Map<String, Value>) {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in entries {
            let key = if path.is_empty() { key } else { format!("{path}.{key}") };
            match value.kind {
                ValueKind::Table(inner) => self.table(origin, &key, inner),
                kind => self.set(origin, &key, &Given::Typed(kind)),
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix(PREFIX) else { return };
        if NOT_SETTINGS.contains(&rest) || rest.starts_with(NOT_SETTINGS_PREFIX) {
            return;
        }
        let lower = rest.to_lowercase();
        let key = if lower.starts_with("kafka_") { lower.replace('_', ".") } else { lower };
        self.set(&format!("environment: {name}"), &key, &Given::Text(value.to_owned()));
    }

    fn set(&mut self, origin: &str, key: &str, given: &Given) {
        if let Some(client) = key.strip_prefix("kafka.") {
            self.set_client(origin, client, given);
            return;
        }
        match SETTINGS.iter().find(|entry| entry.key == key) {
            Some(entry) => {
                if let Err(fault) = (entry.read)(&mut self.config, given) {
                    self.faults.push(format!("{origin}: {key}: {fault}"));
                }
            }
            None => self.faults.push(format!("{origin}: unknown key \"{key}\"{}", hint(key))),
        }
    }

    fn set_client(&mut self, origin: &str, key: &str, given: &Given) {
        let (role, name) = key.split_once('.').unwrap_or((key, ""));
        let text = match given {
            Given::Typed(
                kind @ (ValueKind::Boolean(_)
                | ValueKind::I64(_)
                | ValueKind::U64(_)
                | ValueKind::Float(_)),
            ) => Ok(kind.to_string()),
            _ => String::read(given),
        };
        match (self.config.kafka.of_role(role), text) {
            (Some(client), Ok(text)) if !name.is_empty() => {
                client.insert(name.to_owned(), text);
            }
            (Some(_), Err(fault)) => self.faults.push(format!("{origin}: kafka.{key}: {fault}")),
            _ => {
                let roles = KafkaOverrides::ROLES.join(", ");
                self.faults.push(format!(
                    "{origin}: unknown key \"kafka.{key}\", expected kafka.ROLE.NAME with ROLE \
                     one of {roles}"
                ));
            }
        }
    }
}

/// The client library's message names the file by its full path in some cases and not in others.
fn file_fault(name: &str, message: &str) -> String {
    if message.contains(name) { message.to_owned() } else { format!("{name}: {message}") }
}

/// `, did you mean "x"?` where a key is near.
fn hint(key: &str) -> String {
    let spelled = key.replace(['.', '-'], "_").to_lowercase();
    let nearest = SETTINGS.iter().map(|it| (distance(&spelled, it.key), it.key)).min();
    match nearest {
        Some((far, key)) if far <= key.len() / 3 => format!(", did you mean \"{key}\"?"),
        _ => String::new(),
    }
}

/// How many letters must be added, removed or changed to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let next = (above_left + usize::from(a != b)).min(*cell + 1).min(left + 1);
            above_left = *cell;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl StreamsConfig {
    /// Reads file, environment (`MILLSTREAM_*`) and command line of this process, and validates
    /// the result.
    ///
    /// # Errors
    /// `Config` that names every unknown key and wrong value with the file (or variable, or
    /// option) it stands in.
    pub fn load() -> Result<Self> {
        Self::from_sources(&Sources::of_process())
    }

    /// Reads these sources and validates the result.
    ///
    /// # Errors
    /// As [`StreamsConfig::load`].
    pub fn from_sources(sources: &Sources) -> Result<Self> {
        let config = sources.read()?;
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{HttpAddress, LogKind, ProcessingGuarantee};

    fn fault(sources: &Sources) -> String {
        StreamsConfig::from_sources(sources).unwrap_err().to_string()
    }

    fn embedded() -> Sources {
        Sources::default().preset("application_id", "app").preset("log", "embedded")
    }

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn variables(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn later_sources_win() {
        let (_dir, path) = written(
            "millstream.toml",
            "cache_bytes_max = 1\nlinger_ms = 1\nnum_stream_threads = 3\n",
        );
        let sources = embedded()
            .preset("num_stream_threads", "2")
            .file(path)
            .environment(variables(&[("MILLSTREAM_LINGER_MS", "2"), ("HOME", "/")]))
            .arguments(["--linger-ms=3", "--http", "127.0.0.1:0"]);
        let config = StreamsConfig::from_sources(&sources).unwrap();
        assert_eq!(
            (config.cache_bytes_max, config.linger_ms, config.num_stream_threads),
            (1, 3, 3)
        );
        assert_eq!(config.http, HttpAddress::On("127.0.0.1:0".parse().unwrap()));
        assert_eq!(config.log, LogKind::Embedded);
    }

    #[test]
    fn a_file_can_be_yaml_and_is_named_by_an_option() {
        let (_dir, path) = written(
            "other.yaml",
            "processing_guarantee: exactly_once_v2\nkafka:\n  consumer:\n    fetch.min.bytes: 7\n    fetch:\n      wait.max.ms: 9\n",
        );
        let sources = embedded().arguments(["--config", path.to_str().unwrap()]);
        let config = StreamsConfig::from_sources(&sources).unwrap();
        assert_eq!(config.processing_guarantee, ProcessingGuarantee::ExactlyOnceV2);
        assert_eq!(config.commit_interval(), Duration::from_millis(100));
        let client: Vec<_> = config.kafka.consumer.into_iter().collect();
        let text = |it: &str| it.to_owned();
        assert_eq!(
            client,
            [(text("fetch.min.bytes"), text("7")), (text("fetch.wait.max.ms"), text("9"))]
        );
    }

    #[test]
    fn client_settings_come_from_everywhere() {
        let sources = embedded()
            .environment(variables(&[("MILLSTREAM_KAFKA_PRODUCER_BATCH_SIZE", "5")]))
            .arguments(["--kafka.admin.socket.timeout.ms=6"]);
        let config = StreamsConfig::from_sources(&sources).unwrap();
        assert_eq!(config.kafka.producer.get("batch.size").map(String::as_str), Some("5"));
        assert_eq!(config.kafka.admin.get("socket.timeout.ms").map(String::as_str), Some("6"));
        let text = fault(&embedded().arguments(["--kafka.broker.x=1"]));
        assert!(text.contains("unknown key \"kafka.broker.x\""), "{text}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_the_nearest_key() {
        let (_dir, path) = written("millstream.toml", "commit.interval.ms = 5\nnonsense = 1\n");
        let text = fault(&embedded().file(&path));
        let file = path.display();
        let first = format!(
            "{file}: unknown key \"commit.interval.ms\", did you mean \"commit_interval_ms\"?"
        );
        assert!(text.contains(&first), "{text}");
        assert!(text.contains(&format!("{file}: unknown key \"nonsense\"")), "{text}");
        let text = fault(&embedded().arguments(["--comit-interval-ms", "5"]));
        assert!(
            text.contains("command line: unknown key \"comit_interval_ms\", did you mean \"commit_interval_ms\"?"),
            "{text}"
        );
        let text = fault(&embedded().environment(variables(&[("MILLSTREAM_STATEDIR", "/x")])));
        assert!(text.contains("environment: MILLSTREAM_STATEDIR: unknown key"), "{text}");
        assert!(text.contains("did you mean \"state_dir\"?"), "{text}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_file_and_key() {
        let (_dir, path) = written(
            "millstream.toml",
            "num_stream_threads = \"4\"\nlog = \"kafak\"\ncache_bytes_max = -1\nstate_dir = 3\n",
        );
        let text = fault(&embedded().file(&path));
        let file = path.display();
        for (key, what) in [
            ("num_stream_threads", "found \"4\""),
            ("log", "expected kafka or embedded, found \"kafak\""),
            ("cache_bytes_max", "found -1"),
            ("state_dir", "expected a path, found 3"),
        ] {
            let begin = text.find(&format!("{file}: {key}: ")).unwrap_or_else(|| panic!("{text}"));
            assert!(text[begin..].contains(what), "{what} in {text}");
        }
    }

    #[test]
    fn a_broken_or_missing_file_is_named() {
        let (dir, path) = written("millstream.toml", "log = \n");
        assert!(fault(&embedded().file(&path)).contains("millstream.toml"));
        let absent = dir.path().join("absent.toml");
        assert!(fault(&embedded().file(&absent)).contains("absent.toml"));
        let other = dir.path().join("settings.ini");
        assert!(fault(&embedded().file(&other)).contains("the ending must be"));
    }

    #[test]
    fn the_command_line_is_read_strictly() {
        let text = fault(&embedded().arguments(["run", "--http"]));
        assert!(text.contains("unexpected \"run\""), "{text}");
        assert!(text.contains("--http needs a value"), "{text}");
    }

    #[test]
    fn variables_of_scripts_and_tests_are_no_settings() {
        let names = [("MILLSTREAM_BOOTSTRAP", "x"), ("MILLSTREAM_TEST_UPDATE", "1")];
        StreamsConfig::from_sources(&embedded().environment(variables(&names))).unwrap();
    }
}
