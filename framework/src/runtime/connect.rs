//! The log that a configuration names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Compression, GroupProtocol, LogKind, StreamsConfig};
use crate::error::Result;
use crate::log::Log;
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::kafka::{self, KafkaLog, KafkaSettings};

/// How long one request may take: a broker that is away is noticed after this, and tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder of the embedded log in the application's own, so that several applications can have
/// one each below the same state directory. Earlier versions had a single one, of the same name,
/// in the state directory itself.
const EMBEDDED_DIR: &str = "embedded-log";

/// Connects to the log of a configuration.
///
/// # Errors
/// `Config` for a setting that the client refuses; `StateLocked` for an embedded log in use.
pub(crate) fn log(config: &StreamsConfig) -> Result<Arc<dyn Log>> {
    match config.log {
        LogKind::Embedded => {
            Ok(Arc::new(EmbeddedLog::open(embedded_dir(config), EmbeddedOptions::default())?))
        }
        LogKind::Kafka => Ok(Arc::new(KafkaLog::new(kafka_settings(config))?)),
    }
}

/// Where the embedded log of an application is. One that ran with the single log of an earlier
/// version goes on there: its topics and positions are in it.
fn embedded_dir(config: &StreamsConfig) -> PathBuf {
    let own = config.application_dir().join(EMBEDDED_DIR);
    let single = config.state_dir.join(EMBEDDED_DIR);
    let ran_before = config.application_dir().is_dir();
    if !own.exists() && ran_before && EmbeddedLog::is_in(&single) { single } else { own }
}

impl StreamsConfig {
    /// Connects to the log that is named here. [`Streams`](crate::Streams) does so by itself; this
    /// is for programs that also write to it or read from it, and hand it over with
    /// [`StreamsOptions::log`](crate::StreamsOptions::log).
    ///
    /// # Errors
    /// `Config` for a setting that the client refuses; `StateLocked` for an embedded log that
    /// another process, or this program, has opened already.
    pub fn connect(&self) -> Result<Arc<dyn Log>> {
        log(self)
    }
}

fn kafka_settings(config: &StreamsConfig) -> KafkaSettings {
    let mut settings =
        KafkaSettings::new(config.bootstrap_servers.clone(), config.application_id.clone());
    settings.group_protocol = match config.group_protocol {
        GroupProtocol::Classic => kafka::GroupProtocol::Classic,
        GroupProtocol::Consumer => kafka::GroupProtocol::Consumer,
    };
    settings.session_timeout = Duration::from_millis(config.session_timeout_ms);
    settings.max_poll_interval = Duration::from_millis(config.max_poll_interval_ms);
    settings.request_timeout = REQUEST_TIMEOUT;
    settings.linger = Duration::from_millis(config.linger_ms);
    settings.compression = compression(config.compression).to_owned();
    settings.all.clone_from(&config.kafka.all);
    settings.consumer.clone_from(&config.kafka.consumer);
    settings.producer.clone_from(&config.kafka.producer);
    settings.admin.clone_from(&config.kafka.admin);
    settings.reader.clone_from(&config.kafka.reader);
    settings
}

fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::Error;
    use crate::log::{Isolation, NewTopic};
    use crate::record::TopicPartition;

    fn config(state_dir: &Path, application: &str) -> StreamsConfig {
        StreamsConfig::new(application).log(LogKind::Embedded).state_dir(state_dir)
    }

    fn has_orders(log: &dyn Log) -> bool {
        log.offsets(&TopicPartition::new("orders", 0), Isolation::ReadCommitted).is_ok()
    }

    fn create_orders(log: &dyn Log) {
        let topic = NewTopic {
            name: "orders".to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: Vec::new(),
        };
        log.create(&[topic]).unwrap();
    }

    #[test]
    fn applications_have_an_embedded_log_each_below_one_state_dir() {
        let dir = tempfile::tempdir().unwrap();
        let totals = config(dir.path(), "totals").connect().unwrap();
        create_orders(&*totals);
        let alerts = config(dir.path(), "alerts").connect().unwrap();
        assert!(has_orders(&*totals) && !has_orders(&*alerts));
        let again = config(dir.path(), "totals").connect().map(drop).unwrap_err();
        assert!(matches!(again, Error::StateLocked { .. }), "{again}");
        assert!(again.to_string().contains(".log(log)"), "says what to do: {again}");
        drop(totals);
        assert!(has_orders(&*config(dir.path(), "totals").connect().unwrap()), "found again");
    }

    #[test]
    fn the_single_log_of_an_earlier_version_is_still_found() {
        let dir = tempfile::tempdir().unwrap();
        let single = dir.path().join("embedded-log");
        create_orders(&EmbeddedLog::open(single, EmbeddedOptions::default()).unwrap());
        std::fs::create_dir(dir.path().join("totals")).unwrap();
        let totals = config(dir.path(), "totals").connect().unwrap();
        assert!(has_orders(&*totals), "it ran before, so its topics are in there");
        let new = config(dir.path(), "new").connect().unwrap();
        assert!(!has_orders(&*new));
    }

    #[test]
    fn an_application_named_like_the_log_has_one_too() {
        let dir = tempfile::tempdir().unwrap();
        create_orders(&*config(dir.path(), "embedded-log").connect().unwrap());
        let other = config(dir.path(), "totals").connect().unwrap();
        assert!(!has_orders(&*other));
        assert!(has_orders(&*config(dir.path(), "embedded-log").connect().unwrap()));
    }
}
