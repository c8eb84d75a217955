//! `log-anomaly score`: what the pieces of the application are worth on samples whose answers are known.

mod detector;
mod stream;
mod templates;

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(super) enum Score {
    /// Grouping accuracy of templates on each NAME_structured.csv of a folder, and lines per second
    Templates {
        /// The folder
        dir: PathBuf,
    },
    /// The detector on the series that windows.json of a folder names, by the rules of the Numenta
    /// Anomaly Benchmark, and nanoseconds per point
    Detector {
        /// The folder
        dir: PathBuf,
    },
    /// A stream that produce --output wrote: how many of the planted anomalies are found (recall), and how
    /// many of those told are part of one (precision)
    Stream {
        /// The file; the labels are beside it
        file: PathBuf,
    },
}

impl Score {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Templates { dir } => templates::run(dir, out),
            Self::Detector { dir } => detector::run(dir, out),
            Self::Stream { file } => stream::run(file, out),
        }
    }
}
