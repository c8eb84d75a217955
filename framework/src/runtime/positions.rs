//! Where to start reading: the committed position of the group, else what the source says.
//!
//! The client is told never to choose by itself (`auto.offset.reset=error`): each choice is made
//! here, per source, and logged.
//!
//! A choice stands until a position is committed: whatever fails in between, the end of a topic is
//! not asked a second time, since what came meanwhile would be skipped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::log::{Committed, Isolation, Log, OffsetRange};
use crate::policy::Reset;
use crate::record::{Timestamp, TopicPartition};
use crate::task::Progress;
use crate::topology::TopicPattern;

/// Where a partition starts, and what was noted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartPosition {
    pub(crate) offset: i64,
    pub(crate) progress: Progress,
    /// The group knows it. One that was chosen is committed as soon as possible, so that the task that
    /// takes the partition over does not choose again.
    pub(crate) committed: bool,
}

/// A position that was chosen.
#[derive(Debug)]
struct Choice {
    /// What was committed then and could not be used.
    instead_of: Option<i64>,
    offset: i64,
}

/// Resolves start positions for one group.
#[derive(Debug)]
pub(crate) struct Positions {
    log: Arc<dyn Log>,
    group: String,
    /// Reset policies of the user's sources; internal topics start at their first record.
    resets: BTreeMap<Arc<str>, Reset>,
    /// Those of sources that read patterns.
    matched: Vec<(TopicPattern, Reset)>,
    /// Of partitions of which nothing usable is committed yet.
    choices: Mutex<BTreeMap<TopicPartition, Choice>>,
}

impl Positions {
    pub(crate) fn new(log: Arc<dyn Log>, group: &str, resets: BTreeMap<Arc<str>, Reset>) -> Self {
        let (group, matched) = (group.to_owned(), Vec::new());
        Self { log, group, resets, matched, choices: Mutex::default() }
    }

    /// And these policies for topics that match patterns.
    pub(crate) fn with_patterns(self, matched: Vec<(TopicPattern, Reset)>) -> Self {
        Self { matched, ..self }
    }

    /// Takes note that positions are committed: what was chosen before is of no use any more.
    pub(crate) fn committed(&self, positions: &[(TopicPartition, Committed)]) {
        let mut choices = self.choices();
        if !choices.is_empty() {
            choices.retain(|chosen, _| positions.iter().all(|(committed, _)| committed != chosen));
        }
    }

    /// Notes that partitions came into being while the instance ran: all that is in them came since,
    /// so they start at their first record, whatever the source says of those that were there.
    pub(crate) fn begin_at_first(&self, partitions: &[TopicPartition]) {
        let mut choices = self.choices();
        for partition in partitions {
            let first = Choice { instead_of: None, offset: 0 };
            choices.entry(partition.clone()).or_insert(first);
        }
    }

    fn choices(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Choice>> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
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
        let is_there = |offset: &i64| (range.earliest..=range.end).contains(offset);
        let known = committed.as_ref().map(|committed| committed.offset);
        let progress =
            committed.map(|committed| Progress::decode(&committed.metadata)).unwrap_or_default();
        if let Some(offset) = known.filter(is_there) {
            return Ok(StartPosition { offset, progress, committed: true });
        }
        let chosen = self.choices().get(partition).and_then(|choice| {
            (choice.instead_of == known).then_some(choice.offset).filter(is_there)
        });
        let offset = match chosen {
            Some(offset) => offset,
            None => self.choose(partition, known, range, now)?,
        };
        Ok(StartPosition { offset, progress, committed: false })
    }

    fn choose(
        &self,
        partition: &TopicPartition,
        instead_of: Option<i64>,
        range: OffsetRange,
        now: Timestamp,
    ) -> Result<i64> {
        let offset = self.reset(partition, range, now)?;
        match instead_of {
            None => {
                tracing::info!(%partition, offset, "no committed position: starting by the source's reset policy");
            }
            Some(committed) => tracing::error!(
                %partition, committed, earliest = range.earliest, end = range.end, offset,
                "the committed position is not in the topic any more: records were deleted before they were read"
            ),
        }
        self.choices().insert(partition.clone(), Choice { instead_of, offset });
        Ok(offset)
    }

    fn reset(&self, partition: &TopicPartition, range: OffsetRange, now: Timestamp) -> Result<i64> {
        let matching = self.matched.iter().find(|(pattern, _)| pattern.matches(&partition.topic));
        let named = self.resets.get(&partition.topic).copied();
        let policy = named.or(matching.map(|(_, reset)| *reset)).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::NewTopic;
    use crate::log::memory::MemoryLog;
    use crate::record::Headers;

    fn log_with(records: i64) -> (MemoryLog, TopicPartition) {
        let log = MemoryLog::new();
        let new = |name: &str| NewTopic {
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: Vec::new(),
        };
        log.create(&[new("in")]).unwrap();
        let partition = TopicPartition::new("in", 0);
        append(&log, &partition, records);
        (log, partition)
    }

    fn append(log: &MemoryLog, partition: &TopicPartition, records: i64) {
        for time in 0..records {
            log.append(partition, None, Some(b"v"), time, &Headers::default()).unwrap();
        }
    }

    fn positions(log: &MemoryLog, reset: Reset) -> Positions {
        let resets = BTreeMap::from([(Arc::from("in"), reset)]);
        Positions::new(Arc::new(log.clone()), "app", resets)
    }

    fn start(positions: &Positions, partition: &TopicPartition) -> (i64, bool) {
        let all = positions.resolve(std::slice::from_ref(partition), Timestamp(100)).unwrap();
        (all[0].offset, all[0].committed)
    }

    fn at(partition: &TopicPartition, offset: i64) -> (TopicPartition, Committed) {
        (partition.clone(), Committed { offset, metadata: String::new() })
    }

    #[test]
    fn a_choice_stands_until_a_position_is_committed() {
        for reset in [Reset::Latest, Reset::Ago(std::time::Duration::from_millis(1))] {
            let (log, partition) = log_with(5);
            let positions = positions(&log, reset);
            assert_eq!(start(&positions, &partition), (5, false), "{reset:?}");
            append(&log, &partition, 2);
            assert_eq!(start(&positions, &partition), (5, false), "{reset:?}");
            positions.committed(&[at(&TopicPartition::new("other", 0), 1)]);
            assert_eq!(start(&positions, &partition), (5, false), "{reset:?}");
            positions.committed(&[at(&partition, 6)]);
            assert_eq!(start(&positions, &partition), (7, false), "{reset:?}");
        }
    }

    /// A choice that was deleted meanwhile is of no use; one below the first record neither.
    #[test]
    fn a_choice_that_is_gone_is_made_anew() {
        let (log, partition) = log_with(5);
        let positions = positions(&log, Reset::Earliest);
        assert_eq!(start(&positions, &partition).0, 0);
        log.delete_records(&[(partition.clone(), 3)]).unwrap();
        assert_eq!(start(&positions, &partition), (3, false));
        log.delete_records(&[(partition.clone(), 5)]).unwrap();
        assert_eq!(start(&positions, &partition), (5, false));
    }

    #[test]
    fn where_no_reset_is_allowed_a_missing_position_is_an_error() {
        let (log, partition) = log_with(5);
        let positions = positions(&log, Reset::Fail);
        let refused = positions.resolve(std::slice::from_ref(&partition), Timestamp(100));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("in") && text.contains("partition 0 has no usable"), "{text}");
    }
}
