//! Global tables: complete before the first record, followed, kept over restarts, and their failures.

mod anew;

use super::*;
use crate::error::Error;
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::memory::{Fault, Operation};
use crate::log::{OutgoingRecord, ProducerSpec};
use crate::policy::{DropReason, OnError};
use crate::source::Consumed;
use crate::store::Materialized;

/// `in` with the row of `names` that its value names; with a source and a store of the table as given.
fn named(
    source: impl Into<Consumed<String, String>>,
    store: impl Into<Materialized<String, String>>,
) -> Topology {
    let builder = StreamsBuilder::new();
    let names = builder.global_table(source, store);
    let stream = builder.stream::<String, String>("in");
    let line = |value: String, name: Option<&String>| {
        format!("{value}={}", name.map_or("nobody", String::as_str))
    };
    stream.left_join_global(&names, |_, value| value.clone(), line).to("out");
    builder.build().unwrap()
}

fn topology() -> Topology {
    named("names", "names")
}

fn topics() -> MemoryLog {
    log_with(&[("in", 1), ("out", 1), ("names", 2)])
}

/// A row; which partition has it does not matter for a global table.
fn name(log: &MemoryLog, partition: i32, key: &str, value: Option<&str>) -> i64 {
    let at = TopicPartition::new("names", partition);
    let value = value.map(str::as_bytes);
    log.append(&at, Some(key.as_bytes()), value, 7, &Headers::default()).unwrap()
}

fn settings(dir: &tempfile::TempDir) -> StreamsConfig {
    config(dir, ProcessingGuarantee::AtLeastOnce).retry_backoff_ms(1).retry_backoff_max_ms(20)
}

fn start_with(log: &MemoryLog, config: StreamsConfig, topology: Topology) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    Streams::with(topology, config).log(shared).start().unwrap()
}

fn start(log: &MemoryLog, dir: &tempfile::TempDir) -> Streams {
    start_with(log, settings(dir), topology())
}

fn running(streams: &Streams) {
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
}

fn read(streams: &Streams) -> u64 {
    let metrics = streams.metrics();
    let line = "millstream_records_in_total{topic=\"names\"";
    let line = metrics.lines().find(|it| it.starts_with(line));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// What the instance ended with.
fn failure(streams: Streams) -> Error {
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    streams.close().unwrap_err()
}

/// Asks until the table shows a row.
fn shows(log: &MemoryLog, key: &str, wanted: &str) {
    let wanted = format!("{key}={wanted}");
    wait_until(
        || {
            put(log, 0, "k", key);
            values(log, "out")
        },
        |values| values.contains(&wanted),
    );
}

#[test]
fn it_is_complete_before_the_first_record_and_followed_after() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    for i in 0..2_999 {
        name(&log, i % 2, &i.to_string(), Some("Ada"));
    }
    for i in 0..3_000 {
        put(&log, 0, "k", &i.to_string());
    }
    log.fail(Operation::Read, Fault::Unavailable, 3);
    let last = TopicPartition::new("names", 1);
    log.hold(&last).unwrap();
    name(&log, 1, "2999", Some("Ada"));
    let streams = start(&log, &dir);
    let waits = || format!("{:?}", streams.instance.waits());
    wait_until(waits, |waits| waits.contains("names lacks 1 offsets"));
    let joined = [StreamsState::Rebalancing, StreamsState::Running, StreamsState::Failed];
    let state = streams.wait_for(&joined, Duration::from_millis(200));
    assert_eq!(state, StreamsState::Starting, "nothing runs before the last row is here");
    log.release(&last).unwrap();
    wait_until(|| values(&log, "out").len(), |count| *count == 3_000);
    assert!(values(&log, "out").iter().all(|value| value.ends_with("=Ada")));
    wait_until(|| read(&streams), |records| *records == 3_000);
    name(&log, 1, "new", Some("Grace"));
    shows(&log, "new", "Grace");
    name(&log, 1, "new", None);
    shows(&log, "new", "nobody");
    assert!(streams.metrics().contains("millstream_store_entries{store=\"names\",task=\"0_0\""));
    streams.close().unwrap();
}

/// Closed or killed: the second instance finds rows and positions in one batch.
#[test]
fn a_restart_reads_the_tail_only() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    for i in 0..100 {
        name(&log, i % 2, &i.to_string(), Some("Ada"));
    }
    let streams = start(&log, &dir);
    running(&streams);
    assert_eq!(read(&streams), 100);
    streams.close().unwrap();
    name(&log, 0, "0", None);
    name(&log, 1, "new", Some("Grace"));
    let streams = start(&log, &dir);
    running(&streams);
    for key in ["0", "1", "new"] {
        put(&log, 0, "k", key);
    }
    wait_for(&log, "out", &["0=nobody", "1=Ada", "new=Grace"]);
    assert_eq!(read(&streams), 2);
    streams.close().unwrap();
}

#[test]
fn a_table_in_memory_is_read_whole_each_time_whatever_is_on_disk() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    for (key, store, records) in [
        ("a", Materialized::named("names"), 1),
        ("b", Materialized::named("names").in_memory(), 2),
        ("c", Materialized::named("names").in_memory(), 3),
        ("d", Materialized::named("names"), 3),
    ] {
        name(&log, 0, key, Some("Ada"));
        let streams = start_with(&log, settings(&dir), named("names", store));
        running(&streams);
        assert_eq!(read(&streams), records);
        ["a", key].iter().for_each(|key| shows(&log, key, "Ada"));
        streams.close().unwrap();
    }
}

#[test]
fn what_does_not_fit_its_topic_any_more_is_built_anew() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    for key in ["a", "b", "c"] {
        name(&log, 0, key, Some("Ada"));
    }
    let run = |log: &MemoryLog, config: StreamsConfig, records: u64, asked: &[&str]| {
        let streams = start_with(log, config, topology());
        running(&streams);
        asked.iter().for_each(|key| put(log, 0, "k", key));
        wait_until(|| values(log, "out").len(), |count| *count == asked.len());
        assert_eq!(read(&streams), records);
        streams.close().unwrap();
    };
    run(&log, settings(&dir), 3, &[]);
    // A topic that forgot what the table never saw: a deletion may be among it.
    let last = name(&log, 0, "d", Some("Ada"));
    let before = last + 1;
    name(&log, 0, "e", Some("Ada"));
    log.delete_records(&[(TopicPartition::new("names", 0), before)]).unwrap();
    run(&log, settings(&dir), 1, &[]);
    // One that is older than deletions are kept.
    name(&log, 0, "f", Some("Ada"));
    run(&log, settings(&dir).delete_retention_ms(0), 2, &["e", "f"]);
    assert_eq!(values(&log, "out"), ["e=Ada", "f=Ada"]);
    // A topic made anew, with less in it.
    let anew = topics();
    name(&anew, 0, "g", Some("Grace"));
    run(&anew, settings(&dir), 1, &["e", "g"]);
    assert_eq!(values(&anew, "out"), ["e=nobody", "g=Grace"]);
}

#[test]
fn bytes_that_cannot_be_read_follow_the_policy_of_the_source() {
    let numbers = |policy: OnError| {
        let builder = StreamsBuilder::new();
        let source = Consumed::<String, i64>::from("names").on_error(policy);
        let numbers = builder.global_table(source, "numbers");
        let stream = builder.stream::<String, String>("in");
        stream.join_global(&numbers, |_, value| value.clone(), |_, row| row.to_string()).to("out");
        builder.build().unwrap()
    };
    let log = log_with(&[("in", 1), ("out", 1), ("names", 2), ("letters", 1)]);
    name(&log, 0, "a", Some("not eight bytes"));
    name(&log, 0, "b", Some("\0\0\0\0\0\0\0\u{7}"));
    log.append(&TopicPartition::new("names", 1), None, None, 7, &Headers::default()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let failed = failure(start_with(&log, settings(&dir), numbers(OnError::Fail)));
    let text = failed.to_string();
    assert!(text.contains("names-0@0") && text.contains("KSTREAM-SOURCE-0000000000"), "{text}");
    // Nothing of it counts: with another policy it is read again, and the other record too.
    let other = tempfile::tempdir().unwrap();
    let policies = [(OnError::Skip, &dir, 1), (OnError::dead_letter("letters"), &other, 2)];
    for (policy, dir, outputs) in policies {
        let streams = start_with(&log, settings(dir), numbers(policy));
        put(&log, 0, "k", "b");
        wait_until(|| values(&log, "out").len(), |count| *count == outputs);
        assert_eq!(streams.drops().of(DropReason::BadBytes), 1);
        assert_eq!(streams.drops().of(DropReason::NullKey), 1);
        streams.close().unwrap();
    }
    assert_eq!(values(&log, "out"), ["7", "7"]);
    let letters = log.records("letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"not eight bytes"[..]));
    assert_eq!(letters[0].headers.last("__streams.errors.topic"), Some(&b"names"[..]));
}

/// A letter that did not get through is sent again before its record is left behind.
#[test]
fn a_dead_letter_that_fails_is_sent_again() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    let letters = NewTopic::new("letters", 1);
    log.create(&[letters]).unwrap();
    name(&log, 0, "a", Some("Ada"));
    log.append(&TopicPartition::new("names", 0), Some(&[255]), Some(b"x"), 7, &Headers::default())
        .unwrap();
    log.fail(Operation::Send, Fault::Unavailable, 2);
    let source = Consumed::from("names").on_error(OnError::dead_letter("letters"));
    let streams = start_with(&log, settings(&dir), named(source, "names"));
    running(&streams);
    assert_eq!(log.records("letters").len(), 1);
    assert_eq!(streams.drops().of(DropReason::BadBytes), 1);
    shows(&log, "a", "Ada");
    streams.close().unwrap();
}

/// Of transactions only what was committed is read, and an open one is not waited for.
#[test]
fn open_and_aborted_transactions_are_not_seen() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    let spec = |id: &str| ProducerSpec {
        transactional_id: Some(id.to_owned()),
        transaction_timeout: Some(Duration::from_secs(60)),
        ..ProducerSpec::default()
    };
    let begin = |id: &str, key: &'static str| {
        let mut producer = log.producer(&spec(id)).unwrap();
        producer.begin().unwrap();
        let topic = producer.topic("names").unwrap();
        let (key, value) = (Some(key.as_bytes()), Some(&b"Ada"[..]));
        let headers = &Headers::default();
        let record =
            OutgoingRecord { topic, partition: 0, key, value, timestamp: Some(1), headers };
        producer.send(&record).unwrap();
        producer.flush().unwrap();
        producer
    };
    begin("one", "committed").commit().unwrap();
    begin("two", "aborted").abort().unwrap();
    let mut open = begin("three", "open");
    let streams = start(&log, &dir);
    running(&streams);
    for key in ["committed", "aborted", "open"] {
        put(&log, 0, "k", key);
    }
    wait_for(&log, "out", &["aborted=nobody", "committed=Ada", "open=nobody"]);
    open.commit().unwrap();
    shows(&log, "open", "Ada");
    streams.close().unwrap();
}

#[test]
fn a_topic_that_is_missing_is_waited_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let streams = start(&log, &dir);
    let waits = || format!("{:?}", streams.instance.waits());
    wait_until(waits, |waits| waits.contains("topic names does not exist"));
    log.create(&[NewTopic::new("names", 2)]).unwrap();
    running(&streams);
    streams.close().unwrap();
}

#[test]
fn a_position_that_is_gone_while_it_runs_ends_the_instance() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    name(&log, 0, "a", Some("Ada"));
    let partition = TopicPartition::new("names", 0);
    let streams = start(&log, &dir);
    running(&streams);
    // Held back, so that it is cut off before it is read.
    log.hold(&partition).unwrap();
    let last = name(&log, 0, "b", Some("Grace"));
    name(&log, 0, "c", Some("Grace"));
    log.delete_records(&[(partition.clone(), last + 1)]).unwrap();
    log.release(&partition).unwrap();
    let text = failure(streams).to_string();
    assert!(text.contains("offset 1 of names-0 is not there any more"), "{text}");
    let streams = start(&log, &dir);
    shows(&log, "c", "Grace");
    shows(&log, "a", "nobody");
    streams.close().unwrap();
}

#[test]
fn failures_of_reading_are_tried_again_without_a_gap() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    let streams = start(&log, &dir);
    running(&streams);
    for (fault, key) in [(Fault::Unavailable, "a"), (Fault::LostAnswer, "b"), (Fault::Aborted, "c")]
    {
        log.fail(Operation::Read, fault, 3);
        name(&log, 0, key, Some("Ada"));
        shows(&log, key, "Ada");
    }
    wait_until(|| streams.instance.waits(), |waits| waits.is_empty());
    streams.close().unwrap();
}

#[test]
fn new_partitions_are_read_too() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    let streams = start_with(&log, settings(&dir).metadata_max_age_ms(50), topology());
    running(&streams);
    log.add_partitions("names", 3).unwrap();
    name(&log, 2, "a", Some("Ada"));
    shows(&log, "a", "Ada");
    streams.close().unwrap();
}

/// The stop does not wait for a table that does not get on.
#[test]
fn a_stop_ends_the_reading_and_lets_go_of_the_directory() {
    let (dir, log) = (tempfile::tempdir().unwrap(), topics());
    let partition = TopicPartition::new("names", 0);
    log.hold(&partition).unwrap();
    name(&log, 0, "a", Some("Ada"));
    let streams = start(&log, &dir);
    let waits = || format!("{:?}", streams.instance.waits());
    wait_until(waits, |waits| waits.contains("names lacks 1 offsets"));
    assert_eq!(streams.state(), StreamsState::Starting);
    streams.close().unwrap();
    log.release(&partition).unwrap();
    let streams = start(&log, &dir);
    shows(&log, "a", "Ada");
    streams.close().unwrap();
}

#[test]
fn it_works_over_the_embedded_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path().join("log"), EmbeddedOptions::default()).unwrap();
    log.create(&["in", "out", "names"].map(|topic| NewTopic::new(topic, 1))).unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let mut producer = log.producer(&ProducerSpec::default()).unwrap();
    let mut send = |topic: &str, key: &str, value: &str| {
        let topic = producer.topic(topic).unwrap();
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let (timestamp, headers) = (Some(1), &Headers::default());
        producer
            .send(&OutgoingRecord { topic, partition: 0, key, value, timestamp, headers })
            .unwrap();
        producer.flush().unwrap();
    };
    let end = || {
        let out = TopicPartition::new("out", 0);
        log.offsets(&out, Isolation::ReadCommitted).unwrap().end
    };
    for (round, records) in [(1, 1), (2, 0)] {
        if round == 1 {
            send("names", "a", "Ada");
        }
        send("in", "k", "a");
        let state = settings(&dir).state_dir(dir.path().join("state"));
        let streams = Streams::with(topology(), state).log(Arc::clone(&log)).start().unwrap();
        wait_until(end, |end| *end >= round);
        assert_eq!(read(&streams), records);
        streams.close().unwrap();
    }
}
