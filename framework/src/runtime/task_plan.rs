//! Which tasks there are over the topics as they are, and which partitions each reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::{TaskId, TopicPartition};
use crate::topology::SubTopologyShape;

/// The tasks of a topology over the topics as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskPlan {
    pub(super) required: BTreeMap<TaskId, BTreeSet<TopicPartition>>,
    pub(super) task_of: BTreeMap<TopicPartition, TaskId>,
    /// Sub-topologies whose tasks run with what is here.
    pub(super) partial: BTreeSet<u32>,
}

impl TaskPlan {
    /// Plans the tasks.
    ///
    /// # Errors
    /// `Topic` if topics of a co-partitioned sub-topology differ in partition count.
    pub(crate) fn new(shapes: &[SubTopologyShape]) -> Result<Self> {
        let mut plan = Self::default();
        for shape in shapes {
            let unequal = shape.topics.windows(2).any(|pair| match pair {
                [(_, a), (_, b)] => a != b,
                _ => false,
            });
            if unequal && shape.copartitioned {
                return Err(not_copartitioned(shape));
            }
            if unequal && !shape.whole {
                plan.partial.insert(shape.id);
            }
            for (topic, partitions) in &shape.topics {
                for partition in 0..*partitions {
                    let task = TaskId { sub_topology: shape.id, partition };
                    let partition = TopicPartition::new(Arc::clone(topic), partition);
                    plan.required.entry(task).or_default().insert(partition.clone());
                    plan.task_of.insert(partition, task);
                }
            }
        }
        Ok(plan)
    }

    /// How many tasks there are in all instances together.
    pub(crate) fn tasks(&self) -> usize {
        self.required.len()
    }
}

fn not_copartitioned(shape: &SubTopologyShape) -> Error {
    let counts: Vec<String> =
        shape.topics.iter().map(|(topic, count)| format!("{topic} has {count}")).collect();
    Error::Topic {
        topic: shape.topics.iter().map(|(topic, _)| &**topic).collect::<Vec<_>>().join(", "),
        reason: format!(
            "sub-topology {} needs equal partition counts, but {}",
            shape.id,
            counts.join(", ")
        ),
    }
}
