//! Knows when an engine is done: when its group has committed the end of the input, and of all its repartition topics.
//!
//! Looking at committed offsets from outside is the same for every engine and costs none of them anything.

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use std::time::Duration;

use crate::cluster::{self, Cluster, Offsets};

/// So many offsets may be transaction markers, which no consumer commits past unless more records follow.
const MARKERS_MAX: i64 = 256;

/// How the names of the topics end that an engine writes and reads again.
const BETWEEN: [&str; 3] =
    ["-repartition", "-subscription-registration-topic", "-subscription-response-topic"];

/// Watches one engine.
pub struct Finish {
    observer: BaseConsumer,
    application: String,
    /// The topics of the input, their partitions and where each ends.
    inputs: Vec<(String, i32, Offsets)>,
}

impl std::fmt::Debug for Finish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finish").field("application", &self.application).finish_non_exhaustive()
    }
}

impl Finish {
    /// To watch the group `application` on its way through the topics of the input, which are complete.
    pub fn of(
        cluster: &Cluster,
        application: &str,
        topics: &[String],
        partitions: i32,
    ) -> Result<Self> {
        let observer = cluster.observer(application)?;
        let mut inputs = Vec::new();
        for topic in topics {
            let ends = cluster::ends(&observer, topic, partitions)?;
            inputs.push((topic.clone(), partitions, ends));
        }
        Ok(Self { observer, application: application.to_owned(), inputs })
    }

    /// Whether everything is processed and committed.
    pub fn reached(&self) -> Result<bool> {
        for (topic, partitions, ends) in &self.inputs {
            if !self.committed(topic, *partitions, ends)? {
                return Ok(false);
            }
        }
        // Only now the repartition topics are complete: their records were acknowledged before the input's offsets. Of
        // a join by foreign key the answers come after the subscriptions, in the order of their names.
        let prefix = format!("{}-", self.application);
        for (topic, partitions) in cluster::topics(&self.observer)? {
            if topic.starts_with(&prefix) && BETWEEN.iter().any(|end| topic.ends_with(end)) {
                let ends = cluster::ends(&self.observer, &topic, partitions)?;
                if !self.committed(&topic, partitions, &ends)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn committed(&self, topic: &str, partitions: i32, ends: &Offsets) -> Result<bool> {
        let committed = match cluster::committed(&self.observer, topic, partitions) {
            // The group's coordinator is still being found: nothing is known yet.
            Err(error) if is_passing(&error) => return Ok(false),
            answer => answer?,
        };
        for (at, end) in ends {
            let next = committed.get(at).copied().unwrap_or(0);
            if next < *end && (*end - next > MARKERS_MAX || self.has_records(at, next)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether any record, and not only markers, stands from this offset on.
    fn has_records(&self, (topic, partition): &(String, i32), from: i64) -> Result<bool> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, *partition, Offset::Offset(from))?;
        self.observer.assign(&assignment)?;
        let found = match self.observer.poll(Duration::from_secs(5)) {
            Some(Err(KafkaError::PartitionEOF(_))) => false,
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(_)) | None => true,
        };
        self.observer.unassign()?;
        Ok(found)
    }
}

/// True for errors that the coordinator of a new group gives until it is ready.
fn is_passing(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<KafkaError>().and_then(KafkaError::rdkafka_error_code);
    matches!(
        code,
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}
