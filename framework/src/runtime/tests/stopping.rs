//! How an instance stops: in time, and with an error if that dropped work.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::log::memory::{Fault, Operation};

/// Hangs in records with the value `slow` until it is released, and refuses `bad`.
fn hangs() -> (Topology, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (blocked, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let builder = StreamsBuilder::new();
    let (entered, released) = (Arc::clone(&blocked), Arc::clone(&release));
    builder
        .stream::<String, String>("in")
        .peek(move |_, value| {
            assert_ne!(value, "bad", "a bad record");
            while value == "slow" && !released.load(Ordering::Relaxed) {
                entered.store(true, Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        })
        .to("out");
    (builder.build().unwrap(), blocked, release)
}

#[test]
fn a_stop_leaves_a_record_that_hangs_and_says_what_that_drops() {
    let (topology, blocked, release) = hangs();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).close_timeout_ms(1_500);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    put(&log, 0, "a", "slow");
    wait_until(|| blocked.load(Ordering::Relaxed), |blocked| *blocked);
    let text = streams.close().unwrap_err().to_string();
    assert!(text.contains("work since the last commit is dropped"), "{text}");
    release.store(true, Ordering::Relaxed);
    // The thread that was left ends by itself and commits nothing.
    wait_until(|| Arc::strong_count(&release), |owners| *owners == 1);
    assert_eq!(values(&log, "out"), Vec::<String>::new());
    assert!(log.group_offsets("app").iter().all(|(_, committed)| committed.offset == 0));
}

/// One worker fails while the other hangs: the failure is the reason, and it comes in time.
#[test]
fn a_failure_ends_the_instance_though_another_worker_hangs() {
    let (topology, blocked, release) = hangs();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).close_timeout_ms(1_500);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    put(&log, 0, "a", "slow");
    wait_until(|| blocked.load(Ordering::Relaxed), |blocked| *blocked);
    put(&log, 1, "a", "bad");
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    assert!(text.contains("a bad record"), "{text}");
    release.store(true, Ordering::Relaxed);
}

/// The last commit of a stop fails: what it would have committed is done again by the next one, so
/// the end is no good one.
#[test]
fn a_stop_whose_last_commit_fails_says_so() {
    let guarantees = [
        (ProcessingGuarantee::AtLeastOnce, Operation::CommitOffsets),
        (ProcessingGuarantee::ExactlyOnceV2, Operation::Commit),
    ];
    for (guarantee, operation) in guarantees {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        let seen = Arc::new(AtomicUsize::new(0));
        let start = || {
            let seen = Arc::clone(&seen);
            let builder = StreamsBuilder::new();
            let stream = builder.stream::<String, String>("in");
            let count = move |_: &String, _: &String| {
                seen.fetch_add(1, Ordering::Relaxed);
            };
            stream.peek(count).to("out");
            let shared: Arc<dyn Log> = Arc::new(log.clone());
            let config = config(&dir, guarantee).commit_interval_ms(9_000);
            Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap()
        };
        let streams = start();
        // Where the source begins is committed by itself.
        wait_until(|| log.group_offsets("app").len(), |known| *known == 1);
        put(&log, 0, "a", "one");
        wait_until(|| seen.load(Ordering::Relaxed), |seen| *seen == 1);
        log.fail(operation, Fault::Unavailable, 1);
        let text = streams.close().unwrap_err().to_string();
        assert!(text.contains("work since the last commit is dropped"), "{operation:?}: {text}");
        let streams = start();
        wait_until(|| seen.load(Ordering::Relaxed), |seen| *seen == 2);
        streams.close().unwrap();
        assert_eq!(log.group_offsets("app")[0].1.offset, 1);
    }
}

/// Threads of the HTTP server end a moment after it, and must hold nothing until then.
#[test]
fn whoever_starts_anew_after_a_close_finds_the_state_folder_free() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let refusing = || {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.try_map_values(|value: String| value.parse::<i64>()).for_each(|_, _| {});
        builder.build().unwrap()
    };
    for round in 0..6 {
        let topology = if round % 2 == 0 { upper() } else { refusing() };
        let config = config(&dir, ProcessingGuarantee::AtLeastOnce)
            .http(crate::config::HttpAddress::On("127.0.0.1:0".parse().unwrap()));
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let streams = Streams::with(topology, config).log(shared).start();
        let streams = streams.unwrap_or_else(|error| panic!("round {round}: {error}"));
        if round % 2 == 0 {
            assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
            streams.close().unwrap();
        } else {
            put(&log, 0, "k", "no number");
            assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
            streams.close().unwrap_err();
        }
    }
}
