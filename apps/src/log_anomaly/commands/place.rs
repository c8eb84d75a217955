//! Where to work, and how lines are read: options that several commands have.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;
use millstream::log::Log;
use millstream::{ConfigArgs, LogKind, StreamsConfig};

use crate::log_anomaly::line::ReaderSettings;
use crate::log_anomaly::topics;
use crate::log_anomaly::topology::Settings;

/// Where to work.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    settings: ConfigArgs,
    /// Partitions of topics that have to be created [default: 1 on the embedded log, else 4]
    #[arg(long)]
    partitions: Option<i32>,
}

impl Place {
    /// The configuration: what this program presets, file, environment, command line. A cluster
    /// that is named anywhere is used.
    pub(super) fn configuration(&self, presets: &[(&str, &str)]) -> anyhow::Result<StreamsConfig> {
        let mut sources = self
            .settings
            .sources()
            .preset("application_id", "log-anomaly")
            .preset("processing_guarantee", "exactly_once_v2")
            .preset("idle_timeout_ms", "5000")
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
    pub(super) fn connect(&self, config: &StreamsConfig) -> anyhow::Result<Arc<dyn Log>> {
        let log = self.log(config)?;
        let (_running, never) = std::sync::mpsc::channel();
        let wait = |most| crate::log_anomaly::producing::pause(&never, most);
        topics::create_missing(&*log, self.topic_partitions(config), wait)?;
        Ok(log)
    }

    pub(super) fn log(&self, config: &StreamsConfig) -> anyhow::Result<Arc<dyn Log>> {
        if config.log == LogKind::Kafka {
            super::say(&format!("connecting to the Kafka at {}", config.bootstrap_servers));
        }
        Ok(config.connect()?)
    }

    /// In one process more partitions share no work out, they only mix up the order of times.
    pub(super) fn topic_partitions(&self, config: &StreamsConfig) -> i32 {
        let usual = if config.log == LogKind::Embedded { 1 } else { 4 };
        self.partitions.unwrap_or(usual)
    }
}

/// How lines are read.
#[derive(Clone, Debug, Args)]
pub(super) struct Reading {
    /// The service of lines that name none
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    service: String,
    /// The zone of times that name none, for example Europe/Madrid
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// The key by which tokens in lines are hashed; without one two installations mark tokens alike
    #[arg(
        long,
        value_name = "KEY",
        env = "LOG_ANOMALY_TOKEN_KEY",
        hide_env_values = true,
        default_value = ""
    )]
    token_key: String,
    /// Seconds that a window still takes lines after its end
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace_s: u64,
    /// Nothing learned is told of a service before so many lines of it were seen
    #[arg(long, value_name = "LINES", default_value_t = 1_000)]
    warm_up_lines: u64,
    /// and so many seconds of it
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    warm_up_s: u64,
}

impl Reading {
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let zone =
            TimeZone::get(&self.zone).with_context(|| format!("the zone {:?}", self.zone))?;
        Ok(Settings {
            reader: ReaderSettings {
                service: self.service.clone(),
                zone,
                token_key: self.token_key.clone().into_bytes(),
            },
            grace: Duration::from_secs(self.grace_s),
            warm_up_lines: self.warm_up_lines,
            warm_up: Duration::from_secs(self.warm_up_s),
        })
    }
}
