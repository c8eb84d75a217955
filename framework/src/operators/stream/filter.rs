//! `filter`, `filter_not`: keeps records by a predicate.
//!
//! | | |
//! |---|---|
//! | emits | the record, unchanged |
//! | drops | records that the predicate rejects, silently; `try_`: a failed one by policy (`Failed`) |
//! | key, time, headers | kept |
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
    /// Keeps the records for which `keep` is true.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// lines.filter(|_, line| line.len() > 3).to("long");
    /// lines.filter_not(|_, line| line.is_empty()).to("filled");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("k", "ab", 1))?;
    /// driver.pipe("lines", &text("k", "abcd", 2))?;
    /// assert_eq!(driver.read::<String, String>("long")?, [text("k", "abcd", 2)]);
    /// assert_eq!(driver.read::<String, String>("filled")?.len(), 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Shared) -> Self {
        self.try_filter(move |key, value| Ok::<_, Infallible>(keep(key, value)))
            .infallible("try_filter")
    }

    /// Keeps the records for which `reject` is false.
    #[must_use]
    pub fn filter_not(&self, reject: impl Fn(&K, &V) -> bool + Shared) -> Self {
        self.try_filter(move |key, value| Ok::<_, Infallible>(!reject(key, value)))
            .infallible("try_filter")
    }

    /// As [`Self::filter`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{DropReason, OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let numbers = builder.stream::<String, String>("numbers");
    /// let even = numbers.try_filter(|_, text| text.parse::<i64>().map(|n| n % 2 == 0));
    /// even.on_error(OnError::Skip).to("even");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for value in ["1", "two", "4"] {
    ///     driver.pipe("numbers", &text("k", value, 1))?;
    /// }
    /// assert_eq!(driver.read::<String, String>("even")?, [text("k", "4", 1)]);
    /// assert_eq!(driver.dropped(DropReason::Failed), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_filter<E: Into<BoxError>>(
        &self,
        keep: impl Fn(&K, &V) -> Result<bool, E> + Shared,
    ) -> Self {
        let keep = Arc::new(keep);
        self.child("KSTREAM-FILTER-", move |linker| {
            let (children, faults) = (linker.children::<K, V>()?, linker.faults()?);
            linker.add(Filter { keep: Arc::clone(&keep), children, faults });
            Ok(())
        })
        .handing_on()
    }
}

struct Filter<K, V, F> {
    keep: Arc<F>,
    children: Children<K, V>,
    faults: Faults,
}

impl<K, V, F> Node for Filter<K, V, F> {}

impl<K, V, E, F> Operator<K, V> for Filter<K, V, F>
where
    K: Data,
    V: Data,
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<bool, E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        match (self.keep)(&record.key, &record.value) {
            Ok(true) => self.children.forward(record, ctx),
            Ok(false) => Ok(()),
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::{DropReason, OnError};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn keeps_what_the_predicate_accepts() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.filter(|_, value| value.len() > 1).to("long");
        stream.filter_not(|_, value| value.len() > 1).to("short");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in ["a", "bb", "c"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("long").unwrap(), [text("k", "bb", 1)]);
        let short = driver.read::<String, String>("short").unwrap();
        assert_eq!(short, [text("k", "a", 1), text("k", "c", 1)]);
    }

    #[test]
    fn a_failed_predicate_follows_the_policy() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .try_filter(|_, value| value.parse::<i64>().map(|number| number > 1))
            .on_error(OnError::Skip)
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in ["1", "x", "2"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("k", "2", 1)]);
        assert_eq!(driver.dropped(DropReason::Failed), 1);
    }
}
