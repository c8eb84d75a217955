//! `for_each_async`: the end of a stream in a future.
//!
//! | | |
//! |---|---|
//! | emits | nothing |
//! | drops | one whose future fails, takes too long or panics, after all its tries, by policy (`Failed`) |
//! | state | none; a commit waits for what is in flight, and the future runs again when a record is processed again after a crash |

use std::future::Future;
use std::sync::Arc;

use crate::chain::TaskContext;
use crate::error::BoxError;
use crate::operators::asynchronous::awaiting::{Awaiting, start_of};
use crate::operators::asynchronous::options::Async;
use crate::operators::stream::{KStream, Placing};
use crate::policy::OnError;
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Gives each record to a future: a message that is sent, a row that is written. Its effect is at least once: it runs
    /// again for a record that is processed again. What fails after all tries follows the policy; all else is as with
    /// [`Self::map_async`].
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use millstream::{Async, OnError};
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let sent = Arc::new(AtomicUsize::new(0));
    /// let mailbox = Arc::clone(&sent);
    /// builder.stream::<String, String>("alerts").for_each_async(Async::unordered(4), OnError::Fail, move |_, alert| {
    ///     let mailbox = Arc::clone(&mailbox);
    ///     async move {
    ///         mailbox.fetch_add(alert.len(), Ordering::Relaxed);
    ///         Ok::<_, std::io::Error>(())
    ///     }
    /// });
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("alerts", &text("host", "hot", 1))?;
    /// assert_eq!(sent.load(Ordering::Relaxed), 3);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn for_each_async<F, E>(
        &self,
        how: impl Into<Async<K>>,
        policy: OnError,
        f: impl Fn(&K, V) -> F + Shared,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let how = how.into();
        let start = start_of(&how, f);
        let end: KStream<K, V, P> = self.child("KSTREAM-FOREACHASYNC-", move |linker| {
            let faults = linker.faults()?;
            let hand_on = |_: Record<K, ()>, _: &mut TaskContext| Ok(());
            linker.add::<K, V, _>(Awaiting::new(&how, Arc::clone(&start), hand_on, faults));
            Ok(())
        });
        self.graph.borrow_mut().set_policy(end.node, policy);
    }
}
