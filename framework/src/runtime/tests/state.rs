//! Local state over restarts, and while it is restored.

use super::{PATIENCE, config, log_with, put, values, wait_for, wait_until};
use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::error::{Error, Result};
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::memory::{Fault, MemoryLog, Operation};
use crate::log::{
    Committed, GroupSpec, Isolation, Log, Membership, NewTopic, OffsetRange, OutgoingRecord,
    Producer, ProducerSpec, Reader, TopicDescription,
};
use crate::record::{Headers, TopicPartition};
use crate::runtime::board::StreamsState;
use crate::runtime::clock::{SystemClock, WallClock as _};
use crate::runtime::commit_step::CommitStep;
use crate::runtime::streams::Streams;
use crate::store::Materialized;
use crate::time::TimeWindows;
use crate::topology::{StreamsBuilder, Topology};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn exactly_once(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::ExactlyOnceV2).cache_bytes_max(0).num_stream_threads(1)
}

pub(super) fn metric(streams: &Streams, name: &str) -> f64 {
    let metrics = streams.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn weekly() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(Duration::from_secs(7 * 86_400)).no_grace())
        .count("weekly")
        .updates()
        .map(|window, count: i64| (window.key, count.to_string()))
        .to("out");
    builder.build().unwrap()
}

#[test]
fn a_rebuilt_window_store_keeps_its_windows_over_the_next_restart() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let run = |config: StreamsConfig, counts: &[&str]| {
        let streams = Streams::with(weekly(), config).log(Arc::new(log.clone())).start().unwrap();
        put(&log, 0, "k", "x");
        wait_for(&log, "out", counts);
        streams.close().unwrap();
    };
    run(exactly_once(&dir), &["1"]);
    // As after a stop that is longer than tombstones are kept: rebuilt from the changelog.
    run(exactly_once(&dir).delete_retention_ms(0), &["1", "2"]);
    run(exactly_once(&dir), &["1", "2", "3"]);
}

/// Only a commit that the group has confirmed shows that nobody else wrote to a changelog.
#[test]
fn a_worker_with_idle_stores_commits_now_and_then() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let commits = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&commits);
    let config = exactly_once(&dir).delete_retention_ms(10);
    let streams = Streams::with(weekly(), config).log(Arc::new(log.clone()));
    let streams = streams.on_commit(move |step| {
        seen.fetch_add(usize::from(step == CommitStep::Applied), Ordering::SeqCst);
    });
    let streams = streams.start().unwrap();
    wait_until(|| commits.load(Ordering::SeqCst), |commits| *commits >= 3);
    streams.close().unwrap();
}

/// Of each task alone they would stay below it, and nothing would be committed.
#[test]
fn uncommitted_bytes_are_bounded_for_all_tasks_of_a_worker_together() {
    let log = log_with(&[("in", 8), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let config = exactly_once(&dir)
        .commit_interval_ms(600_000)
        .transaction_timeout_ms(700_000)
        .uncommitted_bytes_max(100_000);
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key().count("counts");
    counts.updates().map_values(|count: i64| count.to_string()).to("out");
    let topology = builder.build().unwrap();
    let streams = Streams::with(topology, config).log(Arc::new(log.clone())).start().unwrap();
    // Where the partitions begin is committed once; from then on only the bound commits.
    wait_until(|| log.group_offsets("app").len(), |partitions| *partitions == 8);
    for number in 0..2_400 {
        put(&log, number % 8, &format!("key-{number:0>100}"), "x");
    }
    // About 260 bytes each: all but the last 100 kB.
    wait_until(|| log.records("out").len(), |outputs| *outputs >= 1_900);
    streams.close().unwrap();
}

/// What belongs to others is deleted, what is in use is not.
#[test]
fn the_state_of_tasks_that_moved_away_is_deleted_after_a_while() {
    let log = log_with(&[("in", 4), ("out", 1)]);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = |dir: &tempfile::TempDir| {
        let config = exactly_once(dir).state_cleanup_delay_ms(200);
        Streams::with(weekly(), config).log(Arc::new(log.clone())).start().unwrap()
    };
    let dirs = |dir: &tempfile::TempDir| -> usize {
        let tasks = std::fs::read_dir(dir.path().join("app")).unwrap();
        tasks.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    };
    let one = start(&first);
    for partition in 0..4 {
        put(&log, partition, "k", "x");
    }
    wait_for(&log, "out", &["1", "1", "1", "1"]);
    assert_eq!(dirs(&first), 4);
    let other = start(&second);
    wait_until(|| (dirs(&first), dirs(&second)), |dirs| *dirs == (2, 2));
    for partition in 0..4 {
        put(&log, partition, "k", "x");
    }
    wait_for(&log, "out", &["1", "1", "1", "1", "2", "2", "2", "2"]);
    other.close().unwrap();
    // They come back, and are restored.
    for partition in 0..4 {
        put(&log, partition, "k", "x");
    }
    wait_until(|| values(&log, "out").iter().filter(|count| *count == "3").count(), |n| *n == 4);
    one.close().unwrap();
}

fn kept() -> Topology {
    let builder = StreamsBuilder::new();
    let kept =
        Materialized::<String, String>::named("kept").changelog_config("delete.retention.ms", "0");
    builder.stream::<String, String>("in").group_by_key().aggregate_retain(
        kept,
        String::new,
        |_, value: String, row| {
            *row = value;
            row != "delete"
        },
    );
    builder.build().unwrap()
}

/// Opens a log, which compacts it, and lets an instance process records; the keys it has then.
fn keys_after(
    home: &tempfile::TempDir,
    dir: &tempfile::TempDir,
    records: &[(&str, &str)],
    expected: &[&str],
) {
    let log = EmbeddedLog::open(home.path(), EmbeddedOptions::default()).unwrap();
    let config = Vec::new();
    let new = NewTopic { name: "in".to_owned(), partitions: 1, replication_factor: 1, config };
    log.create(&[new]).unwrap();
    // Tombstones go at once, so a store that lacks anything is to be rebuilt whatever its age.
    let config = exactly_once(dir).delete_retention_ms(0);
    let streams = Streams::with(kept(), config).log(Arc::new(log.clone())).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let mut producer = log.producer(&ProducerSpec::default()).unwrap();
    let topic = producer.topic("in").unwrap();
    let headers = Headers::default();
    for (key, value) in records {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let timestamp = Some(7);
        let record =
            OutgoingRecord { topic, partition: 0, key, value, timestamp, headers: &headers };
        producer.send(&record).unwrap();
    }
    producer.flush().unwrap();
    let store = streams.store::<String, String>("kept");
    let keys = || -> Vec<String> {
        let mut keys: Vec<String> =
            store.all(10).unwrap_or_default().into_iter().map(|entry| entry.key).collect();
        keys.sort();
        keys
    };
    wait_until(keys, |keys| keys == expected);
    let all = || {
        let committed = log.committed("app", &[TopicPartition::new("in", 0)]).ok();
        let committed = committed.and_then(|mut all| all.pop().flatten());
        let end = log.offsets(&TopicPartition::new("in", 0), Isolation::ReadUncommitted);
        (committed.map(|committed| committed.offset), end.map(|range| range.end).ok())
    };
    wait_until(all, |(committed, end)| committed == end);
    wait_until(keys, |keys| keys == expected);
    streams.close().unwrap();
}

#[test]
fn a_store_that_was_only_restored_brings_no_deleted_keys_back() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    keys_after(&home, &one, &[("a", "1"), ("b", "1")], &["a", "b"]);
    // A second instance restores, gets no record, and goes.
    keys_after(&home, &other, &[], &["a", "b"]);
    keys_after(&home, &one, &[("a", "delete"), ("b", "2")], &["b"]);
    for round in ["1", "2", "3", "4"] {
        // Time passes, the changelog is compacted, and its tombstones go.
        keys_after(&home, &one, &[("b", round), ("b", "x"), ("b", "y")], &["b"]);
    }
    keys_after(&home, &other, &[], &["b"]);
}

fn two_parts() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .for_each(|_, _: i64| {});
    builder.stream::<String, String>("plain").to("out");
    builder.build().unwrap()
}

/// The tasks that restore wait for the broker; the others of the same worker go on.
#[test]
fn a_reader_that_fails_concerns_the_tasks_that_restore() {
    let log = log_with(&[("in", 1), ("plain", 1), ("out", 1)]);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = |dir: &tempfile::TempDir| {
        let shared = Arc::new(log.clone());
        Streams::with(two_parts(), exactly_once(dir)).log(shared).start().unwrap()
    };
    let streams = start(&first);
    put(&log, 0, "k", "x");
    let changelog = TopicPartition::new("app-counts-changelog", 0);
    wait_until(|| log.records_from(&changelog, 0).len(), |records| *records == 1);
    streams.close().unwrap();
    log.fail(Operation::Read, Fault::Unavailable, 2);
    log.fail(Operation::Read, Fault::Aborted, 2);
    let streams = start(&second);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let counts = streams.store::<String, i64>("counts").timeout(PATIENCE);
    let count = counts.get(&"k".to_owned()).unwrap().map(|entry| entry.value);
    assert_eq!(count, Some(1));
    assert!(metric(&streams, "millstream_aborts_total") < 1.0, "the others were aborted");
    streams.close().unwrap();
}

/// A log that does not say where the changelog of `counts` ends, for as long as it is told to.
#[derive(Debug)]
struct EndUnknown {
    inner: MemoryLog,
    unknown: AtomicBool,
}

impl Log for EndUnknown {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.inner.describe(topics)
    }
    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.inner.create(topics)
    }
    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        self.inner.delete_topics(topics)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.inner.delete_records(before)
    }
    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        if self.unknown.load(Ordering::SeqCst) && &*partition.topic == "app-counts-changelog" {
            let (what, reason) = ("offsets".to_owned(), "no leader".to_owned());
            return Err(Error::Unavailable { what, reason });
        }
        self.inner.offsets(partition, isolation)
    }
    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        self.inner.offset_at(partition, timestamp)
    }
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.inner.committed(group, partitions)
    }
    fn group_members(&self, group: &str) -> Result<usize> {
        self.inner.group_members(group)
    }
    fn delete_group(&self, group: &str) -> Result<()> {
        self.inner.delete_group(group)
    }
    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.inner.set_offsets(group, offsets)
    }
    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        self.inner.producer(spec)
    }
    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        self.inner.join(spec)
    }
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.inner.reader(isolation)
    }
}

#[test]
fn a_changelog_without_a_leader_holds_no_other_task_back() {
    let inner = log_with(&[("in", 1), ("plain", 1), ("out", 1)]);
    let log = Arc::new(EndUnknown { inner: inner.clone(), unknown: AtomicBool::new(true) });
    let dir = tempfile::tempdir().unwrap();
    let shared: Arc<dyn Log> = Arc::<EndUnknown>::clone(&log);
    let streams = Streams::with(two_parts(), exactly_once(&dir)).log(shared).start().unwrap();
    let at = TopicPartition::new("plain", 0);
    inner.append(&at, Some(b"k"), Some(b"goes on"), 7, &Headers::default()).unwrap();
    wait_for(&inner, "out", &["goes on"]);
    put(&inner, 0, "k", "x");
    log.unknown.store(false, Ordering::SeqCst);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    wait_until(|| values(&inner, "app-counts-changelog").len(), |records| *records == 1);
    streams.close().unwrap();
}

/// That tasks begin to restore says nothing: the wait grows from one failure to the next.
#[test]
fn restoring_that_fails_again_waits_longer_each_time() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = log_with(&[("in", 1), ("out", 1)]);
    let start = |dir| {
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(dir, ProcessingGuarantee::ExactlyOnceV2)
            .retry_backoff_ms(50)
            .retry_backoff_max_ms(60_000);
        Streams::with(super::counts(), config).log(shared).start().unwrap()
    };
    let streams = start(&dirs[0]);
    put(&log, 0, "a", "x");
    wait_for(&log, "out", &["1"]);
    streams.close().unwrap();
    log.fail(Operation::Read, Fault::Unavailable, 5);
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let streams = start(&dirs[1]);
    put(&log, 0, "a", "x");
    wait_for(&log, "out", &["1", "2"]);
    let took = clock.elapsed() - began;
    streams.close().unwrap();
    // 50, 100, 200, 400 and 800 ms.
    assert!(took >= Duration::from_millis(1_550), "{took:?}");
}
