//! What stands for a log and is cloned in its place.

use crate::error::Result;
use crate::log::{
    Committed, GroupSpec, Isolation, Log, Membership, NewTopic, OffsetRange, Producer,
    ProducerSpec, Reader, TopicDescription,
};
use crate::record::TopicPartition;

/// A value that holds a log and is used as one.
pub(crate) trait Handle: Send + Sync + std::fmt::Debug + 'static {
    fn log(&self) -> &dyn Log;

    /// What tells it from all other logs, if anything does.
    fn own_identity(&self) -> Option<String> {
        None
    }
}

impl<H: Handle> Log for H {
    fn identity(&self) -> Result<Option<String>> {
        Ok(self.own_identity())
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.log().describe(topics)
    }

    fn topics(&self) -> Result<Vec<String>> {
        self.log().topics()
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.log().create(topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        self.log().delete_topics(topics)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.log().delete_records(before)
    }

    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        self.log().offsets(partition, isolation)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        self.log().offset_at(partition, timestamp)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.log().committed(group, partitions)
    }

    fn group_members(&self, group: &str) -> Result<usize> {
        self.log().group_members(group)
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        self.log().delete_group(group)
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.log().set_offsets(group, offsets)
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        self.log().producer(spec)
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        self.log().join(spec)
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.log().reader(isolation)
    }
}
