//! The changelog of one store in one task: where each of its writes is noted.

use crate::collector::{Collector, SinkTopic, Target};
use crate::error::Result;
use crate::record::{Headers, Timestamp};

/// The name of a store's changelog topic.
pub(crate) fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// The partition of a changelog topic that a store writes: always the task's own partition.
#[derive(Clone, Debug)]
pub(crate) struct Changelog {
    collector: Collector,
    topic: SinkTopic,
    partition: i32,
}

impl Changelog {
    /// Makes the topic known to the producer; it must exist.
    pub(crate) fn open(mut collector: Collector, topic: &str, partition: i32) -> Result<Self> {
        let topic = collector.topic(topic)?;
        Ok(Self { collector, topic, partition })
    }

    /// The position one past the last acknowledged record; none if nothing was written since the
    /// producer was opened. Complete after the producer's flush.
    pub(crate) fn acknowledged_end(&self) -> Result<Option<i64>> {
        let last = self.collector.acknowledged(self.topic, self.partition)?;
        Ok(last.map(|offset| offset + 1))
    }

    /// Writes one record with the producer's time; a deletion carries no headers.
    pub(crate) fn log_untimed(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &Headers,
    ) -> Result<()> {
        let none = Headers::default();
        let headers = if value.is_some() { headers } else { &none };
        let target = Target::Partition(self.partition);
        self.collector.send(self.topic, target, (Some(key), value), None, headers)
    }

    /// Writes one record; no value is a deletion. Changelog records carry no headers.
    #[inline]
    pub(crate) fn log(&mut self, key: &[u8], value: Option<&[u8]>, at: Timestamp) -> Result<()> {
        let timestamp = Some(at.0).filter(|at| *at >= 0);
        let target = Target::Partition(self.partition);
        self.collector.send(self.topic, target, (Some(key), value), timestamp, &Headers::default())
    }
}
