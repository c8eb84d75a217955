//! Where to write and how: topic, serdes, partitioner.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::record::Record;
use crate::serde::{HasSerde, Serde};

/// Chooses a record's partition of so many; none leaves it to the key.
pub(crate) type Partitioner<K, V> = Arc<dyn Fn(&str, &K, &V, i32) -> Option<i32> + Send + Sync>;

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
pub struct Produced<K, V> {
    pub(crate) destination: Destination<K, V>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) name: Option<String>,
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
    pub fn to_topic_of(
        topic: impl Fn(&Record<K, V>) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        Self {
            destination: Destination::PerRecord(Arc::new(topic)),
            ..Self::from("chosen-by-each-record")
        }
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
        Self { destination: Destination::Fixed(topic), key, value, partitioner: None, name: None }
    }

    /// Chooses the partition: it is told the topic, the record and the number of partitions.
    /// `None` leaves the choice to the key.
    #[must_use]
    pub fn partitioner(
        mut self,
        choose: impl Fn(&str, &K, &V, i32) -> Option<i32> + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(Arc::new(choose));
        self
    }

    /// The name of the sink node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}
