//! What is counted of tasks that come and go, abort and end.

use super::*;
use crate::log::memory::{Fault, Operation};

/// The sum of all series of a counter.
fn sum(text: &str, name: &str) -> u64 {
    let series = text.lines().filter(|line| line.starts_with(&format!("millstream_{name}")));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn start(log: &MemoryLog, dir: &tempfile::TempDir, topology: Topology) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, ProcessingGuarantee::ExactlyOnceV2);
    Streams::with(topology, config).log(shared).start().unwrap()
}

/// As `upper`, but what is no number is dropped.
fn numbers() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .try_map_values(|value: String| value.parse::<i64>())
        .on_error(crate::policy::OnError::Skip)
        .named("parse")
        .map_values(|number: i64| number.to_string())
        .to("out");
    builder.build().unwrap()
}

#[test]
fn each_record_is_counted_once_over_instances_that_come_and_go() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = log_with(&[("in", 4), ("out", 1)]);
    let first = start(&log, &dirs[0], upper());
    assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let put_all = |from: usize| {
        (from..from + 40).for_each(|i| put(&log, (i % 4) as i32, "k", &i.to_string()));
    };
    let done = |count: usize| wait_until(|| values(&log, "out").len(), |found| *found == count);
    put_all(0);
    done(40);
    let second = start(&log, &dirs[1], upper());
    wait_until(|| second.tasks().len(), |tasks| *tasks == 2);
    put_all(40);
    done(80);
    let counted = |streams: &Streams, name: &str| sum(&streams.metrics(), name);
    let both = |name: &str| counted(&first, name) + counted(&second, name);
    for name in ["records_in_total", "records_out_total"] {
        wait_until(|| both(name), |sum| *sum == 80);
    }
    let instance = Arc::clone(&second.instance);
    second.close().unwrap();
    let of_second = sum(&instance.metrics.text(), "records_in_total");
    put_all(80);
    done(120);
    wait_until(|| counted(&first, "records_in_total") + of_second, |sum| *sum == 120);
    let instance = Arc::clone(&first.instance);
    first.close().unwrap();
    assert_eq!(sum(&instance.metrics.text(), "records_in_total") + of_second, 120);
    assert!(!instance.metrics.text().contains("last_commit_timestamp_seconds{"));
}

#[test]
fn what_is_done_again_after_an_abort_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let streams = start(&log, &dir, numbers());
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    log.fail(Operation::Commit, Fault::Aborted, 3);
    for value in ["1", "x", "2", "y"] {
        put(&log, 0, "k", value);
    }
    wait_for(&log, "out", &["1", "2"]);
    let text = wait_until(|| streams.metrics(), |text| sum(text, "records_in_total") > 0);
    assert_eq!(sum(&text, "records_in_total"), 4, "{text}");
    assert_eq!(sum(&text, "records_out_total"), 2);
    assert_eq!(sum(&text, "records_dropped_total"), 2);
    assert_eq!(sum(&text, "node_dropped_records_total{node=\"parse\",reason=\"failed\""), 2);
    assert_eq!(sum(&text, "aborts_total"), 3);
    assert!(sum(&text, "errors_total{kind=\"aborted\"") >= 3, "{text}");
    streams.close().unwrap();
}

/// A counter that is born with its first records hides them from whoever looks at its increase.
#[test]
fn what_can_be_dropped_is_told_at_zero_before_anything_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>(
            crate::source::Consumed::from("in").on_error(crate::policy::OnError::Skip),
        )
        .group_by_key()
        .windowed_by(crate::time::TimeWindows::of(Duration::from_secs(5)).grace(Duration::ZERO))
        .count("windows")
        .updates()
        .map(|window, count: i64| (window.key, count))
        .to("out");
    let streams = start(&log, &dir, builder.build().unwrap());
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let text = streams.metrics();
    for reason in ["bad_bytes", "bad_timestamp", "null_key", "late", "expired"] {
        let task = format!("millstream_records_dropped_total{{reason=\"{reason}\",task=\"0_0\"");
        let label = format!("reason=\"{reason}\",application=\"app\"}} 0");
        for (name, part) in [("records_dropped_total", task), ("node_dropped_records_total", label)]
        {
            let told = |line: &str| {
                line.starts_with(&format!("millstream_{name}"))
                    && line.contains(&part)
                    && line.ends_with(" 0")
            };
            assert!(text.lines().any(told), "{name} {reason} in {text}");
        }
    }
    assert!(!text.contains("reason=\"failed\""), "no node of it can: {text}");
    assert!(
        text.contains("millstream_records_in_total{topic=\"in\",application=\"app\"} 0"),
        "{text}"
    );
    let last = "millstream_last_commit_timestamp_seconds{worker=";
    wait_until(|| streams.metrics(), |text| text.contains(last));
    streams.close().unwrap();
}
