//! No transaction stays open behind a worker that has no use for a producer any more: it would hold
//! up readers of committed records until it times out, and the memory log's clock stands still.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::log::memory::{Fault, Operation};

fn is_settled(log: &MemoryLog, topic: &str) -> bool {
    let at = TopicPartition::new(topic, 0);
    let end = |isolation| log.offsets(&at, isolation).unwrap().end;
    end(Isolation::ReadCommitted) == end(Isolation::ReadUncommitted)
}

fn gated() -> (Topology, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (blocked, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let builder = StreamsBuilder::new();
    let (entered, released) = (Arc::clone(&blocked), Arc::clone(&release));
    builder
        .stream::<String, String>("in")
        .peek(move |_, value| {
            while value == "slow" && !released.load(Ordering::SeqCst) {
                entered.store(true, Ordering::SeqCst);
                std::thread::park_timeout(Duration::from_millis(2));
            }
        })
        .to("out");
    (builder.build().unwrap(), blocked, release)
}

/// A record ends after the stop has given its partition back.
#[test]
fn a_late_stop_leaves_no_transaction_open() {
    let (topology, blocked, release) = gated();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .num_stream_threads(1)
        .close_timeout_ms(3_000);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put(&log, 0, "a", "one");
    put(&log, 0, "a", "slow");
    wait_until(|| blocked.load(Ordering::SeqCst), |blocked| *blocked);
    let closing = std::thread::spawn(move || streams.close());
    std::thread::park_timeout(Duration::from_millis(2_300));
    release.store(true, Ordering::SeqCst);
    assert!(closing.join().unwrap().is_err());
    wait_until(|| Arc::strong_count(&release), |owners| *owners == 1);
    assert!(is_settled(&log, "out"), "a transaction is open");
}

#[test]
fn a_failed_last_commit_leaves_no_transaction_open() {
    for (operation, fault) in [
        (Operation::SendOffsets, Fault::Unavailable),
        (Operation::Commit, Fault::Unavailable),
        (Operation::Flush, Fault::Aborted),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).commit_interval_ms(9_000);
        let streams = Streams::with(upper(), config).log(shared).start().unwrap();
        wait_until(|| log.group_offsets("app").len(), |known| *known == 1);
        put(&log, 0, "a", "one");
        wait_until(|| is_settled(&log, "out"), |settled| !settled);
        log.fail(operation, fault, 1);
        assert!(streams.close().is_err(), "{operation:?}");
        assert!(is_settled(&log, "out"), "a transaction is open after {operation:?}");
    }
}

/// One worker fails while another one has something in a transaction.
#[test]
fn a_failure_leaves_no_transaction_of_another_worker_open() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(|_, value| assert_ne!(value, "bad", "a bad record"))
        .to("out");
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).commit_interval_ms(9_000);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    wait_until(|| log.group_offsets("app").len(), |known| *known == 2);
    put(&log, 0, "a", "one");
    wait_until(|| is_settled(&log, "out"), |settled| !settled);
    put(&log, 1, "a", "bad");
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    assert!(streams.close().is_err());
    assert!(is_settled(&log, "out"), "a transaction is open");
}

/// All that a worker had moves away while its commit fails.
#[test]
fn a_worker_left_with_nothing_leaves_no_transaction_open() {
    let (topology, blocked, release) = gated();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = log_with(&[("in", 2), ("out", 1)]);
    let start = |dir, workers| {
        let config = config(dir, ProcessingGuarantee::ExactlyOnceV2)
            .num_stream_threads(workers)
            .session_timeout_ms(1_000)
            .max_poll_interval_ms(1_000);
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        Streams::with(topology.clone(), config).log(shared).start().unwrap()
    };
    let first = start(&dirs[0], 2);
    assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    // One worker for each partition; both hang with something in a transaction.
    for partition in [0, 1] {
        put(&log, partition, "k", "one");
        put(&log, partition, "k", "slow");
    }
    wait_until(|| blocked.load(Ordering::SeqCst), |hangs| *hangs);
    let second = start(&dirs[1], 1);
    let running = |streams: &Streams| {
        streams.tasks().iter().filter(|(_, state)| *state == TaskState::Running).count()
    };
    std::thread::park_timeout(Duration::from_millis(1_500));
    release.store(true, Ordering::SeqCst);
    wait_until(|| (running(&first), running(&second)), |found| *found == (1, 1));
    let found =
        wait_within(Duration::from_secs(5), || values(&log, "out"), |found| found.len() >= 4);
    assert_eq!(found, ["one", "one", "slow", "slow"]);
    first.close().unwrap();
    second.close().unwrap();
}

/// Says something when it begins.
struct Greets;

impl Processor<String, String> for Greets {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        ctx.forward(Record::new("k".to_owned(), "hello".to_owned(), crate::record::Timestamp(7)));
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

#[test]
fn what_is_sent_when_a_task_begins_is_committed() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").process("greets", (), |()| Greets).to("out");
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap()
    };
    let streams = start();
    wait_for(&log, "out", &["hello"]);
    streams.close().unwrap();
    let streams = start();
    let found =
        wait_within(Duration::from_secs(5), || values(&log, "out"), |found| found.len() == 2);
    assert_eq!(found, ["hello", "hello"]);
    streams.close().unwrap();
}
