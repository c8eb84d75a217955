//! A turn ends in time, whatever the records cost, and waiting costs nothing.

use super::*;
use crate::chain::{PunctuationType, Schedule};
use crate::error::Result;
use crate::log::{
    Committed, GroupListener, GroupSpec, Member, Membership, OffsetRange, PartitionQueue, Producer,
    ProducerSpec, Reader, RecordBatch, TopicDescription, Wake,
};
use crate::record::Timestamp;
use crate::source::Consumed;

/// What a slow record takes; a thousand of them would take half a minute.
const SLOW: Duration = Duration::from_millis(30);

fn slow_log() -> MemoryLog {
    let log = log_with(&[("in", 1), ("out", 1)]);
    for number in 0..1_000 {
        put(&log, 0, "k", &format!("{number}"));
    }
    log
}

fn start(log: &MemoryLog, topology: Topology, config: StreamsConfig) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    Streams::with(topology, config).log(shared).start().unwrap()
}

/// The first turn of all meets slow records: they are committed long before a thousand of them are
/// done, and the instance ends long before too.
#[test]
fn slow_records_are_committed_in_time() {
    for guarantee in BOTH {
        let log = slow_log();
        let dir = tempfile::tempdir().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .peek(move |_, _| {
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::park_timeout(SLOW);
            })
            .to("out");
        let streams = start(&log, builder.build().unwrap(), config(&dir, guarantee));
        wait_until(|| committed(&log), |offset| *offset > 0);
        assert!(seen.load(Ordering::SeqCst) < 300, "{guarantee:?} {seen:?}");
        streams.close().unwrap();
        assert!(seen.load(Ordering::SeqCst) < 600, "{guarantee:?} {seen:?}");
        assert!(committed(&log) > 0);
    }
}

/// Records that their source drops are records too.
#[test]
fn slow_records_that_are_dropped_are_committed_in_time() {
    let log = slow_log();
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let builder = StreamsBuilder::new();
    let source = Consumed::<String, String>::from("in").timestamp(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::park_timeout(SLOW);
        None
    });
    builder.stream(source).to("out");
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = start(&log, builder.build().unwrap(), config);
    wait_until(|| committed(&log), |offset| *offset > 0);
    assert!(seen.load(Ordering::SeqCst) < 300, "{seen:?}");
    streams.close().unwrap();
}

/// A question is answered between two slow records.
#[test]
fn slow_records_let_questions_through() {
    let log = slow_log();
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(SLOW);
        })
        .group_by_key()
        .count("counts");
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = start(&log, builder.build().unwrap(), config);
    let counts = streams.store::<String, i64>("counts").timeout(PATIENCE);
    let found =
        |counts: &crate::query::StoreQuery<String, i64>| counts.get(&"k".to_owned()).ok().flatten();
    wait_until(|| found(&counts).map(|entry| entry.value), Option::is_some);
    assert!(seen.load(Ordering::SeqCst) < 300, "{seen:?}");
    streams.close().unwrap();
}

/// With several tasks of slow records on one worker, a commit that is due waits for one record and
/// not for one of each task.
#[test]
fn a_commit_that_is_due_waits_for_one_slow_record() {
    let log = log_with(&[("in", 8), ("out", 1)]);
    for number in 0..160 {
        put(&log, number % 8, "k", "x");
    }
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(SLOW);
        })
        .to("out");
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1);
    let (last, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (counted, noted) = (Arc::clone(&seen), Arc::clone(&most));
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), config).log(shared);
    let streams = streams.on_commit(move |step| {
        if step == CommitStep::Ended {
            let now = counted.load(Ordering::SeqCst);
            noted.fetch_max(now - last.swap(now, Ordering::SeqCst), Ordering::SeqCst);
        }
    });
    let streams = streams.start().unwrap();
    wait_until(|| seen.load(Ordering::SeqCst), |seen| *seen >= 60);
    streams.close().unwrap();
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?} records in one commit");
}

/// Counts how often the queues are asked for records. Everything else is the memory log.
#[derive(Debug)]
struct Counting {
    log: MemoryLog,
    pulls: Arc<AtomicUsize>,
}

struct CountingMembership(Box<dyn Membership>, Arc<AtomicUsize>);

struct CountingListener<'a>(&'a mut dyn GroupListener, Arc<AtomicUsize>);

struct CountingQueue(Box<dyn PartitionQueue>, Arc<AtomicUsize>);

impl PartitionQueue for CountingQueue {
    fn pull(&mut self, max: usize) -> Result<Option<Box<dyn RecordBatch>>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.pull(max)
    }

    fn remaining(&self, position: i64) -> Option<u64> {
        self.0.remaining(position)
    }

    fn on_data(&mut self, wake: Wake) {
        self.0.on_data(wake);
    }
}

impl GroupListener for CountingListener<'_> {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Result<Vec<i64>> {
        self.0.start_offsets(added)
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        let counting = |(at, queue)| {
            (at, Box::new(CountingQueue(queue, Arc::clone(&self.1))) as Box<dyn PartitionQueue>)
        };
        let added = added.into_iter().map(counting).collect();
        self.0.assigned(added);
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        self.0.revoked(removed);
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        self.0.lost(removed);
    }
}

impl Membership for CountingMembership {
    fn poll(&mut self, timeout: Duration, listener: &mut dyn GroupListener) -> Result<()> {
        self.0.poll(timeout, &mut CountingListener(listener, Arc::clone(&self.1)))
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.0.subscribe(topics)
    }

    fn member(&self) -> Arc<dyn Member> {
        self.0.member()
    }

    fn leave(self: Box<Self>, listener: &mut dyn GroupListener) -> Result<()> {
        self.0.leave(listener)
    }
}

impl Log for Counting {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.log.describe(topics)
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.log.create(topics)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.log.delete_records(before)
    }

    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        self.log.offsets(partition, isolation)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        self.log.offset_at(partition, timestamp)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.log.committed(group, partitions)
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        self.log.producer(spec)
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        Ok(Box::new(CountingMembership(self.log.join(spec)?, Arc::clone(&self.pulls))))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.log.reader(isolation)
    }
}

/// How often an instance that has nothing to do looks for records in about two seconds.
fn pulls_of_an_idle_instance(log: &MemoryLog, topology: Topology, config: StreamsConfig) -> usize {
    let pulls = Arc::new(AtomicUsize::new(0));
    let counting: Arc<dyn Log> = Arc::new(Counting { log: log.clone(), pulls: Arc::clone(&pulls) });
    let streams = Streams::with(topology, config).log(counting).start().unwrap();
    wait_until(|| pulls.load(Ordering::SeqCst), |pulls| *pulls > 2);
    let before = pulls.load(Ordering::SeqCst);
    for _ in 0..400 {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let counted = pulls.load(Ordering::SeqCst) - before;
    streams.close().unwrap();
    counted
}

/// One look is planned at a time, though each tick wakes the task too.
#[test]
fn waiting_for_a_slower_input_plans_one_look_at_a_time() {
    let builder = StreamsBuilder::new();
    let a = builder.stream::<String, String>("in");
    let b = builder.stream::<String, String>("slower");
    a.merge(&b).to("out");
    let log = log_with(&[("in", 1), ("slower", 1), ("out", 1)]);
    put(&log, 0, "k", "x");
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .max_task_idle_ms(600_000)
        .commit_interval_ms(20);
    let pulls = pulls_of_an_idle_instance(&log, builder.build().unwrap(), config);
    // About 400 looks and 100 ticks; with one look more for each tick there were 20,000.
    assert!(pulls < 5_000, "{pulls} looks");
}

struct Asks;

impl Processor<String, String> for Asks {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        ctx.request_commit();
        ctx.schedule(Duration::from_millis(10), PunctuationType::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(record);
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.request_commit();
        Ok(())
    }
}

fn asks() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").process("asks", (), |()| Asks).to("out");
    builder.build().unwrap()
}

/// A commit is asked for where nothing happened, and once more in the punctuation of a record from
/// the end of time, which fires once.
#[test]
fn a_commit_that_is_asked_for_without_need_is_forgotten() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let first = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    put(&log, 0, "k", "x");
    let pulls = pulls_of_an_idle_instance(&log, asks(), first);
    assert!(pulls < 2_000, "{pulls} looks");
    // Now its position is committed: nothing at all is to be committed at the start.
    let second = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let pulls = pulls_of_an_idle_instance(&log, asks(), second);
    assert!(pulls < 2_000, "{pulls} looks");
    assert_eq!(values(&log, "out"), ["x"]);
}

#[test]
fn a_record_from_the_end_of_time_does_not_stop_punctuations() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let at = TopicPartition::new("in", 0);
    for value in ["a", "b"] {
        let (key, value) = (Some(&b"k"[..]), Some(value.as_bytes()));
        log.append(&at, key, value, i64::MAX, &Headers::default()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, asks(), config(&dir, ProcessingGuarantee::ExactlyOnceV2));
    wait_for(&log, "out", &["a", "b"]);
    streams.close().unwrap();
}

/// What passes for a record here on the clock of the log, where a transaction lasts for a second.
fn exactly_once_for_a_second(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::ExactlyOnceV2).transaction_timeout_ms(1_000)
}

/// Records become slow in the middle of a turn, a few of them together too slow for a transaction:
/// after the abort that follows, they are committed one by one.
#[test]
fn records_that_become_slow_are_committed_after_an_abort() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    for number in 0..50 {
        put(&log, 0, "k", if number < 40 { "fast" } else { "slow" });
    }
    let dir = tempfile::tempdir().unwrap();
    let clock = log.clone();
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(move |_, value: &String| {
            if value == "slow" {
                std::thread::park_timeout(Duration::from_millis(12));
                clock.advance(Duration::from_millis(300));
            }
        })
        .to("out");
    let streams = start(&log, builder.build().unwrap(), exactly_once_for_a_second(&dir));
    wait_until(|| committed(&log), |offset| *offset == 50);
    streams.close().unwrap();
    assert_eq!(values(&log, "out").len(), 50);
}

/// A commit that empties a cache into a slow operator takes longer than a transaction may last:
/// after the abort the cache is committed in parts.
#[test]
fn a_cache_that_takes_too_long_to_empty_is_committed_in_parts() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    for number in 0..200 {
        put(&log, 0, &format!("{number}"), "x");
    }
    let dir = tempfile::tempdir().unwrap();
    let clock = log.clone();
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_values(move |count: i64| {
            clock.advance(Duration::from_millis(10));
            count.to_string()
        })
        .to("out");
    let streams = start(&log, builder.build().unwrap(), exactly_once_for_a_second(&dir));
    wait_until(|| committed(&log), |offset| *offset == 200);
    streams.close().unwrap();
    assert_eq!(values(&log, "out"), vec!["1"; 200]);
}
