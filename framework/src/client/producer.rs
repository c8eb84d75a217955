//! Writes typed records to topics.

use std::fmt;
use std::sync::Arc;

use crate::collector::{SinkTopic, Target, WorkerProducer};
use crate::error::BoxError;
use crate::error::{Error, Result, caught};
use crate::log::{Log, ProducerSpec};
use crate::record::RecordAt;
use crate::record::{Data, Record};
use crate::serde::Null;
use crate::sink::{Destination, Partitions, Produced};

/// Writes records of one pair of types to a topic, or to the topics that they choose.
///
/// | | |
/// |---|---|
/// | serdes | those of the types, or of [`Produced::with_serdes`] |
/// | partition | of the key, as Kafka's Java clients choose it; in turn without a key; or [`Produced::partitioner`] |
/// | timestamp | the record's; a negative one becomes the time of sending |
/// | order | kept within a partition |
/// | number of partitions | as it was when the producer first wrote to the topic |
///
/// It belongs to one thread. A program that writes from several opens one in each.
///
/// ```
/// use std::sync::Arc;
///
/// use millstream::client::Producer;
/// use millstream::log::memory::MemoryLog;
/// use millstream::log::{Log, NewTopic};
/// use millstream::record::{Record, Timestamp};
///
/// # fn main() -> millstream::Result<()> {
/// let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
/// log.create(&[NewTopic::new("lines", 1)])?;
///
/// // `Option` is what may be null in Kafka.
/// let mut producer = Producer::<Option<String>, String>::open(&log, "lines")?;
/// let mut record = Record::new(None, "to be or not to be".to_owned(), Timestamp(1_000));
/// record.headers.push("source", Some(b"Hamlet".to_vec()));
/// producer.send(record)?;
/// producer.flush()?; // from here on it is there
/// producer.close()?;
///
/// let unknown = Producer::<String, String>::open(&log, "verses").unwrap_err();
/// assert!(unknown.to_string().starts_with("topic verses does not exist"));
/// # Ok(())
/// # }
/// ```
pub struct Producer<K, V> {
    producer: WorkerProducer,
    produced: Produced<K, V>,
    /// The only topic, unless records choose it.
    fixed: Option<(Arc<str>, SinkTopic)>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<K, V> fmt::Debug for Producer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("to", &self.produced).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Producer<K, V> {
    /// Opens a producer to a topic, or to where and how a [`Produced`] says.
    ///
    /// # Errors
    /// `MissingTopic` if the topic does not exist, `Unavailable` if the broker does not answer.
    pub fn open(log: &Arc<dyn Log>, to: impl Into<Produced<K, V>>) -> Result<Self> {
        let produced = to.into();
        let opened = log.producer(&ProducerSpec::default())?;
        let mut producer = WorkerProducer::new(Arc::clone(log), opened, false);
        let fixed = match &produced.destination {
            Destination::Fixed(topic) => Some((Arc::clone(topic), producer.topic(topic)?)),
            Destination::PerRecord(_) => None,
        };
        Ok(Self { producer, produced, fixed, key: Vec::new(), value: Vec::new() })
    }

    /// Hands a record over, and returns before it is written: [`Self::flush`] waits for that. Waits
    /// for room while too much is under way. One that the partitioner sends nowhere is not sent.
    ///
    /// # Errors
    /// `BadRecord` if a serde or the partitioner refuses it, `Refused` if it is larger than any topic
    /// takes, `MissingTopic` if it chose a topic that does not exist: it was not sent, and the producer
    /// goes on. Otherwise as [`Self::flush`], of a record that was sent before.
    pub fn send(&mut self, mut record: Record<K, V>) -> Result<()> {
        let (name, topic) = match &self.fixed {
            Some(fixed) => fixed.clone(),
            None => self.topic_of(&record)?,
        };
        let Self { producer, produced, key, value, .. } = self;
        let partitions = producer.partitions(topic)?;
        let encoded = caught(|| {
            let nulls = produced.encode(&name, &mut record, key, value)?;
            Ok((nulls, produced.chosen(&name, &record, partitions)?))
        });
        let ((null_key, null_value), chosen) =
            encoded.map_err(|error| not_written(Some(name.to_string()), error))?;
        let key = (null_key == Null::No).then_some(&**key);
        let value = (null_value == Null::No).then_some(&**value);
        let timestamp = Some(record.timestamp.0).filter(|at| *at >= 0);
        let mut send = |target: Target<'_>| {
            producer.send(topic, target, (key, value), timestamp, &record.headers)
        };
        let sent = match chosen {
            Partitions::ByKey => send(produced.by_key(key)),
            Partitions::One(one) => send(Target::Partition(one)),
            Partitions::Several(several) => {
                several.into_iter().try_for_each(|one| send(Target::Partition(one)))
            }
            Partitions::Nowhere => Ok(()),
        };
        sent.map_err(|error| self.told(error))
    }

    /// Waits until all that was sent is written.
    ///
    /// # Errors
    /// `Refused` with topic, partition and reason if a topic refuses a record for good (it is too
    /// large, its time is too far from now, it has no key in a compacted topic); the producer can
    /// go on. Of what was sent since the last flush, records that a broker was sent together with
    /// the refused one are not written either. `Unavailable` or `Aborted` if the broker did not
    /// answer in time: what was sent since the last flush may or may not be written.
    pub fn flush(&mut self) -> Result<()> {
        self.producer.producer().flush().map_err(|error| self.told(error))
    }

    /// Flushes, and closes the producer. One that is dropped without may take with it what it was
    /// handed since the last flush.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(mut self) -> Result<()> {
        self.flush()
    }

    fn topic_of(&mut self, record: &Record<K, V>) -> Result<(Arc<str>, SinkTopic)> {
        let name = match &self.produced.destination {
            Destination::Fixed(name) => Arc::clone(name),
            Destination::PerRecord(choose) => {
                let name = caught(|| Ok(choose(record)));
                Arc::from(&*name.map_err(|error| not_written(None, error))?)
            }
        };
        let topic = self.producer.topic(&name)?;
        Ok((name, topic))
    }

    /// What a failure is about, if a topic refused something.
    fn told(&mut self, error: Error) -> Error {
        if !matches!(error, Error::Aborted { .. }) {
            return error;
        }
        let refused = self.producer.producer().take_refused().into_iter().next();
        refused.map_or(error, |first| Error::Refused {
            partition: first.partition,
            kind: first.kind,
            reason: first.reason,
        })
    }
}

fn not_written(topic: Option<String>, cause: BoxError) -> Error {
    Error::BadRecord {
        at: RecordAt::Outgoing { topic },
        node: "a producer".to_owned(),
        cause,
        policy_at: None,
    }
}
