//! `flat_map_async`: one value into none, one or many, by a future.
//!
//! | | |
//! |---|---|
//! | emits | what the future comes to, in its order; each but the last with a clone of the key |
//! | drops | one whose future fails, takes too long or panics, after all its tries, by policy (`Failed`) |
//! | key | kept; no repartition |
//! | time, headers | of the record they come from |
//! | state | none; what is in flight is waited for by a commit, and is taken again after a crash |

use std::future::Future;
use std::sync::Arc;

use crate::error::BoxError;
use crate::operators::asynchronous::awaiting::{Awaiting, start_of};
use crate::operators::asynchronous::options::Async;
use crate::operators::stream::{KStream, Placing};
use crate::record::{Data, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Makes any number of values of each, by a future; all else is as with [`Self::map_async`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// let lines = orders.flat_map_async(8, |_, order| async move {
    ///     Ok::<_, std::io::Error>(order.split(' ').map(str::to_owned).collect::<Vec<_>>())
    /// });
    /// lines.to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("anna", "tea milk", 5))?;
    /// let lines = driver.read::<String, String>("lines")?;
    /// assert_eq!(lines, [text("anna", "tea", 5), text("anna", "milk", 5)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn flat_map_async<V2, I, F, E>(
        &self,
        how: impl Into<Async<K>>,
        f: impl Fn(&K, V) -> F + Shared,
    ) -> KStream<K, V2, P>
    where
        V2: Data,
        I: IntoIterator<Item = V2> + Send + 'static,
        F: Future<Output = Result<I, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let how = how.into();
        let start = start_of(&how, f);
        self.child("KSTREAM-FLATMAPASYNC-", move |linker| {
            let (children, faults) = (linker.children::<K, V2>()?, linker.faults()?);
            let hand_on = move |record, ctx: &mut _| children.forward_each(record, ctx);
            linker.add::<K, V, _>(Awaiting::new(&how, Arc::clone(&start), hand_on, faults));
            Ok(())
        })
    }
}
