//! The runtime over the memory log: threads, group, commit and abort without a broker.

mod held_rows;
mod counts;
mod left_open;
mod late_markers;
mod starts;
mod source_topics;
mod state;
mod failing;
mod ownership;
mod turns;
mod refusals;
mod topics;
mod foreign;
mod futures;
mod outlets;
mod global;
mod stores;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::collector::murmur2_partition;
use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::error::BoxError;
use crate::log::memory::{Fault, MemoryLog, Operation};
use crate::log::{Isolation, Log, NewTopic};
use crate::operators::{Context, Processor};
use crate::record::{Headers, Record, TopicPartition};
use crate::runtime::board::StreamsState;
use crate::runtime::commit_step::CommitStep;
use crate::runtime::streams::Streams;
use crate::task::TaskState;
use crate::topology::{StreamsBuilder, Topology};

mod growing;
mod patterns;
mod interleavings;
mod health;
mod drops;
mod idle;
mod stopping;
mod waiting;
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

fn wait_until<T: Debug>(look: impl FnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    wait_within(PATIENCE, look, is_right)
}

/// Polls until `look` finds what `is_right`, since other threads work.
fn wait_within<T: Debug>(
    patience: Duration,
    mut look: impl FnMut() -> T,
    is_right: impl Fn(&T) -> bool,
) -> T {
    let mut rounds = patience.as_millis() / 5;
    loop {
        let found = look();
        if is_right(&found) {
            return found;
        }
        assert!(rounds > 0, "{found:?} after {patience:?}");
        rounds -= 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn wait_for(log: &MemoryLog, topic: &str, wanted: &[&str]) {
    wait_until(|| values(log, topic), |values| values == wanted);
}

fn config(dir: &tempfile::TempDir, guarantee: ProcessingGuarantee) -> StreamsConfig {
    StreamsConfig::new("app")
        .state_dir(dir.path())
        .commit_interval_ms(20)
        .processing_guarantee(guarantee)
        .num_stream_threads(2)
}

const BOTH: [ProcessingGuarantee; 2] =
    [ProcessingGuarantee::AtLeastOnce, ProcessingGuarantee::ExactlyOnceV2];

fn aborts(streams: &Streams) -> u64 {
    let metrics = streams.metrics();
    let line = metrics.lines().find(|line| line.starts_with("millstream_aborts_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The positions that the group has committed, added up.
fn committed(log: &MemoryLog) -> i64 {
    log.group_offsets("app").iter().map(|(_, committed)| committed.offset).sum()
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

/// Each fault hits a commit; whatever is done again must not show in the committed output.
#[test]
fn exactly_once_survives_failed_commits() {
    let faults = [
        (Operation::Commit, Fault::Aborted),
        (Operation::Commit, Fault::Fenced),
        (Operation::Commit, Fault::LostAnswer),
        (Operation::SendOffsets, Fault::Aborted),
        (Operation::Flush, Fault::Unavailable),
    ];
    for (operation, fault) in faults {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        let streams = Streams::with(upper(), config).log(shared).start().unwrap();
        put(&log, 0, "a", "one");
        wait_for(&log, "out", &["ONE"]);
        log.fail(operation, fault, 1);
        put(&log, 0, "a", "two");
        wait_for(&log, "out", &["ONE", "TWO"]);
        put(&log, 0, "a", "three");
        wait_for(&log, "out", &["ONE", "THREE", "TWO"]);
        let metrics = streams.metrics();
        let aborts = metrics.lines().find(|line| line.starts_with("millstream_aborts_total"));
        assert!(aborts.unwrap().ends_with(" 1"), "{aborts:?} after {operation:?} {fault:?}");
        streams.close().unwrap();
    }
}

/// Two instances of a group share the partitions; what one leaves the other takes.
#[test]
fn a_second_instance_takes_its_part_and_gives_it_back() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = log_with(&[("in", 4), ("out", 1)]);
    let start = |dir: &tempfile::TempDir| {
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(dir, ProcessingGuarantee::ExactlyOnceV2);
        Streams::with(upper(), config).log(shared).start().unwrap()
    };
    let first = start(&first_dir);
    assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let second = start(&second_dir);
    let running = |streams: &Streams| {
        streams.tasks().iter().filter(|(_, state)| *state == TaskState::Running).count()
    };
    wait_until(|| (running(&first), running(&second)), |found| *found == (2, 2));
    for partition in 0..4 {
        put(&log, partition, "a", &format!("v{partition}"));
    }
    wait_for(&log, "out", &["V0", "V1", "V2", "V3"]);
    second.close().unwrap();
    for partition in 0..4 {
        put(&log, partition, "a", &format!("w{partition}"));
    }
    wait_for(&log, "out", &["V0", "V1", "V2", "V3", "W0", "W1", "W2", "W3"]);
    first.close().unwrap();
}

/// A record that the topology refuses ends the instance with an error that names the record.
#[test]
fn a_fault_without_a_policy_stops_the_instance() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .try_map_values(|value: String| value.parse::<i64>())
        .map_values(|number: i64| number.to_string())
        .to("out");
    let topology = builder.build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "1");
    put(&log, 0, "a", "no number");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    assert!(text.contains("in-0@1"), "{text}");
    assert_eq!(values(&log, "out"), Vec::<String>::new());
}

#[test]
fn at_least_once_processes_and_goes_on_after_a_restart() {
    processes_and_goes_on_after_a_restart(ProcessingGuarantee::AtLeastOnce);
}

#[test]
fn exactly_once_processes_and_goes_on_after_a_restart() {
    processes_and_goes_on_after_a_restart(ProcessingGuarantee::ExactlyOnceV2);
}

/// What is asked is answered by all tasks, from what they have committed; a handle left over keeps
/// nothing locked.
#[test]
fn stores_can_be_read_while_the_instance_runs() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").group_by_key().count("words");
    let topology = builder.build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2)]);
    for (partition, key) in [(0, "a"), (1, "b"), (0, "a")] {
        put(&log, partition, key, "x");
    }
    let start = || {
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        Streams::with(topology.clone(), config).log(shared).start().unwrap()
    };
    let streams = start();
    let words = streams.store::<String, i64>("words").timeout(PATIENCE);
    let counts = |words: &crate::query::StoreQuery<String, i64>| -> Vec<(String, i64)> {
        let mut all = words.all(10).unwrap_or_default();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all.into_iter().map(|entry| (entry.key, entry.value)).collect()
    };
    let expected = [("a".to_owned(), 2), ("b".to_owned(), 1)];
    wait_until(|| counts(&words), |found| *found == expected);
    let found = words.get(&"a".to_owned()).unwrap().unwrap();
    assert_eq!((found.value, found.timestamp), (2, Some(crate::record::Timestamp(7))));
    let unknown = streams.store::<String, i64>("letters").all(1).unwrap_err();
    assert_eq!(unknown.reaction(), crate::error::Reaction::Stop, "{unknown}");
    assert!(unknown.to_string().contains("there is no such store, only words"), "{unknown}");
    streams.close().unwrap();
    assert!(words.all(1).is_err());
    start().close().unwrap();
}

/// Inputs of one task are taken in the order of their timestamps, whatever came first.
#[test]
fn the_oldest_record_of_all_inputs_is_first() {
    let builder = StreamsBuilder::new();
    let a = builder.stream::<String, String>("a");
    let b = builder.stream::<String, String>("b");
    a.merge(&b).to("out");
    let topology = builder.build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("a", 1), ("b", 1), ("out", 1)]);
    for (topic, time) in [("a", 1), ("a", 4), ("a", 5), ("b", 2), ("b", 3), ("b", 6)] {
        let at = TopicPartition::new(topic, 0);
        let value = format!("{topic}{time}");
        log.append(&at, Some(b"k"), Some(value.as_bytes()), time, &Headers::default()).unwrap();
    }
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    wait_for(&log, "out", &["a1", "a4", "a5", "b2", "b3", "b6"]);
    let order: Vec<String> = log
        .records("out")
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .collect();
    assert_eq!(order, ["a1", "b2", "b3", "a4", "a5", "b6"]);
    streams.close().unwrap();
}

fn counts() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by(|_, value| value.clone())
        .count("counts")
        .updates()
        .map_values(|count: i64| count.to_string())
        .to("out");
    builder.build().unwrap()
}

/// What was consumed of a repartition topic is deleted, but nothing beyond the committed position.
#[test]
fn repartition_topics_are_purged_up_to_the_committed_position() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    for number in 0..50 {
        put(&log, number % 2, "a", "x");
    }
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .cache_bytes_max(0)
        .repartition_purge_interval_ms(1);
    let streams = Streams::with(counts(), config).log(shared).start().unwrap();
    let mut wanted: Vec<String> = (1..=50).map(|count: i32| count.to_string()).collect();
    wanted.sort();
    wait_for(&log, "out", &wanted.iter().map(String::as_str).collect::<Vec<_>>());
    // The purge comes with the next commit after the interval.
    put(&log, 0, "a", "x");
    let partition = murmur2_partition(b"x", 2);
    let topic = TopicPartition::new("app-counts-repartition", partition);
    let earliest = || log.offsets(&topic, Isolation::ReadCommitted).unwrap().earliest;
    wait_until(earliest, |earliest| *earliest >= 50);
    let group = log.group_offsets("app");
    let (_, committed) = group.iter().find(|(partition, _)| *partition == topic).unwrap();
    assert!(earliest() <= committed.offset, "{} is past {committed:?}", earliest());
    streams.close().unwrap();
}

/// The bound on uncommitted bytes commits early, long before the interval.
#[test]
fn too_many_uncommitted_bytes_commit_early() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    for number in 0..300 {
        put(&log, 0, &format!("key-{number:0>100}"), "x");
    }
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_values(|count: i64| count.to_string())
        .to("out");
    let topology = builder.build().unwrap();
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .cache_bytes_max(0)
        .commit_interval_ms(9_000)
        .uncommitted_bytes_max(1_000);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    // All but what has come since the last early commit, far sooner than the interval allows.
    wait_within(Duration::from_secs(4), || log.records("out").len(), |outputs| *outputs >= 200);
    streams.close().unwrap();
}

/// Where the processor below panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Supplier,
    Init,
    Process,
    Close,
}

struct Panics(At, Arc<AtomicUsize>);

impl Panics {
    fn made(at: At, closed: Arc<AtomicUsize>) -> Self {
        assert_ne!(at, At::Supplier, "no supply");
        Self(at, closed)
    }
}

impl Processor<String, String> for Panics {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        assert_ne!(self.0, At::Init, "no beginning");
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        assert_ne!(self.0, At::Process, "no way");
        ctx.forward(record);
        Ok(())
    }

    fn close(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.0, At::Close, "no end");
    }
}

/// A panic of the user's ends the instance with an error that says so, not a thread in silence;
/// one at the end of a task does not keep the rest of it from ending.
#[test]
fn a_panic_ends_in_an_error() {
    for at in [At::Supplier, At::Init, At::Process, At::Close] {
        let builder = StreamsBuilder::new();
        let closed = Arc::new(AtomicUsize::new(0));
        let stream = builder.stream::<String, String>("in");
        let made = || {
            let closed = Arc::clone(&closed);
            move |()| Panics::made(at, Arc::clone(&closed))
        };
        stream.process("first", (), made()).process("second", (), made()).to("out");
        let topology = builder.build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        put(&log, 0, "a", "one");
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        let streams = Streams::with(topology, config).log(shared).start().unwrap();
        if at == At::Close {
            wait_for(&log, "out", &["one"]);
            streams.close().unwrap();
            assert_eq!(closed.load(Ordering::Relaxed), 2, "one after the other");
            continue;
        }
        let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
        assert_eq!(state, StreamsState::Failed, "{at:?}");
        let text = streams.close().unwrap_err().to_string();
        assert!(text.contains("task 0_0 panicked"), "{at:?}: {text}");
        assert_eq!(values(&log, "out"), Vec::<String>::new());
    }
}

/// So does one in the listener of commits, which the worker calls itself.
#[test]
fn a_panic_of_the_commit_listener_ends_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "one");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(upper(), config).log(shared);
    let streams = streams.on_commit(|step| assert_ne!(step, CommitStep::Ending)).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    assert!(text.contains("worker 0 failed for good: it panicked"), "{text}");
    assert_eq!(values(&log, "out"), Vec::<String>::new());
}

/// An internal topic that exists with another number of partitions is refused with both numbers.
#[test]
fn an_internal_topic_of_another_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 3), ("out", 1), ("app-counts-repartition", 2)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce);
    let streams = Streams::with(counts(), config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    for part in ["app-counts-repartition", "2 partitions", "needs 3"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Internal topics get Java's names, partition counts and settings.
#[test]
fn internal_topics_are_made_as_java_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 3), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce);
    let streams = Streams::with(counts(), config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let names = ["app-counts-changelog", "app-counts-repartition"];
    let made = log.describe(&names).unwrap();
    assert!(made.iter().all(|topic| topic.as_ref().is_some_and(|t| t.partitions == 3)), "{made:?}");
    streams.close().unwrap();
}
