//! One record, and its timestamp.

use crate::record::headers::Headers;

/// A point in event time or wall-clock time: milliseconds since the epoch.
///
/// Negative values mean "no timestamp", as in Kafka.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

/// What may flow through a topology: cloned only where a node has several children.
pub trait Data: Clone + Send + 'static {}
impl<T: Clone + Send + 'static> Data for T {}

/// What a closure of a topology must be: all tasks share it.
///
/// Every `Send + Sync + 'static` closure is; what changes belongs into a store, or into a processor, which
/// each task makes for itself.
pub trait Shared: Send + Sync + 'static {}
impl<T: Send + Sync + 'static> Shared for T {}

/// One record between two operators.
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
