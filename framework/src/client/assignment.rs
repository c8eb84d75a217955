//! What a consumer reads: a topic, its serdes, which partitions from where, and what it sees.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{Isolation, Log, TopicPartition};
use crate::serde::{HasSerde, Serde};
use crate::source::Reading;

/// Where a consumer begins in a partition.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// At the first record that is still there.
    Beginning,
    /// Behind what is there now.
    End,
}

/// What a [`Consumer`](super::Consumer) reads. A topic's name alone is enough where the types know
/// their serdes: all partitions from the beginning, committed records only.
///
/// ```
/// use millstream::client::Assignment;
/// use millstream::serde::{Json, Plain};
///
/// let new_orders = Assignment::<String, String>::from("orders").from_end();
/// let part = Assignment::<String, String>::from("orders").of_partitions([0, 3]);
/// let at = Assignment::<String, String>::from("orders").from_offsets([(0, 1_200), (3, 0)]);
/// let tuples = Assignment::<String, (u32, u32)>::with_serdes("pairs", Plain, Json);
/// let lists = Assignment::<String, Vec<u32>>::with_values("lists", Json);
/// let all = Assignment::<String, String>::from("orders").from_beginning().read_uncommitted();
/// ```
pub struct Assignment<K, V> {
    topic: Arc<str>,
    reading: Reading<K, V>,
    /// None: all partitions. Some are given an offset.
    partitions: Option<BTreeMap<i32, Option<i64>>>,
    /// Where the others begin.
    start: Start,
    isolation: Isolation,
}

impl<K, V> fmt::Debug for Assignment<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("start", &self.start)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> From<&str> for Assignment<K, V> {
    fn from(topic: &str) -> Self {
        Self::of(topic, Arc::new(K::Serde::default()), Arc::new(V::Serde::default()))
    }
}

impl<K: HasSerde, V: HasSerde> From<String> for Assignment<K, V> {
    fn from(topic: String) -> Self {
        Self::from(topic.as_str())
    }
}

impl<K: HasSerde, V> Assignment<K, V> {
    /// A topic whose values this serde reads; keys that of their own.
    pub fn with_values(topic: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(topic, K::Serde::default(), value)
    }
}

impl<K, V> Assignment<K, V> {
    /// A topic whose bytes these serdes read.
    pub fn with_serdes(topic: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::of(topic, Arc::new(key), Arc::new(value))
    }

    fn of(topic: &str, key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> Self {
        Self {
            topic: Arc::from(topic),
            reading: Reading { key, value, timestamp: None },
            partitions: None,
            start: Start::Beginning,
            isolation: Isolation::ReadCommitted,
        }
    }

    /// From the first record that is still there: the default.
    #[must_use]
    pub fn from_beginning(mut self) -> Self {
        self.start = Start::Beginning;
        self
    }

    /// Only what is committed after the consumer was opened.
    #[must_use]
    pub fn from_end(mut self) -> Self {
        self.start = Start::End;
        self
    }

    /// These partitions and no others.
    #[must_use]
    pub fn of_partitions(mut self, partitions: impl IntoIterator<Item = i32>) -> Self {
        self.partitions = Some(partitions.into_iter().map(|number| (number, None)).collect());
        self
    }

    /// These partitions and no others, each from an offset on. Offsets have gaps: the first record
    /// read is the one at the offset, or the next one behind it.
    #[must_use]
    pub fn from_offsets(mut self, offsets: impl IntoIterator<Item = (i32, i64)>) -> Self {
        let starts = offsets.into_iter().map(|(number, offset)| (number, Some(offset)));
        self.partitions = Some(starts.collect());
        self
    }

    /// Shows all records at once, also those of transactions that are open or were aborted.
    #[must_use]
    pub fn read_uncommitted(mut self) -> Self {
        self.isolation = Isolation::ReadUncommitted;
        self
    }

    pub(super) fn isolation(&self) -> Isolation {
        self.isolation
    }

    pub(super) fn into_reading(self) -> (Arc<str>, Reading<K, V>) {
        (self.topic, self.reading)
    }

    /// The partitions with the offsets to begin at.
    pub(super) fn positions(&self, log: &dyn Log) -> Result<Vec<(TopicPartition, i64)>> {
        let described = log.describe(&[&self.topic])?.into_iter().next().flatten();
        let missing = || Error::MissingTopic { topic: self.topic.to_string() };
        let count = described.ok_or_else(missing)?.partitions;
        let all = || (0..count).map(|number| (number, None)).collect();
        let wanted = self.partitions.clone().unwrap_or_else(all);
        if let Some(number) = wanted.keys().find(|number| !(0..count).contains(*number)) {
            let reason = format!("partition {number} is asked for, and it has {count}");
            return Err(Error::Topic { topic: self.topic.to_string(), reason });
        }
        let position = |(number, offset): (i32, Option<i64>)| {
            let at = TopicPartition::new(Arc::clone(&self.topic), number);
            let offset = match (offset, self.start) {
                (Some(offset), _) => offset,
                (None, Start::Beginning) => log.offsets(&at, self.isolation)?.earliest,
                (None, Start::End) => log.offsets(&at, self.isolation)?.end,
            };
            Ok((at, offset))
        };
        wanted.into_iter().map(position).collect()
    }
}
