//! Inputs of the suite and what must come of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

/// An application's topics on a broker, with what was put into them.
pub(crate) struct Bench<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) application: String,
    partitions: i32,
    producer: BaseProducer,
    sent: u64,
    /// The batch computation: how often each key was sent.
    pub(crate) expected: BTreeMap<String, i64>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(broker: &'a Broker, name: &str, partitions: i32) -> anyhow::Result<Self> {
        Self::named(broker, unique(name), partitions)
    }

    pub(crate) fn named(
        broker: &'a Broker,
        application: String,
        partitions: i32,
    ) -> anyhow::Result<Self> {
        broker.create_topic(&format!("{application}-in"), partitions)?;
        broker.create_topic(&format!("{application}-out"), partitions)?;
        let producer = broker.client().set("partitioner", "murmur2_random").create()?;
        let expected = BTreeMap::new();
        Ok(Self { broker, application, partitions, producer, sent: 0, expected })
    }

    pub(crate) fn input(&self) -> String {
        format!("{}-in", self.application)
    }

    pub(crate) fn output(&self) -> String {
        format!("{}-out", self.application)
    }

    /// Sends `records` records over `keys` keys and waits until the broker has them.
    pub(crate) fn send(&mut self, records: u64, keys: u64) -> anyhow::Result<()> {
        self.send_padded(records, keys, 0)
    }

    /// As `send`, with values of at least `bytes` bytes.
    pub(crate) fn send_padded(
        &mut self,
        records: u64,
        keys: u64,
        bytes: usize,
    ) -> anyhow::Result<()> {
        self.send_records(&self.input(), (records, keys), bytes)
    }

    /// As `send`, to another topic that counts as input.
    pub(crate) fn send_to(&mut self, topic: &str, records: u64, keys: u64) -> anyhow::Result<()> {
        self.send_records(topic, (records, keys), 0)
    }

    fn send_records(
        &mut self,
        topic: &str,
        (records, keys): (u64, u64),
        bytes: usize,
    ) -> anyhow::Result<()> {
        for _ in 0..records {
            let key = format!("key-{}", self.sent * 7919 % keys);
            let value = format!("{:>bytes$}", self.sent);
            let mut record = BaseRecord::to(topic).key(&key).payload(&value);
            while let Err((error, unsent)) = self.producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                ensure!(error == full, "{error}");
                self.producer.poll(Duration::from_millis(10));
                record = unsent;
            }
            *self.expected.entry(key).or_default() += 1;
            self.sent += 1;
        }
        self.producer.flush(PATIENCE)?;
        Ok(())
    }

    /// Reads the committed output until the last value of each key is its expected count, and
    /// returns all values of each key in order.
    pub(crate) fn read_until_complete(&self) -> anyhow::Result<BTreeMap<String, Vec<i64>>> {
        let consumer = self.reader()?;
        let mut revisions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut done = 0_usize;
        let complete = wait::until_true(PATIENCE, "the complete output", || {
            while let Some(message) = next(&consumer)? {
                let key = String::from_utf8(message.key().context("key")?.to_vec())?;
                let value = i64::from_be_bytes(message.payload().context("value")?.try_into()?);
                let wanted = self.expected.get(&key).copied().unwrap_or_default();
                let values = revisions.entry(key).or_default();
                if value == wanted && !values.contains(&value) {
                    done += 1;
                }
                values.push(value);
            }
            Ok(done >= self.expected.len())
        });
        complete.with_context(|| self.difference(&revisions))?;
        Ok(revisions)
    }

    /// Waits until so many outputs are committed.
    pub(crate) fn wait_for_outputs(&self, wanted: usize) -> anyhow::Result<()> {
        let consumer = self.reader()?;
        let mut seen = 0;
        wait::until_true(PATIENCE, "the first outputs", || {
            while next(&consumer)?.is_some() {
                seen += 1;
            }
            Ok(seen >= wanted)
        })
    }

    fn reader(&self) -> anyhow::Result<BaseConsumer> {
        let consumer: BaseConsumer = self
            .broker
            .client()
            .set("group.id", unique("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut from = TopicPartitionList::new();
        for partition in 0..self.partitions {
            from.add_partition_offset(&self.output(), partition, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        Ok(consumer)
    }

    fn difference(&self, revisions: &BTreeMap<String, Vec<i64>>) -> String {
        let last = |key: &String| revisions.get(key).and_then(|values| values.last()).copied();
        let off: Vec<String> = self
            .expected
            .iter()
            .filter(|(key, wanted)| last(key) != Some(**wanted))
            .take(10)
            .map(|(key, wanted)| format!("{key}: {:?} instead of {wanted}", last(key)))
            .collect();
        format!("{} keys, of which off: {}", self.expected.len(), off.join(", "))
    }

    /// Asserts that the last value of each key is its count in the input: nothing lost, nothing
    /// counted twice.
    pub(crate) fn assert_table(&self, revisions: &BTreeMap<String, Vec<i64>>) {
        let table: BTreeMap<String, i64> = revisions
            .iter()
            .map(|(key, values)| (key.clone(), values.last().copied().unwrap_or_default()))
            .collect();
        assert_eq!(table, self.expected);
    }

    /// Asserts that with the record cache off each input made exactly one revision: 1, 2, 3 and so
    /// on, none missing and none repeated.
    pub(crate) fn assert_each_once(&self, revisions: &BTreeMap<String, Vec<i64>>) {
        self.assert_table(revisions);
        for (key, values) in revisions {
            let wanted: Vec<i64> = (1..=values.len() as i64).collect();
            assert_eq!(values, &wanted, "revisions of {key}");
        }
    }
}

/// The next record; none if there is none now, or while the broker is away: what waits for it has its own limit.
fn next(consumer: &BaseConsumer) -> anyhow::Result<Option<BorrowedMessage<'_>>> {
    let away = [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure];
    match consumer.poll(Duration::from_millis(50)) {
        Some(Err(error)) if error.rdkafka_error_code().is_some_and(|code| away.contains(&code)) => {
            Ok(None)
        }
        polled => Ok(polled.transpose()?),
    }
}
