//! The bytes that the record caches of a worker share, and those that its stores keep of what is committed.
//!
//! A cache may use what the others leave. Once all of it is used, those give way that have more
//! than an equal part, when something is added to them and at each flush: a store of few rows keeps
//! them beside one of very many, and the bound is kept whatever tasks come and go. Between two
//! flushes caches may exceed it, by less than once more: when one that had it all adds nothing.

use std::cell::Cell;
use std::rc::Rc;

/// A share of the budget, and of the one for kept rows; clones are of the same ones.
#[derive(Clone, Debug)]
pub(crate) struct CacheBudget(Rc<Shared>, Option<Rc<Shared>>);

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    bytes: Cell<usize>,
    caches: Cell<usize>,
}

impl Shared {
    fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { bytes_max, bytes: Cell::new(0), caches: Cell::new(0) })
    }
}

impl CacheBudget {
    /// A budget of so many bytes; 0: there shall be no caches.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Shared::new(bytes_max), None)
    }

    /// The same, with so many bytes for rows that are kept after they were committed; none unless it is said.
    pub(crate) fn with_kept_rows(self, bytes_max: usize) -> Self {
        Self(self.0, Some(Shared::new(bytes_max)))
    }

    /// The budget for such rows.
    pub(in crate::store) fn of_kept_rows(&self) -> Self {
        Self(self.1.clone().unwrap_or_else(|| Shared::new(0)), None)
    }

    /// Whether there shall be no caches.
    pub(crate) fn is_off(&self) -> bool {
        self.0.bytes_max == 0
    }

    /// A part for one more cache.
    pub(in crate::store) fn part(&self) -> Part {
        self.0.caches.set(self.0.caches.get() + 1);
        Part { budget: self.clone(), bytes: 0 }
    }
}

/// What one cache uses of the budget; given back when dropped.
#[derive(Debug)]
pub(in crate::store) struct Part {
    budget: CacheBudget,
    bytes: usize,
}

impl Part {
    /// The bytes in use.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The budget it is of.
    pub(super) fn budget(&self) -> &CacheBudget {
        &self.budget
    }

    /// Takes note that something of `before` bytes has `now`.
    #[inline]
    pub(in crate::store) fn replace(&mut self, before: usize, now: usize) {
        let all = &self.budget.0.bytes;
        self.bytes = (self.bytes + now).saturating_sub(before);
        all.set((all.get() + now).saturating_sub(before));
    }

    /// Whether this cache must give something up.
    #[inline]
    pub(in crate::store) fn is_exceeded(&self) -> bool {
        let shared = &*self.budget.0;
        shared.bytes.get() > shared.bytes_max
            && self.bytes > shared.bytes_max / shared.caches.get().max(1)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.replace(self.bytes, 0);
        let caches = &self.budget.0.caches;
        caches.set(caches.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cache_may_use_what_others_leave() {
        let budget = CacheBudget::new(100);
        let (mut large, mut small) = (budget.part(), budget.part());
        large.replace(0, 100);
        assert!(!large.is_exceeded());
        small.replace(0, 20);
        assert!(large.is_exceeded() && !small.is_exceeded());
        large.replace(100, 80);
        assert!(!large.is_exceeded());
    }

    #[test]
    fn each_keeps_its_equal_part() {
        let budget = CacheBudget::new(100);
        let mut parts: Vec<Part> = (0..4).map(|_| budget.part()).collect();
        parts[0].replace(0, 90);
        for part in &mut parts[1..] {
            part.replace(0, 25);
        }
        assert_eq!(parts.iter().filter(|part| part.is_exceeded()).count(), 1);
        parts[1].replace(25, 26);
        assert_eq!(parts.iter().filter(|part| part.is_exceeded()).count(), 2);
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = CacheBudget::new(100);
        let mut kept = budget.part();
        kept.replace(0, 60);
        let mut gone = budget.part();
        gone.replace(0, 60);
        assert!(kept.is_exceeded());
        drop(gone);
        assert!(!kept.is_exceeded());
        let mut other = budget.part();
        assert!(!kept.is_exceeded(), "its bytes are free again");
        kept.replace(60, 40);
        other.replace(0, 70);
        assert!(other.is_exceeded() && !kept.is_exceeded(), "an equal part is a half again");
    }

    #[test]
    fn nothing_is_off() {
        assert!(CacheBudget::new(0).is_off() && !CacheBudget::new(1).is_off());
    }
}
