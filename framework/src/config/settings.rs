//! The settings themselves: one list, from which the struct, its setters, the table for reading
//! them and the reference page are made, so that none can be forgotten in one of these places.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choice::{
    Compression, GroupProtocol, HttpAddress, LogFormat, LogKind, ProcessingGuarantee, UncaughtError,
};
use super::client::ClientSettings;
use super::directives;
use super::value::{Given, Setting};
use crate::error::{Error, Result};

/// One line of the table of settings.
pub(super) struct Entry {
    /// Its key.
    pub(super) key: &'static str,
    /// Its doc comment.
    pub(super) doc: &'static [&'static str],
    /// Reads it into a configuration.
    pub(super) read: fn(&mut StreamsConfig, &Given) -> std::result::Result<(), String>,
    /// As it would stand in a file.
    pub(super) show: fn(&StreamsConfig) -> String,
    /// Its number, if it is one and set.
    pub(super) number: fn(&StreamsConfig) -> Option<i128>,
    /// What the number may be.
    pub(super) bounds: Option<RangeInclusive<i128>>,
}

impl Entry {
    /// `from 1 to 1024`.
    pub(super) fn range(&self) -> Option<String> {
        let bounds = self.bounds.as_ref()?;
        Some(format!("from {} to {}", bounds.start(), bounds.end()))
    }

    fn beyond_bounds(&self, config: &StreamsConfig) -> Option<String> {
        let number = (self.number)(config)?;
        let bounds = self.bounds.as_ref().filter(|bounds| !bounds.contains(&number))?;
        let (key, most) = (self.key, bounds.end());
        Some(format!("{key} is {number}, but must be from {} to {most}", bounds.start()))
    }
}

macro_rules! settings {
    (@bounds) => { None };
    (@bounds $bounds:expr) => { Some($bounds) };
    ($(
        $(#[doc = $doc:literal])*
        $key:ident: $type:ty [$param:ty] $(in ($bounds:expr))? = $default:expr;
    )*) => {
        /// How an instance runs. Made by [`StreamsConfig::load`] (file, environment, command line)
        /// or by [`StreamsConfig::new`] and the setters; `docs/configuration.md` lists the same
        /// settings as a table.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct StreamsConfig {
            $( $(#[doc = $doc])* pub $key: $type, )*
            /// Settings for the Kafka client that have no setting of their own.
            pub kafka: KafkaOverrides,
            /// Variables that look like ours and are Kubernetes'.
            pub(super) passed_over: Vec<String>,
        }

        impl Default for StreamsConfig {
            fn default() -> Self {
                Self { $( $key: $default, )* kafka: KafkaOverrides::default(), passed_over: Vec::new() }
            }
        }

        /// Setters, named like the fields that they set.
        impl StreamsConfig {
            $( $(#[doc = $doc])*
            #[must_use]
            pub fn $key(mut self, $key: $param) -> Self {
                self.$key = $key.into();
                self
            } )*
        }

        /// All settings but `kafka.*`, in the order of the reference page.
        pub(super) const SETTINGS: &[Entry] = &[ $( Entry {
            key: stringify!($key),
            doc: &[$($doc),*],
            read: |config, given| {
                config.$key = Setting::read(given)?;
                Ok(())
            },
            show: |config| Setting::show(&config.$key),
            number: |config| Setting::number(&config.$key),
            bounds: settings!(@bounds $($bounds)?),
        }, )* ];
    };
}

const MIB: usize = 1024 * 1024;
/// More than any machine has; a larger number of bytes is a slip of the pen.
const BYTES_MAX: i128 = 1 << 42;
const DAY_MS: i128 = 86_400_000;
/// A hundred years: for what is meant to stay.
const CENTURY_MS: i128 = 36_525 * DAY_MS;

settings! {
    /// The name of the application: its consumer group, the prefix of its internal topics and of
    /// its transactional ids, the folder of its state. Required. Changing it starts anew: no
    /// committed position and no state is found under the new name.
    application_id: String [impl Into<String>] = String::new();
    /// The log to work on: `kafka` or `embedded` (durable, inside this one process, no server).
    log: LogKind [LogKind] = LogKind::Kafka;
    /// Where to find the Kafka cluster: `host:port`, several separated by commas. Required for
    /// `log = "kafka"`. One that answers is enough; name several so that one may be down.
    bootstrap_servers: String [impl Into<String>] = String::new();
    /// The folder of local state (and of the embedded log); each application has a folder of its
    /// own in it. Must survive restarts: with an empty one all state is read from the changelogs
    /// first. Default: `$XDG_DATA_HOME/millstream`, else `$HOME/.local/share/millstream`, else
    /// `millstream-state` in the working directory. One folder belongs to one cluster, or to one
    /// embedded log: state of another one is built anew from the changelogs, with a warning.
    state_dir: PathBuf [impl Into<PathBuf>] = default_state_dir(|name| std::env::var_os(name));
    /// `at_least_once` (nothing lost, up to a commit interval twice after a crash) or
    /// `exactly_once_v2` (each input counts once for readers of committed records; costs a
    /// transaction per commit).
    processing_guarantee: ProcessingGuarantee [ProcessingGuarantee] =
        ProcessingGuarantee::AtLeastOnce;
    /// Milliseconds between commits; 30000, or 100 with exactly-once, unless set. Larger: more is
    /// done again after a crash, the record cache and transactions hold results back for longer.
    /// Smaller: more requests, fewer records deduplicated by the cache.
    commit_interval_ms: Option<u64> [u64] in (1..=DAY_MS) = None;
    /// Bytes of the record caches of the whole instance: an equal part for each worker, whose tasks
    /// share it; 0 turns caching off. Larger: fewer updates downstream and in changelogs, longer
    /// commits. Smaller: more of both; with 0 every update is forwarded and logged.
    cache_bytes_max: usize [usize] in (0..=BYTES_MAX) = 10 * MIB;
    /// Worker threads of this instance; tasks are shared out over them. More than CPU cores or
    /// than tasks gains nothing; fewer leaves cores idle.
    num_stream_threads: usize [usize] in (1..=1_024) = 1;
    /// Milliseconds that a task with several inputs waits for an input that seems to have more but
    /// has nothing fetched, so that records are taken in the order of their time; -1 never waits.
    /// Larger: better order, more delay when an input is slow.
    max_task_idle_ms: i64 [i64] in (-1..=DAY_MS) = 0;
    /// Milliseconds that all inputs of a task must be empty before its stream time follows the clock,
    /// so that windows close without another record; unset, only records move stream time. Larger:
    /// results of a quiet topic come later. Smaller: what was held up on its way (a failover) is late.
    idle_timeout_ms: Option<u64> [u64] in (1..=DAY_MS) = None;
    /// `classic` (brokers from 2.5) or `consumer` (KIP-848, brokers from 4.0: a rebalance stops
    /// only what moves).
    group_protocol: GroupProtocol [GroupProtocol] = GroupProtocol::Classic;
    /// A name of this instance that stays the same over restarts (static membership): a restart
    /// within the session timeout moves nothing. Use zero-padded numbers, since members are
    /// sorted by it; two instances with the same name throw each other out.
    group_instance_id: Option<String> [String] = None;
    /// Milliseconds without a heartbeat after which the group takes this instance for dead.
    /// Larger: its partitions stand still for longer after a crash. Smaller: a pause of the
    /// process causes a rebalance. With `group_protocol = "consumer"` the broker decides.
    session_timeout_ms: u64 [u64] in (1..=3_600_000) = 45_000;
    /// Milliseconds within which this instance must come back to the group; rebalances are
    /// answered within a part of it. Smaller: a slow commit or a long record costs the membership.
    /// Larger: a stuck instance keeps its partitions for longer.
    max_poll_interval_ms: u64 [u64] in (1_000..=DAY_MS) = 300_000;
    /// Milliseconds after which the broker ends a transaction that its owner left open. Larger:
    /// after a crash readers of committed records wait for longer. Smaller: a commit that takes
    /// longer is aborted and done again. Must be above the commit interval, and not above the
    /// broker's `transaction.max.timeout.ms`.
    transaction_timeout_ms: u64 [u64] in (1_000..=DAY_MS) = 10_000;
    /// Bytes of uncommitted state of one worker; reaching it commits early. Larger: more memory
    /// and longer commits. Smaller: commits more often than the interval says under load.
    uncommitted_bytes_max: usize [usize] in (1_000..=BYTES_MAX) = 64 * MIB;
    /// Bytes of records fetched ahead, over all partitions of this instance. Larger: more memory.
    /// Smaller: workers wait for the network.
    prefetch_bytes_max: usize [usize] in (64 * 1024..=BYTES_MAX) = 16 * MIB;
    /// Bytes that RocksDB may use for all stores of this instance: block cache and write buffers
    /// together. Larger: fewer reads from disk. Smaller: more flushes and more reads from disk.
    rocksdb_memory_bytes_max: usize [usize] in (MIB as i128..=BYTES_MAX) = 128 * MIB;
    /// Bytes of rows that joins of streams keep in memory beside RocksDB, for the whole instance: an equal part for each
    /// worker, whose tasks share it. Larger: longer windows at higher rates fit. Smaller: less memory; what does not fit
    /// as a whole is read from RocksDB, for each record, which takes several times as long. 0: always.
    join_rows_bytes_max: usize [usize] in (0..=BYTES_MAX) = 64 * MIB;
    /// Copies of the internal topics; -1 is the broker's default. Production wants 3.
    replication_factor: i16 [i16] in (-1..=100) = -1;
    /// Milliseconds between deletions of what repartition topics no longer need (never past a
    /// committed position). Larger: more disk on the broker. Smaller: more requests.
    repartition_purge_interval_ms: u64 [u64] in (1..=DAY_MS) = 30_000;
    /// Milliseconds that changelogs of window stores keep beyond the store's retention, against
    /// clocks that differ. Only used when such a topic is created.
    windowstore_changelog_additional_retention_ms: u64 [u64] in (0..=CENTURY_MS) = 86_400_000;
    /// Milliseconds that the broker keeps tombstones of compacted changelogs
    /// (`delete.retention.ms`). Local state older than this is rebuilt from the start of its
    /// changelog, a global table from the start of its topic. Larger than the broker's value: deleted keys may come back after a long stop.
    /// Smaller: a store is rebuilt where reading the tail had been enough.
    delete_retention_ms: u64 [u64] in (0..=CENTURY_MS) = 86_400_000;
    /// Milliseconds after which the local state of a task that has moved to another instance is
    /// deleted. Larger: a task that comes back later still finds its state, which takes disk
    /// meanwhile. Smaller: it is restored from its changelog. No time counts while the instance is
    /// out of its group.
    state_cleanup_delay_ms: u64 [u64] in (0..=CENTURY_MS) = 600_000;
    /// Records that a task processes in one go at most. Other tasks, messages and timers have their
    /// turn after 10 ms in any case, at the latest between two records that are slow.
    task_turn_records_max: usize [usize] in (1..=1_000_000) = 1_000;
    /// Milliseconds that the producer waits to fill a batch (a commit never waits for it). Larger:
    /// bigger batches, more delay. Smaller: more requests.
    linger_ms: u64 [u64] in (0..=900_000) = 20;
    /// Milliseconds after which topics are looked at again: partition counts of sink topics, so that
    /// records spread over partitions that were added, and topics that match the patterns of sources.
    /// Smaller: noticed sooner, more requests.
    metadata_max_age_ms: u64 [u64] in (1..=DAY_MS) = 300_000;
    /// How the producer packs batches: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    compression: Compression [Compression] = Compression::Lz4;
    /// Where `/metrics`, `/healthz` and `/readyz` are served: `off`, or an address such as
    /// `127.0.0.1:9464`; port 0 takes a free one. Whoever reaches it can read it.
    http: HttpAddress [HttpAddress] = HttpAddress::Off;
    /// What follows an error that no policy covers: `replace_task` (go on from the last commit; a
    /// record that always fails repeats for ever, with back-off) or `stop_instance`.
    uncaught_error: UncaughtError [UncaughtError] = UncaughtError::StopInstance;
    /// Milliseconds before the first retry of what failed (broker away, task rebuilt); doubled
    /// from one to the next. Smaller: more log lines and requests while a broker is down.
    retry_backoff_ms: u64 [u64] in (1..=3_600_000) = 100;
    /// Milliseconds between retries at most. Larger: goes on later once the broker is back.
    retry_backoff_max_ms: u64 [u64] in (1..=3_600_000) = 5_000;
    /// Milliseconds that a stop may take to finish, commit and leave the group before it gives up:
    /// then it ends with an error that says that work was dropped. Smaller: work since the last
    /// commit is done again by others. A second signal (half a second after the first, or later)
    /// ends it at once.
    close_timeout_ms: u64 [u64] in (1..=DAY_MS) = 30_000;
    /// Milliseconds without a sign of life of a worker (or of the thread of the group) after which
    /// `/healthz` answers 503; waiting for the broker is one. Must be above the longest single record
    /// or restore step; an orchestrator that restarts unhealthy instances would otherwise restart
    /// slow ones.
    health_stuck_ms: u64 [u64] in (1_000..=DAY_MS) = 60_000;
    /// Milliseconds without progress (no record taken beyond those taken before, no state restored)
    /// after which an instance that has records to process says so: a warning, the metric
    /// `millstream_stalled` and the body of `/readyz`. Larger: noticed later. Smaller: records that
    /// take longer than this are reported.
    stalled_after_ms: u64 [u64] in (1..=DAY_MS) = 60_000;
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,millstream::log=debug`.
    log_level: String [impl Into<String>] = "info".to_owned();
    /// How a line of the log looks: `text` for people, `json` for programs. As `log_level` it
    /// counts where `init_logging` is called.
    log_format: LogFormat [LogFormat] = LogFormat::Text;
}

/// Settings handed to the Kafka client as they are (librdkafka's names): for every client, or by
/// the client's role. They win over what Millstream sets, except where its guarantees depend on
/// it; those of a role win over those of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaOverrides {
    /// For every client (`kafka.*`): security above all.
    pub all: ClientSettings,
    /// For the member of the group (`kafka.consumer.*`).
    pub consumer: ClientSettings,
    /// For producers (`kafka.producer.*`).
    pub producer: ClientSettings,
    /// For what creates and describes topics (`kafka.admin.*`).
    pub admin: ClientSettings,
    /// For what reads changelogs (`kafka.reader.*`).
    pub reader: ClientSettings,
}

impl KafkaOverrides {
    pub(super) const ROLES: [&'static str; 4] = ["consumer", "producer", "admin", "reader"];

    /// Files that are named and are not there: the client would say so later, and not which setting
    /// named them.
    fn missing_files(&self) -> impl Iterator<Item = String> {
        let of_roles = [&self.consumer, &self.producer, &self.admin, &self.reader];
        let of_roles = Self::ROLES.iter().zip(of_roles).flat_map(|(role, settings)| {
            settings.missing_files().map(move |(name, path)| (format!("{role}.{name}"), path))
        });
        let of_all = self.all.missing_files().map(|(name, path)| (name.to_owned(), path));
        let all = of_all.chain(of_roles);
        all.map(|(name, path)| format!("kafka.{name}: there is no file \"{path}\""))
    }

    pub(super) fn of_role(&mut self, role: &str) -> Option<&mut ClientSettings> {
        match role {
            "consumer" => Some(&mut self.consumer),
            "producer" => Some(&mut self.producer),
            "admin" => Some(&mut self.admin),
            "reader" => Some(&mut self.reader),
            _ => None,
        }
    }
}

impl StreamsConfig {
    /// The defaults, for an application of this name.
    pub fn new(application_id: impl Into<String>) -> Self {
        Self::default().application_id(application_id)
    }

    /// The time between commits: as set, else by the processing guarantee.
    pub fn commit_interval(&self) -> Duration {
        let default_ms = if self.is_exactly_once() { 100 } else { 30_000 };
        Duration::from_millis(self.commit_interval_ms.unwrap_or(default_ms))
    }

    /// True with `exactly_once_v2`.
    pub fn is_exactly_once(&self) -> bool {
        self.processing_guarantee == ProcessingGuarantee::ExactlyOnceV2
    }

    /// The folder of this application's state.
    pub fn application_dir(&self) -> PathBuf {
        self.state_dir.join(&self.application_id)
    }

    /// The options of the command line with their defaults, for a program's `--help`.
    pub fn help_text() -> String {
        let defaults = Self::default();
        let mut text = String::new();
        for entry in SETTINGS {
            let option = entry.key.replace('_', "-");
            let default = (entry.show)(&defaults);
            let shown = if default.is_empty() { "none" } else { &default };
            text.push_str(&format!("  --{option} (default: {shown})\n"));
            for line in entry.doc {
                text.push_str(&format!("          {}\n", line.trim()));
            }
        }
        text
    }

    /// Refuses what cannot work, all faults at once.
    ///
    /// # Errors
    /// `Config` that lists the faults with their keys.
    pub fn validate(&self) -> Result<()> {
        refuse(self.faults().into_iter())
    }

    /// The same for an instance that is given its log: the settings that find one do not matter.
    pub(crate) fn validate_without_log(&self) -> Result<()> {
        refuse(self.faults().into_iter().filter(|(key, _)| *key != "bootstrap_servers"))
    }

    /// Variables of the environment that begin like ours and were known as Kubernetes'.
    pub(crate) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// What cannot work, each with the key it is about.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let beyond = SETTINGS.iter().filter_map(|it| Some((it.key, it.beyond_bounds(self)?)));
        let mut all: Vec<(&'static str, String)> = beyond.collect();
        let mut when = |bad: bool, key: &'static str, text: &dyn Fn() -> String| {
            if bad && !all.iter().any(|(known, _)| *known == key) {
                all.push((key, text()));
            }
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let id = &self.application_id;
        when(id.is_empty(), "application_id", &|| required("application_id"));
        // A name that is a way up or nowhere would put the state beside its folder.
        when(!id.chars().all(legal) || id == "." || id == "..", "application_id", &|| {
            format!("application_id: \"{id}\" may hold only letters, digits, '.', '_' and '-'")
        });
        let servers_missing = self.log == LogKind::Kafka && self.bootstrap_servers.is_empty();
        when(servers_missing, "bootstrap_servers", &|| {
            format!("{} with log = \"kafka\"", required("bootstrap_servers"))
        });
        when(self.replication_factor == 0, "replication_factor", &|| {
            "replication_factor is 0, but must be at least 1, or -1 for the broker's".to_owned()
        });
        when(self.retry_backoff_max_ms < self.retry_backoff_ms, "retry_backoff_max_ms", &|| {
            let (least, most) = (self.retry_backoff_ms, self.retry_backoff_max_ms);
            format!("retry_backoff_max_ms ({most}) must not be below retry_backoff_ms ({least})")
        });
        when(self.max_poll_interval_ms < self.session_timeout_ms, "max_poll_interval_ms", &|| {
            let (poll_ms, session_ms) = (self.max_poll_interval_ms, self.session_timeout_ms);
            format!(
                "max_poll_interval_ms ({poll_ms}) must not be below session_timeout_ms ({session_ms})"
            )
        });
        let (timeout_ms, commit_ms) =
            (self.transaction_timeout_ms, self.commit_interval().as_millis());
        let too_short = self.is_exactly_once() && u128::from(timeout_ms) <= commit_ms;
        when(too_short, "transaction_timeout_ms", &|| {
            format!(
                "transaction_timeout_ms ({timeout_ms}) must be above the commit interval \
                 ({commit_ms} ms)"
            )
        });
        if let Some(fault) = directives::fault(&self.log_level) {
            when(true, "log_level", &|| format!("log_level: {fault}"));
        }
        all.extend(self.kafka.missing_files().map(|fault| ("kafka", fault)));
        all
    }
}

/// Whoever is told that a setting is missing has not found yet where settings stand.
fn required(key: &str) -> String {
    let (option, variable) = (key.replace('_', "-"), key.to_uppercase());
    format!("{key} is required (in the file, as MILLSTREAM_{variable} or as --{option})")
}

fn refuse(faults: impl Iterator<Item = (&'static str, String)>) -> Result<()> {
    let faults: Vec<String> = faults.map(|(_, text)| text).collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Config(faults.join("; "))) }
}

/// A folder of the user's own that survives a reboot: never the system's temporary one.
fn default_state_dir(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .map(|data| data.join("millstream"))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share/millstream")))
        .unwrap_or_else(|| Path::new("millstream-state").to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_interval_follows_the_guarantee() {
        let config = StreamsConfig::new("app");
        assert_eq!(config.commit_interval().as_millis(), 30_000);
        let config = config.processing_guarantee(ProcessingGuarantee::ExactlyOnceV2);
        assert_eq!(config.commit_interval().as_millis(), 100);
        assert_eq!(config.commit_interval_ms(7).commit_interval().as_millis(), 7);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let config = StreamsConfig::new("a b").num_stream_threads(0).retry_backoff_ms(0);
        let text = config.validate().unwrap_err().to_string();
        for part in
            ["application_id", "bootstrap_servers", "num_stream_threads", "retry_backoff_ms"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        let fine = StreamsConfig::new("app").log(LogKind::Embedded);
        fine.validate().unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("ca.pem");
        std::fs::write(&there, "").unwrap();
        let mut config = StreamsConfig::new("app").log(LogKind::Embedded);
        config.kafka.all.insert("ssl.ca.location", there.to_str().unwrap());
        config.kafka.reader.insert("ssl.ca.location", "probe");
        config.validate().unwrap();
        config.kafka.all.insert("ssl.ca.location", "/nowhere/ca.pem");
        config.kafka.producer.insert("ssl.key.location", "/nowhere/key.pem");
        let text = config.validate().unwrap_err().to_string();
        for part in [
            "kafka.ssl.ca.location: there is no file \"/nowhere/ca.pem\"",
            "kafka.producer.ssl.key.location: there is no file \"/nowhere/key.pem\"",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_where_it_may_stand() {
        let text = StreamsConfig::default().validate().unwrap_err().to_string();
        for part in ["application_id is required", "MILLSTREAM_APPLICATION_ID", "--application-id"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    /// The faults about a key, with a number written as a file would have it.
    fn faults_with(entry: &Entry, number: i128) -> Vec<String> {
        let mut config = StreamsConfig::new("app").log(LogKind::Embedded);
        let given = Given::Text(number.to_string());
        if let Err(fault) = (entry.read)(&mut config, &given) {
            return vec![fault];
        }
        let faults = config.faults().into_iter();
        faults.filter(|(key, _)| *key == entry.key).map(|(_, text)| text).collect()
    }

    #[test]
    fn every_number_has_bounds_that_are_held() {
        let defaults = StreamsConfig::default();
        for entry in SETTINGS {
            let parsed = (entry.read)(&mut StreamsConfig::default(), &Given::Text("7".to_owned()));
            let typed = (entry.read)(
                &mut StreamsConfig::default(),
                &Given::Typed(config::ValueKind::I64(7)),
            );
            let is_number = parsed.is_ok() && typed.is_ok();
            assert_eq!(entry.bounds.is_some(), is_number, "{} has bounds", entry.key);
            let Some(bounds) = &entry.bounds else { continue };
            let default = (entry.number)(&defaults);
            assert!(default.is_none_or(|it| bounds.contains(&it)), "{}", entry.key);
            for (number, fine) in [
                (*bounds.start(), true),
                (bounds.start() - 1, false),
                (*bounds.end(), true),
                (bounds.end() + 1, false),
            ] {
                let faults = faults_with(entry, number);
                // Two that must be in order are held against each other as well.
                let beyond: Vec<_> = faults.iter().filter(|it| !it.contains("below")).collect();
                assert_eq!(beyond.is_empty(), fine, "{} = {number}: {faults:?}", entry.key);
            }
        }
    }

    #[test]
    fn settings_that_belong_together_are_held_against_each_other() {
        let fine = || StreamsConfig::new("app").log(LogKind::Embedded);
        let fault = |config: StreamsConfig| config.validate().unwrap_err().to_string();
        fine().retry_backoff_ms(5_000).validate().unwrap();
        assert!(fault(fine().retry_backoff_ms(5_001)).contains("retry_backoff_max_ms (5000)"));
        fine().session_timeout_ms(300_000).validate().unwrap();
        assert!(
            fault(fine().session_timeout_ms(300_001)).contains("max_poll_interval_ms (300000)")
        );
        assert!(fault(fine().replication_factor(0)).contains("replication_factor is 0"));
        assert!(fault(fine().log_level("inof")).contains("did you mean \"info\"?"));
        for id in [".", "..", "a/b", ""] {
            assert!(StreamsConfig::new(id).log(LogKind::Embedded).validate().is_err(), "{id}");
        }
    }

    #[test]
    fn an_instance_that_is_given_its_log_needs_no_servers_but_sane_numbers() {
        StreamsConfig::new("app").validate_without_log().unwrap();
        let bad = StreamsConfig::new("app").prefetch_bytes_max(1).health_stuck_ms(0);
        let text = bad.validate_without_log().unwrap_err().to_string();
        assert!(
            text.contains("prefetch_bytes_max is 1,") && text.contains("health_stuck_ms is 0,")
        );
    }

    #[test]
    fn secrets_are_not_in_what_is_printed() {
        let mut config = StreamsConfig::new("app");
        for role in KafkaOverrides::ROLES {
            config.kafka.of_role(role).unwrap().insert("ssl.key.password", "hunter2");
        }
        config.kafka.all.insert("sasl.password", "hunter2");
        let text = format!("{config:?} {config:#?}");
        assert!(!text.contains("hunter2") && text.contains("sasl.password"), "{text}");
    }

    #[test]
    fn a_transaction_outlives_the_commit_interval() {
        let config = StreamsConfig::new("app")
            .log(LogKind::Embedded)
            .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2)
            .commit_interval_ms(10_000);
        let text = config.validate().unwrap_err().to_string();
        assert!(text.contains("transaction_timeout_ms (10000)"), "{text}");
    }

    #[test]
    fn state_is_kept_where_the_users_data_is() {
        let with = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(known, _)| *known == name);
            default_state_dir(|name| found(name).map(|(_, value)| (*value).into()))
        };
        let home = ("HOME", "/of/ada");
        assert_eq!(with(&[home]), Path::new("/of/ada/.local/share/millstream"));
        assert_eq!(with(&[home, ("XDG_DATA_HOME", "/data")]), Path::new("/data/millstream"));
        assert_eq!(with(&[("HOME", "here")]), Path::new("millstream-state"));
    }
}
