//! The hand-written engine as a program of its own, so that it is measured like every other.

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use millstream_benches::bare::{self, Options};
use millstream_benches::settings::Settings;
use millstream_benches::workload::{Guarantee, Workload};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    workload: Workload,
    #[arg(long)]
    guarantee: Guarantee,
    #[arg(long)]
    input: String,
    #[arg(long)]
    application_id: String,
    #[arg(long)]
    settings: PathBuf,
    /// Taken for the sake of the same command line; there is nothing on disk.
    #[arg(long)]
    state_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (_, version) = rdkafka::util::get_rdkafka_version();
    writeln!(std::io::stdout(), r#"{{"engine":"bare","version":"librdkafka {version}"}}"#)?;
    bare::run(&Options {
        bootstrap: arguments.bootstrap,
        workload: arguments.workload,
        guarantee: arguments.guarantee,
        input: arguments.input,
        application: arguments.application_id,
        settings: Settings::load(&arguments.settings)?,
    })
}
