//! Where a program works: options that all of its commands have.

use std::sync::Arc;

use clap::Args;
use millstream::log::Log;
use millstream::{ConfigArgs, LogKind, StreamsConfig};

use super::application::Application;
use super::say::say;
use super::stopping::{pause, stopping};

/// Where to work.
#[derive(Debug, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    settings: ConfigArgs,
    /// Partitions of topics that have to be created [default: 1 on the embedded log, else 4]
    #[arg(long)]
    partitions: Option<i32>,
}

impl Place {
    /// The configuration: what this program presets, file, environment, command line. A cluster
    /// that is named anywhere is used.
    pub(crate) fn configuration(
        &self,
        application: &Application,
        presets: &[(&str, &str)],
    ) -> anyhow::Result<StreamsConfig> {
        let mut sources = self
            .settings
            .sources()
            .preset("application_id", application.id)
            .preset("processing_guarantee", "exactly_once_v2")
            .preset("idle_timeout_ms", application.idle_timeout_ms)
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
    pub(crate) fn connect(
        &self,
        application: &Application,
        config: &StreamsConfig,
    ) -> anyhow::Result<Arc<dyn Log>> {
        let log = self.log(config)?;
        let (_running, never) = stopping();
        let wait = |most| pause(&never, most);
        application.topics.create_missing(&*log, self.topic_partitions(config), wait)?;
        Ok(log)
    }

    pub(crate) fn log(&self, config: &StreamsConfig) -> anyhow::Result<Arc<dyn Log>> {
        if config.log == LogKind::Kafka {
            say(&format!("connecting to the Kafka at {}", config.bootstrap_servers));
        }
        Ok(config.connect()?)
    }

    /// In one process more partitions share no work out, they only mix up the order of times.
    pub(crate) fn topic_partitions(&self, config: &StreamsConfig) -> i32 {
        let usual = if config.log == LogKind::Embedded { 1 } else { 4 };
        self.partitions.unwrap_or(usual)
    }
}
