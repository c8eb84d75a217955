//! A partition that this instance owns, as it goes from the group to a worker and back.

use crate::log::PartitionQueue;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::positions::StartPosition;
use crate::task::OwnedQueues;

/// A partition with what comes with it; `Q` is its queue.
#[derive(Clone, Debug)]
pub(crate) struct OwnedPartition<Q = Box<dyn PartitionQueue>> {
    pub(crate) partition: TopicPartition,
    pub(crate) queue: Q,
    /// Where it is read from; absent where it must be looked up.
    pub(crate) start: Option<StartPosition>,
}

impl<Q> OwnedPartition<Q> {
    /// One whose position must be looked up.
    pub(crate) fn unplaced(partition: TopicPartition, queue: Q) -> Self {
        Self { partition, queue, start: None }
    }
}

/// What a task gave back: where it stood counts for nothing, only what was committed does.
pub(crate) fn unplaced(queues: OwnedQueues) -> Vec<OwnedPartition> {
    queues.into_iter().map(|(at, queue)| OwnedPartition::unplaced(at, queue)).collect()
}

/// A task with what it reads.
#[derive(Debug)]
pub(crate) struct TaskInputs<Q = Box<dyn PartitionQueue>> {
    pub(crate) task: TaskId,
    pub(crate) inputs: Vec<OwnedPartition<Q>>,
}
