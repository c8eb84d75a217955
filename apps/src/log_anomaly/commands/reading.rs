//! How lines are read: options that several commands have.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;

use crate::log_anomaly::line::ReaderSettings;
use crate::log_anomaly::topology::Settings;

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
