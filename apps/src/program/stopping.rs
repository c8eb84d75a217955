//! Threads that end when they are told to, and pauses that end with them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use millstream::{Error, Reaction};

/// How long is waited before what failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A way to stop threads: they hear it when the sender is dropped.
pub(crate) fn stopping() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Pauses for up to this long; false: the program ends.
pub(crate) fn pause(stop: &Receiver<()>, most: Duration) -> bool {
    matches!(stop.recv_timeout(most), Err(RecvTimeoutError::Timeout))
}

/// Does something until it succeeds or the program ends: a broker may be away for a while.
pub(crate) fn repeat(
    what: &str,
    stop: &Receiver<()>,
    mut once: impl FnMut() -> anyhow::Result<()>,
) {
    while let Err(error) = once() {
        let passing = error.downcast_ref::<Error>().map(Error::reaction) == Some(Reaction::Retry);
        let error = format!("{error:#}");
        if passing {
            tracing::info!(error, "{what}: the broker cannot do it now, trying again");
        } else {
            tracing::warn!(error, "{what} failed, trying again");
        }
        if !pause(stop, RETRY) {
            return;
        }
    }
}
