//! Where to write and how: topic, serdes, partitioner.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::collector::Target;
use crate::error::BoxError;
use crate::policy::OnError;
use crate::record::{Data, Record, Shared};
use crate::serde::{HasSerde, Null, Part, Place, Serde};
use crate::sink::partitions::Partitions;

/// Chooses a record's partitions of so many.
pub(crate) type Partitioner<K, V> = Arc<dyn Fn(&str, &K, &V, i32) -> Partitions + Send + Sync>;

/// Chooses a record's topic.
pub(crate) type ChooseTopic<K, V> = Arc<dyn Fn(&Record<K, V>) -> Cow<'static, str> + Send + Sync>;

/// Where a sink's records go.
pub(crate) enum Destination<K, V> {
    Fixed(Arc<str>),
    PerRecord(ChooseTopic<K, V>),
}

/// How a sink writes. A topic's name alone is enough where the types know their serdes.
///
/// The topic must exist. Records without a key go to the partitions in turn, others where Java's
/// producer would send them.
///
/// ```
/// use millstream::Produced;
/// use millstream::record::Record;
/// use millstream::serde::{Json, Plain};
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let words = builder.stream::<String, String>("words");
/// words.to(Produced::from("out").named("to-out"));
/// // All in the last partition.
/// words.to(Produced::from("last").partitioner(|_topic, _key, _value, partitions| Some(partitions - 1)));
/// words.to(Produced::to_topic_of(|record: &Record<String, String>| if record.value.len() < 3 { "short".into() } else { "long".into() }));
/// words.map_values(|word| vec![word]).to(Produced::with_values("lists", Json));
/// words.map(|key, word| ((key, 1), word)).to(Produced::with_serdes("pairs", Json, Plain));
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("words", &text("k", "be", 1))?;
/// assert_eq!(driver.read::<String, String>("short")?.len(), 1);
/// assert_eq!(driver.read::<String, String>("lists")?[0].value, r#"["be"]"#);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Produced<K, V> {
    pub(crate) destination: Destination<K, V>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) name: Option<String>,
    pub(crate) policy: OnError,
}

impl<K, V> fmt::Debug for Produced<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = match &self.destination {
            Destination::Fixed(topic) => topic,
            Destination::PerRecord(_) => "chosen by each record",
        };
        f.debug_struct("Produced").field("topic", &topic).finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> From<&str> for Produced<K, V> {
    fn from(topic: &str) -> Self {
        Self::to_fixed(topic.into(), Arc::new(K::Serde::default()), Arc::new(V::Serde::default()))
    }
}

impl<K: HasSerde, V: HasSerde> From<String> for Produced<K, V> {
    fn from(topic: String) -> Self {
        Self::from(topic.as_str())
    }
}

impl<K: HasSerde, V: HasSerde> Produced<K, V> {
    /// To a topic that each record chooses. All of them must exist.
    pub fn to_topic_of(topic: impl Fn(&Record<K, V>) -> Cow<'static, str> + Shared) -> Self {
        Self {
            destination: Destination::PerRecord(Arc::new(topic)),
            ..Self::from("chosen-by-each-record")
        }
    }
}

impl<K: HasSerde, V> Produced<K, V> {
    /// To a topic, with values in bytes of this serde; keys in those of their own.
    pub fn with_values(topic: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(topic, K::Serde::default(), value)
    }
}

impl<K, V> Produced<K, V> {
    /// To a topic, in bytes of these serdes.
    pub fn with_serdes(topic: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::to_fixed(topic.into(), Arc::new(key), Arc::new(value))
    }

    pub(crate) fn to_fixed(
        topic: Arc<str>,
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            destination: Destination::Fixed(topic),
            key,
            value,
            partitioner: None,
            name: None,
            policy: OnError::default(),
        }
    }

    /// Chooses the partition: it is told the topic, the record and the number of partitions.
    /// `None` leaves the choice to the key. [`Partitions`] also says several, or none at all.
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&str, &K, &V, i32) -> P + Shared,
    ) -> Self {
        self.partitioner = Some(Arc::new(move |topic, key, value, partitions| {
            choose(topic, key, value, partitions).into()
        }));
        self
    }

    /// What to do with a record that cannot be written: a serde or the partitioner refuses it, or its topic
    /// does, for good. The default is to stop.
    ///
    /// ```
    /// use millstream::{OnError, Produced, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.to(Produced::from("checked").on_error(OnError::dead_letter("not-written")));
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.policy = policy;
        self
    }

    /// The name of the sink node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

/// How a record becomes bytes in a partition.
impl<K: Data, V: Data> Produced<K, V> {
    /// Fills the buffers; which of them are null.
    #[inline]
    pub(crate) fn encode(
        &self,
        topic: &str,
        record: &mut Record<K, V>,
        key: &mut Vec<u8>,
        value: &mut Vec<u8>,
    ) -> Result<(Null, Null), BoxError> {
        key.clear();
        value.clear();
        let mut place = Place { topic, part: Part::Key, headers: &mut record.headers };
        let null_key = self.key.serialize(&mut place, &record.key, key)?;
        place.part = Part::Value;
        let null_value = self.value.serialize(&mut place, &record.value, value)?;
        Ok((null_key, null_value))
    }

    /// The partitions that the user's partitioner chose; by key if there is none.
    pub(crate) fn chosen(
        &self,
        topic: &str,
        record: &Record<K, V>,
        partitions: i32,
    ) -> Result<Partitions, BoxError> {
        let Some(choose) = &self.partitioner else { return Ok(Partitions::ByKey) };
        choose(topic, &record.key, &record.value, partitions).checked(topic, partitions)
    }

    /// Where a record goes with these bytes of its key.
    #[inline]
    pub(crate) fn by_key<'a>(&self, key: Option<&'a [u8]>) -> Target<'a> {
        match key {
            Some(key) => Target::ByKey(self.key.partitioned_by(key)),
            None => Target::Any,
        }
    }
}
