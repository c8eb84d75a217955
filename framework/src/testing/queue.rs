//! How a driven task reads a topic: straight from the memory log, without a group.

use crate::error::Result;
use crate::log::memory::{MemoryLog, MemoryRecord};
use crate::log::{PartitionQueue, RawRecord, RecordBatch, Wake};
use crate::record::TopicPartition;

/// The records of one partition from a position on.
pub(super) struct DriverQueue {
    log: MemoryLog,
    partition: TopicPartition,
    position: i64,
}

impl DriverQueue {
    pub(super) fn new(log: MemoryLog, partition: TopicPartition) -> Self {
        Self { log, partition, position: 0 }
    }
}

impl PartitionQueue for DriverQueue {
    fn pull(&mut self, max: usize) -> Result<Option<Box<dyn RecordBatch>>> {
        let mut found = self.log.records_from(&self.partition, self.position);
        found.truncate(max);
        let Some(last) = found.last() else { return Ok(None) };
        self.position = last.offset + 1;
        Ok(Some(Box::new(DriverBatch(found))))
    }

    fn remaining(&self, position: i64) -> Option<u64> {
        Some(self.log.records_from(&self.partition, position).len() as u64)
    }

    fn on_data(&mut self, _wake: Wake) {}
}

#[derive(Debug)]
struct DriverBatch(Vec<MemoryRecord>);

impl RecordBatch for DriverBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Option<RawRecord<'_>> {
        let record = self.0.get(index)?;
        Some(RawRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record.headers.clone(),
        })
    }
}
