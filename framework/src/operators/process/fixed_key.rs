//! A record whose key cannot be changed: what `process_values` takes and forwards.

use crate::record::{Headers, Record, Timestamp};

/// A record with a key that can be looked at but not replaced, so that its partition stays right.
///
/// ```
/// # use millstream::{BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, StreamsBuilder};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Puts the key before the value, and tells where the record came from.
/// struct Label;
///
/// impl FixedKeyProcessor<String, String> for Label {
///     type VOut = String;
///
///     fn process(&mut self, record: FixedKeyRecord<String, String>, ctx: &mut FixedKeyContext<'_, String, String>) -> Result<(), BoxError> {
///         let from = ctx.record_metadata().map(|from| from.to_string()).unwrap_or_default();
///         let label = format!("{} {} ({from}, {})", record.key(), record.value, ctx.task_id());
///         ctx.forward(record.with_value(label));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// builder.stream("in").process_values("label", (), |()| Label).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "v", 1))?;
/// assert_eq!(driver.read::<String, String>("out")?, [text("k", "k v (in-0@0, 0_0)", 1)]);
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FixedKeyRecord<K, V> {
    key: K,
    /// The value.
    pub value: V,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers, shared with the source record until they are changed.
    pub headers: Headers,
}

impl<K, V> FixedKeyRecord<K, V> {
    pub(crate) fn of(record: Record<K, V>) -> Self {
        let Record { key, value, timestamp, headers } = record;
        Self { key, value, timestamp, headers }
    }

    pub(crate) fn into_record(self) -> Record<K, V> {
        let Self { key, value, timestamp, headers } = self;
        Record { key, value, timestamp, headers }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> FixedKeyRecord<K, V2> {
        FixedKeyRecord { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }
}
