//! How the global tables come from the thread that fills them to the tasks that read them.

use std::sync::{Mutex, PoisonError};

use crate::store::GlobalStores;

/// The global tables of an instance, there once they are complete.
#[derive(Debug, Default)]
pub(crate) struct Globals(Mutex<Option<GlobalStores>>);

impl Globals {
    /// The tables for a task that is made; none before they are complete.
    pub(crate) fn stores(&self) -> GlobalStores {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// True once they are.
    pub(crate) fn are_complete(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// They are complete, or (none) closed.
    pub(super) fn set(&self, stores: Option<GlobalStores>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stores;
    }
}
