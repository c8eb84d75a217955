//! How many bytes the stores of a task hold uncommitted.

use std::cell::Cell;
use std::rc::Rc;

/// The bytes that the stores of one task hold uncommitted, together; clones are of the same count.
#[derive(Clone, Debug, Default)]
pub(crate) struct UncommittedBytes(Rc<Cell<usize>>);

impl UncommittedBytes {
    /// How many there are now.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }

    /// A store that held `before` holds `now`.
    #[inline]
    pub(super) fn change(&self, before: usize, now: usize) {
        self.0.set((self.0.get() + now).saturating_sub(before));
    }
}
