//! The runtime over the memory log: threads, group, commit and abort without a broker.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::log::memory::MemoryLog;
use crate::log::{Log, NewTopic, TopicPartition};
use crate::record::Headers;
use crate::runtime::{Streams, StreamsState};
use crate::topology::{StreamsBuilder, Topology};

const PATIENCE: Duration = Duration::from_secs(30);

fn upper() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .filter(|_, value| value != "no")
        .map_values(|value: String| value.to_uppercase())
        .to("out");
    builder.build().unwrap()
}

fn log_with(topics: &[(&str, i32)]) -> MemoryLog {
    let log = MemoryLog::new();
    let new = |(name, partitions): &(&str, i32)| NewTopic {
        name: (*name).to_owned(),
        partitions: *partitions,
        replication_factor: 1,
        config: Vec::new(),
    };
    log.create(&topics.iter().map(new).collect::<Vec<_>>()).unwrap();
    log
}

fn put(log: &MemoryLog, partition: i32, key: &str, value: &str) {
    let bytes = (Some(key.as_bytes()), Some(value.as_bytes()));
    let at = TopicPartition::new("in", partition);
    log.append(&at, bytes.0, bytes.1, 7, &Headers::default()).unwrap();
}

fn values(log: &MemoryLog, topic: &str) -> Vec<String> {
    let mut values: Vec<String> = log
        .records(topic)
        .into_iter()
        .filter_map(|record| String::from_utf8(record.value?).ok())
        .collect();
    values.sort();
    values
}

/// Polls, since other threads work.
fn wait_for(log: &MemoryLog, topic: &str, wanted: &[&str]) {
    let mut rounds = PATIENCE.as_millis() / 5;
    while values(log, topic) != wanted {
        assert!(rounds > 0, "{:?} instead of {wanted:?}", values(log, topic));
        rounds -= 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn config(dir: &tempfile::TempDir, guarantee: ProcessingGuarantee) -> StreamsConfig {
    StreamsConfig::new("app")
        .state_dir(dir.path())
        .commit_interval_ms(20)
        .processing_guarantee(guarantee)
        .num_stream_threads(2)
}

fn processes_and_goes_on_after_a_restart(guarantee: ProcessingGuarantee) {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 3), ("out", 2)]);
    let start = || {
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        Streams::with(upper(), config(&dir, guarantee)).log(shared).start().unwrap()
    };
    put(&log, 0, "a", "one");
    put(&log, 1, "b", "no");
    let streams = start();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put(&log, 2, "c", "two");
    wait_for(&log, "out", &["ONE", "TWO"]);
    streams.close().unwrap();

    put(&log, 0, "a", "three");
    let streams = start();
    wait_for(&log, "out", &["ONE", "THREE", "TWO"]);
    streams.close().unwrap();
}

#[test]
fn at_least_once_processes_and_goes_on_after_a_restart() {
    processes_and_goes_on_after_a_restart(ProcessingGuarantee::AtLeastOnce);
}

#[test]
fn exactly_once_processes_and_goes_on_after_a_restart() {
    processes_and_goes_on_after_a_restart(ProcessingGuarantee::ExactlyOnceV2);
}
