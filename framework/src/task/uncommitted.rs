//! The bytes that the tasks of a worker hold uncommitted, together: a commit is one of the worker,
//! so its bound is too.

use std::cell::Cell;
use std::rc::Rc;

/// What a worker may hold; clones are of the same one.
#[derive(Clone, Debug)]
pub(crate) struct UncommittedBudget(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    bytes: Cell<usize>,
}

impl UncommittedBudget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Rc::new(Shared { bytes_max, bytes: Cell::new(0) }))
    }

    /// Whether more is held than may be: a commit is due.
    #[inline]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.0.bytes.get() > self.0.bytes_max
    }

    /// The share of one more task.
    pub(super) fn share(&self) -> UncommittedShare {
        UncommittedShare { budget: self.clone(), bytes: 0 }
    }
}

/// What one task holds of it; given back when dropped.
#[derive(Debug)]
pub(super) struct UncommittedShare {
    budget: UncommittedBudget,
    bytes: usize,
}

impl UncommittedShare {
    /// Takes note of what the task holds now. True if all tasks together hold too much.
    #[inline]
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let all = &self.budget.0.bytes;
        all.set((all.get() + bytes).saturating_sub(self.bytes));
        self.bytes = bytes;
        self.budget.is_exceeded()
    }
}

impl Drop for UncommittedShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_one_of_all_tasks_together() {
        let budget = UncommittedBudget::new(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(!one.set(60) && !other.set(40), "at the bound");
        assert!(other.set(41) && one.set(60), "one above it");
        assert!(!one.set(59) && !budget.is_exceeded());
        assert!(one.set(60));
        drop(other);
        assert!(!budget.is_exceeded(), "what a task held goes with it");
    }
}
