//! Locks whose data stays whole when a holder panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock; a holder that panicked left whole values here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
