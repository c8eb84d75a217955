//! How the client is set: one typed struct, turned into librdkafka's keys per role.
//!
//! Some keys are what the rest of this module rests on (positions are ours, not the client's);
//! those cannot be overridden, and an attempt is an error and not silently ignored.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::error;
use crate::config::ClientSettings;
use crate::error::{Error, Result};
use crate::log::{GroupSpec, Isolation, ProducerSpec, RECORD_BYTES_MAX};

/// How members of a group agree on who reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol every broker knows; each rebalance revokes everything.
    #[default]
    Classic,
    /// KIP-848, from broker 4.0: the broker assigns, and kept partitions go on meanwhile.
    Consumer,
}

/// Settings of the Kafka client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Where to find the cluster: `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Names this client in the broker's logs and quotas.
    pub client_id: String,
    /// How members share partitions out.
    pub group_protocol: GroupProtocol,
    /// A member that is silent for so long is put out of the group (classic protocol; with
    /// KIP-848 the broker decides).
    pub session_timeout: Duration,
    /// A member whose control thread does not poll for so long is put out of the group. It
    /// bounds what a rebalance listener may take.
    pub max_poll_interval: Duration,
    /// Any wait for an answer of the broker ends after this with `Unavailable`. Larger survives
    /// longer outages without an error, smaller notices them sooner.
    pub request_timeout: Duration,
    /// So long a record may wait for others to share a request; a flush does not wait for it.
    pub linger: Duration,
    /// Bytes a producer holds that are not acknowledged; beyond it `send` waits.
    pub producer_bytes_max: usize,
    /// Compression of produced batches: `none`, `lz4`, `zstd`, `gzip`, `snappy`.
    pub compression: String,
    /// So long the broker may hold a fetch that finds nothing; less where each partition may hold
    /// little, see `set_prefetch`.
    pub fetch_wait: Duration,
    /// Further client settings of every client, by librdkafka's names; those of a role win.
    pub all: ClientSettings,
    /// Further client settings of group members.
    pub consumer: ClientSettings,
    /// Further client settings of producers.
    pub producer: ClientSettings,
    /// Further client settings of the clients that create and describe topics.
    pub admin: ClientSettings,
    /// Further client settings of readers (restore).
    pub reader: ClientSettings,
}

impl KafkaSettings {
    /// The defaults for a cluster.
    pub fn new(bootstrap_servers: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: client_id.into(),
            group_protocol: GroupProtocol::default(),
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            request_timeout: Duration::from_secs(30),
            linger: Duration::from_millis(5),
            producer_bytes_max: 32 << 20,
            compression: "lz4".to_owned(),
            fetch_wait: Duration::from_millis(100),
            all: ClientSettings::default(),
            consumer: ClientSettings::default(),
            producer: ClientSettings::default(),
            admin: ClientSettings::default(),
            reader: ClientSettings::default(),
        }
    }

    /// Refuses what the client would refuse of any role, all of it at once.
    pub(super) fn check(&self) -> Result<()> {
        let spec = GroupSpec {
            group: self.client_id.clone(),
            topics: Vec::new(),
            isolation: Isolation::ReadCommitted,
            static_member: None,
            prefetch_bytes_max: READER_PREFETCH_BYTES,
        };
        let roles = [
            self.member(&spec, 1)?,
            self.reader(Isolation::ReadCommitted, 1)?,
            self.asking(Isolation::ReadCommitted, None)?,
            self.admin()?,
            self.producer(&ProducerSpec::default())?,
        ];
        let mut faults = BTreeSet::new();
        for mut role in roles {
            if MECHANISM.iter().any(|key| role.get(key).is_some_and(fetches_tokens)) {
                faults.insert(NO_TOKENS.to_owned());
            }
            while let Err(fault) = role.create_native_config() {
                faults.insert(match error::from_client("settings", None, &fault) {
                    Error::Config(text) => text,
                    other => other.to_string(),
                });
                // The client stops at the first.
                let KafkaError::ClientConfig(_, _, key, _) = fault else { break };
                if role.get(&key).is_none() {
                    break;
                }
                role.remove(&key);
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::Config(faults.into_iter().collect::<Vec<_>>().join("; ")))
    }

    /// A member of a group that may get up to `partitions` partitions.
    pub(super) fn member(&self, spec: &GroupSpec, partitions: usize) -> Result<ClientConfig> {
        let mut config = self.reading(spec.isolation);
        config
            .set("group.id", &spec.group)
            .set("enable.partition.eof", "false")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
            .set("max.poll.interval.ms", millis(self.max_poll_interval));
        // Positions are checked where records are handed out (see `tap`). With `error` librdkafka
        // would leave the partition in a state in which it refuses to seek.
        config.set("auto.offset.reset", "earliest");
        match self.group_protocol {
            GroupProtocol::Classic => {
                let heartbeat = (self.session_timeout / 3).min(Duration::from_secs(3));
                config
                    .set("group.protocol", "classic")
                    .set("partition.assignment.strategy", "range")
                    .set("session.timeout.ms", millis(self.session_timeout))
                    .set("heartbeat.interval.ms", millis(heartbeat));
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer").set("group.remote.assignor", "range");
            }
        }
        if let Some(id) = &spec.static_member {
            config.set("group.instance.id", id);
        }
        set_prefetch(&mut config, spec.prefetch_bytes_max, partitions, self.fetch_wait);
        self.add(config, "consumer", &self.consumer, &[READING_KEYS, MEMBER_KEYS])
    }

    /// A reader of up to `partitions` partitions outside any group.
    pub(super) fn reader(&self, isolation: Isolation, partitions: usize) -> Result<ClientConfig> {
        let mut config = self.reading(isolation);
        // The client wants a group id for assigned partitions; it neither joins nor commits.
        config
            .set("group.id", &self.client_id)
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        set_prefetch(&mut config, READER_PREFETCH_BYTES, partitions, self.fetch_wait);
        self.add(config, "reader", &self.reader, &[READING_KEYS, READER_KEYS])
    }

    /// A client that only asks questions: offsets, topics, committed positions of `group`.
    pub(super) fn asking(&self, isolation: Isolation, group: Option<&str>) -> Result<ClientConfig> {
        let mut config = self.reading(isolation);
        if let Some(group) = group {
            config.set("group.id", group);
        }
        self.add(config, "admin", &self.admin, &[READING_KEYS, READER_KEYS])
    }

    /// The client that creates topics and deletes records.
    pub(super) fn admin(&self) -> Result<ClientConfig> {
        self.add(self.any(), "admin", &self.admin, &[ADMIN_KEYS])
    }

    /// A producer.
    pub(super) fn producer(&self, spec: &ProducerSpec) -> Result<ClientConfig> {
        let mut config = self.any();
        config
            .set("enable.idempotence", "true")
            .set("compression.codec", &self.compression)
            .set("linger.ms", millis(self.linger))
            .set("queue.buffering.max.kbytes", kbytes(self.producer_bytes_max))
            .set("queue.buffering.max.messages", "1000000")
            // A record that is larger than the buffer would wait for room for ever.
            .set("message.max.bytes", record_bytes_max(self.producer_bytes_max))
            // Reports of success would cost a queue entry per batch and a wake-up; the number in
            // flight falls without them.
            .set("delivery.report.only.error", "true");
        if let Some(id) = &spec.transactional_id {
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", millis(transaction_timeout(spec)));
        } else {
            config.set("message.timeout.ms", "120000");
        }
        let mut config = self.add(config, "producer", &self.producer, &[PRODUCER_KEYS])?;
        if let Some(bytes) = spec.batch_bytes_max {
            config.set("batch.size", bytes.clamp(1, 1_000_000).to_string());
        }
        Ok(config)
    }

    /// Adds what the user says, first for all clients and then for this role.
    fn add(
        &self,
        mut config: ClientConfig,
        role: &str,
        extra: &ClientSettings,
        ours: &[&[&str]],
    ) -> Result<ClientConfig> {
        let shared = self.all.iter().map(|setting| ("", setting));
        for (role, (key, value)) in shared.chain(extra.iter().map(|setting| (role, setting))) {
            if ours.iter().any(|keys| keys.contains(&key)) {
                let dot = if role.is_empty() { "" } else { "." };
                return Err(Error::Config(format!(
                    "kafka.{role}{dot}{key} is decided by the application's own settings"
                )));
            }
            config.set(key, value);
        }
        Ok(config)
    }

    fn any(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            .set_log_level(if tracing::enabled!(tracing::Level::DEBUG) {
                RDKafkaLogLevel::Debug
            } else {
                RDKafkaLogLevel::Info
            });
        config
    }

    fn reading(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.any();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.wait.max.ms", millis(self.fetch_wait))
            .set(
                "isolation.level",
                match isolation {
                    Isolation::ReadCommitted => "read_committed",
                    Isolation::ReadUncommitted => "read_uncommitted",
                },
            );
        config
    }
}

/// Both names of the setting.
const MECHANISM: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];
/// The client takes it, and then waits for ever for a token that no callback fetches.
const NO_TOKENS: &str = "kafka setting sasl.mechanism: OAUTHBEARER (tokens) is not supported, but PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are, and GSSAPI with the feature \"gssapi\"";

fn fetches_tokens(mechanism: &str) -> bool {
    mechanism.trim().eq_ignore_ascii_case("OAUTHBEARER")
}

fn record_bytes_max(producer_bytes_max: usize) -> String {
    RECORD_BYTES_MAX.min(producer_bytes_max).max(1_000).to_string()
}

/// After this a transaction that its owner left open is aborted.
pub(super) fn transaction_timeout(spec: &ProducerSpec) -> Duration {
    spec.transaction_timeout.unwrap_or(Duration::from_secs(10))
}

/// How often the client reports fetch positions: they tell an end at an open transaction from
/// records that are still to come.
const STATISTICS_INTERVAL_MS: &str = "200";

/// Read ahead by a reader, over all its partitions: enough to keep a restore busy, and little for a
/// worker, which has one reader at most.
const READER_PREFETCH_BYTES: usize = 16 << 20;

const READING_KEYS: &[&str] = &[
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "isolation.level",
    "allow.auto.create.topics",
];
const MEMBER_KEYS: &[&str] = &[
    "group.id",
    "group.protocol",
    "group.remote.assignor",
    "group.instance.id",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "auto.offset.reset",
];
const READER_KEYS: &[&str] = &["enable.partition.eof", "auto.offset.reset"];
const PRODUCER_KEYS: &[&str] = &[
    "bootstrap.servers",
    "transactional.id",
    "transaction.timeout.ms",
    "enable.idempotence",
    "delivery.report.only.error",
];

const ADMIN_KEYS: &[&str] = &["bootstrap.servers"];

/// librdkafka bounds what is fetched ahead per partition and at creation, so the budget is
/// divided by the partitions the member can get at most: a queue takes no more once it holds its
/// share less one answer, and one answer is at most the other half of the share. `queued.min.messages`
/// is a bound as well, despite its name: with so many queued no more are fetched. Without it small
/// records would take several times the budget.
///
/// A share is soon worked off, and where only one partition is busy, its rate is what one share and
/// the wait for the next allow. The wait is two things: a queue that was full is looked at again
/// after a pause, and the fetch that went out without it is held by the broker as long as the other
/// partitions have nothing. Both are kept to the time that a share lasts, so that the budget follows
/// who works it off; large shares keep long waits, which cost an idle member less.
fn set_prefetch(config: &mut ClientConfig, bytes_max: usize, partitions: usize, wait: Duration) {
    let share = (bytes_max / partitions.max(1)).max(PREFETCH_BYTES_MIN);
    let one = (share / 2).min(PARTITION_ANSWER_BYTES_MAX);
    let answer = bytes_max.clamp(ANSWER_BYTES_MIN, ANSWER_BYTES_MAX);
    let lasts_ms = u64::try_from(share / WORKED_OFF_BYTES_PER_MS).unwrap_or(u64::MAX);
    let lasts = Duration::from_millis(lasts_ms.max(FETCH_WAIT_MS_MIN));
    config
        .set("queued.min.messages", (share / QUEUED_RECORD_BYTES).max(1).to_string())
        .set("queued.max.messages.kbytes", kbytes(share - one))
        .set("fetch.message.max.bytes", one.to_string())
        .set("fetch.max.bytes", answer.to_string())
        .set("fetch.wait.max.ms", millis(wait.min(lasts)))
        .set("fetch.queue.backoff.ms", millis((lasts / 5).min(QUEUE_PAUSE_MAX)));
}

/// So fast a busy partition is worked off. Faster: shorter waits, more fetches of an idle member.
const WORKED_OFF_BYTES_PER_MS: usize = 20 << 10;
/// Shorter waits would only make an idle member ask more often.
const FETCH_WAIT_MS_MIN: u64 = 5;
/// A full queue is looked at again after this at the latest.
const QUEUE_PAUSE_MAX: Duration = Duration::from_millis(20);
/// What librdkafka holds for a queued record beside its own bytes, rounded up.
const QUEUED_RECORD_BYTES: usize = 512;
/// Less than this per partition would make every fetch a round trip for a handful of records; with
/// more than 2,048 partitions for 16 MiB the bound gives way to it.
const PREFETCH_BYTES_MIN: usize = 8 << 10;
/// Kafka's own bounds of an answer; librdkafka wants at least its largest message.
const PARTITION_ANSWER_BYTES_MAX: usize = 1 << 20;
const ANSWER_BYTES_MIN: usize = 1_000_000;
const ANSWER_BYTES_MAX: usize = 50 << 20;

fn kbytes(bytes: usize) -> String {
    (bytes >> 10).clamp(1, 2_097_151).to_string()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> GroupSpec {
        GroupSpec {
            group: "app".to_owned(),
            topics: vec!["orders".to_owned()],
            isolation: Isolation::ReadCommitted,
            static_member: Some("instance-01".to_owned()),
            prefetch_bytes_max: 16 << 20,
        }
    }

    fn check(config: &ClientConfig, expected: &[(&str, Option<&str>)]) {
        for (key, value) in expected {
            assert_eq!(config.get(key), *value, "{key}");
        }
    }

    #[test]
    fn a_member_shares_its_budget_and_follows_its_protocol() {
        let mut settings = KafkaSettings::new("localhost:9092", "app");
        let config = settings.member(&spec(), 4).expect("valid");
        check(
            &config,
            &[
                ("queued.max.messages.kbytes", Some("3072")),
                ("queued.min.messages", Some("8192")),
                ("fetch.wait.max.ms", Some("100")),
                ("fetch.queue.backoff.ms", Some("20")),
                ("fetch.message.max.bytes", Some("1048576")),
                ("isolation.level", Some("read_committed")),
                ("group.instance.id", Some("instance-01")),
                ("partition.assignment.strategy", Some("range")),
                ("group.remote.assignor", None),
            ],
        );
        settings.group_protocol = GroupProtocol::Consumer;
        let config = settings.member(&spec(), 400).expect("valid");
        check(
            &config,
            &[
                ("queued.max.messages.kbytes", Some("20")),
                ("fetch.message.max.bytes", Some("20971")),
                ("fetch.wait.max.ms", Some("5")),
                ("fetch.queue.backoff.ms", Some("1")),
                ("group.remote.assignor", Some("range")),
                ("partition.assignment.strategy", None),
                ("session.timeout.ms", None),
            ],
        );
    }

    /// What one partition may hold at most: its queue when it asks once more, and that answer.
    #[test]
    fn what_is_fetched_ahead_stays_below_the_budget() {
        let settings = KafkaSettings::new("localhost:9092", "app");
        for bytes in [1 << 20, 16 << 20, 100 << 20] {
            for partitions in [1, 2, 3, 31, 32, 96, bytes >> 13] {
                let spec = GroupSpec { prefetch_bytes_max: bytes, ..spec() };
                let config = settings.member(&spec, partitions).expect("valid");
                let number = |key| config.get(key).and_then(|text| text.parse::<usize>().ok());
                let kbytes = number("queued.max.messages.kbytes").expect("a number");
                let answer = number("fetch.message.max.bytes").expect("a number");
                assert!((kbytes * 1024 + answer) * partitions <= bytes, "{bytes} {partitions}");
                assert!(answer * partitions * 8 >= bytes.min(partitions << 20), "too little");
            }
        }
    }

    #[test]
    fn a_reader_shares_its_budget_too() {
        let settings = KafkaSettings::new("localhost:9092", "app");
        for (partitions, kbytes) in [(1, "15360"), (32, "256"), (256, "32"), (512, "16")] {
            let config = settings.reader(Isolation::ReadCommitted, partitions).expect("valid");
            check(&config, &[("queued.max.messages.kbytes", Some(kbytes))]);
        }
    }

    #[test]
    fn every_role_is_accepted_by_the_client() {
        let mut settings = KafkaSettings::new("localhost:1", "app");
        let transactional = ProducerSpec {
            transactional_id: Some("app-1".to_owned()),
            transaction_timeout: None,
            batch_bytes_max: Some(0),
        };
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            settings.group_protocol = protocol;
            let roles = [
                settings.member(&spec(), 3),
                settings.reader(Isolation::ReadCommitted, 1),
                settings.asking(Isolation::ReadUncommitted, Some("app")),
            ];
            for role in roles {
                let created = role.expect("valid").create::<rdkafka::consumer::BaseConsumer>();
                assert!(created.is_ok(), "{:?}", created.err());
            }
        }
        for spec in [ProducerSpec::default(), transactional] {
            let config = settings.producer(&spec).expect("valid");
            let created = config.create::<rdkafka::producer::BaseProducer>();
            assert!(created.is_ok(), "{:?}", created.err());
        }
    }

    #[test]
    fn tokens_are_refused_instead_of_waited_for() {
        for key in MECHANISM {
            let mut settings = KafkaSettings::new("localhost:9092", "app");
            settings.producer.insert(key, "OAUTHBEARER");
            let text = settings.check().expect_err("refused").to_string();
            assert!(text.contains("OAUTHBEARER") && text.contains("SCRAM-SHA-512"), "{text}");
        }
    }

    #[test]
    fn what_the_client_refuses_is_told_at_once_and_without_values() {
        let mut settings = KafkaSettings::new("localhost:9092", "app");
        settings.check().expect("the defaults are fine");
        settings.all.insert("sasl.pasword", "hunter2");
        settings.all.insert("security.protocol", "carrier_pigeon");
        settings.producer.insert("acks", "some");
        let text = settings.check().expect_err("refused").to_string();
        for part in ["sasl.pasword", "security.protocol", "carrier_pigeon", "acks"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches("sasl.pasword:").count(), 1, "told once: {text}");
    }

    #[test]
    fn what_all_clients_share_reaches_every_role_and_a_role_wins() {
        let mut settings = KafkaSettings::new("localhost:9092", "app");
        settings.all.insert("security.protocol", "sasl_ssl");
        settings.all.insert("sasl.password", "hunter2");
        settings.reader.insert("sasl.password", "other");
        let roles = [
            (settings.member(&spec(), 1), "hunter2"),
            (settings.reader(Isolation::ReadCommitted, 1), "other"),
            (settings.asking(Isolation::ReadCommitted, None), "hunter2"),
            (settings.admin(), "hunter2"),
            (settings.producer(&ProducerSpec::default()), "hunter2"),
        ];
        for (role, password) in roles {
            let expected =
                [("security.protocol", Some("sasl_ssl")), ("sasl.password", Some(password))];
            check(&role.expect("valid"), &expected);
        }
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        settings.all.insert("bootstrap.servers", "other:1");
        let error = settings.admin().expect_err("ours");
        assert!(error.to_string().contains("kafka.bootstrap.servers"), "{error}");
    }

    #[test]
    fn further_settings_are_taken_but_not_those_that_are_ours() {
        let mut settings = KafkaSettings::new("localhost:9092", "app");
        settings.consumer.insert("check.crcs", "true");
        let config = settings.member(&spec(), 1).expect("valid");
        check(&config, &[("check.crcs", Some("true"))]);
        settings.consumer.insert("auto.offset.reset", "latest");
        let error = settings.member(&spec(), 1).expect_err("ours");
        assert!(error.to_string().contains("auto.offset.reset"), "{error}");
    }
}
