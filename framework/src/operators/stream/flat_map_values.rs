//! `flat_map_values`, `flat_map_values_with_key` and their `try_` forms: one value into none, one or many.
//!
//! | | |
//! |---|---|
//! | emits | what the closure returns, in its order; each but the last with a clone of the key |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | key | kept; no repartition |
//! | time, headers | of the record they come from |
//! | state | none |

use std::convert::Infallible;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Makes any number of values of each.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// let words = lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// words.to("words");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("k", "to be", 5))?;
    /// assert_eq!(driver.read::<String, String>("words")?, [text("k", "to", 5), text("k", "be", 5)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values<V2: Data, I: IntoIterator<Item = V2>>(
        &self,
        f: impl Fn(V) -> I + Shared,
    ) -> KStream<K, V2, P> {
        self.try_flat_map_values(move |value| Ok::<_, Infallible>(f(value)))
            .infallible("try_flat_map_values")
    }

    /// As [`Self::flat_map_values`], seeing the key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// stream.flat_map_values_with_key(|key, value| [value, key.clone()]).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 5))?;
    /// assert_eq!(driver.read::<String, String>("out")?, [text("k", "v", 5), text("k", "k", 5)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values_with_key<V2: Data, I: IntoIterator<Item = V2>>(
        &self,
        f: impl Fn(&K, V) -> I + Shared,
    ) -> KStream<K, V2, P> {
        self.try_flat_map_values_with_key(move |key, value| Ok::<_, Infallible>(f(key, value)))
            .infallible("try_flat_map_values_with_key")
    }

    /// As [`Self::flat_map_values`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, record::{Record, Timestamp}, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// let numbers = lines.try_flat_map_values(|line| {
    ///     line.split(' ').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>()
    /// });
    /// numbers.on_error(OnError::Skip).to("numbers");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("k", "1 2", 5))?;
    /// driver.pipe("lines", &text("k", "3 four", 6))?;
    /// let numbers = driver.read::<String, i64>("numbers")?;
    /// assert_eq!(numbers.iter().map(|record| record.value).collect::<Vec<_>>(), [1, 2]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map_values<V2: Data, I: IntoIterator<Item = V2>, E: Into<BoxError>>(
        &self,
        f: impl Fn(V) -> Result<I, E> + Shared,
    ) -> KStream<K, V2, P> {
        self.try_flat_map_values_with_key(move |_, value| f(value))
    }

    /// As [`Self::flat_map_values_with_key`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// let sums = lines.try_flat_map_values_with_key(|key, line| {
    ///     let offset: i64 = key.parse()?;
    ///     line.split(' ').map(|word| Ok(offset + word.parse::<i64>()?)).collect::<Result<Vec<_>, std::num::ParseIntError>>()
    /// });
    /// sums.on_error(OnError::Skip).to("sums");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("10", "1 2", 5))?;
    /// driver.pipe("lines", &text("ten", "1 2", 6))?;
    /// let sums = driver.read::<String, i64>("sums")?;
    /// assert_eq!(sums.iter().map(|record| record.value).collect::<Vec<_>>(), [11, 12]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map_values_with_key<V2: Data, I: IntoIterator<Item = V2>, E: Into<BoxError>>(
        &self,
        f: impl Fn(&K, V) -> Result<I, E> + Shared,
    ) -> KStream<K, V2, P> {
        let f = Arc::new(f);
        self.child("KSTREAM-FLATMAPVALUES-", move |linker| {
            let (children, faults) = (linker.children::<K, V2>()?, linker.faults()?);
            linker.add::<K, V, _>(FlatMapValues { f: Arc::clone(&f), children, faults });
            Ok(())
        })
    }
}

struct FlatMapValues<K, V2, F> {
    f: Arc<F>,
    children: Children<K, V2>,
    faults: Faults,
}

impl<K, V2, F> Node for FlatMapValues<K, V2, F> {}

impl<K, V, V2, I, E, F> Operator<K, V> for FlatMapValues<K, V2, F>
where
    K: Data,
    V2: Data,
    I: IntoIterator<Item = V2>,
    E: Into<BoxError>,
    F: Fn(&K, V) -> Result<I, E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match (self.f)(&key, value) {
            Ok(value) => self.children.forward_each(Record { key, value, timestamp, headers }, ctx),
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn none_one_and_many() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .flat_map_values(|line| {
                line.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
            })
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for line in ["", "a", "b c"] {
            driver.pipe("in", &text("k", line, 1)).unwrap();
        }
        let out = driver.read::<String, String>("out").unwrap();
        assert_eq!(out, [text("k", "a", 1), text("k", "b", 1), text("k", "c", 1)]);
    }
}
