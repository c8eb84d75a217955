//! A store in memory: an ordered map and its size, of one thread or read by all.

use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::range::{Direction, map_bounds};
use crate::write::MemoryWrite;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What one entry costs beside its key and value.
const ENTRY_OVERHEAD: usize = 64;

/// Where a store in memory is. It is one thread's until it is shared.
#[derive(Debug)]
pub(crate) struct MemoryCell(RefCell<Memory>);

#[derive(Debug)]
enum Memory {
    Own(MemoryStore),
    Shared(Arc<RwLock<MemoryStore>>),
}

impl Default for MemoryCell {
    fn default() -> Self {
        Self(RefCell::new(Memory::Own(MemoryStore::default())))
    }
}

impl MemoryCell {
    pub(crate) fn read<R>(&self, read: impl FnOnce(&MemoryStore) -> R) -> R {
        match &*self.0.borrow() {
            Memory::Own(store) => read(store),
            Memory::Shared(store) => read(&store.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Refused while a read is in progress, that is from within its closure.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut MemoryStore) -> R) -> Result<R> {
        let mut memory = self.0.try_borrow_mut().map_err(|_| Error::Unavailable {
            task: "a task in memory".to_owned(),
            state: "in use",
        })?;
        Ok(match &mut *memory {
            Memory::Own(store) => change(store),
            Memory::Shared(store) => {
                change(&mut store.write().unwrap_or_else(PoisonError::into_inner))
            }
        })
    }

    /// The store itself, which other threads may read from now on.
    pub(crate) fn share(&self) -> Arc<RwLock<MemoryStore>> {
        let mut memory = self.0.borrow_mut();
        let shared = match &mut *memory {
            Memory::Own(store) => Arc::new(RwLock::new(std::mem::take(store))),
            Memory::Shared(store) => Arc::clone(store),
        };
        *memory = Memory::Shared(Arc::clone(&shared));
        shared
    }
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl MemoryStore {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(Vec::as_slice)
    }

    pub(crate) fn chunk(&self, chunk: Chunk<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(bounds) = map_bounds(chunk.start, chunk.end) else {
            return Vec::new();
        };
        let entries = self.entries.range::<[u8], _>(bounds);
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        match chunk.direction {
            Direction::Forward => entries.take(chunk.len).map(copy).collect(),
            Direction::Backward => entries.rev().take(chunk.len).map(copy).collect(),
        }
    }

    pub(crate) fn apply(&mut self, write: MemoryWrite) {
        match write {
            MemoryWrite::Put(key, value) => {
                self.bytes += key.len() + value.len() + ENTRY_OVERHEAD;
                let key_len = key.len();
                let old = self.entries.insert(key, value);
                self.forget(key_len, old);
            }
            MemoryWrite::Delete(key) => {
                let old = self.entries.remove(&key);
                self.forget(key.len(), old);
            }
            MemoryWrite::DeleteRange(from, to) => self.delete_range(&from, &to),
        }
    }

    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        if to <= from {
            return;
        }
        let mut expired = self.entries.split_off(from);
        let mut after = expired.split_off(to);
        self.entries.append(&mut after);
        for (key, value) in expired {
            self.forget(key.len(), Some(value));
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget(&mut self, key_len: usize, value: Option<Vec<u8>>) {
        if let Some(value) = value {
            self.bytes = self.bytes.saturating_sub(key_len + value.len() + ENTRY_OVERHEAD);
        }
    }
}
