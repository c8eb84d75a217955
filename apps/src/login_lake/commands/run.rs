//! `login-lake run`: the application alone.

use clap::Args;

use super::APPLICATION;
use crate::login_lake::topology::topology;
use crate::program::{self, Place};

/// The application alone.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    place: Place,
}

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        program::run(&APPLICATION, &self.place, |_| Ok(topology()?))
    }
}
