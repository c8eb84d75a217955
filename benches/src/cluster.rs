//! What the comparison asks of the broker beside records: topics made and deleted, ends and committed offsets.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::clock;

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a broker that is not ready yet is asked again.
const LOOK: Duration = Duration::from_millis(100);

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// A broker, seen from outside of any engine.
#[derive(Debug, Clone)]
pub struct Cluster {
    bootstrap: String,
}

impl Cluster {
    /// The broker at this address.
    #[must_use]
    pub fn at(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned() }
    }

    /// Its address.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A client configuration that knows nothing but the address.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// A consumer that sees only what is committed, for looking at `group` from outside.
    pub fn observer(&self, group: &str) -> Result<BaseConsumer> {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true");
        Ok(config.create()?)
    }

    /// Makes a topic that keeps its records for ever, whatever their event time.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1");
        let results = block_on(admin.create_topics([&topic], &options()))?;
        for result in results {
            result.map_err(|(name, error)| anyhow::anyhow!("topic {name} not made: {error}"))?;
        }
        Ok(())
    }

    /// Deletes topics; those that are not there are no mistake.
    pub fn delete_topics(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        for result in block_on(admin.delete_topics(&names, &options()))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, error)) => bail!("topic {name} not deleted: {error}"),
            }
        }
        Ok(())
    }

    /// All topics with their number of partitions.
    pub fn topics(&self) -> Result<BTreeMap<String, i32>> {
        let consumer: BaseConsumer = self.client().create()?;
        topics(&consumer)
    }
}

/// All topics with their number of partitions.
pub fn topics(consumer: &BaseConsumer) -> Result<BTreeMap<String, i32>> {
    let metadata = consumer.fetch_metadata(None, TIMEOUT).context("metadata")?;
    let topics = metadata.topics().iter();
    topics
        .map(|topic| Ok((topic.name().to_owned(), i32::try_from(topic.partitions().len())?)))
        .collect()
}

/// Where each partition of the topic ends; for an observer, where what is committed ends.
pub fn ends(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<Offsets> {
    (0..partitions)
        .map(|partition| Ok(((topic.to_owned(), partition), end(consumer, topic, partition)?)))
        .collect()
}

/// A broker that has just started answers before it leads its partitions.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
    let started = clock::now();
    loop {
        let refused = match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok((_, high)) => return Ok(high),
            Err(error) => error,
        };
        let early = [
            RDKafkaErrorCode::NotLeaderForPartition,
            RDKafkaErrorCode::LeaderNotAvailable,
            RDKafkaErrorCode::UnknownTopicOrPartition,
        ];
        let early = refused.rdkafka_error_code().is_some_and(|code| early.contains(&code));
        if !early || started.elapsed() > TIMEOUT {
            return Err(refused).with_context(|| format!("the end of {topic}-{partition}"));
        }
        clock::pause(LOOK);
    }
}

/// What the consumer's group has committed; nothing for partitions it has not.
pub fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<Offsets> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let answered = consumer.committed_offsets(asked, TIMEOUT)?;
    let elements = answered.elements();
    let offsets = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some(((topic.to_owned(), element.partition()), offset)),
        _ => None,
    });
    Ok(offsets.collect())
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The admin client answers by futures from a thread of its own; this is all the runtime it needs.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
