//! SIGINT and SIGTERM, turned into the stop signal; a second one ends the waiting for the end.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::runtime::stop::StopSignal;

/// What comes so soon after the first signal is the same wish again: `timeout` signals the program
/// and then its group, a terminal and a script may both signal.
const TWIN: Duration = Duration::from_millis(500);

/// The thread that waits for signals.
#[derive(Debug)]
pub(crate) struct SignalThread {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl SignalThread {
    /// Ends the waiting.
    pub(crate) fn end(self) {
        // It is gone already if a signal came.
        let _ = self.end.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread that waits for signals died");
        }
    }
}

/// Sets `stop` when SIGINT or SIGTERM arrives, and tells `end` of the second one.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn on_stop_signal(
    stop: Arc<StopSignal>,
    end: Sender<Result<()>>,
) -> Result<SignalThread> {
    let failed = |error: std::io::Error| Error::Fatal {
        what: "waiting for signals".to_owned(),
        reason: error.to_string(),
    };
    // A runtime of its own on a thread of its own: the caller may be inside any other.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let (over, mut ended) = oneshot::channel();
    let wait = move || {
        runtime.block_on(async move {
            let (mut interrupt, mut terminate) = (interrupt, terminate);
            for signals in 1..=2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = &mut ended => return,
                }
                if signals == 1 {
                    tracing::info!("told to stop: finishing, committing, leaving the group");
                    stop.set();
                    let twins = async {
                        loop {
                            tokio::select! {
                                _ = interrupt.recv() => {}
                                _ = terminate.recv() => {}
                            }
                        }
                    };
                    tokio::select! {
                        _ = tokio::time::timeout(TWIN, twins) => {}
                        _ = &mut ended => return,
                    }
                }
            }
            // The other side is gone if it has just ended.
            let _ = end.send(Err(Error::Fatal {
                what: "stopping".to_owned(),
                reason: "a second signal ended it at once: work since the last commit is dropped; nothing is lost, the next start does it again".to_owned(),
            }));
        });
    };
    let thread =
        Builder::new().name("millstream-signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(SignalThread { end: over, thread })
}
