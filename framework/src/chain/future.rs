//! How an operator starts a future, and how its task hears that one is done.
//!
//! Futures run on threads of their own, never on a worker. What one comes to is put into the mailbox
//! of its operator, and the task is woken; it takes it in at its next turn, or while a commit waits.
//!
//! ```text
//!   operator ── spawn ──► pool ── outcome ──► the operator's mailbox
//!                          └── arrived ──► the task's signal ── wake ──► the task's actor
//!                                              └── count ──► whoever blocks on it (a revocation, the test driver)
//! ```

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::error::{Error, Result};
use crate::log::Wake;

/// The threads on which the futures of an instance run; there are none until a task needs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FuturePool(Arc<Threads>);

#[derive(Debug, Default)]
struct Threads {
    runtime: Mutex<Option<Runtime>>,
    arrivals: Arc<Arrivals>,
}

impl Drop for Threads {
    /// Not waited for: a future may never end, and whoever drops this may be in a runtime itself.
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

/// How many outcomes have arrived, for those who block until one does.
#[derive(Debug, Default)]
struct Arrivals {
    count: Mutex<u64>,
    one_more: Condvar,
}

impl FuturePool {
    /// How many outcomes have arrived so far.
    pub(crate) fn arrived(&self) -> u64 {
        *self.0.arrivals.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until more than `seen` outcomes have arrived, or for so long.
    pub(crate) fn wait(&self, seen: u64, at_most: Duration) {
        let Arrivals { count, one_more } = &*self.0.arrivals;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken for whatever reason: the caller looks again.
        drop(one_more.wait_timeout_while(count, at_most, |count| *count <= seen));
    }

    fn start(&self) -> Result<tokio::runtime::Handle> {
        let mut runtime = self.0.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let mut builder = Builder::new_multi_thread();
        let made = builder.thread_name("futures").enable_all().build();
        let made = made.map_err(|error| Error::Fatal {
            what: "starting the threads of futures".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(runtime.insert(made).handle().clone())
    }
}

/// Tells a task that something of its futures is done.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Shared>);

#[derive(Default)]
struct Shared {
    has_arrived: AtomicBool,
    wake: OnceLock<Wake>,
    arrivals: Arc<Arrivals>,
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.0.has_arrived).finish()
    }
}

impl Signal {
    /// An outcome is in the mailbox of its operator.
    pub(crate) fn arrived(&self) {
        self.0.has_arrived.store(true, Ordering::Release);
        let Arrivals { count, one_more } = &*self.0.arrivals;
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        one_more.notify_all();
        if let Some(wake) = self.0.wake.get() {
            wake();
        }
    }
}

/// The futures of one task.
#[derive(Debug)]
pub(crate) struct Futures {
    pool: FuturePool,
    signal: Signal,
    /// How long a commit waits for them.
    wait_max: Duration,
    /// The longest that one record may take through all nodes with futures.
    longest: Duration,
    in_flight: usize,
    /// Operators that take no more for now.
    full: usize,
    /// A commit waits: no record comes in.
    is_closed: bool,
}

impl Futures {
    /// Those of a task whose commit waits for them for so long.
    pub(crate) fn new(pool: FuturePool, wait_max: Duration) -> Self {
        let arrivals = Arc::clone(&pool.0.arrivals);
        let signal = Signal(Arc::new(Shared { arrivals, ..Shared::default() }));
        Self {
            pool,
            signal,
            wait_max,
            longest: Duration::ZERO,
            in_flight: 0,
            full: 0,
            is_closed: false,
        }
    }

    /// Makes sure that there are threads for those of one more node, of which each takes so long at most.
    ///
    /// # Errors
    /// `Fatal` if a record may take longer through all such nodes than a commit waits, or if no thread can be started.
    pub(crate) fn open(&mut self, longest: Duration) -> Result<()> {
        self.longest = self.longest.saturating_add(longest);
        if self.longest > self.wait_max {
            let reason = format!(
                "with all tries one of its futures may take {longest:?}, together with those of other nodes of the task \
                 {:?}, but a commit waits {:?}, half of `transaction_timeout_ms` (with at-least-once, of \
                 `max_poll_interval_ms`): lower time-outs or retries, or raise that setting",
                self.longest, self.wait_max
            );
            return Err(Error::Fatal { what: "futures".to_owned(), reason });
        }
        self.pool.start().map(drop)
    }

    /// Runs a future on the pool.
    ///
    /// # Errors
    /// `Fatal` if no thread can be started.
    pub(crate) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle> {
        Ok(self.pool.start()?.spawn(future).abort_handle())
    }

    /// What a future calls when its outcome is in the mailbox.
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Calls `wake` whenever one of them is done.
    pub(crate) fn on_arrival(&self, wake: &Wake) {
        // A task is hosted once: it has one actor.
        let _ = self.signal.0.wake.set(Arc::clone(wake));
    }

    /// True if something has arrived since the last call.
    #[inline]
    pub(crate) fn take_arrived(&self) -> bool {
        self.signal.0.has_arrived.load(Ordering::Acquire)
            && self.signal.0.has_arrived.swap(false, Ordering::AcqRel)
    }

    /// How many are on their way, or wait to be started.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// One more is; `fills` its operator.
    pub(crate) fn took(&mut self, fills: bool) {
        self.in_flight += 1;
        self.full += usize::from(fills);
    }

    /// One less is; its operator was full until now.
    pub(crate) fn gave(&mut self, was_full: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.full = self.full.saturating_sub(usize::from(was_full));
    }

    /// True if no record may come in.
    #[inline]
    pub(crate) fn are_closed(&self) -> bool {
        self.is_closed || self.full > 0
    }

    /// True if a commit waits.
    pub(crate) fn commit_waits(&self) -> bool {
        self.is_closed
    }

    /// No record comes in from now on, or they do again.
    pub(crate) fn close(&mut self, closed: bool) {
        self.is_closed = closed;
    }
}
