//! The loop of one worker: pull, process, and each second commit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::BaseConsumer;
use rdkafka::{Offset, TopicPartitionList};

use super::Work;
use super::outbox::Outbox;
use crate::clock;
use crate::native::{Bell, PartitionQueue};

/// A partition with what is done with its records.
pub(super) struct Source {
    pub(super) topic: String,
    pub(super) partition: i32,
    queue: PartitionQueue,
    work: Box<dyn Work>,
    /// The offset after the last record taken in, while it is not committed.
    uncommitted: Option<i64>,
}

impl Source {
    pub(super) fn new(
        topic: String,
        partition: i32,
        queue: PartitionQueue,
        work: Box<dyn Work>,
    ) -> Self {
        Self { topic, partition, queue, work, uncommitted: None }
    }
}

/// One of the threads.
pub(super) struct Worker {
    pub(super) sources: Vec<Source>,
    pub(super) outbox: Outbox,
    pub(super) bell: Arc<Bell>,
    pub(super) consumer: Arc<BaseConsumer>,
    pub(super) interval: Duration,
}

impl Worker {
    /// Works until something fails; that is returned.
    pub(super) fn run(mut self) -> anyhow::Error {
        match self.work() {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    fn work(&mut self) -> Result<std::convert::Infallible> {
        let mut open = false;
        let mut next_commit = clock::now() + self.interval;
        loop {
            let pulled = self.pull_all(&mut open)?;
            let now = clock::now();
            if now >= next_commit {
                if open {
                    self.commit()?;
                    open = false;
                }
                next_commit = now + self.interval;
            } else if pulled == 0 {
                self.bell.wait(next_commit - now);
            }
        }
    }

    /// One batch of each partition; `open` tells whether there is anything to commit.
    fn pull_all(&mut self, open: &mut bool) -> Result<usize> {
        let mut pulled = 0;
        for source in &mut self.sources {
            let batch = source.queue.pull();
            if batch.is_empty() {
                continue;
            }
            if !*open {
                self.outbox.begin()?;
                *open = true;
            }
            source.work.process(&batch, &self.outbox)?;
            pulled += batch.len();
            if let Some(last) = batch.records().last() {
                source.uncommitted = Some(last?.offset() + 1);
            }
        }
        Ok(pulled)
    }

    fn commit(&mut self) -> Result<()> {
        let mut offsets = TopicPartitionList::new();
        for source in &mut self.sources {
            let Some(next) = source.uncommitted.take() else { continue };
            source.work.flush(&self.outbox)?;
            offsets.add_partition_offset(&source.topic, source.partition, Offset::Offset(next))?;
        }
        self.outbox.commit(&self.consumer, &offsets)
    }
}
