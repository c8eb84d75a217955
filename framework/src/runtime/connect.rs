//! The log that a configuration names.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Compression, GroupProtocol, LogKind, StreamsConfig};
use crate::error::Result;
use crate::log::Log;
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::kafka::{self, KafkaLog, KafkaSettings};

/// How long one request may take: a broker that is away is noticed after this, and tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder of the embedded log in the state directory. It belongs to no application: several of
/// one process may share it.
const EMBEDDED_DIR: &str = "embedded-log";

/// Connects to the log of a configuration.
///
/// # Errors
/// `Config` for a setting that the client refuses; `StateLocked` for an embedded log in use.
pub(crate) fn log(config: &StreamsConfig) -> Result<Arc<dyn Log>> {
    match config.log {
        LogKind::Embedded => {
            let dir = config.state_dir.join(EMBEDDED_DIR);
            Ok(Arc::new(EmbeddedLog::open(dir, EmbeddedOptions::default())?))
        }
        LogKind::Kafka => Ok(Arc::new(KafkaLog::new(kafka_settings(config))?)),
    }
}

impl StreamsConfig {
    /// Connects to the log that is named here. [`Streams`](crate::Streams) does so by itself; this
    /// is for programs that also write to it or read from it, and hand it over with
    /// [`StreamsOptions::log`](crate::StreamsOptions::log).
    ///
    /// # Errors
    /// `Config` for a setting that the client refuses; `StateLocked` for an embedded log that
    /// another process uses.
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
