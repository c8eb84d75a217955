//! `flat_map`, `try_flat_map`: one record into none, one or many, keys and values.
//!
//! | | |
//! |---|---|
//! | emits | what the closure returns, in its order, one after the other down the chain |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | key | changed: what needs keys in one place comes behind a repartition topic |
//! | time, headers | of the record they come from |
//! | state | none |

use std::convert::Infallible;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::{Placing, Rekeyed};
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Makes any number of records of each.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// let fields = lines.flat_map(|_, line| {
    ///     let pair = |field: &str| field.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    ///     line.split(' ').filter_map(pair).collect::<Vec<_>>()
    /// });
    /// fields.to("fields");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("", "a=1 b=2", 5))?;
    /// assert_eq!(driver.read::<String, String>("fields")?, [text("a", "1", 5), text("b", "2", 5)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)>>(
        &self,
        f: impl Fn(K, V) -> I + Shared,
    ) -> KStream<K2, V2, Rekeyed> {
        self.try_flat_map(move |key, value| Ok::<_, Infallible>(f(key, value)))
            .infallible("try_flat_map")
    }

    /// As [`Self::flat_map`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{BoxError, OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// let pair = lines.try_flat_map(|_, line| match line.split_once('=') {
    ///     Some((key, value)) => Ok(Some((key.to_owned(), value.to_owned()))),
    ///     None => Err(format!("no = in {line:?}")),
    /// });
    /// pair.on_error(OnError::dead_letter("refused")).to("pairs");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("", "a=1", 1))?;
    /// driver.pipe("lines", &text("", "nothing", 2))?;
    /// assert_eq!(driver.read::<String, String>("pairs")?, [text("a", "1", 1)]);
    /// assert_eq!(driver.read::<String, String>("refused")?[0].value, "nothing");
    /// # Ok::<(), BoxError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map<K2: Data, V2: Data, I, E>(
        &self,
        f: impl Fn(K, V) -> Result<I, E> + Shared,
    ) -> KStream<K2, V2, Rekeyed>
    where
        I: IntoIterator<Item = (K2, V2)>,
        E: Into<BoxError>,
    {
        let f = Arc::new(f);
        self.child("KSTREAM-FLATMAP-", move |linker| {
            let (children, faults) = (linker.children::<K2, V2>()?, linker.faults()?);
            linker.add::<K, V, _>(FlatMap { f: Arc::clone(&f), children, faults });
            Ok(())
        })
    }
}

struct FlatMap<K2, V2, F> {
    f: Arc<F>,
    children: Children<K2, V2>,
    faults: Faults,
}

impl<K2, V2, F> Node for FlatMap<K2, V2, F> {}

impl<K, V, K2, V2, I, E, F> Operator<K, V> for FlatMap<K2, V2, F>
where
    K2: Data,
    V2: Data,
    I: IntoIterator<Item = (K2, V2)>,
    E: Into<BoxError>,
    F: Fn(K, V) -> Result<I, E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match (self.f)(key, value) {
            Ok(all) => {
                for (key, value) in all {
                    let headers = headers.clone();
                    self.children.forward(Record { key, value, timestamp, headers }, ctx)?;
                }
                Ok(())
            }
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn each_result_has_its_own_key_and_the_time_of_its_record() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .flat_map(|key, value| [(key.clone(), value.clone()), (value, key)])
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("a", "b", 5)).unwrap();
        let out = driver.read::<String, String>("out").unwrap();
        assert_eq!(out, [text("a", "b", 5), text("b", "a", 5)]);
    }
}
