//! The end of a transaction is answered before every partition knows of it: what restores from a
//! changelog whose marker is late waits for it, and takes no good store for a stale one.

use super::*;
use crate::log::{OutgoingRecord, ProducerSpec};

/// Counts per key, with a changelog and without a repartition topic.
fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_values(|count: i64| count.to_string())
        .to("out");
    builder.build().unwrap()
}

fn changelog(partition: i32) -> TopicPartition {
    TopicPartition::new("app-counts-changelog", partition)
}

fn start(log: &MemoryLog, dir: &tempfile::TempDir, workers: usize) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, ProcessingGuarantee::ExactlyOnceV2)
        .cache_bytes_max(0)
        .num_stream_threads(workers);
    Streams::with(counting(), config).log(shared).start().unwrap()
}

/// The committed outputs in their order.
fn outputs(log: &MemoryLog) -> Vec<String> {
    let records = log.records("out").into_iter();
    records.map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

/// Waits until a task of this partition is being restored, or runs already.
fn wait_until_planned(streams: &Streams, partition: i32) -> TaskState {
    let state = || {
        let tasks = streams.tasks();
        tasks.iter().find(|(id, _)| id.partition == partition).map(|(_, state)| *state)
    };
    let planned = [Some(TaskState::Restoring), Some(TaskState::Running)];
    wait_until(state, |state| planned.contains(state)).unwrap()
}

/// A log with two records counted; the changelog does not know of the second one's end.
fn counted_twice(dir: &tempfile::TempDir, partitions: i32) -> (MemoryLog, Streams) {
    let log = log_with(&[("in", partitions), ("out", 1)]);
    let streams = start(&log, dir, 1);
    for partition in 0..partitions {
        put(&log, partition, &format!("k{partition}"), "x");
    }
    wait_until(|| outputs(&log).len(), |count| *count == partitions as usize);
    for partition in 0..partitions {
        log.hold_markers(&changelog(partition)).unwrap();
        put(&log, partition, &format!("k{partition}"), "x");
        // One transaction per record: the next one of the same producer would wait for this.
        if partition + 1 < partitions {
            wait_until(|| outputs(&log).len(), |count| *count > (partitions + partition) as usize);
            log.release_markers(&changelog(partition)).unwrap();
        }
    }
    wait_until(|| outputs(&log).len(), |count| *count == 2 * partitions as usize);
    (log, streams)
}

#[test]
fn a_take_over_waits_for_the_late_marker() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, streams) = counted_twice(&first, 1);
    streams.close().unwrap();
    let streams = start(&log, &second, 1);
    assert_eq!(wait_until_planned(&streams, 0), TaskState::Restoring);
    put(&log, 0, "k0", "x");
    log.release_markers(&changelog(0)).unwrap();
    wait_until(|| outputs(&log).len(), |count| *count == 3);
    streams.close().unwrap();
    assert_eq!(outputs(&log), ["1", "2", "3"]);
}

/// The marker is late, but the store holds what it is about: there is nothing to wait for.
#[test]
fn a_good_store_is_kept_although_its_marker_is_late() {
    let dir = tempfile::tempdir().unwrap();
    let (log, streams) = counted_twice(&dir, 2);
    streams.close().unwrap();
    // Transactional ids of its own: the former ones can only be taken over once their last
    // transactions are complete, markers and all, and no group is joined before.
    std::fs::remove_file(dir.path().join("app/process-id")).unwrap();
    let streams = start(&log, &dir, 2);
    assert_eq!(wait_until_planned(&streams, 1), TaskState::Running);
    put(&log, 1, "k1", "x");
    wait_until(|| outputs(&log).len(), |count| *count == 5);
    log.heal();
    streams.close().unwrap();
    assert_eq!(outputs(&log), ["1", "1", "2", "2", "3"]);
}

#[test]
fn a_rebalance_waits_for_the_late_marker() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, first) = counted_twice(&first_dir, 2);
    log.hold_markers(&changelog(0)).unwrap();
    let second = start(&log, &second_dir, 1);
    let moved = wait_until(
        || second.tasks().first().map(|(id, state)| (id.partition, *state)),
        |task| matches!(task, Some((_, TaskState::Restoring | TaskState::Running))),
    );
    put(&log, 0, "k0", "x");
    put(&log, 1, "k1", "x");
    log.heal();
    wait_until(|| outputs(&log).len(), |count| *count == 6);
    drop((first.close(), second.close()));
    let mut all = outputs(&log);
    all.sort();
    assert_eq!(all, ["1", "1", "2", "2", "3", "3"], "{moved:?} moved");
}

/// What a former owner left behind in the changelog without a commit.
fn leave_open(log: &MemoryLog, timeout: Duration) -> Box<dyn crate::log::Producer> {
    let spec = ProducerSpec {
        transactional_id: Some("former".to_owned()),
        transaction_timeout: Some(timeout),
        ..ProducerSpec::default()
    };
    let mut producer = log.producer(&spec).unwrap();
    let topic = producer.topic("app-counts-changelog").unwrap();
    producer.begin().unwrap();
    let (key, value, headers) = (Some(&b"k0"[..]), Some(&[0; 16][..]), &Headers::default());
    let record = OutgoingRecord { topic, partition: 0, key, value, timestamp: Some(7), headers };
    producer.send(&record).unwrap();
    producer
}

/// An abort whose marker is late, and a transaction that nobody ends but time: neither is taken
/// into the store, and both are waited for.
#[test]
fn what_a_former_owner_did_not_commit_is_waited_for_and_not_restored() {
    for is_aborted in [true, false] {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (log, streams) = counted_twice(&first, 1);
        streams.close().unwrap();
        log.heal();
        let timeout = Duration::from_secs(10);
        let mut former = leave_open(&log, timeout);
        if is_aborted {
            log.hold_markers(&changelog(0)).unwrap();
            former.abort().unwrap();
        }
        let streams = start(&log, &second, 1);
        assert_eq!(wait_until_planned(&streams, 0), TaskState::Restoring);
        put(&log, 0, "k0", "x");
        if is_aborted {
            log.release_markers(&changelog(0)).unwrap();
        } else {
            log.advance(timeout);
        }
        wait_until(|| outputs(&log).len(), |count| *count == 3);
        streams.close().unwrap();
        assert_eq!(outputs(&log), ["1", "2", "3"], "aborted: {is_aborted}");
    }
}
