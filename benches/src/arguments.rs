//! What every engine is told by the harness, and how the two written in Rust read it.

use std::path::PathBuf;

use clap::Parser;

use crate::workload::{Guarantee, Workload};

/// The command line of an engine.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Address of the broker.
    #[arg(long)]
    pub bootstrap: String,
    /// What to do.
    #[arg(long)]
    pub workload: Workload,
    /// With which promise.
    #[arg(long)]
    pub guarantee: Guarantee,
    /// The topics to read.
    #[arg(long, value_delimiter = ',', required = true)]
    pub input: Vec<String>,
    /// The group, and the prefix of all other topics.
    #[arg(long)]
    pub application_id: String,
    /// The file of settings that all engines share.
    #[arg(long)]
    pub settings: PathBuf,
    /// Folder for state, of an engine that has some on disk.
    #[arg(long)]
    pub state_dir: PathBuf,
}
