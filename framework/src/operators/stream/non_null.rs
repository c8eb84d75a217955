//! `non_null_keys`, `non_null_values`: from types that may be null to types that may not.
//!
//! | | |
//! |---|---|
//! | emits | the record with its key or value unwrapped |
//! | drops | null keys (`NullKey`), null values (`NullValue`) |
//! | key | the same bytes: no repartition |
//! | time, headers | kept |
//! | state | none |

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::{DropCounter, DropReason};
use crate::record::{Data, Record};

impl<K: Data, V: Data, P: Placing> KStream<Option<K>, V, P> {
    /// Drops the records without a key, and counts them.
    ///
    /// ```
    /// # use millstream::{DropReason, StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<Option<String>, Option<String>>("in");
    /// stream.non_null_keys().non_null_values().to("whole");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for (key, value) in [(None, Some("v")), (Some("k"), None), (Some("k"), Some("v"))] {
    ///     let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
    ///     driver.pipe("in", &Record::new(key, value, Timestamp(1)))?;
    /// }
    /// assert_eq!(driver.read::<String, String>("whole")?.len(), 1);
    /// assert_eq!((driver.dropped(DropReason::NullKey), driver.dropped(DropReason::NullValue)), (1, 1));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn non_null_keys(&self) -> KStream<K, V, P> {
        self.child("KSTREAM-FILTER-", |linker| {
            let dropped = linker.drops(DropReason::NullKey)?;
            linker.add(NonNullKeys { children: linker.children::<K, V>()?, dropped });
            Ok(())
        })
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, Option<V>, P> {
    /// Drops the records without a value, and counts them.
    #[must_use]
    pub fn non_null_values(&self) -> KStream<K, V, P> {
        self.child("KSTREAM-FILTER-", |linker| {
            let dropped = linker.drops(DropReason::NullValue)?;
            linker.add(NonNullValues { children: linker.children::<K, V>()?, dropped });
            Ok(())
        })
    }
}

struct NonNullKeys<K, V> {
    children: Children<K, V>,
    dropped: DropCounter,
}

impl<K, V> Node for NonNullKeys<K, V> {}

impl<K: Data, V: Data> Operator<Option<K>, V> for NonNullKeys<K, V> {
    #[inline]
    fn process(&mut self, record: Record<Option<K>, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match key {
            Some(key) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => {
                ctx.drops.add(self.dropped, 1);
                Ok(())
            }
        }
    }
}

struct NonNullValues<K, V> {
    children: Children<K, V>,
    dropped: DropCounter,
}

impl<K, V> Node for NonNullValues<K, V> {}

impl<K: Data, V: Data> Operator<K, Option<V>> for NonNullValues<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, Option<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match value {
            Some(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => {
                ctx.drops.add(self.dropped, 1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn nulls_are_dropped_and_counted() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<Option<String>, Option<String>>("in")
            .non_null_keys()
            .non_null_values()
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (key, value) in [(Some("k"), None), (None, Some("v")), (Some("k"), Some("v"))] {
            let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
            driver.pipe("in", &Record::new(key, value, Timestamp(1))).unwrap();
        }
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("k", "v", 1)]);
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        assert_eq!(driver.dropped(DropReason::NullValue), 1);
    }
}
