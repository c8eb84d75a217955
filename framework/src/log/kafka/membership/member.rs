//! What workers do in the name of a member: commit, seek, and say who they are.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::error::{Error, Result};
use crate::log::deadline::Deadline;
use crate::log::kafka::error;
use crate::log::kafka::membership::group::Group;
use crate::log::kafka::queue;
use crate::log::locked::locked;
use crate::log::waiting::WaitingForBroker;
use crate::log::{Committed, Generation, Member};
use crate::record::TopicPartition;

/// What workers do in the name of a member. It does not keep the member in its group.
pub(super) struct KafkaMember {
    pub(super) place: Arc<Mutex<Weak<Group>>>,
}

/// How long a commit rests before it asks whether the client has learned its new epoch.
const EPOCH_PAUSE: Duration = Duration::from_millis(50);

impl KafkaMember {
    fn group(&self) -> Result<Arc<Group>> {
        locked(&self.place).upgrade().ok_or_else(|| Error::Fenced {
            what: "member".to_owned(),
            reason: "it has left its group".to_owned(),
        })
    }
}

impl Member for KafkaMember {
    fn commit(&self, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let group = self.group()?;
        let what = format!("commit of group {}", group.name);
        if !group.is_member() {
            let reason = "the member is no longer in the group".to_owned();
            return Err(Error::Aborted { what, reason });
        }
        let list = list_of(offsets)?;
        let _waiting = WaitingForBroker::begin();
        let deadline = Deadline::after(group.request_timeout);
        loop {
            // Also in between: the next epoch may be one without these partitions.
            for (partition, _) in offsets {
                group.tap(partition)?;
            }
            let wait = deadline.left();
            match queue::commit(&group.consumer, &list, wait) {
                Ok(()) => return Ok(()),
                // The epoch of a KIP-848 member grows while it keeps its partitions; the client
                // learns the new one with its next heartbeat.
                Err(Code::StaleMemberEpoch) if group.is_member() && !deadline.passed() => {
                    deadline.rest(EPOCH_PAUSE);
                }
                Err(code) => return Err(error::from_code(&what, None, code, "")),
            }
        }
    }

    fn seek(&self, positions: &[(TopicPartition, i64)]) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let group = self.group()?;
        let _waiting = WaitingForBroker::begin();
        let deadline = Deadline::after(group.request_timeout);
        let mut left: Vec<(TopicPartition, i64)> = positions.to_vec();
        loop {
            left = group.seek_once(&left, deadline.left())?;
            let Some((partition, _)) = left.first() else { return Ok(()) };
            if deadline.passed() {
                return Err(Error::Unavailable {
                    what: format!("seek of {partition}"),
                    reason: "the client has not started it yet".to_owned(),
                });
            }
            deadline.rest(Duration::from_millis(5));
        }
    }

    fn generation(&self) -> Result<Generation> {
        let group = self.group()?;
        let nobody = || Error::Aborted {
            what: format!("identity in group {}", group.name),
            reason: "the member is in no generation".to_owned(),
        };
        if group.consumer.assignment_lost() {
            return Err(nobody());
        }
        Ok(Generation(Box::new(group.identity().ok_or_else(nobody)?)))
    }
}

impl Group {
    /// Seeks, and returns what the client was not ready for.
    fn seek_once(
        &self,
        positions: &[(TopicPartition, i64)],
        wait: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            self.tap(partition)?;
            let at = Offset::Offset(*offset);
            list.add_partition_offset(&partition.topic, partition.partition, at)
                .map_err(|error| error::from_client("seek", Some(&partition.topic), &error))?;
        }
        let sought = self.consumer.seek_partitions(list, wait.max(Duration::from_millis(1)));
        let sought = sought.map_err(|error| Error::Unavailable {
            what: format!("seek in group {}", self.name),
            reason: error.to_string(),
        })?;
        let mut again = Vec::new();
        for (element, (partition, offset)) in sought.elements().iter().zip(positions) {
            match element.error() {
                Ok(()) => self.tap(partition)?.sought(*offset),
                Err(error) => match error.rdkafka_error_code() {
                    // The fetcher of a partition that was just assigned is about to start.
                    Some(Code::State | Code::PreviousInProgress | Code::InProgress) => {
                        again.push((partition.clone(), *offset));
                    }
                    _ => {
                        let what = format!("seek of {partition}");
                        return Err(error::from_client(&what, Some(&partition.topic), &error));
                    }
                },
            }
        }
        Ok(again)
    }
}

/// Positions as the client wants them, with their texts.
pub(in crate::log::kafka) fn list_of(
    offsets: &[(TopicPartition, Committed)],
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        element
            .set_offset(Offset::Offset(committed.offset))
            .map_err(|error| error::from_client("commit", Some(&partition.topic), &error))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}

/// The error of who uses a partition that it has lost.
pub(super) fn not_owned(partition: &TopicPartition) -> Error {
    Error::Aborted {
        what: format!("use of {partition}"),
        reason: "the member does not own it any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_keep_their_texts() {
        let committed = Committed { offset: 7, metadata: "AgAAAAA=".to_owned() };
        let list = list_of(&[(TopicPartition::new("orders", 3), committed)]).expect("valid");
        let element = list.find_partition("orders", 3).expect("added");
        assert_eq!((element.offset(), element.metadata()), (Offset::Offset(7), "AgAAAAA="));
    }

    #[test]
    fn a_member_that_left_is_fenced() {
        let member = KafkaMember { place: Arc::default() };
        assert!(matches!(member.generation(), Err(Error::Fenced { .. })));
    }
}
