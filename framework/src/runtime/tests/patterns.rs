//! Sources that read all topics that match a pattern.

use super::*;
use crate::policy::Reset;
use crate::source::Consumed;

fn counts_of(pattern: &str) -> Topology {
    let builder = StreamsBuilder::new();
    let source = Consumed::<String, String>::pattern(pattern).reset(Reset::Latest);
    let counts = builder.stream(source).group_by_key().count("counts");
    counts.updates().map(|key, count: i64| (key.clone(), format!("{key}{count}"))).to("out");
    builder.build().unwrap()
}

fn started(topology: Topology, log: &MemoryLog, dir: &tempfile::TempDir) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, ProcessingGuarantee::ExactlyOnceV2).cache_bytes_max(0);
    Streams::with(topology, config.metadata_max_age_ms(50)).log(shared).start().unwrap()
}

fn add_topic(log: &MemoryLog, name: &str, partitions: i32) {
    let (name, config) = (name.to_owned(), Vec::new());
    log.create(&[NewTopic { name, partitions, replication_factor: 1, config }]).unwrap();
}

fn put_into(log: &MemoryLog, topic: &str, partition: i32, key: &str) {
    let at = TopicPartition::new(topic, partition);
    log.append(&at, Some(key.as_bytes()), Some(b"v"), 7, &Headers::default()).unwrap();
}

/// What came before the topic was noticed is read too, though the source begins at the end.
#[test]
fn a_topic_that_appears_is_read_from_its_first_record_beside_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("other", 1), ("out", 1)]);
    let streams = started(counts_of("in.*"), &log, &dir);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put_into(&log, "in", 0, "a");
    wait_for(&log, "out", &["a1"]);
    add_topic(&log, "in-2", 2);
    add_topic(&log, "no-in", 2);
    for (topic, partition, key) in [("in-2", 0, "a"), ("in-2", 1, "b"), ("no-in", 0, "a")] {
        put_into(&log, topic, partition, key);
    }
    wait_for(&log, "out", &["a1", "a2", "b1"]);
    for (topic, partition, key) in [("in", 0, "a"), ("in-2", 1, "b"), ("in", 1, "b")] {
        put_into(&log, topic, partition, key);
    }
    let all = ["a1", "a2", "a3", "b1", "b2", "b3"];
    wait_for(&log, "out", &all);
    streams.close().unwrap();
    let streams = started(counts_of("in.*"), &log, &dir);
    put_into(&log, "in-2", 0, "a");
    wait_for(&log, "out", &["a1", "a2", "a3", "a4", "b1", "b2", "b3"]);
    streams.close().unwrap();
}

#[test]
fn a_pattern_that_matches_nothing_waits_for_a_topic() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("out", 1)]);
    let builder = StreamsBuilder::new();
    let stream = builder.stream(Consumed::<String, String>::pattern("in.*"));
    // How many partitions the repartition topic has is not known before.
    let counts = stream.group_by(|key, _| key.clone()).count("counts").updates();
    counts.map_values(|count: i64| count.to_string()).to("out");
    let streams = started(builder.build().unwrap(), &log, &dir);
    let seen = || log.topic_names().len();
    wait_until(|| streams.state(), |state| *state == StreamsState::Starting);
    assert_eq!(seen(), 1);
    add_topic(&log, "in-1", 3);
    put_into(&log, "in-1", 2, "a");
    wait_for(&log, "out", &["1"]);
    streams.close().unwrap();
}

/// The tasks of one pattern run while the other matches nothing.
#[test]
fn what_another_source_reads_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let builder = StreamsBuilder::new();
    builder.stream(Consumed::<String, String>::pattern("late-.*")).to("out");
    builder.stream::<String, String>("in").to("out");
    let streams = started(builder.build().unwrap(), &log, &dir);
    put_into(&log, "in", 0, "a");
    wait_for(&log, "out", &["v"]);
    add_topic(&log, "late-1", 1);
    put_into(&log, "late-1", 0, "a");
    wait_for(&log, "out", &["v", "v"]);
    streams.close().unwrap();
}

#[test]
fn state_takes_a_smaller_topic_and_refuses_a_larger_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let streams = started(counts_of("in.*"), &log, &dir);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    add_topic(&log, "in-small", 1);
    put_into(&log, "in-small", 0, "a");
    put_into(&log, "in", 0, "a");
    wait_for(&log, "out", &["a1", "a2"]);
    add_topic(&log, "in-large", 3);
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    for part in ["in-large", "3 partitions", "the 2 of in", "sub-topology 0"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_topic_that_goes_is_read_no_more_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in-1", 1), ("in-2", 1), ("out", 1)]);
    let streams = started(counts_of("in-.*"), &log, &dir);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put_into(&log, "in-1", 0, "a");
    wait_for(&log, "out", &["a1"]);
    log.delete_topics(&["in-2"]).unwrap();
    let read = || log.group_offsets("app").len();
    put_into(&log, "in-1", 0, "a");
    wait_for(&log, "out", &["a1", "a2"]);
    wait_until(read, |partitions| *partitions == 1);
    add_topic(&log, "in-3", 1);
    put_into(&log, "in-3", 0, "a");
    wait_for(&log, "out", &["a1", "a2", "a3"]);
    streams.close().unwrap();
}

#[test]
fn two_patterns_that_match_one_topic_end_the_instance() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in-1", 1), ("out", 1)]);
    let builder = StreamsBuilder::new();
    builder.stream(Consumed::<String, String>::pattern("in-.*")).to("out");
    builder.stream(Consumed::<String, String>::pattern(".*-1")).to("out");
    let streams = started(builder.build().unwrap(), &log, &dir);
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    assert!(text.contains("in-1") && text.contains("in-.*") && text.contains(".*-1"), "{text}");
}

/// The changelog's name matches. That it is looked at and left out is known once a topic was noticed that came after it.
#[test]
fn internal_topics_match_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("app-in", 1), ("out", 1)]);
    let streams = started(counts_of("app-.*"), &log, &dir);
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put_into(&log, "app-in", 0, "a");
    put_into(&log, "app-in", 0, "a");
    wait_for(&log, "out", &["a1", "a2"]);
    add_topic(&log, "app-other", 1);
    put_into(&log, "app-other", 0, "b");
    wait_until(|| values(&log, "out"), |out| out.contains(&"b1".to_owned()));
    let read = log.group_offsets("app").into_iter().map(|(at, _)| at.topic.to_string());
    assert_eq!(read.collect::<Vec<_>>(), ["app-in", "app-other"]);
    assert_eq!(values(&log, "out"), ["a1", "a2", "b1"]);
    streams.close().unwrap();
}
