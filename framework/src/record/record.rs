//! One record, and its timestamp.

use crate::record::headers::Headers;

/// A point in event time or wall-clock time: milliseconds since the epoch.
///
/// Negative values mean "no timestamp", as in Kafka.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

/// What may flow through a topology: cloned only where a node has several children.
///
/// ```
/// use millstream::record::Data;
/// use millstream::{KStream, Placing};
///
/// /// Works for streams of any types.
/// fn without<K: Data, V: Data + PartialEq + Sync, P: Placing>(
///     stream: &KStream<K, V, P>,
///     value: V,
/// ) -> KStream<K, V, P> {
///     stream.filter_not(move |_, other| *other == value)
/// }
/// ```
pub trait Data: Clone + Send + 'static {}
impl<T: Clone + Send + 'static> Data for T {}

/// What a closure of a topology must be: all tasks share it.
///
/// Every `Send + Sync + 'static` closure is; what changes belongs into a store, or into a processor, which
/// each task makes for itself.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use millstream::{KStream, Shared};
///
/// /// An operator of one's own: a closure that all tasks share.
/// fn replaced(
///     stream: &KStream<String, String>,
///     f: impl Fn(&str) -> Option<String> + Shared,
/// ) -> KStream<String, String> {
///     stream.map_values(move |value| f(&value).unwrap_or(value))
/// }
/// let names = Arc::new(BTreeMap::from([("de", "Germany")]));
/// # let builder = millstream::StreamsBuilder::new();
/// replaced(&builder.stream("in"), move |code| names.get(code).map(|name| name.to_string()));
/// ```
pub trait Shared: Send + Sync + 'static {}
impl<T: Send + Sync + 'static> Shared for T {}

/// One record between two operators.
///
/// ```
/// use millstream::record::{Record, Timestamp};
///
/// let record = Record::new("k", "v", Timestamp(1_000));
/// let other = record.with_key(7).with_value("w").with_timestamp(Timestamp(2_000));
/// assert_eq!((other.key, other.value, other.timestamp.0), (7, "w", 2_000));
/// assert!(other.headers.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Record<K, V> {
    /// The key; `Option<K>` where null keys may occur.
    pub key: K,
    /// The value; `Option<V>` where null values may occur.
    pub value: V,
    /// Event time in milliseconds.
    pub timestamp: Timestamp,
    /// Headers, shared with the source record until they are changed.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    pub fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: Headers::default() }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> Record<K, V2> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another key.
    pub fn with_key<K2>(self, key: K2) -> Record<K2, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another timestamp.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }
}
