//! Topics that get partitions while an instance runs.

use super::*;
use crate::policy::Reset;
use crate::source::Consumed;

fn latest() -> Topology {
    let builder = StreamsBuilder::new();
    let source = Consumed::<String, String>::from("in").reset(Reset::Latest);
    builder.stream(source).map_values(|value: String| value.to_uppercase()).to("out");
    builder.build().unwrap()
}

/// A record that was put into a new partition before anybody knew of it came after the start, so a
/// source that begins at the end reads it too.
#[test]
fn a_stateless_topology_takes_new_partitions_in() {
    for topology in [upper(), latest()] {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 2), ("out", 1)]);
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        let streams = Streams::with(topology, config).log(shared).start().unwrap();
        assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
        log.add_partitions("in", 4).unwrap();
        for partition in 0..4 {
            put(&log, partition, "k", &format!("p{partition}"));
        }
        wait_for(&log, "out", &["P0", "P1", "P2", "P3"]);
        let tasks = || streams.tasks().iter().filter(|(_, s)| *s == TaskState::Running).count();
        wait_until(tasks, |running| *running == 4);
        streams.close().unwrap();
    }
}

/// A state by key does not fit the new count: the error names both counts and what to do, and what
/// was committed before stands.
#[test]
fn a_stateful_topology_refuses_new_partitions_with_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key().count("counts");
    counts.updates().map_values(|count: i64| count.to_string()).to("out");
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    put(&log, 0, "k", "x");
    wait_for(&log, "out", &["1"]);
    log.add_partitions("in", 4).unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    for part in ["topic in:", "4 partitions now and had 2", "sub-topology 0", "stop all instances"]
    {
        assert!(text.contains(part), "{text}");
    }
    put(&log, 3, "k", "x");
    assert_eq!(values(&log, "out"), ["1"]);
}

/// The part that feeds a repartition topic keeps no state, but the topic would need another count.
#[test]
fn a_repartition_topic_does_not_grow_with_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(counts(), config).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    log.add_partitions("in", 3).unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let text = streams.close().unwrap_err().to_string();
    for part in ["app-counts-repartition", "2 partitions", "needs 3"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Records of a key go where the present number of partitions puts them, as with Kafka's producer.
#[test]
fn a_sink_topic_that_grows_is_used_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).metadata_max_age_ms(100);
    let streams = Streams::with(upper(), config).log(shared).start().unwrap();
    put(&log, 0, "a", "one");
    wait_for(&log, "out", &["ONE"]);
    log.add_partitions("out", 4).unwrap();
    let key = (b'a'..=b'z').find(|key| murmur2_partition(&[*key], 4) == 3).unwrap();
    let key = char::from(key).to_string();
    let found = || {
        put(&log, 0, &key, "two");
        log.records("out").iter().any(|record| record.partition == 3)
    };
    wait_until(found, |found| *found);
    streams.close().unwrap();
}
