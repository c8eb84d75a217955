//! The ground of this suite: the local Kafka keeps its data and its address when it is stopped, killed and started again.
//! If this fails, no other failure of the suite means anything.

use std::time::Duration;

use anyhow::Context;
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

#[test]
fn keeps_address_and_records_over_stop_and_kill() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let topic = unique("kept");
    broker.create_topic(&topic, 1)?;

    produce(&broker, &topic, "before the stop")?;
    broker.stop()?;
    assert!(produce_within(&broker, &topic, "nobody there", Duration::from_secs(1)).is_err());
    broker.restart()?;

    produce(&broker, &topic, "before the kill")?;
    broker.kill()?;
    broker.restart()?;

    assert_eq!(consume(&broker, &topic, 2)?, ["before the stop", "before the kill"]);
    Ok(())
}

#[test]
fn a_topic_has_the_partitions_and_settings_asked_for() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let topic = unique("wide");
    broker.create_topic(&topic, 5)?;
    let metadata = broker.admin()?.inner().fetch_metadata(Some(&topic), Duration::from_secs(30))?;
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    assert!(broker.create_topic(&topic, 5).is_err(), "the same name twice");
    Ok(())
}

fn produce(broker: &Broker, topic: &str, value: &str) -> anyhow::Result<()> {
    produce_within(broker, topic, value, Duration::from_secs(30))
}

fn produce_within(
    broker: &Broker,
    topic: &str,
    value: &str,
    limit: Duration,
) -> anyhow::Result<()> {
    let producer: BaseProducer = broker.client().create()?;
    producer.send(BaseRecord::<(), str>::to(topic).payload(value)).map_err(|(error, _)| error)?;
    producer.flush(limit)?;
    Ok(())
}

fn consume(broker: &Broker, topic: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", unique("reader"))
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut values = Vec::new();
    wait::until(Duration::from_secs(60), "all records are back", || {
        while let Some(message) = consumer.poll(Duration::ZERO) {
            // Right after a restart the coordinator may still be loading: the client tries again by itself.
            if let Ok(message) = message {
                let payload = message.payload().context("a record without value")?;
                values.push(String::from_utf8(payload.to_vec())?);
            }
        }
        Ok((values.len() >= count).then(|| values.clone()))
    })
}
