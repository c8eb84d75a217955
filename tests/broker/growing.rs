//! Topics that get partitions while an instance runs.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use millstream::{GroupProtocol, Streams, StreamsBuilder, StreamsConfig, StreamsState};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

fn config(broker: &Broker, application: &str, state: &tempfile::TempDir) -> StreamsConfig {
    let mut config = StreamsConfig::new(application)
        .bootstrap_servers(broker.bootstrap())
        .state_dir(state.path())
        .session_timeout_ms(6_000)
        .commit_interval_ms(100);
    config.kafka.consumer.insert("topic.metadata.refresh.interval.ms", "1000");
    config
}

#[test]
fn a_stateless_topology_takes_new_partitions_in_classic() -> anyhow::Result<()> {
    a_stateless_topology_takes_new_partitions_in(GroupProtocol::Classic)
}

#[test]
fn a_stateless_topology_takes_new_partitions_in_consumer() -> anyhow::Result<()> {
    a_stateless_topology_takes_new_partitions_in(GroupProtocol::Consumer)
}

fn a_stateless_topology_takes_new_partitions_in(protocol: GroupProtocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("grown");
    let [input, out] = ["in", "out"].map(|topic| format!("{application}-{topic}"));
    broker.create_topic(&input, 2)?;
    broker.create_topic(&out, 1)?;
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(input.as_str()).to(out.as_str());
    let state = tempfile::tempdir()?;
    let config = config(&broker, &application, &state).group_protocol(protocol);
    let streams = Streams::start(builder.build()?, config)?;
    let running = streams.wait_for(&[StreamsState::Running], PATIENCE);
    anyhow::ensure!(running == StreamsState::Running, "{running:?}");
    broker.add_partitions(&input, 4)?;
    let consumer: BaseConsumer = broker.client().set("group.id", unique("reader")).create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&out, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let producer: BaseProducer = broker.client().create()?;
    let wanted: BTreeSet<String> = (0..4).map(|partition| format!("p{partition}")).collect();
    for (partition, value) in (0..).zip(&wanted) {
        let record = BaseRecord::to(&input).partition(partition).key("k").payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    let mut found = BTreeSet::new();
    let read = wait::until_true(PATIENCE, "a record of each partition", || {
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            found.insert(String::from_utf8(message?.payload().context("value")?.to_vec())?);
        }
        Ok(found.is_superset(&wanted))
    });
    read.with_context(|| format!("{found:?}, {:?}", streams.state()))?;
    streams.close()?;
    Ok(())
}

#[test]
fn a_stateful_topology_refuses_new_partitions() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("refused");
    let input = format!("{application}-in");
    broker.create_topic(&input, 2)?;
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(input.as_str()).group_by_key().count("counts");
    let state = tempfile::tempdir()?;
    let streams = Streams::start(builder.build()?, config(&broker, &application, &state))?;
    streams.wait_for(&[StreamsState::Running], PATIENCE);
    broker.add_partitions(&input, 3)?;
    streams.wait_for(&[StreamsState::Failed], PATIENCE);
    let text = format!("{:?}", streams.close().err().context("no error")?);
    anyhow::ensure!(text.contains("3 partitions now and had 2"), "{text}");
    Ok(())
}
