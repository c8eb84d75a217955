//! The hand-written engine as a program of its own, so that it is measured like every other.

use std::io::Write;

use anyhow::Context as _;
use clap::Parser as _;
use millstream_benches::arguments::Arguments;
use millstream_benches::bare::{self, Options};
use millstream_benches::settings::Settings;

/// Both native engines allocate with jemalloc, the C libraries in them too, as docs/recipes.md advises.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (_, version) = rdkafka::util::get_rdkafka_version();
    writeln!(std::io::stdout(), r#"{{"engine":"bare","version":"librdkafka {version}"}}"#)?;
    bare::run(&Options {
        bootstrap: arguments.bootstrap,
        workload: arguments.workload,
        guarantee: arguments.guarantee,
        input: arguments.input.into_iter().next().context("no topic to read")?,
        application: arguments.application_id,
        settings: Settings::load(&arguments.settings)?,
    })
}
