//! Several applications in one process on one embedded log: each reads what the one before it wrote. They share
//! nothing but the topics; each has its own positions, stores and transactions.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream::client::{Assignment, Consumer, Producer};
use millstream::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millstream::log::{Log, NewTopic};
use millstream::record::{Record, Timestamp};
use millstream::{
    BoxError, ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig, Topology, TopologyErrors,
};

/// Reads lines such as `ada 5`.
fn sales() -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("lines");
    let sale = |line: String| {
        let (name, euros) = line.split_once(' ')?;
        Some((name.to_owned(), euros.parse::<i64>().ok()?))
    };
    lines.flat_map(move |_, line| sale(line)).to("sales");
    builder.build()
}

/// What each has spent.
fn spent() -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let sales = builder.stream::<String, i64>("sales").group_by_key();
    sales.reduce("spent", |sum, euros| sum + euros).updates().to("spent");
    builder.build()
}

/// Those who have spent ten and more.
fn gold() -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("spent").filter(|_, euros| *euros >= 10).to("gold");
    builder.build()
}

fn config(application: &str, state: &Path) -> StreamsConfig {
    StreamsConfig::new(application)
        .state_dir(state)
        .commit_interval_ms(50)
        .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2)
}

fn main() -> Result<(), BoxError> {
    let state = std::env::temp_dir().join(format!("millstream-one-log-{}", std::process::id()));
    // Opened once: a directory belongs to one log object, which all of them share.
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(state.join("log"), EmbeddedOptions::default())?);
    log.create(&["lines", "sales", "spent", "gold"].map(|name| NewTopic::new(name, 2)))?;

    let start = |application: &str, topology: Topology| {
        Streams::with(topology, config(application, &state)).log(Arc::clone(&log)).start()
    };
    let applications =
        [start("sales", sales()?)?, start("spent", spent()?)?, start("gold", gold()?)?];

    let mut lines = Producer::<String, String>::open(&log, "lines")?;
    for (at, line) in ["ada 5", "bob 7", "no sale", "ada 6"].into_iter().enumerate() {
        let at = Timestamp(i64::try_from(at)?);
        lines.send(Record::new("till".to_owned(), line.to_owned(), at))?;
    }
    lines.close()?;

    let from_beginning = Assignment::<String, i64>::from("gold").from_beginning();
    let mut gold = Consumer::open(&log, from_beginning)?;
    let first = loop {
        if let Some(first) = gold.poll(Duration::from_millis(100))?.into_iter().next() {
            break first.record;
        }
    };
    println!("{} has spent {}", first.key, first.value);

    gold.close();
    applications.into_iter().try_for_each(Streams::close)?;
    std::fs::remove_dir_all(&state)?;
    Ok(())
}
