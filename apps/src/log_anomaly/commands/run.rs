//! `log-anomaly run`: the application alone.

use clap::Args;

use super::APPLICATION;
use super::reading::Reading;
use crate::log_anomaly::topology::topology;
use crate::program::{self, Place};

/// The application alone.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    reading: Reading,
}

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        program::run(&APPLICATION, &self.place, |_| Ok(topology(&self.reading.settings()?)?))
    }
}
