//! `login-lake produce`: sample sign-ins, to the log or to a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use millstream::init_logging;

use super::APPLICATION;
use crate::login_lake::producing::{SignIns, produce, write};
use crate::program::{Place, say, stopping};

/// When the sign-ins of a file end, unless it is said.
const UNTIL: &str = "2026-11-22T10:00:00Z";

/// Sample sign-ins.
#[derive(Debug, Args)]
pub(super) struct Produce {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sign_ins: SignIns,
    /// Write them to a file instead of sending them, over the days before --until, at least one
    #[arg(long, value_name = "FILE", requires = "count")]
    output: Option<PathBuf>,
    /// With --output: when they end
    #[arg(long, value_name = "TIME", default_value = UNTIL)]
    until: jiff::Timestamp,
}

impl Produce {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let Some((file, count)) = self.output.as_ref().zip(self.sign_ins.count) {
            let writing = || format!("writing {}", file.display());
            let mut out = BufWriter::new(File::create(file).with_context(writing)?);
            write(self.sign_ins, count, self.until, &mut out).with_context(writing)?;
            out.flush().with_context(writing)?;
            say(&format!("wrote {count} sign-ins"));
            return Ok(());
        }
        let config = self.place.configuration(&APPLICATION, &[])?;
        init_logging(&config)?;
        let log = self.place.connect(&APPLICATION, &config)?;
        let (_running, never) = stopping();
        let sent = produce(&log, self.sign_ins, &never)?;
        say(&format!("sent {sent} sign-ins"));
        Ok(())
    }
}
