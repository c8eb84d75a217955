//! Where settings come from, and what is said when one cannot be read.
//!
//! Later sources win: what the program presets, the file, the environment, the command line.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use config::{FileFormat, Map, Source as _, Value, ValueKind};
use strsim::osa_distance;

use super::client::{HIDDEN, is_secret};
use super::settings::{KafkaOverrides, SETTINGS, StreamsConfig};
use super::spelling::{elsewhere, hint};
use super::value::Given;
use crate::error::{Error, Result};

const PREFIX: &str = "MILLSTREAM_";
/// The variable that names the file.
const CONFIG_VARIABLE: &str = "MILLSTREAM_CONFIG";
/// Variables with the prefix that are not settings: they belong to scripts and test suites.
const NOT_SETTINGS: [&str; 6] = ["CONFIG", "CACHE", "ROCKSDB", "BOOTSTRAP", "VECTORS", "NAB"];
/// The same, for all that begin so.
const NOT_SETTINGS_PREFIX: &str = "TEST_";
const FILES: [&str; 3] = ["millstream.toml", "millstream.yaml", "millstream.yml"];

/// Where to read settings from; [`Sources::of_process`] is what [`StreamsConfig::load`] reads.
/// `Debug` shows no values: there may be secrets among them.
#[derive(Clone, Default)]
pub struct Sources {
    presets: Vec<(String, String)>,
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<OsString>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &variables)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// The file named by `--config` or `MILLSTREAM_CONFIG`, else `millstream.toml` or
    /// `millstream.yaml` in the working directory if there is one; the environment; the command
    /// line.
    pub fn of_process() -> Self {
        Self::of_environment().arguments(std::env::args_os().skip(1))
    }

    /// The same without the command line: for a program that has one of its own.
    pub fn of_environment() -> Self {
        let found = FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        Self { file: found, ..Self::default() }.environment(std::env::vars_os())
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

    /// Reads these variables instead of none: those that begin with `MILLSTREAM_`. Others are not
    /// looked at, whatever is in them.
    #[must_use]
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let all = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment = all.filter(|(name, _)| is_ours(name)).collect();
        self
    }

    /// Reads this command line (without the program's name): `--key value` or `--key=value`.
    #[must_use]
    pub fn arguments(mut self, all: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments = all.into_iter().map(Into::into).collect();
        self
    }

    /// The configuration, and everything that is wrong with it.
    fn read(&self) -> Result<StreamsConfig> {
        let mut reading = Reading::default();
        for (key, value) in &self.presets {
            reading.set("preset", key, &Given::Text(value.clone()));
        }
        let arguments = self.parse_arguments(&mut reading.faults);
        let named = arguments.iter().rev().find(|(key, _)| key == "config");
        let variable = self.environment.iter().rev().find(|(name, _)| name == CONFIG_VARIABLE);
        let file = named
            .map(|(_, path)| PathBuf::from(path))
            .or_else(|| variable.map(|(_, path)| PathBuf::from(path)))
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
        reading.finish()
    }

    fn parse_arguments(&self, faults: &mut Vec<String>) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut rest = self.arguments.iter().map(|argument| argument.to_str().ok_or(argument));
        while let Some(argument) = rest.next() {
            let argument = match argument {
                Ok(argument) => argument,
                Err(other) => {
                    let name = without_value(&other.to_string_lossy());
                    faults.push(format!("command line: {name} is not UTF-8"));
                    continue;
                }
            };
            let Some(option) = argument.strip_prefix("--") else {
                faults.push(format!("command line: unexpected \"{}\"", without_value(argument)));
                continue;
            };
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(Ok(value))),
                None => (option, rest.next()),
            };
            match value {
                Some(Ok(value)) => found.push((spelled_as_key(key), value.to_owned())),
                Some(Err(_)) => faults.push(format!("command line: --{key}: not UTF-8")),
                None => faults.push(format!("command line: --{key} needs a value")),
            }
        }
        found
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// An argument that was not understood, without what may be a secret behind its name.
fn without_value(argument: &str) -> String {
    match argument.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => argument.to_owned(),
    }
}

/// `--bootstrap-servers` is `bootstrap_servers`; the client's own names stay as they are.
fn spelled_as_key(option: &str) -> String {
    if option.starts_with("kafka.") { option.to_owned() } else { option.replace('-', "_") }
}

/// Kubernetes describes each service to every container in variables named after it, and so does a
/// service of the name `millstream` (or `millstream-x`): `MILLSTREAM_PORT=tcp://10.0.0.7:8080`,
/// `MILLSTREAM_SERVICE_HOST`, `MILLSTREAM_SERVICE_PORT_HTTP`, `MILLSTREAM_PORT_8080_TCP_ADDR`.
fn describes_a_service(name: &str, value: &OsStr) -> bool {
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    if name.ends_with("_PORT") && value.to_string_lossy().contains("://") {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_") else { return false };
    let mut parts = port.split('_');
    parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
        && parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
        && parts.next().is_none_or(|what| matches!(what, "PROTO" | "PORT" | "ADDR"))
        && parts.next().is_none()
}

/// A configuration in the making, and what was wrong so far.
#[derive(Default)]
struct Reading {
    config: StreamsConfig,
    faults: Vec<String>,
    /// Where the value of a key stands; the keys whose value could not be read.
    origins: BTreeMap<&'static str, String>,
    unread: Vec<&'static str>,
}

impl Reading {
    /// What was read, unless something is wrong: all of it is told at once.
    fn finish(mut self) -> Result<StreamsConfig> {
        for (key, fault) in self.config.faults() {
            if self.unread.contains(&key) {
                continue;
            }
            self.faults.push(match self.origins.get(key) {
                Some(origin) => format!("{origin}: {fault}"),
                None => fault,
            });
        }
        if self.faults.is_empty() {
            return Ok(self.config);
        }
        Err(Error::Config(self.faults.join("; ")))
    }

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

    /// Tables in tables are one dotted key, however they are nested.
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

    fn variable(&mut self, name: &OsStr, value: &OsStr) {
        let shown = name.to_string_lossy();
        let Some(rest) = shown.strip_prefix(PREFIX) else { return };
        if NOT_SETTINGS.contains(&rest) || rest.starts_with(NOT_SETTINGS_PREFIX) {
            return;
        }
        let lower = rest.to_lowercase();
        let known = SETTINGS.iter().any(|entry| entry.key == lower);
        if !known && describes_a_service(&shown, value) {
            self.config.passed_over.push(shown.into_owned());
            return;
        }
        let origin = format!("environment: {shown}");
        let Some(text) = value.to_str() else {
            self.faults.push(format!("{origin}: its value is not UTF-8"));
            return;
        };
        let key = if lower.starts_with("kafka_") { lower.replace('_', ".") } else { lower };
        self.set(&origin, &key, &Given::Text(text.to_owned()));
    }

    fn set(&mut self, origin: &str, key: &str, given: &Given) {
        if let Some(client) = key.strip_prefix("kafka.") {
            self.set_client(origin, client, given);
            return;
        }
        let Some(entry) = SETTINGS.iter().find(|entry| entry.key == key) else {
            let hint = elsewhere(key).map_or_else(
                || hint(key, SETTINGS.iter().map(|entry| entry.key)),
                |place| format!(": {place}"),
            );
            self.faults.push(format!("{origin}: unknown key \"{key}\"{hint}"));
            return;
        };
        match (entry.read)(&mut self.config, given) {
            Ok(()) => {
                self.origins.insert(entry.key, origin.to_owned());
            }
            Err(fault) => {
                self.unread.push(entry.key);
                let range = entry.range().map(|range| format!("; {range}")).unwrap_or_default();
                self.faults.push(format!("{origin}: {key}: {fault}{range}"));
            }
        }
    }

    /// `kafka.ROLE.NAME` for the clients of a role, `kafka.NAME` for all of them.
    fn set_client(&mut self, origin: &str, key: &str, given: &Given) {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        let role = KafkaOverrides::ROLES.iter().find(|role| osa_distance(role, first) <= 1);
        let name = match role {
            Some(role) if *role == first => rest,
            // A misspelt role would be the name of a setting that the client does not know.
            Some(_) => "",
            None => key,
        };
        if name.is_empty() {
            let roles = KafkaOverrides::ROLES.join(", ");
            self.faults.push(format!(
                "{origin}: unknown key \"kafka.{key}\", expected kafka.NAME for all clients, or \
                 kafka.ROLE.NAME with ROLE one of {roles}"
            ));
            return;
        }
        match given.client_text() {
            Ok(text) => {
                let all = &mut self.config.kafka;
                let client = match role {
                    Some(role) => all.of_role(role),
                    None => Some(&mut all.all),
                };
                if let Some(client) = client {
                    client.insert(name, text);
                }
            }
            Err(fault) => self.faults.push(format!("{origin}: kafka.{key}: {fault}")),
        }
    }
}

/// The client library's message names the file by its full path in some cases and not in others,
/// and shows the line with the fault: it may be the one with the password.
fn file_fault(name: &str, message: &str) -> String {
    let is_excerpt = |line: &&str| {
        let line = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        line.trim_start().starts_with('|')
    };
    let lines: Vec<&str> = message.lines().filter(|line| !is_excerpt(line)).collect();
    let message = lines.join(" ");
    if message.contains(name) { message } else { format!("{name}: {message}") }
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

    /// The same without the command line: for a program that has one of its own.
    ///
    /// # Errors
    /// As [`StreamsConfig::load`].
    pub fn load_without_arguments() -> Result<Self> {
        Self::from_sources(&Sources::of_environment())
    }

    /// Reads these sources and validates the result.
    ///
    /// # Errors
    /// As [`StreamsConfig::load`].
    pub fn from_sources(sources: &Sources) -> Result<Self> {
        sources.read()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::config::choice::{HttpAddress, LogKind, ProcessingGuarantee};

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
            "processing_guarantee: exactly_once_v2\nkafka:\n  consumer:\n    fetch.min.bytes: '7'\n    fetch:\n      wait.max.ms: \"9\"\n",
        );
        let sources = embedded().arguments(["--config", path.to_str().unwrap()]);
        let config = StreamsConfig::from_sources(&sources).unwrap();
        assert_eq!(config.processing_guarantee, ProcessingGuarantee::ExactlyOnceV2);
        assert_eq!(config.commit_interval(), Duration::from_millis(100));
        let client: Vec<_> = config.kafka.consumer.iter().collect();
        assert_eq!(client, [("fetch.min.bytes", "7"), ("fetch.wait.max.ms", "9")]);
    }

    #[test]
    fn client_settings_come_from_everywhere() {
        let sources = embedded()
            .environment(variables(&[("MILLSTREAM_KAFKA_PRODUCER_BATCH_SIZE", "5")]))
            .arguments(["--kafka.admin.socket.timeout.ms=6"]);
        let config = StreamsConfig::from_sources(&sources).unwrap();
        assert_eq!(config.kafka.producer.get("batch.size"), Some("5"));
        assert_eq!(config.kafka.admin.get("socket.timeout.ms"), Some("6"));
        for misspelt in ["kafka.consumr.x", "kafka.consumer", "kafka.producers.x", "kafka."] {
            let text = fault(&embedded().arguments([format!("--{misspelt}=1")]));
            assert!(text.contains(&format!("unknown key \"{misspelt}\"")), "{text}");
        }
    }

    #[test]
    fn what_all_clients_share_needs_no_role() {
        let (_dir, path) = written(
            "millstream.toml",
            "[kafka]\n\"security.protocol\" = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\n",
        );
        let sources = embedded().file(path).environment(variables(&[
            ("MILLSTREAM_KAFKA_SASL_PASSWORD", "00123456"),
            ("MILLSTREAM_KAFKA_BROKER_ADDRESS_FAMILY", "v4"),
        ]));
        let all = StreamsConfig::from_sources(&sources).unwrap().kafka.all;
        let expected = [
            ("broker.address.family", "v4"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.password", "00123456"),
            ("security.protocol", "SASL_SSL"),
        ];
        assert_eq!(all.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_file_has_changed_already_is_refused_where_a_text_is_wanted() {
        let (_dir, path) = written(
            "millstream.yaml",
            "application_id: 0123\nlog_level: 5\nstate_dir: true\ncompression: 1.5\nkafka:\n  \
             sasl.password: 00123456\n  ssl.key.password: 1e3\n  consumer:\n    a: 0x1F\n    \
             b: true\n    c: 0o17\n    d: ~\n    e: [x]\n  admin:\n    f: 1_000\n    g: no\n",
        );
        let text = fault(&Sources::default().preset("log", "embedded").file(&path));
        let file = path.display();
        for key in [
            "application_id",
            "log_level",
            "state_dir",
            "compression",
            "kafka.sasl.password",
            "kafka.ssl.key.password",
            "kafka.consumer.a",
            "kafka.consumer.b",
            "kafka.consumer.c",
        ] {
            let begin = text.find(&format!("{file}: {key}: ")).unwrap_or_else(|| panic!("{text}"));
            let told = text[begin..].split(&format!("; {file}")).next().unwrap();
            assert!(told.ends_with("; write it in quotes"), "{key}: {told}");
        }
        for secret in ["123456", "1000"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("kafka.consumer.d: expected a text, found nothing"), "{text}");
        assert!(text.contains("kafka.consumer.e: expected a text, found a list"), "{text}");
        // These are texts to YAML itself, and are what they look like.
        assert!(!text.contains("kafka.admin"), "{text}");
        assert!(!text.contains("is required"), "told already: {text}");
    }

    #[test]
    fn texts_that_look_like_something_else_are_kept_in_quotes() {
        for (name, text) in [
            ("a.toml", "[kafka]\n\"sasl.password\" = \"00123456\"\n"),
            ("a.yaml", "kafka:\n  sasl.password: \"00123456\"\n"),
            ("a.yml", "kafka: {sasl.password: '00123456'}\n"),
        ] {
            let (_dir, path) = written(name, text);
            let config = StreamsConfig::from_sources(&embedded().file(path)).unwrap();
            assert_eq!(config.kafka.all.get("sasl.password"), Some("00123456"), "{name}");
        }
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
    fn a_setting_of_kafka_streams_that_is_elsewhere_here_says_where() {
        let text = fault(&embedded().arguments(["--auto.offset.reset", "earliest"]));
        assert!(
            text.contains("\"auto.offset.reset\": each source says it: `Consumed::reset`"),
            "{text}"
        );
        let text = fault(&embedded().arguments(["--num-standby-replicas", "1"]));
        assert!(text.contains("there are no standby replicas yet"), "{text}");
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
    fn a_misspelt_word_of_a_closed_set_is_refused_with_the_nearest() {
        for (key, found, nearest) in [
            ("log", "kafak", "kafka"),
            ("processing_guarantee", "exactly_once", "exactly_once_v2"),
            ("group_protocol", "clasic", "classic"),
            ("uncaught_error", "replace_tasks", "replace_task"),
            ("compression", "snapy", "snappy"),
            ("log_format", "jsno", "json"),
            ("log_level", "inof", "info"),
            ("log_level", "info,millstream=debgu", "debug"),
        ] {
            let text = fault(&embedded().arguments([format!("--{key}={found}")]));
            assert!(text.contains("command line: "), "{text}");
            assert!(text.contains(&format!("did you mean \"{nearest}\"?")), "{text}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_where_it_stands() {
        let (_dir, path) = written(
            "millstream.toml",
            "rocksdb_memory_bytes_max = 1000\nprefetch_bytes_max = 1\nlinger_ms = -1\n",
        );
        let sources = embedded()
            .file(&path)
            .environment(variables(&[("MILLSTREAM_NUM_STREAM_THREADS", "1025")]))
            .arguments(["--health-stuck-ms=0", "--nonsense=1"]);
        let text = fault(&sources);
        let file = path.display();
        for part in [
            format!("{file}: rocksdb_memory_bytes_max is 1000, but must be from 1048576 to"),
            format!("{file}: prefetch_bytes_max is 1, but must be from 65536 to"),
            format!("{file}: linger_ms: expected a whole number, found -1; from 0 to 900000"),
            "environment: MILLSTREAM_NUM_STREAM_THREADS: num_stream_threads is 1025".to_owned(),
            "command line: health_stuck_ms is 0, but must be from 1000 to".to_owned(),
            "command line: unknown key \"nonsense\"".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }

    #[test]
    fn no_secret_is_in_an_error() {
        let secrets = [
            ("a.toml", "[kafka]\n\"sasl.password\" = hunter2\n"),
            ("b.toml", "[kafka]\n\"ssl.key.pem\" = \"\"\"\nhunter2\n\\q\"\"\"\n"),
            ("c.toml", "kafka.sasl.password = \"hunter2\" x\n"),
            ("d.yaml", "kafka:\n  sasl.password: \"hunter2\n"),
            ("e.yaml", "kafka:\n  sasl.password: hunter2: x: [\n"),
        ];
        for (name, text) in secrets {
            let (_dir, path) = written(name, text);
            let told = fault(&embedded().file(path));
            assert!(!told.contains("hunter2") && told.contains(name), "{told}");
            assert!(told.contains("line"), "still says where: {told}");
        }
        let arguments = [
            "-kafka.sasl.password=hunter2",
            "kafka.sasl.password=hunter2",
            "--kafka.consumr.sasl.password=hunter2",
            "--kafak.sasl.password=hunter2",
        ];
        for argument in arguments {
            let told = fault(&embedded().arguments([argument]));
            assert!(!told.contains("hunter2") && told.contains("sasl.password"), "{told}");
        }
        let sources = embedded()
            .preset("kafka.sasl.password", "hunter2")
            .environment(variables(&[("MILLSTREAM_KAFKA_SASL_PASSWORD", "hunter2")]))
            .arguments(arguments);
        assert!(!format!("{sources:?}").contains("hunter2"));
    }

    #[test]
    fn what_kubernetes_says_of_a_service_of_our_name_is_passed_over() {
        let services = [
            ("MILLSTREAM_PORT", "tcp://10.0.0.7:8080"),
            ("MILLSTREAM_SERVICE_HOST", "10.0.0.7"),
            ("MILLSTREAM_SERVICE_PORT", "8080"),
            ("MILLSTREAM_SERVICE_PORT_HTTP_METRICS", "8080"),
            ("MILLSTREAM_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("MILLSTREAM_PORT_8080_TCP_PROTO", "tcp"),
            ("MILLSTREAM_PORT_8080_TCP_PORT", "8080"),
            ("MILLSTREAM_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("MILLSTREAM_PORT_53_UDP_ADDR", "10.0.0.7"),
            ("MILLSTREAM_TOTALS_PORT", "udp://10.0.0.8:9"),
            ("MILLSTREAM_TOTALS_SERVICE_HOST", "10.0.0.8"),
            ("MILLSTREAM_KAFKA_PORT_9092_TCP", "tcp://10.0.0.9:9092"),
            ("MILLSTREAM_KAFKA_CONSUMER_SERVICE_PORT", "9092"),
        ];
        let sources = embedded().environment(variables(&services));
        let config = StreamsConfig::from_sources(&sources).unwrap();
        let names: Vec<_> = services.iter().map(|(name, _)| *name).collect();
        assert_eq!(config.passed_over(), names);
        assert_eq!(config.kafka, KafkaOverrides::default());
        for (name, value) in [
            ("MILLSTREAM_PORT", "8080"),
            ("MILLSTREAM_HTTP_PORT", "9464"),
            ("MILLSTREAM_PORT_8080", "x"),
            ("MILLSTREAM_PORT_HTTP_TCP", "x"),
            ("MILLSTREAM_PORT_8080_TCP_HOST", "x"),
            ("MILLSTREAM_SERVICE_HOSTS", "x"),
        ] {
            let text = fault(&embedded().environment([(name, value)]));
            assert!(text.contains(&format!("environment: {name}: unknown key")), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_our_own_variables_must_be_readable() {
        use std::os::unix::ffi::OsStringExt as _;
        let broken = || OsString::from_vec(vec![b'/', 0xFF]);
        let name = |name: &str| OsString::from(name);
        let others = [
            (name("LESSOPEN"), broken()),
            (broken(), name("x")),
            (name("MILLSTREAM_CACHE"), broken()),
            (name("MILLSTREAM_SERVICE_HOST"), broken()),
        ];
        StreamsConfig::from_sources(&embedded().environment(others)).unwrap();
        let text = fault(&embedded().environment([(name("MILLSTREAM_STATE_DIR"), broken())]));
        assert!(
            text.contains("environment: MILLSTREAM_STATE_DIR: its value is not UTF-8"),
            "{text}"
        );
        let ours = OsString::from_vec(b"MILLSTREAM_STATE_\xFF".to_vec());
        let text = fault(&embedded().environment([(ours, name("x"))]));
        assert!(text.contains("environment: MILLSTREAM_STATE_"), "{text}");
        let text = fault(&embedded().arguments([name("--state-dir"), broken()]));
        assert!(text.contains("command line: --state-dir: not UTF-8"), "{text}");
        let text = fault(&embedded().arguments([broken()]));
        assert!(text.contains("command line: /\u{FFFD} is not UTF-8"), "{text}");
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
        let scripts = [
            include_str!("../../../deploy/build/packages.sh"),
            include_str!("../../../deploy/build/rocksdb.sh"),
            include_str!("../../../deploy/kafka/kafka"),
            include_str!("../../../test"),
            include_str!("../../../run"),
            include_str!("../../../bench"),
        ];
        // Whoever sets one of theirs must still be able to start a program from the same shell.
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        let named = |script: &'static str| {
            script.split(|c| !is_name(c)).filter(|it| it.starts_with(PREFIX))
        };
        let theirs: BTreeSet<&str> = scripts.into_iter().flat_map(named).collect();
        assert!(theirs.contains("MILLSTREAM_ROCKSDB") && theirs.contains("MILLSTREAM_CACHE"));
        for name in theirs {
            let given = [(name, "127.0.0.1:1")];
            let read = StreamsConfig::from_sources(&embedded().environment(variables(&given)));
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
}
