//! Commits, aborts, revocations and stops with futures on their way.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::*;
use crate::log::memory::{Fault, Operation};
use crate::operators::Async;
use crate::runtime::clock::{SystemClock, WallClock as _};

/// Lets as many futures pass as it was told, or all.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn open(&self) {
        self.0.add_permits(1 << 20);
    }

    async fn pass(self, value: String) -> Result<String, BoxError> {
        self.0.acquire().await?.forget();
        Ok(value)
    }
}

/// Gates open when the machine has come to it, however loaded it is.
fn patient(how: Async<String>) -> Async<String> {
    how.timeout(Duration::from_secs(25))
}

fn config(dir: &tempfile::TempDir, guarantee: ProcessingGuarantee) -> StreamsConfig {
    super::config(dir, guarantee).transaction_timeout_ms(60_000)
}

/// `in` through a future to `out`, and counted.
fn through(gate: &Gate, how: Async<String>) -> Topology {
    let gate = gate.clone();
    let builder = StreamsBuilder::new();
    let passed =
        builder.stream::<String, String>("in").map_async(how, move |_, v| gate.clone().pass(v));
    passed.to("out");
    passed
        .group_by_key()
        .count("counts")
        .updates()
        .map_values(|n: i64| n.to_string())
        .to("counted");
    builder.build().unwrap()
}

fn started(topology: Topology, config: StreamsConfig, log: &MemoryLog) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    streams
}

fn topics() -> MemoryLog {
    log_with(&[("in", 2), ("out", 1), ("counted", 1)])
}

/// Each came out once, and was counted once.
fn assert_once(log: &MemoryLog, wanted: &[String]) {
    wait_until(|| values(log, "out").len(), |found| *found >= wanted.len());
    let mut sorted = wanted.to_vec();
    sorted.sort();
    assert_eq!(values(log, "out"), sorted);
    let counts = || {
        let mut last = std::collections::BTreeMap::new();
        for record in log.records("counted") {
            let count: u64 = String::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
            last.insert(record.key, count);
        }
        last.values().sum::<u64>()
    };
    wait_until(counts, |sum| *sum == wanted.len() as u64);
}

fn on_their_way(streams: &Streams) -> u64 {
    let metrics = streams.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with("millstream_futures_in_flight{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The value, after so many milliseconds.
async fn later(takes_ms: u64, value: String) -> Result<String, BoxError> {
    tokio::time::sleep(Duration::from_millis(takes_ms)).await;
    Ok(value)
}

pub(super) fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|at| format!("v{at:04}")).collect()
}

pub(super) fn put_all(log: &MemoryLog, all: &[String]) {
    for (at, value) in all.iter().enumerate() {
        put(log, i32::try_from(at % 2).unwrap(), &format!("k{}-{}", at % 2, at % 3), value);
    }
}

/// The position of a record whose future is on its way is not committed, and others behind it are not.
#[test]
fn nothing_is_committed_past_a_future() {
    for guarantee in BOTH {
        let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
        let streams =
            started(through(&gate, patient(Async::ordered(4))), config(&dir, guarantee), &log);
        let all = numbered(0, 6);
        put_all(&log, &all);
        wait_until(|| on_their_way(&streams), |found| *found == 6);
        assert_eq!(committed(&log), 0);
        assert_eq!(values(&log, "out"), Vec::<String>::new());
        gate.open();
        wait_until(|| committed(&log), |found| *found == 6);
        assert_once(&log, &all);
        wait_until(|| on_their_way(&streams), |found| *found == 0);
        streams.close().unwrap();
    }
}

/// Whatever a commit fails with: the results of futures count once.
#[test]
fn results_count_once_though_commits_fail() {
    let faults = [
        (Operation::Commit, Fault::Aborted),
        (Operation::Commit, Fault::Fenced),
        (Operation::Commit, Fault::LostAnswer),
        (Operation::SendOffsets, Fault::Aborted),
        (Operation::Flush, Fault::Unavailable),
    ];
    for (operation, fault) in faults {
        let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
        gate.open();
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        let streams = started(through(&gate, patient(Async::by_key(3))), config, &log);
        put_all(&log, &numbered(0, 20));
        wait_until(|| values(&log, "out").len(), |found| *found > 0);
        log.fail(operation, fault, 2);
        put_all(&log, &numbered(20, 60));
        assert_once(&log, &numbered(0, 60));
        streams.close().unwrap();
    }
}

/// What is on its way is waited for by a stop.
#[test]
fn a_stop_waits_for_futures() {
    for guarantee in BOTH {
        let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
        let all = numbered(0, 4);
        put_all(&log, &all);
        let settings = config(&dir, guarantee);
        let streams = started(through(&gate, patient(Async::unordered(8))), settings, &log);
        wait_until(|| on_their_way(&streams), |found| *found == 4);
        let instance = Arc::clone(&streams.instance);
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| streams.close());
            wait_until(|| instance.board.instance(), |state| *state == StreamsState::Stopping);
            gate.open();
            closing.join().unwrap().unwrap();
        });
        assert_eq!((committed(&log), values(&log, "out").len()), (4, 4));
    }
}

/// If they are not done in the time that a stop may take, they are dropped, which is said, and come again.
#[test]
fn a_stop_that_is_out_of_time_drops_futures() {
    for guarantee in BOTH {
        let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
        let all = numbered(0, 4);
        put_all(&log, &all);
        let settings = config(&dir, guarantee).close_timeout_ms(300);
        let streams = started(through(&gate, patient(Async::unordered(8))), settings, &log);
        wait_until(|| on_their_way(&streams), |found| *found == 4);
        let error = streams.close().unwrap_err().to_string();
        assert!(error.contains("the next start does it again"), "{error}");
        assert_eq!((committed(&log), values(&log, "out").len()), (0, 0));
        gate.open();
        let again = config(&dir, guarantee);
        let streams = started(through(&gate, patient(Async::unordered(8))), again, &log);
        assert_once(&log, &all);
        streams.close().unwrap();
    }
}

/// A second instance comes and goes while futures are on their way, which takes some time each.
#[test]
fn a_rebalance_loses_no_future_and_counts_none_twice() {
    let slow = |_: &String, value: String| later(5, value);
    let topology = || {
        let builder = StreamsBuilder::new();
        let passed = builder.stream::<String, String>("in").map_async(Async::unordered(4), slow);
        passed.to("out");
        passed
            .group_by_key()
            .count("counts")
            .updates()
            .map_values(|n: i64| n.to_string())
            .to("counted");
        builder.build().unwrap()
    };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = topics();
    let settings = |at: usize| config(&dirs[at], ProcessingGuarantee::ExactlyOnceV2);
    let first = started(topology(), settings(0), &log);
    for round in 0..3 {
        put_all(&log, &numbered(round * 200, round * 200 + 100));
        let second = started(topology(), settings(1), &log);
        put_all(&log, &numbered(round * 200 + 100, round * 200 + 200));
        wait_until(|| values(&log, "out").len(), |found| *found > round * 200 + 100);
        second.close().unwrap();
    }
    assert_once(&log, &numbered(0, 600));
    assert!(aborts(&first) == 0, "{}", first.metrics());
    first.close().unwrap();
}

/// Those of one key run one after the other: eight of them take longer than a commit waits, one does not.
#[test]
fn after_an_abort_so_few_are_taken_that_they_are_done_in_time() {
    let builder = StreamsBuilder::new();
    let slow = |_: &String, value: String| later(90, value);
    let how = Async::by_key(8).timeout(Duration::from_millis(450));
    builder.stream::<String, String>("in").map_async(how, slow).to("out");
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    for value in numbered(0, 8) {
        put(&log, 0, "hot", &value);
    }
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).transaction_timeout_ms(1000);
    let streams = started(builder.build().unwrap(), config, &log);
    wait_for(&log, "out", &numbered(0, 8).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(aborts(&streams) > 0, "the test is about what comes after one");
    streams.close().unwrap();
}

/// A node whose futures may take longer than a commit waits says so before it takes a record.
#[test]
fn futures_that_may_take_too_long_are_refused() {
    let how = Async::ordered(1).timeout(Duration::from_secs(3)).retries(1, Duration::from_secs(1));
    let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = super::config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(through(&gate, how), config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let error = format!("{:?}", streams.close().unwrap_err());
    for part in ["KSTREAM-MAPASYNC-0000000001", "7s", "5s", "transaction_timeout_ms"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// While the commit waits for one task, the other tasks of its worker go on.
#[test]
fn other_tasks_go_on_while_a_commit_waits() {
    let gate = Gate::closed();
    let passing = gate.clone();
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let saw = Arc::clone(&seen);
    let builder = StreamsBuilder::new();
    let slow = builder.stream::<String, String>("in");
    slow.map_async(patient(Async::ordered(1)), move |_, v: String| passing.clone().pass(v))
        .to("out");
    let other = builder.stream::<String, String>("other");
    other
        .peek(move |_, value| {
            saw.lock().unwrap().insert(value.clone());
        })
        .to("out");
    let (dir, log) =
        (tempfile::tempdir().unwrap(), log_with(&[("in", 1), ("other", 1), ("out", 1)]));
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1);
    let streams = started(builder.build().unwrap(), config, &log);
    put(&log, 0, "k", "slow");
    let put_other = |value: &str| {
        let at = TopicPartition::new("other", 0);
        log.append(&at, Some(b"k"), Some(value.as_bytes()), 7, &Headers::default()).unwrap();
    };
    // A few commit intervals long: the tick has come, and waits.
    for at in 0..20 {
        let value = format!("other {at:02}");
        put_other(&value);
        wait_until(|| seen.lock().unwrap().contains(&value), |seen| *seen);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(committed(&log), 0);
    gate.open();
    wait_until(|| values(&log, "out").len(), |found| *found == 21);
    streams.close().unwrap();
}

/// While a commit waits no record comes in: otherwise there would always be one on its way.
#[test]
fn a_stream_without_a_pause_is_committed_all_the_same() {
    let builder = StreamsBuilder::new();
    let slow = |_: &String, value: String| later(20, value);
    let how = Async::unordered(4).timeout(Duration::from_millis(1900));
    builder.stream::<String, String>("in").map_async(how, slow).to("out");
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    // They take 4 s in all, and a commit waits for 2 s.
    put_all(&log, &numbered(0, 1600));
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).transaction_timeout_ms(4000);
    let streams = started(builder.build().unwrap(), config, &log);
    wait_until(|| values(&log, "out").len(), |found| *found == 1600);
    assert_eq!(aborts(&streams), 0);
    streams.close().unwrap();
}

/// What a commit lets out of a record cache may start futures: it is part of that commit.
#[test]
fn a_commit_waits_for_the_futures_that_its_flush_starts() {
    for guarantee in BOTH {
        let (dir, log, gate) = (tempfile::tempdir().unwrap(), topics(), Gate::closed());
        let passing = gate.clone();
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .count("counts")
            .updates()
            .map_async(patient(Async::ordered(4)), move |_, count: i64| {
                passing.clone().pass(count.to_string())
            })
            .to("out");
        put_all(&log, &numbered(0, 12));
        let config = config(&dir, guarantee).cache_bytes_max(1 << 20);
        let streams = started(builder.build().unwrap(), config, &log);
        wait_until(|| on_their_way(&streams), |found| *found == 6);
        assert_eq!((committed(&log), values(&log, "out").len()), (0, 0));
        gate.open();
        wait_for(&log, "out", &["2"; 6]);
        wait_until(|| committed(&log), |found| *found == 12);
        streams.close().unwrap();
    }
}

/// `slow` waits for the gate, all else passes. The thread of the worker is noted on the way.
fn gated(
    gate: &Gate,
    worker: &Arc<Mutex<Option<std::path::PathBuf>>>,
    how: Async<String>,
) -> Topology {
    let (gate, worker) = (gate.clone(), Arc::clone(worker));
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .peek(move |_, _| {
            let thread = std::fs::read_link("/proc/thread-self").unwrap();
            *worker.lock().unwrap() = Some(std::path::Path::new("/proc").join(thread));
        })
        .map_async(how, move |_, value: String| {
            let gate = gate.clone();
            async move { if value.starts_with("slow") { gate.pass(value).await } else { Ok(value) } }
        })
        .to("out");
    builder.build().unwrap()
}

/// What this thread has computed so far, in hundredths of a second.
fn computed(thread: &Mutex<Option<std::path::PathBuf>>) -> u64 {
    let path = thread.lock().unwrap().clone().unwrap().join("stat");
    let stat = std::fs::read_to_string(path).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum()
}

/// A worker that only waits for futures computes nothing to speak of.
fn assert_rests(worker: &Mutex<Option<std::path::PathBuf>>) {
    let before = computed(worker);
    let begun = SystemClock::new();
    wait_until(|| begun.elapsed(), |passed| *passed >= Duration::from_secs(1));
    let spent = computed(worker) - before;
    assert!(spent < 15, "{spent} hundredths of a second of one second while it waits");
}

fn one_worker(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1)
}

/// A task with nothing on its way must not ask again and again for the commit that waits for another.
#[test]
fn a_worker_rests_while_one_of_its_tasks_is_waited_for() {
    let (dir, log, gate, worker) =
        (tempfile::tempdir().unwrap(), topics(), Gate::closed(), Arc::default());
    let streams =
        started(gated(&gate, &worker, patient(Async::ordered(4))), one_worker(&dir), &log);
    put_all(&log, &numbered(0, 2));
    wait_until(|| committed(&log), |found| *found == 2);
    put(&log, 0, "k", "slow");
    wait_until(|| on_their_way(&streams), |found| *found == 1);
    assert_rests(&worker);
    gate.open();
    wait_until(|| committed(&log), |found| *found == 3);
    streams.close().unwrap();
}

/// The first commit of a group is asked for by the task.
#[test]
fn a_worker_rests_while_its_first_commit_waits() {
    let (dir, gate, worker) = (tempfile::tempdir().unwrap(), Gate::closed(), Arc::default());
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "k", "slow");
    let streams =
        started(gated(&gate, &worker, patient(Async::ordered(4))), one_worker(&dir), &log);
    wait_until(|| on_their_way(&streams), |found| *found == 1);
    assert_rests(&worker);
    gate.open();
    wait_until(|| committed(&log), |found| *found == 1);
    streams.close().unwrap();
}

/// After an abort a task takes few, and asks for a commit before it takes more.
#[test]
fn a_worker_rests_while_the_first_commit_after_an_abort_waits() {
    use crate::log::memory::{Fault, Operation};
    let (dir, gate, worker) = (tempfile::tempdir().unwrap(), Gate::closed(), Arc::default());
    let log = log_with(&[("in", 1), ("out", 1)]);
    let streams =
        started(gated(&gate, &worker, patient(Async::ordered(8))), one_worker(&dir), &log);
    put(&log, 0, "k", "fast");
    wait_until(|| committed(&log), |found| *found == 1);
    log.fail(Operation::Commit, Fault::Aborted, 1);
    put(&log, 0, "k", "again");
    wait_until(|| aborts(&streams), |found| *found == 1);
    for value in ["slow 1", "slow 2", "slow 3"] {
        put(&log, 0, "k", value);
    }
    wait_until(|| on_their_way(&streams), |found| *found > 0);
    assert_rests(&worker);
    gate.open();
    wait_until(|| committed(&log), |found| *found == 5);
    streams.close().unwrap();
}

/// Gets through, or is refused at the start; it is not done again and again for ever.
fn assert_gets_through_or_is_refused(topology: Topology) {
    let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("in", 1), ("out", 1)]));
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).transaction_timeout_ms(1000);
    put(&log, 0, "k", "abcdefgh");
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    let ended = || (streams.state() == StreamsState::Failed, committed(&log), aborts(&streams));
    wait_within(Duration::from_secs(10), ended, |(failed, committed, _)| {
        *failed || *committed == 1
    });
}

/// Each node is short enough for a commit, but a record goes through both.
#[test]
fn two_nodes_whose_futures_take_too_long_together() {
    let builder = StreamsBuilder::new();
    let how = || Async::ordered(4).timeout(Duration::from_millis(450));
    let stream = builder.stream::<String, String>("in");
    stream.map_async(how(), |_, v| later(300, v)).map_async(how(), |_, v| later(300, v)).to("out");
    assert_gets_through_or_is_refused(builder.build().unwrap());
}
