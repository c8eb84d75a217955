//! After a failure nothing is committed that should not be, whatever comes next.

use super::*;
use crate::config::UncaughtError;
use crate::error::{Error, Reaction, Result};
use crate::log::{
    Committed, Generation, GroupSpec, Membership, OffsetRange, OutgoingRecord, Producer,
    ProducerSpec, Reader, Refused, TopicDescription, TopicHandle,
};
use crate::record::RecordAt;

/// Loses the first output "LOST" and tells of it once, in the flush after it, as Kafka's client
/// does. Everything else is the memory log.
#[derive(Debug)]
struct Lossy {
    log: MemoryLog,
    error: fn() -> Error,
    lost: Arc<AtomicUsize>,
}

struct LossyProducer {
    inner: Box<dyn Producer>,
    error: fn() -> Error,
    lost: Arc<AtomicUsize>,
    unsaid: bool,
}

impl Producer for LossyProducer {
    fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        self.inner.topic(name)
    }

    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<()> {
        if record.value == Some(b"LOST") && self.lost.fetch_add(1, Ordering::SeqCst) == 0 {
            self.unsaid = true;
            return Ok(());
        }
        self.inner.send(record)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()?;
        if std::mem::take(&mut self.unsaid) { Err((self.error)()) } else { Ok(()) }
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        self.inner.take_refused()
    }

    fn acknowledged(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        self.inner.acknowledged(topic, partition)
    }

    fn begin(&mut self) -> Result<()> {
        self.inner.begin()
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        generation: &Generation,
    ) -> Result<()> {
        self.inner.send_offsets(offsets, generation)
    }

    fn commit(&mut self) -> Result<()> {
        self.inner.commit()
    }

    fn abort(&mut self) -> Result<()> {
        self.inner.abort()
    }
}

impl Log for Lossy {
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
        let (inner, error) = (self.log.producer(spec)?, self.error);
        Ok(Box::new(LossyProducer { inner, error, lost: Arc::clone(&self.lost), unsaid: false }))
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        self.log.join(spec)
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.log.reader(isolation)
    }
}

fn topic_gone() -> Error {
    Error::Topic { topic: "out".to_owned(), reason: "it was deleted".to_owned() }
}

fn refused() -> Error {
    let at = RecordAt::Outgoing { topic: Some("out".to_owned()) };
    Error::BadRecord { at, node: "producer".to_owned(), cause: "too large".into(), policy_at: None }
}

fn unavailable() -> Error {
    Error::Unavailable { what: "out-0".to_owned(), reason: "nobody answers".to_owned() }
}

fn fenced() -> Error {
    Error::Fenced { what: "out-0".to_owned(), reason: "by a newer one".to_owned() }
}

/// All outputs came, at least once each; exactly once where that is promised.
fn wait_for_all(log: &MemoryLog, guarantee: ProcessingGuarantee, wanted: &[&str]) {
    let found = wait_until(
        || values(log, "out"),
        |found| wanted.iter().all(|wanted| found.iter().any(|found| found == wanted)),
    );
    if guarantee == ProcessingGuarantee::ExactlyOnceV2 {
        assert_eq!(found, wanted);
    }
}

/// A lost output fails one flush; the next commit must not take the positions past it.
#[test]
fn a_lost_output_is_never_committed_past() {
    let errors = [topic_gone, refused, unavailable, fenced] as [fn() -> Error; 4];
    for (guarantee, error) in BOTH.into_iter().flat_map(|g| errors.map(|error| (g, error))) {
        let log = log_with(&[("in", 1), ("out", 1)]);
        for value in ["one", "lost", "three"] {
            put(&log, 0, "k", value);
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        // Commits come much faster than the control thread notices a failure.
        let config = |dir: usize| config(&dirs[dir], guarantee).commit_interval_ms(2);
        let lost = Arc::new(AtomicUsize::new(0));
        let lossy: Arc<dyn Log> = Arc::new(Lossy { log: log.clone(), error, lost });
        let streams = Streams::with(upper(), config(0)).log(lossy).start().unwrap();
        let all = ["LOST", "ONE", "THREE"];
        if matches!(error().reaction(), Reaction::Retry | Reaction::Rebuild) {
            wait_for_all(&log, guarantee, &all);
            assert_eq!(aborts(&streams), 1, "{:?}", error());
            streams.close().unwrap();
            continue;
        }
        let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
        assert_eq!(state, StreamsState::Failed, "{:?}", error());
        assert!(streams.close().is_err());
        assert_eq!(committed(&log), 0, "{guarantee:?} {:?}", error());
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let streams = Streams::with(upper(), config(1)).log(shared).start().unwrap();
        wait_for_all(&log, guarantee, &all);
        streams.close().unwrap();
    }
}

/// Counts with a record cache; the first `panics` outputs of the key "b" panic, which happens when
/// the cache is emptied in a commit.
fn counts_that_panic(panics: usize) -> (Topology, Arc<AtomicUsize>) {
    let builder = StreamsBuilder::new();
    let tried = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tried);
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_values_with_key(move |key: &String, count: i64| {
            if key == "b" {
                assert!(seen.fetch_add(1, Ordering::SeqCst) >= panics, "no b");
            }
            format!("{key}{count}")
        })
        .to("out");
    (builder.build().unwrap(), tried)
}

#[test]
fn a_panic_while_caches_are_emptied_loses_nothing() {
    for guarantee in BOTH {
        let log = log_with(&[("in", 1), ("out", 1)]);
        for key in ["a", "b", "c"] {
            put(&log, 0, key, "x");
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let start = |topology, dir: usize| {
            let shared: Arc<dyn Log> = Arc::new(log.clone());
            let config = config(&dirs[dir], guarantee).commit_interval_ms(2);
            Streams::with(topology, config).log(shared).start().unwrap()
        };
        let streams = start(counts_that_panic(usize::MAX).0, 0);
        let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
        assert_eq!(state, StreamsState::Failed);
        let text = streams.close().unwrap_err().to_string();
        assert!(text.contains("no b"), "{text}");
        assert_eq!(committed(&log), 0, "{guarantee:?}");
        if guarantee == ProcessingGuarantee::ExactlyOnceV2 {
            let streams = start(counts_that_panic(0).0, 1);
            wait_for_all(&log, guarantee, &["a1", "b1", "c1"]);
            streams.close().unwrap();
        }
    }
}

/// The policy holds for what fails in a commit as it does elsewhere.
#[test]
fn a_task_that_panics_while_its_cache_is_emptied_is_replaced() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    for key in ["a", "b", "c"] {
        put(&log, 0, key, "x");
    }
    let dir = tempfile::tempdir().unwrap();
    let config =
        config(&dir, ProcessingGuarantee::ExactlyOnceV2).uncaught_error(UncaughtError::ReplaceTask);
    let (topology, tried) = counts_that_panic(2);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    wait_for(&log, "out", &["a1", "b1", "c1"]);
    assert_eq!((aborts(&streams), tried.load(Ordering::SeqCst)), (2, 3));
    streams.close().unwrap();
}

/// So it does where a task begins.
#[test]
fn a_task_that_panics_in_its_init_is_replaced() {
    struct Late(Arc<AtomicUsize>);
    impl Processor<String, String> for Late {
        type KOut = String;
        type VOut = String;

        fn init(&mut self, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) >= 2, "not yet");
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
    }
    let tried = Arc::new(AtomicUsize::new(0));
    let builder = StreamsBuilder::new();
    let seen = Arc::clone(&tried);
    let late = move |()| Late(Arc::clone(&seen));
    builder.stream::<String, String>("in").process("late", (), late).to("out");
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "one");
    let dir = tempfile::tempdir().unwrap();
    let config =
        config(&dir, ProcessingGuarantee::ExactlyOnceV2).uncaught_error(UncaughtError::ReplaceTask);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    wait_for(&log, "out", &["one"]);
    assert_eq!((aborts(&streams), tried.load(Ordering::SeqCst)), (2, 3));
    streams.close().unwrap();
}

/// That its tasks start says nothing: a replaced task that fails again waits longer each time.
#[test]
fn replaced_tasks_wait_longer_each_time() {
    let tried = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tried);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(move |_, _| assert_eq!(seen.fetch_add(1, Ordering::SeqCst), usize::MAX, "never"))
        .to("out");
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "one");
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .uncaught_error(UncaughtError::ReplaceTask)
        .retry_backoff_ms(20)
        .retry_backoff_max_ms(60_000);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    wait_until(|| tried.load(Ordering::SeqCst), |tries| *tries >= 3);
    // The waits are 20, 40, 80.. ms: in two seconds there is time for seven.
    for _ in 0..400 {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let tries = tried.load(Ordering::SeqCst);
    streams.close().unwrap();
    assert!(tries <= 12, "{tries} tries");
}
