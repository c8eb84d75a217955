//! `select_key`, `try_select_key`: another key for each record.
//!
//! | | |
//! |---|---|
//! | emits | one record for each |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | key | changed: what needs keys in one place comes behind a repartition topic |
//! | value, time, headers | kept |
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
    /// Gives each record another key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").select_key(|_, value| value.len() as i64).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "abc", 1))?;
    /// assert_eq!(driver.read::<i64, String>("out")?[0].key, 3);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn select_key<K2: Data>(
        &self,
        f: impl Fn(&K, &V) -> K2 + Shared,
    ) -> KStream<K2, V, Rekeyed> {
        self.try_select_key(move |key, value| Ok::<_, Infallible>(f(key, value)))
            .infallible("try_select_key")
    }

    /// As [`Self::select_key`]; an error follows the node's policy ([`Self::on_error`]).
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// let by_number = stream.try_select_key(|_, text| text.parse::<i64>()).on_error(OnError::Skip);
    /// by_number.to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "seven", 1))?;
    /// driver.pipe("in", &text("k", "7", 2))?;
    /// assert_eq!(driver.read::<i64, String>("out")?.len(), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_select_key<K2: Data, E: Into<BoxError>>(
        &self,
        f: impl Fn(&K, &V) -> Result<K2, E> + Shared,
    ) -> KStream<K2, V, Rekeyed> {
        let f = Arc::new(f);
        self.child("KSTREAM-KEY-SELECT-", move |linker| {
            let (children, faults) = (linker.children::<K2, V>()?, linker.faults()?);
            linker.add::<K, V, _>(SelectKey { f: Arc::clone(&f), children, faults });
            Ok(())
        })
    }
}

struct SelectKey<K2, V, F> {
    f: Arc<F>,
    children: Children<K2, V>,
    faults: Faults,
}

impl<K2, V, F> Node for SelectKey<K2, V, F> {}

impl<K, V, K2, E, F> Operator<K, V> for SelectKey<K2, V, F>
where
    V: Data,
    K2: Data,
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<K2, E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        match (self.f)(&record.key, &record.value) {
            Ok(key) => self.children.forward(record.with_key(key), ctx),
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}
