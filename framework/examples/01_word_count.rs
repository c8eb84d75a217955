//! Word count, whole: topics, a running instance, records in and results out, without a server.
//!
//! The log is in memory here. With `config.connect()` in its place the same program runs on the embedded log
//! or on a Kafka, as the configuration says.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use millstream::client::{Consumer, Producer};
use millstream::log::memory::MemoryLog;
use millstream::log::{Log, NewTopic};
use millstream::record::{Record, Timestamp};
use millstream::{BoxError, Streams, StreamsBuilder, StreamsConfig};

fn main() -> Result<(), BoxError> {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    log.create(&[NewTopic::new("lines", 1), NewTopic::new("counts", 1)])?;

    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("lines")
        .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count("words")
        .updates()
        .to("counts");

    // State lives below `state_dir`; results come with each commit.
    let state = std::env::temp_dir().join(format!("millstream-word-count-{}", std::process::id()));
    let config = StreamsConfig::new("word-count").state_dir(&state).commit_interval_ms(50);
    let streams = Streams::with(builder.build()?, config).log(Arc::clone(&log)).start()?;

    let mut lines = Producer::<Option<String>, String>::open(&log, "lines")?;
    for (line, at) in [("to be or not to be", 1), ("that is the question", 2)] {
        lines.send(Record::new(None, line.to_owned(), Timestamp(at)))?;
    }
    lines.close()?;

    // Until all ten words are counted: each update of a word is a record of its own, or, if a commit took
    // several together, the last of them.
    let mut counts = Consumer::<String, i64>::open(&log, "counts")?;
    let mut latest = std::collections::BTreeMap::new();
    while latest.values().sum::<i64>() < 10 {
        for counted in counts.poll(Duration::from_secs(10))? {
            latest.insert(counted.record.key, counted.record.value);
        }
    }
    streams.close()?;
    std::fs::remove_dir_all(&state)?;
    for (word, count) in latest {
        println!("{word} {count}");
    }
    Ok(())
}
