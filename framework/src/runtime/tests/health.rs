//! Who is alive, who is stuck, and what goes on.

use std::sync::atomic::AtomicU32;

use super::waiting::get;
use super::*;
use crate::config::HttpAddress;
use crate::log::WaitingForBroker;

fn watched(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::ExactlyOnceV2)
        .http(HttpAddress::On("127.0.0.1:0".parse().unwrap()))
        .health_stuck_ms(1_500)
}

/// A commit that waits for the broker is alive however long it takes; one that hangs is not.
#[test]
fn waiting_for_the_broker_is_healthy_and_hanging_is_not() {
    const WAITS: u32 = 1;
    const HANGS: u32 = 2;
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let mode = Arc::new(AtomicU32::new(WAITS));
    let told = Arc::clone(&mode);
    let streams = Streams::with(upper(), watched(&dir)).log(shared).on_commit(move |step| {
        if step != CommitStep::Ending {
            return;
        }
        let waiting = WaitingForBroker::begin();
        while told.load(Ordering::Relaxed) == WAITS {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        drop(waiting);
        while told.load(Ordering::Relaxed) == HANGS {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let streams = streams.start().unwrap();
    let address = streams.http_address().unwrap();
    put(&log, 0, "a", "one");
    let mut looks = 0;
    wait_until(
        || {
            looks += 1;
            assert_eq!(get(address, "/healthz").0, 200, "after {looks} looks");
            looks
        },
        |looks| *looks > 700,
    );
    mode.store(HANGS, Ordering::Relaxed);
    let body = wait_until(|| get(address, "/healthz"), |(code, _)| *code == 503).1;
    assert!(body.contains("worker 0 gave no sign of life"), "{body}");
    mode.store(0, Ordering::Relaxed);
    wait_until(|| get(address, "/healthz").0, |code| *code == 200);
    wait_for(&log, "out", &["ONE"]);
    streams.close().unwrap();
}

/// The very first record hangs: the worker has not lived for a second, and the stall is seen too.
#[test]
fn a_worker_that_hangs_in_its_first_record_is_unhealthy_and_stalled() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "one");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let release = Arc::new(AtomicU32::new(0));
    let released = Arc::clone(&release);
    let builder = StreamsBuilder::new();
    let hang = move |_: &String, _: &String| {
        while released.load(Ordering::Relaxed) == 0 {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    builder.stream::<String, String>("in").peek(hang).to("out");
    let config = watched(&dir).stalled_after_ms(500);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    let address = streams.http_address().unwrap();
    let body = wait_until(|| get(address, "/healthz"), |(code, _)| *code == 503).1;
    assert!(body.contains("worker 0 gave no sign of life"), "{body}");
    let body = wait_until(|| get(address, "/readyz").1, |body| body.contains("one record or call"));
    assert!(body.contains("\"stalled\":[\"worker 0"), "{body}");
    wait_until(|| stalled(&streams), |stalled| *stalled);
    release.store(1, Ordering::Relaxed);
    wait_until(|| stalled(&streams), |stalled| !stalled);
    wait_until(|| get(address, "/healthz").0, |code| *code == 200);
    streams.close().unwrap();
}

fn stalled(streams: &Streams) -> bool {
    let metrics = streams.metrics();
    let line = metrics.lines().find(|line| line.starts_with("millstream_stalled")).unwrap();
    line.ends_with(" 1")
}

/// Nothing hangs and nobody is silent, and yet a record is never taken: here since another input may
/// still bring an older one.
#[test]
fn records_that_are_never_taken_are_a_stall() {
    let builder = StreamsBuilder::new();
    let (a, b) = (builder.stream::<String, String>("in"), builder.stream::<String, String>("b"));
    a.merge(&b).to("out");
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("b", 1), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = watched(&dir).max_task_idle_ms(3_600_000).stalled_after_ms(300);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    let address = streams.http_address().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    assert!(!stalled(&streams), "nothing to do");
    put(&log, 0, "a", "one");
    wait_until(|| stalled(&streams), |stalled| *stalled);
    let body = get(address, "/readyz").1;
    assert!(body.contains("has not got on for"), "{body}");
    assert!(body.contains("in-0 (1 behind)"), "{body}");
    assert_eq!(get(address, "/healthz").0, 200);
    log.append(&TopicPartition::new("b", 0), Some(b"k"), Some(b"two"), 9, &Headers::default())
        .unwrap();
    wait_for(&log, "out", &["one"]);
    wait_until(|| get(address, "/readyz").1, |body| body.contains("b-0 (1 behind)"));
    streams.close().unwrap();
}

/// Every commit fails and everything is done again, without end: many records are taken, and nothing
/// goes on.
#[test]
fn work_that_is_done_again_and_again_is_a_stall() {
    use crate::log::memory::{Fault, Operation};
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    log.fail(Operation::Commit, Fault::Aborted, usize::MAX);
    put(&log, 0, "a", "one");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = watched(&dir).stalled_after_ms(300).retry_backoff_max_ms(100);
    let streams = Streams::with(upper(), config).log(shared).start().unwrap();
    wait_until(|| stalled(&streams), |stalled| *stalled);
    log.heal();
    wait_for(&log, "out", &["ONE"]);
    wait_until(|| stalled(&streams), |stalled| !stalled);
    streams.close().unwrap();
}

#[test]
fn an_instance_that_failed_is_unhealthy() {
    let builder = StreamsBuilder::new();
    let refuse = |value: String| value.parse::<i64>();
    let stream = builder.stream::<String, String>("in").try_map_values(refuse);
    stream.map_values(|number: i64| number.to_string()).to("out");
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "a", "no number");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), watched(&dir)).log(shared);
    let streams = streams.start().unwrap();
    let address = streams.http_address().unwrap();
    let body = wait_until(|| get(address, "/healthz"), |(code, _)| *code == 503).1;
    assert!(body.contains("the instance failed"), "{body}");
    streams.close().unwrap_err();
}
