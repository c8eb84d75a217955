//! The thread that reads the global tables, from its start to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Reaction, Result};
use crate::metrics::Beating;
use crate::runtime::board::Waiter;
use crate::runtime::global::reading::Reading;
use crate::runtime::instance::Instance;
use crate::runtime::stop::StopSignal;

/// The running thread.
#[derive(Debug)]
pub(crate) struct GlobalThread {
    stop: Arc<StopSignal>,
    thread: Option<JoinHandle<()>>,
    /// Its other side goes when the thread ends.
    ended: Receiver<()>,
}

impl GlobalThread {
    /// Starts it; none if the topology has no global table. What it fails with ends the instance.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(crate) fn start(instance: &Arc<Instance>) -> Result<Option<Self>> {
        if instance.topology.global_tables().is_empty() {
            return Ok(None);
        }
        let stop = Arc::new(StopSignal::default());
        let (ends, ended) = sync_channel(0);
        let (told, instance) = (Arc::clone(&stop), Arc::clone(instance));
        let run = move || {
            let _ends: SyncSender<()> = ends;
            let run = || match open(&instance, &told)? {
                Some(mut reading) => reading.run(&told),
                None => Ok(()),
            };
            let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                let (what, reason) = ("the thread of the global tables", "it panicked");
                Err(Error::Fatal { what: what.to_owned(), reason: reason.to_owned() })
            });
            instance.heartbeats.retire(Beating::Global);
            if let Err(error) = outcome {
                instance.fail(error);
            }
        };
        let thread = Builder::new().name("millstream-global".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Error::Fatal {
            what: "starting a thread".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Some(Self { stop, thread: Some(thread), ended }))
    }

    /// Ends it and waits for that, but not for ever: one that hangs is left to itself.
    pub(crate) fn stop(mut self, limit: Duration) {
        self.stop.set();
        if self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the thread of the global tables hangs and is left to itself");
        } else if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the global tables did not end in order");
        }
    }
}

/// Opens the tables, trying again where that may help; none if told to stop meanwhile.
fn open<'a>(instance: &'a Instance, stop: &StopSignal) -> Result<Option<Reading<'a>>> {
    let mut tries = 0;
    loop {
        instance.beat(Beating::Global);
        let error = match Reading::open(instance) {
            Ok(reading) => return Ok(Some(reading)),
            Err(error) if error.reaction() == Reaction::Retry => error,
            Err(error) => return Err(error),
        };
        let wait = instance.settings.backoff(tries);
        instance.metrics.error(&error);
        instance.waits_for(Waiter::Global, format!("the global tables: {error:?}"));
        tracing::warn!(
            ?error,
            ?wait,
            tries,
            "the global tables cannot be opened yet: trying again"
        );
        tries += 1;
        if stop.wait(wait) {
            return Ok(None);
        }
    }
}

impl Drop for GlobalThread {
    fn drop(&mut self) {
        self.stop.set();
    }
}
