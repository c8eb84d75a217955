//! Which keys of a bounded store were used when: the one that was not used for longest goes first.
//!
//! A put and a read of a key use it; a walk over a range does not. A rollback returns to what was used up to the last
//! commit. What a restart finds is in the order of the changelog: that of the last puts.

use std::collections::BTreeMap;

use hashbrown::HashMap;

/// The keys of a store that keeps at most so many.
#[derive(Debug)]
pub(super) struct Recency {
    entries_max: usize,
    /// When each key was last used, in uses.
    used: HashMap<Vec<u8>, u64>,
    /// The same the other way round.
    order: BTreeMap<u64, Vec<u8>>,
    uses: u64,
    /// Of each key that was used or went since the last commit: what it was then.
    undo: HashMap<Vec<u8>, Option<u64>>,
}

impl Recency {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            used: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            undo: HashMap::new(),
        }
    }

    /// A key that is in the store is used, or comes into it.
    pub(super) fn uses(&mut self, key: &[u8]) {
        let now = self.uses;
        self.uses += 1;
        let before = match self.used.get_mut(key) {
            Some(used) => Some(std::mem::replace(used, now)),
            None => {
                self.used.insert(key.to_vec(), now);
                None
            }
        };
        let owned = before.and_then(|before| self.order.remove(&before));
        self.order.insert(now, owned.unwrap_or_else(|| key.to_vec()));
        self.note(key, before);
    }

    /// A key goes out of the store.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(before) = self.used.remove(key) {
            self.order.remove(&before);
            self.note(key, Some(before));
        }
    }

    /// The key that has to go, if there are too many: it is forgotten.
    pub(super) fn surplus(&mut self) -> Option<Vec<u8>> {
        if self.used.len() <= self.entries_max {
            return None;
        }
        let (before, key) = self.order.pop_first()?;
        self.used.remove(&key);
        self.note(&key, Some(before));
        Some(key)
    }

    /// What was used stays so.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    /// Returns to what was used up to the last commit.
    pub(super) fn rollback(&mut self) {
        for (key, before) in std::mem::take(&mut self.undo) {
            if let Some(now) = self.used.remove(&key) {
                self.order.remove(&now);
            }
            if let Some(before) = before {
                self.used.insert(key.clone(), before);
                self.order.insert(before, key);
            }
        }
    }

    /// There is nothing any more.
    pub(super) fn clear(&mut self) {
        self.used.clear();
        self.order.clear();
        self.undo.clear();
    }

    fn note(&mut self, key: &[u8], before: Option<u64>) {
        if !self.undo.contains_key(key) {
            self.undo.insert(key.to_vec(), before);
        }
    }
}
