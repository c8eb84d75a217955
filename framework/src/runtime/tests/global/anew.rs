//! Global tables that are built anew, and are stopped before they are complete.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::error::Result;
use crate::log::{
    Committed, GroupSpec, Membership, OffsetRange, Producer, ProducerSpec, ReadEvent, Reader,
    TopicDescription,
};

/// A log that shows readers no partition but the first while it is told so.
#[derive(Clone, Debug)]
struct Half(MemoryLog, Arc<AtomicBool>);

struct HalfReader(Box<dyn Reader>, Arc<AtomicBool>);

impl Reader for HalfReader {
    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<()> {
        let half = self.1.load(Ordering::SeqCst);
        let shown = from.iter().filter(|(at, _)| !half || at.partition == 0).cloned();
        self.0.assign(&shown.collect::<Vec<_>>())
    }
    fn read(&mut self, timeout: Duration) -> Result<Option<ReadEvent>> {
        self.0.read(timeout)
    }
}

impl Log for Half {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.0.describe(topics)
    }
    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.0.create(topics)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.0.delete_records(before)
    }
    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        self.0.offsets(partition, isolation)
    }
    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        self.0.offset_at(partition, timestamp)
    }
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.0.committed(group, partitions)
    }
    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        self.0.producer(spec)
    }
    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        self.0.join(spec)
    }
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(HalfReader(self.0.reader(isolation)?, Arc::clone(&self.1))))
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let names = builder.global_table::<String, String>("names", "names");
    let stream = builder.stream::<String, String>("in");
    let line = |value: String, name: Option<&String>| {
        format!("{value}={}", name.map_or("nobody", String::as_str))
    };
    stream.left_join_global(&names, |_, value| value.clone(), line).to("out");
    builder.build().unwrap()
}

fn name(log: &MemoryLog, partition: i32, key: &str) {
    let at = TopicPartition::new("names", partition);
    log.append(&at, Some(key.as_bytes()), Some(b"Ada"), 7, &Headers::default()).unwrap();
}

fn settings(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::AtLeastOnce).retry_backoff_ms(1).retry_backoff_max_ms(20)
}

fn start(log: impl Log, config: StreamsConfig) -> Streams {
    Streams::with(topology(), config).log(Arc::new(log)).start().unwrap()
}

fn running(streams: &Streams) {
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
}

fn read(streams: &Streams) -> u64 {
    let metrics = streams.metrics();
    let line =
        metrics.lines().find(|it| it.starts_with("millstream_records_in_total{topic=\"names\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// What was read of one partition says nothing of how far the others are.
#[test]
fn what_was_not_read_again_before_a_stop_is_read_after_it() {
    let (dir, log) =
        (tempfile::tempdir().unwrap(), log_with(&[("in", 1), ("out", 1), ("names", 2)]));
    let half = Half(log.clone(), Arc::default());
    name(&log, 0, "a");
    name(&log, 1, "b");
    let streams = start(half.clone(), settings(&dir));
    running(&streams);
    streams.close().unwrap();
    name(&log, 0, "c");
    half.1.store(true, Ordering::SeqCst);
    // It is too old, and built anew; of the second partition nothing comes before the stop.
    let streams = start(half.clone(), settings(&dir).delete_retention_ms(0));
    wait_until(
        || format!("{:?}", streams.instance.waits()),
        |it| it.contains("names lacks 1 offsets"),
    );
    streams.close().unwrap();
    half.1.store(false, Ordering::SeqCst);
    let streams = start(half, settings(&dir));
    running(&streams);
    for key in ["a", "b", "c"] {
        put(&log, 0, "k", key);
    }
    wait_for(&log, "out", &["a=Ada", "b=Ada", "c=Ada"]);
    streams.close().unwrap();
}

#[test]
fn a_topic_that_was_made_anew_with_fewer_partitions_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let topics = |names| log_with(&[("in", 1), ("out", 1), ("names", names)]);
    let larger = topics(3);
    (0..3).for_each(|partition| name(&larger, partition, "a"));
    let streams = start(larger, settings(&dir));
    running(&streams);
    streams.close().unwrap();
    let smaller = topics(2);
    name(&smaller, 0, "b");
    for (times, wanted) in [(1, 1), (2, 0)] {
        let streams = start(smaller.clone(), settings(&dir));
        running(&streams);
        assert_eq!(read(&streams), wanted, "start number {times}");
        streams.close().unwrap();
    }
}

/// Where it is in a partition is noted though there is nothing in it.
#[test]
fn a_restart_reads_the_tail_only_where_the_first_partition_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1), ("names", 2)]);
    name(&log, 1, "a");
    for (times, wanted) in [(1, 1), (2, 0)] {
        let streams = start(log.clone(), settings(&dir));
        running(&streams);
        assert_eq!(read(&streams), wanted, "start number {times}");
        streams.close().unwrap();
    }
}
