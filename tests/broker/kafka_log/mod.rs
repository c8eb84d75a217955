//! The log over Kafka where the contract cannot look: brokers that vanish, handles that outlive
//! their partition, buffers that run full, and rebalances under load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millstream::Error;
use millstream::log::kafka::{GroupProtocol, KafkaLog, KafkaSettings};
use millstream::log::{
    GroupListener, GroupSpec, Isolation, Log, Membership, NewTopic, OutgoingRecord, PartitionQueue,
    Producer, ProducerSpec, TopicPartition,
};
use millstream::record::Headers;
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

mod members;
mod outage;
mod positions;
mod producing;

const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "durations on a real broker are wall-clock time")]
fn now() -> Instant {
    Instant::now()
}

fn settings(broker: &Broker, protocol: GroupProtocol) -> KafkaSettings {
    let mut settings = KafkaSettings::new(broker.bootstrap(), "broker-suite");
    settings.group_protocol = protocol;
    settings.session_timeout = Duration::from_secs(6);
    settings
}

fn open(broker: &Broker, protocol: GroupProtocol) -> Result<KafkaLog> {
    Ok(KafkaLog::new(settings(broker, protocol))?)
}

fn topic(log: &KafkaLog, partitions: i32) -> Result<Vec<TopicPartition>> {
    let name = unique("log");
    let config = vec![("retention.ms".to_owned(), "-1".to_owned())];
    log.create(&[NewTopic { name: name.clone(), partitions, replication_factor: 1, config }])?;
    let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(name.as_str(), p)).collect();
    for at in &all {
        wait::until(PATIENCE, "a new partition answers", || {
            Ok(log.offsets(at, Isolation::ReadUncommitted).ok())
        })?;
    }
    Ok(all)
}

fn spec(group: &str, of: &[TopicPartition]) -> GroupSpec {
    let mut topics: Vec<String> = of.iter().map(|at| at.topic.to_string()).collect();
    topics.dedup();
    GroupSpec {
        group: group.to_owned(),
        topics,
        isolation: Isolation::ReadCommitted,
        static_member: None,
        prefetch_bytes_max: 8 << 20,
    }
}

fn put(producer: &mut dyn Producer, at: &TopicPartition, value: &[u8]) -> millstream::Result<()> {
    let topic = producer.topic(&at.topic)?;
    let headers = &Headers::default();
    let (key, value, timestamp) = (None, Some(value), Some(1_000));
    let partition = at.partition;
    producer.send(&OutgoingRecord { topic, partition, key, value, timestamp, headers })
}

fn transactional(log: &KafkaLog) -> Result<Box<dyn Producer>> {
    let transactional_id = Some(unique("txn"));
    let spec = ProducerSpec { transactional_id, ..ProducerSpec::default() };
    wait::until(PATIENCE, "a transactional producer", || match log.producer(&spec) {
        Ok(producer) => Ok(Some(producer)),
        Err(Error::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    })
}

/// A member that keeps its queues, and what was pulled from each.
#[derive(Default)]
struct Owner {
    queues: BTreeMap<TopicPartition, Box<dyn PartitionQueue>>,
    /// Queues of partitions that went away, if they are to be kept.
    former: Option<Vec<Box<dyn PartitionQueue>>>,
    positions: BTreeMap<TopicPartition, i64>,
    revoked: usize,
    lost: usize,
}

impl Owner {
    fn remove(&mut self, removed: &[TopicPartition]) {
        for at in removed {
            let queue = self.queues.remove(at);
            if let (Some(queue), Some(former)) = (queue, &mut self.former) {
                former.push(queue);
            }
        }
    }

    /// Pulls what is there; each record must be the next of its partition.
    fn pull(&mut self) -> Result<usize> {
        let mut count = 0;
        for (at, queue) in &mut self.queues {
            while let Some(batch) = queue.pull(500)? {
                for index in 0..batch.len() {
                    let record = batch.get(index).context("a record")?;
                    let position = self.positions.entry(at.clone()).or_insert(0);
                    ensure!(record.offset == *position, "{at}: {} at {position}", record.offset);
                    *position += 1;
                }
                count += batch.len();
            }
        }
        Ok(count)
    }
}

impl GroupListener for Owner {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> millstream::Result<Vec<i64>> {
        Ok(added.iter().map(|at| self.positions.get(at).copied().unwrap_or(0)).collect())
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        self.queues.extend(added);
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        self.revoked += removed.len();
        self.remove(removed);
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        self.lost += removed.len();
        self.remove(removed);
    }
}

fn poll(member: &mut dyn Membership, owner: &mut Owner) -> Result<()> {
    match member.poll(POLL, owner) {
        Ok(()) | Err(Error::Unavailable { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn until_owns(member: &mut dyn Membership, owner: &mut Owner, count: usize) -> Result<()> {
    wait::until_true(PATIENCE, &format!("a member owns {count} partitions"), || {
        poll(member, owner)?;
        Ok(owner.queues.len() == count)
    })
}
