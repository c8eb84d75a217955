//! `for_each`, `try_for_each`: the end of a stream in a closure.
//!
//! | | |
//! |---|---|
//! | emits | nothing |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | state | none; the closure runs again when a record is processed again after a crash |

use std::convert::Infallible;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::{DropReason, OnError};
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Gives each record to a closure.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let seen = Arc::new(AtomicUsize::new(0));
    /// let counter = Arc::clone(&seen);
    /// builder.stream::<String, String>("in").for_each(move |_, _| {
    ///     counter.fetch_add(1, Ordering::Relaxed);
    /// });
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(seen.load(Ordering::Relaxed), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn for_each(&self, f: impl Fn(K, V) + Shared) {
        let f = move |key, value| {
            f(key, value);
            Ok::<_, Infallible>(())
        };
        self.try_for_each(OnError::Fail, f);
    }

    /// Gives each record to a closure; an error follows the policy.
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").try_for_each(OnError::Fail, |key, value: String| {
    ///     if value.is_empty() { Err(format!("{key} has no value")) } else { Ok(()) }
    /// });
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// let stopped = driver.pipe("in", &text("k", "", 1)).unwrap_err();
    /// assert!(format!("{stopped:?}").contains("k has no value"));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn try_for_each<E: Into<BoxError>>(
        &self,
        policy: OnError,
        f: impl Fn(K, V) -> Result<(), E> + Shared,
    ) {
        let f = Arc::new(f);
        let end: KStream<K, V> = self.child("KSTREAM-FOREACH-", move |linker| {
            let faults = linker.faults()?;
            linker.add::<K, V, _>(ForEach { f: Arc::clone(&f), faults });
            Ok(())
        });
        self.graph.borrow_mut().set_policy(end.node, policy);
    }
}

struct ForEach<F> {
    f: Arc<F>,
    faults: Faults,
}

impl<F> Node for ForEach<F> {}

impl<K, V, E: Into<BoxError>, F: Fn(K, V) -> Result<(), E>> Operator<K, V> for ForEach<F> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        match (self.f)(record.key, record.value) {
            Ok(()) => Ok(()),
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn peek_and_for_each_see_every_record_in_order() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (peeked, ended) = (Arc::clone(&seen), Arc::clone(&seen));
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .peek(move |_, value| peeked.lock().unwrap().push(format!("peek {value}")))
            .for_each(move |_, value| ended.lock().unwrap().push(format!("end {value}")));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "a", 1)).unwrap();
        driver.pipe("in", &text("k", "b", 1)).unwrap();
        assert_eq!(*seen.lock().unwrap(), ["peek a", "end a", "peek b", "end b"]);
    }
}
