//! `map_async`: the value by a future.
//!
//! | | |
//! |---|---|
//! | emits | one record for one, when its future is done and its order allows |
//! | drops | one whose future fails, takes too long or panics, after all its tries, by policy (`Failed`) |
//! | key | kept; no repartition |
//! | time, headers | kept, whatever time it is when the future is done |
//! | state | none; what is in flight is waited for by a commit, and is taken again after a crash |

use std::future::Future;
use std::sync::Arc;

use crate::error::BoxError;
use crate::operators::asynchronous::awaiting::{Awaiting, start_of};
use crate::operators::asynchronous::options::Async;
use crate::operators::stream::{KStream, Placing};
use crate::record::{Data, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Gives each record the value that a future comes to. The closure and its future run on threads of the instance's
    /// own, within a tokio runtime, and many at once (see [`Async`]; a number alone is [`Async::ordered`]). What fails
    /// after all tries follows the node's policy ([`Self::on_error`]).
    ///
    /// The future outlives the call and owns what it works with: what it needs of the key, or a client, is cloned
    /// before `async move` (without that the compiler says `lifetime may not live long enough`).
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{Async, OnError};
    /// # use millstream::{DropReason, StreamsBuilder, testing::{TopologyDriver, text}};
    ///
    /// /// Some client of a service.
    /// async fn country_of(address: String) -> Result<String, std::io::Error> {
    ///     tokio::time::sleep(Duration::from_millis(1)).await;
    ///     if address.is_empty() { Err(std::io::Error::other("no address")) } else { Ok("at".to_owned()) }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let visits = builder.stream::<String, String>("visits");
    /// visits
    ///     .map_async(Async::ordered(16).timeout(Duration::from_secs(2)), |_, address| country_of(address))
    ///     .on_error(OnError::Skip)
    ///     .to("countries");
    /// // With the key.
    /// visits
    ///     .map_async(16, |who, address: String| {
    ///         let who = who.clone();
    ///         async move { Ok::<_, std::io::Error>(format!("{who} from {address}")) }
    ///     })
    ///     .to("labels");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("visits", &text("anna", "10.0.0.1", 5))?;
    /// driver.pipe("visits", &text("bert", "", 6))?;
    /// assert_eq!(driver.read::<String, String>("countries")?, [text("anna", "at", 5)]);
    /// assert_eq!(driver.dropped(DropReason::Failed), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn map_async<V2, F, E>(
        &self,
        how: impl Into<Async<K>>,
        f: impl Fn(&K, V) -> F + Shared,
    ) -> KStream<K, V2, P>
    where
        V2: Data,
        F: Future<Output = Result<V2, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let how = how.into();
        let start = start_of(&how, f);
        self.child("KSTREAM-MAPASYNC-", move |linker| {
            let (children, faults) = (linker.children::<K, V2>()?, linker.faults()?);
            let hand_on = move |record, ctx: &mut _| children.forward(record, ctx);
            linker.add::<K, V, _>(Awaiting::new(&how, Arc::clone(&start), hand_on, faults));
            Ok(())
        })
    }
}
