//! What to read and how: topics, serdes, timestamps, and what to do with bad records.

use std::fmt;
use std::sync::Arc;

use crate::error::BoxError;
use crate::log::RawRecord;
use crate::policy::{OnError, Reset};
use crate::record::{Data, Record, Shared, Timestamp};
use crate::serde::{HasSerde, Part, Place, Serde};

/// Chooses a record's timestamp; the second argument is the highest one of the partition so far.
pub(crate) type Extractor<K, V> =
    Arc<dyn Fn(&Record<K, V>, Timestamp) -> Result<Option<Timestamp>, BoxError> + Send + Sync>;

/// How a source reads its topics. A topic's name alone is enough where the types know their
/// serdes.
///
/// ```
/// use std::time::Duration;
/// use millstream::record::Timestamp;
/// use millstream::serde::{Json, Plain};
/// use millstream::{Consumed, DropReason, OnError, Reset};
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let both = Consumed::<String, String>::from_topics(["paper", "web"]).named("orders");
/// builder.stream(both.reset(Reset::Ago(Duration::from_secs(3600)))).to("all");
/// let lists = Consumed::<String, Vec<i64>>::with_values("lists", Json);
/// builder.stream(lists.on_error(OnError::Skip)).map_values(|list| list.len() as i64).to("lengths");
/// let pairs = Consumed::<(i64, i64), String>::with_serdes("pairs", Json, Plain);
/// builder.stream(pairs).map_values(|text| text).for_each(|_, _| {});
/// // The time stands in the value; without one the record is dropped.
/// let timed = Consumed::<String, String>::from("timed")
///     .timestamp(|record, _latest| record.value.parse().ok().map(Timestamp));
/// builder.stream(timed).to("by-time");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("lists", &text("k", "[1, 2]", 1))?;
/// driver.pipe("lists", &text("k", "no list", 2))?;
/// driver.pipe("timed", &text("k", "77", 1))?;
/// assert_eq!(driver.read::<String, i64>("lengths")?[0].value, 2);
/// assert_eq!(driver.dropped(DropReason::BadBytes), 1);
/// assert_eq!(driver.read::<String, String>("by-time")?[0].timestamp, Timestamp(77));
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Consumed<K, V> {
    pub(crate) topics: Vec<Arc<str>>,
    /// Reads all topics that match it, instead of those.
    pub(crate) pattern: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) reading: Reading<K, V>,
    pub(crate) policy: OnError,
    /// For records that have no place.
    pub(crate) drops: OnError,
    pub(crate) reset: Reset,
}

/// What it takes to make a typed record of bytes.
pub(crate) struct Reading<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) timestamp: Option<Extractor<K, V>>,
}

impl<K: Data, V: Data> Reading<K, V> {
    /// Key, value, time and headers of a record of this topic.
    #[inline]
    pub(crate) fn decode(
        &self,
        topic: &str,
        raw: &RawRecord<'_>,
    ) -> Result<Record<K, V>, BoxError> {
        let mut headers = raw.headers.clone();
        let mut place = Place { topic, part: Part::Key, headers: &mut headers };
        let key = self.key.deserialize(&mut place, raw.key)?;
        place.part = Part::Value;
        let value = self.value.deserialize(&mut place, raw.value)?;
        Ok(Record { key, value, timestamp: Timestamp(raw.timestamp), headers })
    }
}

impl<K, V> Clone for Reading<K, V> {
    fn clone(&self) -> Self {
        Self {
            key: Arc::clone(&self.key),
            value: Arc::clone(&self.value),
            timestamp: self.timestamp.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Consumed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumed")
            .field("topics", &self.topics)
            .field("pattern", &self.pattern)
            .field("policy", &self.policy)
            .field("reset", &self.reset)
            .finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> From<&str> for Consumed<K, V> {
    fn from(topic: &str) -> Self {
        Self::from_topics([topic])
    }
}

impl<K: HasSerde, V: HasSerde> From<String> for Consumed<K, V> {
    fn from(topic: String) -> Self {
        Self::from_topics([topic])
    }
}

impl<K: HasSerde, V: HasSerde> Consumed<K, V> {
    /// Several topics of the same types, read as one stream.
    pub fn from_topics(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(topics, Arc::new(K::Serde::default()), Arc::new(V::Serde::default()))
    }

    /// All topics whose whole names match a regular expression, those too that are created while the application runs:
    /// they are looked for every `metadata_max_age_ms`, and read from their first record.
    ///
    /// Of a stream behind which state is kept, a topic that comes later may not have more partitions than those that
    /// were there. Internal topics of the application match nothing.
    ///
    /// ```
    /// use millstream::Consumed;
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream(Consumed::<String, String>::pattern("orders-(eu|us)-.*")).to("all");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders-eu-1", &text("7", "pens", 1))?;
    /// driver.pipe("orders-us-2", &text("8", "ink", 2))?;
    /// assert_eq!(driver.read::<String, String>("all")?.len(), 2);
    /// assert!(driver.pipe("orders-eu", &text("9", "paper", 3)).is_err());
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn pattern(pattern: &str) -> Self {
        Self { pattern: Some(pattern.to_owned()), ..Self::from_topics([""; 0]) }
    }
}

impl<K: HasSerde, V> Consumed<K, V> {
    /// A topic whose values this serde reads; keys are read by that of their type.
    pub fn with_values(topic: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(topic, K::Serde::default(), value)
    }
}

impl<K, V> Consumed<K, V> {
    /// A topic whose bytes these serdes read.
    pub fn with_serdes(topic: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::of([topic], Arc::new(key), Arc::new(value))
    }

    fn of(
        topics: impl IntoIterator<Item = impl Into<String>>,
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            topics: topics.into_iter().map(|topic| topic.into().into()).collect(),
            pattern: None,
            name: None,
            reading: Reading { key, value, timestamp: None },
            policy: OnError::default(),
            drops: OnError::Skip,
            reset: Reset::default(),
        }
    }

    /// All topics that match a [pattern](Self::pattern), whose bytes these serdes read.
    ///
    /// ```
    /// # use millstream::{Consumed, serde::{Json, Plain}};
    /// let lists = Consumed::<String, Vec<i64>>::pattern_with_serdes("lists-.*", Plain, Json);
    /// ```
    pub fn pattern_with_serdes(pattern: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        let none = Self::of([""; 0], Arc::new(key), Arc::new(value));
        Self { pattern: Some(pattern.to_owned()), ..none }
    }

    /// The name of the source node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Takes timestamps from here instead of from the record's own. The second argument is the
    /// highest timestamp of the partition so far. A record for which it gives none, or a negative
    /// one, is dropped and counted.
    #[must_use]
    pub fn timestamp(
        mut self,
        extractor: impl Fn(&Record<K, V>, Timestamp) -> Option<Timestamp> + Shared,
    ) -> Self {
        self.reading.timestamp =
            Some(Arc::new(move |record, latest| Ok(extractor(record, latest))));
        self
    }

    /// As [`Self::timestamp`]; a record for which it gives an error follows the source's policy
    /// ([`Self::on_error`]), as one that cannot be read. Of use against times that make no sense:
    /// one far ahead moves stream time, and so closes the windows of all keys.
    ///
    /// ```
    /// use millstream::record::Timestamp;
    /// use millstream::{Consumed, DropReason, OnError};
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    ///
    /// # let builder = StreamsBuilder::new();
    /// const DAY_MS: i64 = 86_400_000;
    /// // One record from far ahead would move stream time for all.
    /// let source = Consumed::<String, String>::from("in").try_timestamp(|record, latest| {
    ///     match record.timestamp.0 > latest.0.max(0) + DAY_MS {
    ///         true => Err(format!("{} ms is more than a day ahead", record.timestamp.0)),
    ///         false => Ok(record.timestamp),
    ///     }
    /// });
    /// builder.stream(source.on_error(OnError::Skip)).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "now", 1_000))?;
    /// driver.pipe("in", &text("k", "in a year", 365 * DAY_MS))?;
    /// assert_eq!(driver.read::<String, String>("out")?.len(), 1);
    /// assert_eq!(driver.dropped(DropReason::BadTimestamp), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_timestamp<E: Into<BoxError>>(
        mut self,
        extractor: impl Fn(&Record<K, V>, Timestamp) -> Result<Timestamp, E> + Shared,
    ) -> Self {
        self.reading.timestamp = Some(Arc::new(move |record, latest| {
            extractor(record, latest).map(Some).map_err(Into::into)
        }));
        self
    }

    /// What to do with a record that cannot be read, or whose timestamp is refused. A serde that panics
    /// cannot read it.
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.policy = policy;
        self
    }

    /// What to do with a record that has no place: to which the extractor gives no timestamp, or of a table one without
    /// a key. Unless it is said they are dropped and counted ([`OnError::Skip`]); a dead letter has the reason as its
    /// `__streams.errors.message`.
    ///
    /// ```
    /// use millstream::{Consumed, OnError};
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let names = Consumed::<String, String>::from("names").on_drop(OnError::dead_letter("nobody"));
    /// builder.table(names, "names");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &Record::new(None::<String>, "Ada".to_owned(), Timestamp(1)))?;
    /// assert_eq!(driver.read::<Option<String>, String>("nobody")?[0].value, "Ada");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn on_drop(mut self, policy: OnError) -> Self {
        self.drops = policy;
        self
    }

    /// Where to begin without a committed position.
    #[must_use]
    pub fn reset(mut self, to: Reset) -> Self {
        self.reset = to;
        self
    }
}
