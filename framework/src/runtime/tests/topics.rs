//! Topics of different sizes.

use super::*;

/// A plain merge needs no equal partition counts, also beside a store that only one of them feeds.
#[test]
fn merged_topics_of_different_sizes_are_read_to_the_last_partition() {
    let builder = StreamsBuilder::new();
    let large = builder.stream::<String, String>("in");
    large.merge(&builder.stream("small")).to("out");
    large.group_by_key().count("counts").updates().to("counted");
    let topology = builder.build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 3), ("small", 2), ("out", 1), ("counted", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::with(topology, config).log(shared).start().unwrap();
    let mut wanted = Vec::new();
    for (topic, partitions) in [("in", 3), ("small", 2)] {
        for partition in 0..partitions {
            let value = format!("{topic}-{partition}");
            let at = TopicPartition::new(topic, partition);
            let bytes = value.as_bytes();
            log.append(&at, Some(bytes), Some(bytes), 7, &Headers::default()).unwrap();
            wanted.push(value);
        }
    }
    wait_until(|| values(&log, "out"), |values| *values == wanted);
    wait_until(|| log.records("counted").len(), |count| *count == 3);
    streams.close().unwrap();
}
