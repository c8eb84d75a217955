//! A stateless topology over topics of different sizes: tasks that lose one of their partitions go
//! on with the others.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use millstream::{
    Consumed, GroupProtocol, Streams, StreamsBuilder, StreamsConfig, StreamsState, TaskState,
};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

#[test]
fn all_partitions_are_read_after_a_scale_out_classic() -> anyhow::Result<()> {
    all_partitions_are_read_after_a_scale_out(GroupProtocol::Classic)
}

#[test]
fn all_partitions_are_read_after_a_scale_out_consumer() -> anyhow::Result<()> {
    all_partitions_are_read_after_a_scale_out(GroupProtocol::Consumer)
}

fn all_partitions_are_read_after_a_scale_out(protocol: GroupProtocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("unequal");
    let [four, two, out] = ["four", "two", "out"].map(|topic| format!("{application}-{topic}"));
    for (topic, partitions) in [(&four, 4), (&two, 2), (&out, 1)] {
        broker.create_topic(topic, partitions)?;
    }
    let start = |state: &tempfile::TempDir| {
        let builder = StreamsBuilder::new();
        let both = Consumed::from_topics([four.as_str(), two.as_str()]);
        builder.stream::<String, String>(both).to(out.as_str());
        let config = StreamsConfig::new(application.as_str())
            .bootstrap_servers(broker.bootstrap())
            .state_dir(state.path())
            .session_timeout_ms(6_000)
            .commit_interval_ms(100)
            .group_protocol(protocol);
        Ok::<_, anyhow::Error>(Streams::start(builder.build()?, config)?)
    };
    let (first_state, second_state) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let first = start(&first_state)?;
    anyhow::ensure!(
        first.wait_for(&[StreamsState::Running], PATIENCE) == StreamsState::Running,
        "the first does not run"
    );
    let second = start(&second_state)?;
    wait::until_true(PATIENCE, "the second has a part", || {
        Ok(second.tasks().iter().any(|(_, state)| *state == TaskState::Running))
    })?;
    let producer: BaseProducer = broker.client().create()?;
    let mut wanted = BTreeSet::new();
    for (topic, partitions) in [(&four, 4), (&two, 2)] {
        for partition in 0..partitions {
            let value = format!("{topic}-{partition}");
            let record = BaseRecord::to(topic).partition(partition).key("k").payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
            wanted.insert(value);
        }
    }
    producer.flush(PATIENCE)?;
    let consumer: BaseConsumer = broker.client().set("group.id", unique("reader")).create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&out, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let mut found = BTreeSet::new();
    let read = wait::until_true(PATIENCE, "a record of each partition", || {
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            let value = message?.payload().context("value")?.to_vec();
            found.insert(String::from_utf8(value)?);
        }
        Ok(found.is_superset(&wanted))
    });
    read.with_context(|| format!("{found:?}"))?;
    second.close()?;
    first.close()?;
    Ok(())
}
