//! Where a record is and where it came from: partitions of topics, and the task that reads them.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
///
/// ```
/// use millstream::TaskId;
/// use millstream::record::{RecordMetadata, TopicPartition};
///
/// assert_eq!(TopicPartition::new("orders", 3).to_string(), "orders-3");
/// assert_eq!(TaskId { sub_topology: 1, partition: 3 }.to_string(), "1_3");
/// let from = RecordMetadata { topic: "orders", partition: 3, offset: 77 };
/// assert_eq!(from.to_string(), "orders-3@77");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// `<sub-topology>_<partition>`, as in Kafka Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The number of the sub-topology.
    pub sub_topology: u32,
    /// The partition.
    pub partition: i32,
}

impl TaskId {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sub_topology, partition) = text.split_once('_')?;
        let (sub_topology, partition) = (sub_topology.parse().ok()?, partition.parse().ok()?);
        let id = Self { sub_topology, partition };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

/// Where the record in hand came from.
///
/// A row that a table hands on later (when its record cache is flushed, or when a window closes) is
/// made of many records; it comes from its changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// Its topic; for a row of a table, the changelog's name (also if the table is not logged).
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset; -1 for a row of a table, whose changelog record has no offset yet.
    pub offset: i64,
}

impl fmt::Display for RecordMetadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            ..0 => write!(f, "{}-{}", self.topic, self.partition),
            offset => write!(f, "{}-{}@{offset}", self.topic, self.partition),
        }
    }
}

/// Where a record is that cannot be read, processed or written.
///
/// ```
/// use millstream::{Error, RecordAt, StreamsBuilder};
/// # use millstream::testing::{TopologyDriver, text};
///
/// # let builder = StreamsBuilder::new();
/// let stream = builder.stream::<String, String>("in");
/// stream.try_map_values(|text| text.parse::<i64>()).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// match driver.pipe("in", &text("k", "seven", 1)) {
///     Err(Error::BadRecord { at: RecordAt::Partition { partition, offset }, .. }) => {
///         assert_eq!((partition.to_string().as_str(), offset), ("in-0", Some(0)));
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordAt {
    /// In a partition.
    Partition {
        /// Which.
        partition: TopicPartition,
        /// Its offset; none if it has none yet: it was to be written, or is a row of a table.
        offset: Option<i64>,
    },
    /// It was to be produced, to this topic if one was chosen.
    Outgoing {
        /// Which.
        topic: Option<String>,
    },
    /// It was made by a punctuation.
    Punctuation,
}

impl RecordAt {
    /// At an offset of a partition; a negative one stands for none.
    pub(crate) fn offset(partition: TopicPartition, offset: i64) -> Self {
        Self::Partition { partition, offset: Some(offset).filter(|offset| *offset >= 0) }
    }
}

impl fmt::Display for RecordAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition { partition, offset: Some(offset) } => {
                write!(f, "{partition}@{offset}")
            }
            Self::Partition { partition, offset: None } => partition.fmt(f),
            Self::Outgoing { topic: Some(topic) } => write!(f, "a record for topic {topic}"),
            Self::Outgoing { topic: None } => f.write_str("a record to be produced"),
            Self::Punctuation => f.write_str("a punctuation"),
        }
    }
}

impl From<RecordMetadata<'_>> for RecordAt {
    fn from(source: RecordMetadata<'_>) -> Self {
        Self::offset(TopicPartition::new(source.topic, source.partition), source.offset)
    }
}
