//! `log-anomaly produce`: sample lines, to the log or to a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use millstream::init_logging;
use serde::{Deserialize, Serialize};

use super::APPLICATION;
use crate::log_anomaly::producing::{Lines, produce};
use crate::log_anomaly::samples::Label;
use crate::program::{Place, say, stopping};

/// When the lines of a file begin, unless it is said: 2026-11-22T00:00:00Z.
const START: &str = "2026-11-22T00:00:00Z";

/// Sample lines.
#[derive(Debug, Args)]
pub(super) struct Produce {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    lines: Lines,
    /// Write the lines to a file instead of sending them, as fast as the machine can, and the labels of planted ones
    /// beside it, to FILE.planted
    #[arg(long, value_name = "FILE", requires = "count")]
    output: Option<PathBuf>,
    /// With --output: the time of the first line
    #[arg(long, value_name = "TIME", default_value = START)]
    start: jiff::Timestamp,
}

/// The label of a line of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LabelledLine {
    /// The first line is 1.
    pub(super) line: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    #[serde(flatten)]
    pub(super) label: Label,
}

/// Where the labels of a file are.
pub(super) fn labels_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".planted");
    PathBuf::from(name)
}

impl Produce {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let Some(file) = &self.output {
            let (lines, planted) = self.write(file)?;
            say(&format!("wrote {lines} lines, {planted} of them planted"));
            return Ok(());
        }
        let config = self.place.configuration(&APPLICATION, &[])?;
        init_logging(&config)?;
        let log = self.place.connect(&APPLICATION, &config)?;
        let (_running, never) = stopping();
        let sent = produce(&log, self.lines, &never)?;
        say(&format!("sent {sent} lines"));
        Ok(())
    }

    fn write(&self, file: &Path) -> anyhow::Result<(u64, u64)> {
        let Some(count) = self.lines.count else { bail!("--output needs --count") };
        let writing = |path: &Path| format!("writing {}", path.display());
        let create = |path: &Path| File::create(path).with_context(|| writing(path));
        let beside = labels_of(file);
        let (mut lines, mut labels) =
            (BufWriter::new(create(file)?), BufWriter::new(create(&beside)?));
        let mut samples = self.lines.samples(self.start);
        let mut planted = 0;
        for line in 1..=count {
            let sample = samples.next();
            writeln!(lines, "{}", sample.line).with_context(|| writing(file))?;
            if let Some(label) = sample.label {
                planted += 1;
                let labelled = LabelledLine { line, at: sample.at, label };
                let json = serde_json::to_string(&labelled)?;
                writeln!(labels, "{json}").with_context(|| writing(&beside))?;
            }
        }
        lines.flush().with_context(|| writing(file))?;
        labels.flush().with_context(|| writing(&beside))?;
        Ok((count, planted))
    }
}
