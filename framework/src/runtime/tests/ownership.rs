//! A worker that comes back too late commits nothing that is somebody else's by now.

use std::sync::atomic::AtomicBool;

use super::*;

/// The first record "slow" hangs until it is let go.
#[derive(Clone, Debug, Default)]
struct Gate {
    hangs: Arc<AtomicBool>,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn pass(&self, value: &str) {
        if value == "slow" && !self.hangs.swap(true, Ordering::SeqCst) {
            while !self.open.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
    }
}

#[test]
fn a_late_answer_to_a_revocation_commits_nothing() {
    for guarantee in BOTH {
        let log = log_with(&[("in", 2), ("out", 1)]);
        let gate = Gate::default();
        let builder = StreamsBuilder::new();
        let passed = gate.clone();
        builder
            .stream::<String, String>("in")
            .peek(move |_, value: &String| passed.pass(value))
            .to("out");
        let topology = builder.build().unwrap();
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [first, second] = &dirs;
        let start = |dir| {
            let config = config(dir, guarantee)
                .num_stream_threads(1)
                .session_timeout_ms(1_000)
                .max_poll_interval_ms(1_000);
            let shared: Arc<dyn Log> = Arc::new(log.clone());
            Streams::with(topology.clone(), config).log(shared).start().unwrap()
        };
        let first = start(first);
        assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
        put(&log, 1, "k", "slow");
        wait_until(|| gate.hangs.load(Ordering::SeqCst), |hangs| *hangs);
        let second = start(second);
        // Whoever has the partition now; the first one's worker hangs in the record.
        wait_until(
            || log.group_offsets("app").iter().map(|(_, at)| at.offset).max().unwrap_or(0),
            |offset| *offset == 1,
        );
        let before = aborts(&first);
        gate.open.store(true, Ordering::SeqCst);
        wait_until(|| aborts(&first), |aborts| *aborts > before);
        // What stays with the first one goes on.
        for partition in 0..2 {
            put(&log, partition, "k", &format!("next{partition}"));
        }
        let found = wait_until(|| values(&log, "out"), |found| found.len() >= 3);
        first.close().unwrap();
        second.close().unwrap();
        if guarantee == ProcessingGuarantee::ExactlyOnceV2 {
            assert_eq!(found, ["next0", "next1", "slow"]);
            assert_eq!(values(&log, "out"), found);
        }
    }
}
