//! The log over a real Kafka: brokers from 2.5, and the KIP-848 protocol from 4.0.
//!
//! The client is librdkafka. What it is like decides this module's shape:
//! * `membership`: one thread polls and answers rebalances; `tap`: tasks pull straight from the
//!   queues of their partitions; `lag`: what is left, without asking the broker.
//! * `producer` over `send`: records are handed over with as little in between as possible.
//! * `reader`: partitions from offsets; `admin`: topics and offsets.
//! * `queue`, `send`, `refused`, `groups` and `listening` are the files with `unsafe`; `events` the
//!   client's callbacks;
//!   `listening` hears its log lines when they come, and `repeats` holds back what repeats itself.
//! * `error` says what its codes mean to the caller; `settings` what the client is told.

mod admin;
mod error;
mod events;
mod groups;
mod identity;
mod lag;
mod listening;
mod membership;
mod producer;
mod queue;
mod reader;
mod refused;
mod removing;
mod repeats;
mod send;
mod settings;
mod tap;
mod timestamp;

use std::fmt;
use std::sync::Arc;

pub use settings::{GroupProtocol, KafkaSettings};

use crate::error::{Error, Result};
use crate::log::waiting::WaitingForBroker;
use crate::log::{
    Committed, GroupSpec, Isolation, Log, Membership, NewTopic, OffsetRange, Producer,
    ProducerSpec, Reader, TopicDescription,
};
use crate::record::TopicPartition;
use admin::Admin;
use lag::Brokers;
use membership::KafkaMembership;
use producer::KafkaProducer;
use reader::KafkaReader;

/// A Kafka cluster.
pub struct KafkaLog {
    settings: KafkaSettings,
    admin: Admin,
    brokers: Arc<Brokers>,
}

impl KafkaLog {
    /// A log over the cluster that the settings name. It connects when it is used.
    ///
    /// # Errors
    /// `Config` with the settings that the client refuses.
    pub fn new(settings: KafkaSettings) -> Result<Self> {
        if settings.bootstrap_servers.trim().is_empty() {
            return Err(Error::Config("bootstrap_servers is empty".to_owned()));
        }
        settings.check()?;
        let admin = Admin::new(settings.clone());
        Ok(Self { settings, admin, brokers: Arc::default() })
    }
}

/// Why a transactional id cannot be opened by a broker that answers, and what helps.
fn unended(reason: &str, id: &str, servers: &str) -> String {
    let tool = format!("kafka-transactions.sh --bootstrap-server {servers}");
    format!(
        "{reason}: the broker answers, but the last transaction of {id} has not ended in all its \
         partitions. If it stays so, `{tool} describe --transactional-id {id}` shows them; `{tool} \
         forceTerminateTransaction --transactional-id {id}` ends one that is open, and `{tool} abort` \
         with topic, partition and start offset one that `{tool} find-hanging` shows"
    )
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaLog({})", self.settings.bootstrap_servers)
    }
}

impl Log for KafkaLog {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        let _waiting = WaitingForBroker::begin();
        topics.iter().map(|topic| self.admin.describe(topic)).collect()
    }

    fn topics(&self) -> Result<Vec<String>> {
        let _waiting = WaitingForBroker::begin();
        self.admin.topics()
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        let _waiting = WaitingForBroker::begin();
        self.admin.create(topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        self.admin.delete_topics(topics)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        let _waiting = WaitingForBroker::begin();
        self.admin.delete_records(before)
    }

    fn identity(&self) -> Result<Option<String>> {
        let _waiting = WaitingForBroker::begin();
        self.admin.cluster_id()
    }

    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        let _waiting = WaitingForBroker::begin();
        self.admin.offsets(partition, isolation)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        let _waiting = WaitingForBroker::begin();
        self.admin.offset_at(partition, timestamp)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        let _waiting = WaitingForBroker::begin();
        self.admin.committed(group, partitions)
    }

    fn group_members(&self, group: &str) -> Result<usize> {
        self.admin.group_members(group)
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        self.admin.delete_group(group)
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.admin.set_offsets(group, offsets)
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        let _waiting = WaitingForBroker::begin();
        match (KafkaProducer::open(&self.settings, spec), &spec.transactional_id) {
            (Ok(opened), _) => Ok(Box::new(opened)),
            // The client says only that time was up. If the broker answers, it waits for the end
            // of a transaction.
            (Err(Error::Unavailable { what, reason }), Some(id)) if self.admin.is_answered() => {
                let reason = unended(&reason, id, &self.settings.bootstrap_servers);
                Err(Error::Unavailable { what, reason })
            }
            (Err(error), _) => Err(error),
        }
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        let _waiting = WaitingForBroker::begin();
        let mut partitions = 0;
        for topic in &spec.topics {
            let described = self.admin.describe(topic)?;
            let count = described.map_or(1, |topic| topic.partitions);
            partitions += usize::try_from(count).unwrap_or(1);
        }
        let brokers = Arc::clone(&self.brokers);
        Ok(Box::new(KafkaMembership::join(&self.settings, spec, partitions, brokers)?))
    }

    fn brokers_connected(&self) -> Option<usize> {
        self.brokers.connected()
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(KafkaReader::open(&self.settings, isolation)))
    }
}
