//! Reads typed records of a topic.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::assignment::Assignment;
use crate::error::{Error, Result, caught};
use crate::log::{Deadline, Isolation, Log, RawRecord, ReadEvent, Reader, TopicPartition};
use crate::record::RecordAt;
use crate::record::{Data, Record};
use crate::source::Reading;

/// A record with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerRecord<K, V> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Key, value, timestamp and headers.
    pub record: Record<K, V>,
}

/// Reads the records of a topic, outside any group: it commits no positions, and begins where its
/// [`Assignment`] says each time it is opened.
///
/// Records of a partition come in its order, those of different partitions in any.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use millstream::client::{Assignment, Consumer, ConsumerRecord, Producer};
/// use millstream::log::memory::MemoryLog;
/// use millstream::log::{Log, NewTopic};
/// use millstream::record::{Record, Timestamp};
///
/// # fn main() -> millstream::Result<()> {
/// let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
/// log.create(&[NewTopic::new("counts", 1)])?;
/// let mut producer = Producer::<String, i64>::open(&log, "counts")?;
/// producer.send(Record::new("be".to_owned(), 1, Timestamp(5)))?;
/// producer.send(Record::new("be".to_owned(), 2, Timestamp(6)))?;
/// producer.flush()?;
///
/// // All that is there:
/// let mut consumer = Consumer::<String, i64>::open(&log, "counts")?;
/// let counts = consumer.read_to_end(Duration::from_secs(10))?;
/// assert_eq!(counts.iter().map(|counted| counted.record.value).collect::<Vec<_>>(), [1, 2]);
///
/// // What comes from now on:
/// let at_the_end = Assignment::from("counts").from_end();
/// let mut consumer = Consumer::<String, i64>::open(&log, at_the_end)?;
/// producer.send(Record::new("or".to_owned(), 1, Timestamp(7)))?;
/// producer.close()?;
/// let next: Vec<ConsumerRecord<String, i64>> = consumer.poll(Duration::from_secs(10))?;
/// assert_eq!((next[0].record.key.as_str(), next[0].offset), ("or", 2));
/// assert!(consumer.poll(Duration::ZERO)?.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Consumer<K, V> {
    log: Arc<dyn Log>,
    reader: Box<dyn Reader>,
    topic: Arc<str>,
    reading: Reading<K, V>,
    /// The next offset of each partition, as far as its records were handed out.
    positions: BTreeMap<i32, i64>,
    /// Read, and not handed out yet. One that is bad is told by a call of its own.
    read: VecDeque<Result<ConsumerRecord<K, V>>>,
}

impl<K, V> fmt::Debug for Consumer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("positions", &self.positions).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Consumer<K, V> {
    /// Opens a consumer of a topic, or of what an [`Assignment`] says.
    ///
    /// # Errors
    /// `MissingTopic` if the topic does not exist, `Topic` if it does not have a partition that is
    /// asked for, `Unavailable` if the broker does not answer.
    pub fn open(log: &Arc<dyn Log>, of: impl Into<Assignment<K, V>>) -> Result<Self> {
        let assignment = of.into();
        let positions = assignment.positions(&**log)?;
        let mut reader = log.reader(assignment.isolation())?;
        reader.assign(&positions)?;
        let (topic, reading) = assignment.into_reading();
        Ok(Self {
            log: Arc::clone(log),
            reader,
            topic,
            reading,
            positions: positions.into_iter().map(|(at, offset)| (at.partition, offset)).collect(),
            read: VecDeque::new(),
        })
    }

    /// The next records, as soon as there are some; none if there were none within `timeout`.
    /// With a timeout of zero it takes what was fetched already.
    ///
    /// # Errors
    /// `BadRecord` with topic, partition and offset if a serde cannot read a record; the next call
    /// goes on behind it. `OffsetOutOfRange` if the position is no longer in the log, or never was.
    /// `Unavailable` if the broker does not answer: going on polling is right.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord<K, V>>> {
        let deadline = Deadline::after(timeout);
        loop {
            let records = self.take()?;
            if !records.is_empty() || !self.fill(deadline)? {
                return Ok(records);
            }
        }
    }

    /// All records up to where the partitions end at the moment of the call. Transactions that are
    /// open then are waited for: what they commit is among the records.
    ///
    /// # Errors
    /// `Unavailable` if it takes longer than `timeout`: what was read is lost to the caller then.
    /// Otherwise as [`Self::poll`].
    pub fn read_to_end(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord<K, V>>> {
        let deadline = Deadline::after(timeout);
        let ends = self.ends()?;
        let mut all = Vec::new();
        loop {
            all.extend(self.take()?);
            let Some((behind, end)) = self.first_behind(&ends) else { return Ok(all) };
            if !self.fill(deadline)? {
                let position = self.positions.get(&behind.partition).copied().unwrap_or_default();
                let reason = format!("after {timeout:?} it is at offset {position} of {end}");
                return Err(Error::Unavailable { what: format!("reading {behind}"), reason });
            }
        }
    }

    /// Closes the consumer; dropping it does the same.
    pub fn close(self) {
        drop(self);
    }

    /// The partitions with their ends as of now, whoever may see the records there.
    fn ends(&self) -> Result<Vec<(TopicPartition, i64)>> {
        let end = |number: &i32| {
            let at = TopicPartition::new(Arc::clone(&self.topic), *number);
            let end = self.log.offsets(&at, Isolation::ReadUncommitted)?.end;
            Ok((at, end))
        };
        self.positions.keys().map(end).collect()
    }

    fn first_behind<'a>(
        &self,
        ends: &'a [(TopicPartition, i64)],
    ) -> Option<&'a (TopicPartition, i64)> {
        let is_behind = |(at, end): &&(TopicPartition, i64)| {
            self.positions.get(&at.partition).is_some_and(|position| position < end)
        };
        ends.iter().find(is_behind)
    }

    /// Takes what was read, up to the first record that is bad.
    fn take(&mut self) -> Result<Vec<ConsumerRecord<K, V>>> {
        let good = self.read.iter().take_while(|record| record.is_ok()).count();
        if good == 0
            && let Some(bad) = self.read.pop_front()
        {
            return bad.map(|record| vec![record]);
        }
        let records: Result<Vec<_>> = self.read.drain(..good).collect();
        for record in records.iter().flatten() {
            self.positions.insert(record.partition, record.offset + 1);
        }
        records
    }

    /// Reads on; false if nothing came until the deadline.
    fn fill(&mut self, deadline: Deadline) -> Result<bool> {
        match self.reader.read(deadline.left())? {
            None => return Ok(false),
            Some(ReadEvent::End(at, end)) => {
                let position = self.positions.entry(at.partition).or_insert(end);
                *position = end.max(*position);
            }
            Some(ReadEvent::Records(at, batch)) => {
                for index in 0..batch.len() {
                    let Some(raw) = batch.get(index) else { break };
                    let record = self.decoded(&at, &raw);
                    self.read.push_back(record);
                }
            }
        }
        Ok(true)
    }

    fn decoded(&self, at: &TopicPartition, raw: &RawRecord<'_>) -> Result<ConsumerRecord<K, V>> {
        let record = caught(|| self.reading.decode(&self.topic, raw));
        let record = record.map_err(|cause| Error::BadRecord {
            at: RecordAt::offset(at.clone(), raw.offset),
            node: "a consumer".to_owned(),
            cause,
            policy_at: None,
        })?;
        Ok(ConsumerRecord { partition: at.partition, offset: raw.offset, record })
    }
}
