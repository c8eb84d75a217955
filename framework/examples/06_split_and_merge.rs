//! Branches and merges: a stream is split by what its records are, and comes together again.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use millstream::testing::{TopologyDriver, text};
use millstream::{BoxError, StreamsBuilder};

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    let levels = builder.stream::<String, String>("logs").split("level-");
    let errors = levels.branch("errors", |_, line| line.starts_with("ERROR"));
    let warnings = levels.branch("warnings", |_, line| line.starts_with("WARN"));
    let rest = levels.default_branch("rest");

    errors.to("pager");
    errors.merge(&warnings).map_values(|line| line.to_lowercase()).to("review");
    rest.to("archive");

    let topology = builder.build()?;
    let mut driver = TopologyDriver::new(&topology)?;
    for line in ["ERROR disk full", "INFO started", "WARN disk at 90 %"] {
        driver.pipe("logs", &text("host-1", line, 0))?;
    }
    for topic in ["pager", "review", "archive"] {
        for record in driver.read::<String, String>(topic)? {
            println!("{topic}: {}", record.value);
        }
    }
    Ok(())
}
