//! Where to start reading: the committed position of the group, else what the source says.
//!
//! The client is told never to choose by itself (`auto.offset.reset=error`): each choice is made
//! here, per source, and logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{Committed, Isolation, Log, TopicPartition};
use crate::record::Timestamp;
use crate::source::Reset;
use crate::task::Progress;

/// Where a partition starts, and what was noted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartPosition {
    pub(crate) offset: i64,
    pub(crate) progress: Progress,
}

/// Resolves start positions for one group.
#[derive(Debug)]
pub(crate) struct Positions {
    log: Arc<dyn Log>,
    group: String,
    /// Reset policies of the user's sources; internal topics start at their first record.
    resets: BTreeMap<Arc<str>, Reset>,
}

impl Positions {
    pub(crate) fn new(log: Arc<dyn Log>, group: &str, resets: BTreeMap<Arc<str>, Reset>) -> Self {
        Self { log, group: group.to_owned(), resets }
    }

    /// The start of each partition, in order.
    ///
    /// # Errors
    /// `Unavailable` (also while offsets are part of an open transaction): ask again. `Topic` if
    /// there is no committed position and the source's policy is to fail.
    pub(crate) fn resolve(
        &self,
        partitions: &[TopicPartition],
        now: Timestamp,
    ) -> Result<Vec<StartPosition>> {
        let committed = self.log.committed(&self.group, partitions)?;
        let both = partitions.iter().zip(committed);
        both.map(|(partition, committed)| self.start(partition, committed, now)).collect()
    }

    fn start(
        &self,
        partition: &TopicPartition,
        committed: Option<Committed>,
        now: Timestamp,
    ) -> Result<StartPosition> {
        let range = self.log.offsets(partition, Isolation::ReadUncommitted)?;
        let Some(committed) = committed else {
            let offset = self.reset(partition, now)?;
            tracing::info!(%partition, offset, "no committed position: starting by the source's reset policy");
            return Ok(StartPosition { offset, progress: Progress::default() });
        };
        let progress = Progress::decode(&committed.metadata);
        if committed.offset < range.earliest || committed.offset > range.end {
            let offset = self.reset(partition, now)?;
            tracing::error!(
                %partition, committed = committed.offset, earliest = range.earliest,
                end = range.end, offset,
                "the committed position is not in the topic any more: records were deleted before they were read"
            );
            return Ok(StartPosition { offset, progress });
        }
        Ok(StartPosition { offset: committed.offset, progress })
    }

    fn reset(&self, partition: &TopicPartition, now: Timestamp) -> Result<i64> {
        let policy = self.resets.get(&partition.topic).copied().unwrap_or_default();
        let range = self.log.offsets(partition, Isolation::ReadUncommitted)?;
        Ok(match policy {
            Reset::Earliest => range.earliest,
            Reset::Latest => range.end,
            Reset::Ago(back) => {
                let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
                let at = self.log.offset_at(partition, now.0.saturating_sub(back))?;
                at.unwrap_or(range.end)
            }
            Reset::Fail => {
                return Err(Error::Topic {
                    topic: partition.topic.to_string(),
                    reason: format!(
                        "partition {} has no usable committed position, and its source does not allow a reset",
                        partition.partition
                    ),
                });
            }
        })
    }
}
