//! How the owner of a queue hears that there is something to pull.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::log::locked::locked;
use crate::log::{Isolation, Wake};

/// Tells the owner of a queue that there is something to pull.
pub(crate) struct Signal {
    /// What the owner sees.
    pub(crate) isolation: Isolation,
    armed: AtomicBool,
    pub(super) wake: Mutex<Option<Wake>>,
}

impl Signal {
    pub(super) fn new(isolation: Isolation) -> Self {
        Self { isolation, armed: AtomicBool::new(false), wake: Mutex::new(None) }
    }

    /// True if the queue was found empty since the last call.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// Calls the owner once if the queue was found empty.
    pub(crate) fn fire(&self) {
        if self.armed.swap(false, Ordering::AcqRel) {
            let wake = locked(&self.wake).clone();
            if let Some(wake) = wake {
                wake();
            }
        }
    }

    pub(super) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::Release);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal(armed: {})", self.is_armed())
    }
}
