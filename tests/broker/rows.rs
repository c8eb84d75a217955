//! Rows of a table that records meet.

use std::time::Duration;

use anyhow::ensure;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::process::PATIENCE;
use crate::records::Bench;

/// The topic of a table with a row for each of the keys that a [`Bench`] sends.
pub(crate) struct Rows {
    topic: String,
    producer: BaseProducer,
}

impl Rows {
    pub(crate) fn new(bench: &Bench<'_>, partitions: i32) -> anyhow::Result<Self> {
        let topic = format!("{}-rows", bench.application);
        bench.broker.create_topic(&topic, partitions)?;
        let producer = bench.broker.client().set("partitioner", "murmur2_random").create()?;
        Ok(Self { topic, producer })
    }

    pub(crate) fn send(&self, keys: std::ops::Range<u64>) -> anyhow::Result<()> {
        for key in keys {
            let (key, row) = (format!("key-{key}"), format!("row {key}"));
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(&row);
            while let Err((error, unsent)) = self.producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                ensure!(error == full, "{error}");
                self.producer.poll(Duration::from_millis(10));
                record = unsent;
            }
        }
        Ok(self.producer.flush(PATIENCE)?)
    }
}
