//! `map`, `try_map`: one record into one, key and value.
//!
//! | | |
//! |---|---|
//! | emits | one record for each |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | key | changed: what needs keys in one place comes behind a repartition topic |
//! | time, headers | kept |
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
    /// Makes another key and value of each.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let swapped = builder.stream::<String, String>("in").map(|key, value| (value, key));
    /// swapped.to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("a", "b", 1))?;
    /// assert_eq!(driver.read::<String, String>("out")?, [text("b", "a", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn map<K2: Data, V2: Data>(
        &self,
        f: impl Fn(K, V) -> (K2, V2) + Shared,
    ) -> KStream<K2, V2, Rekeyed> {
        self.try_map(move |key, value| Ok::<_, Infallible>(f(key, value))).infallible("try_map")
    }

    /// As [`Self::map`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// let by_number = stream.try_map(|_, text| text.parse::<i64>().map(|number| (number, text)));
    /// by_number.on_error(OnError::Skip).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "7", 1))?;
    /// assert_eq!(driver.read::<i64, String>("out")?[0].key, 7);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_map<K2: Data, V2: Data, E: Into<BoxError>>(
        &self,
        f: impl Fn(K, V) -> Result<(K2, V2), E> + Shared,
    ) -> KStream<K2, V2, Rekeyed> {
        let f = Arc::new(f);
        self.child("KSTREAM-MAP-", move |linker| {
            let (children, faults) = (linker.children::<K2, V2>()?, linker.faults()?);
            linker.add::<K, V, _>(Map { f: Arc::clone(&f), children, faults });
            Ok(())
        })
    }
}

struct Map<K2, V2, F> {
    f: Arc<F>,
    children: Children<K2, V2>,
    faults: Faults,
}

impl<K2, V2, F> Node for Map<K2, V2, F> {}

impl<K, V, K2, V2, E, F> Operator<K, V> for Map<K2, V2, F>
where
    K2: Data,
    V2: Data,
    E: Into<BoxError>,
    F: Fn(K, V) -> Result<(K2, V2), E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match (self.f)(key, value) {
            Ok((key, value)) => {
                self.children.forward(Record { key, value, timestamp, headers }, ctx)
            }
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}
