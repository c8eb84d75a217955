//! Writes that count together: data of several stores, their changelog offsets, observed times and
//! the task's own notes.

use crate::error::{Error, Result};
use crate::note::Note;
use crate::rocks::{Rocks, RocksBatch};
use crate::spec::StoreId;
use crate::stores::TaskStores;
use crate::write::{MemoryWrite, Write};

/// A batch for [`TaskStores::write`]. A fault while it is filled (a store the task does not have)
/// is kept and returned by the write, which then writes nothing.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is written"]
pub struct Batch {
    stores: TaskStores,
    rocks: RocksBatch,
    memory: Vec<(StoreId, MemoryWrite)>,
    notes: Vec<Note>,
    memory_bytes: usize,
    fault: Option<Error>,
}

impl TaskStores {
    /// An empty batch for these stores.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Writes a batch as a whole: data, offsets and notes in one step, through the write-ahead log,
    /// which is not synced. A killed process keeps it; after a power cut it is there whole or not
    /// at all. Stores in memory follow once the disk has taken it.
    ///
    /// # Errors
    /// The database refuses, or the batch names a store that is not there: nothing is written.
    pub fn write(&self, mut batch: Batch) -> Result<()> {
        batch.take_fault()?;
        let Batch { mut rocks, memory, notes, .. } = batch;
        if let Some(database) = self.database() {
            for note in &notes {
                match note {
                    Note::Offset(id, offset) if self.is_on_disk(*id) => {
                        database.put_offset(&mut rocks, *id, *offset)?;
                    }
                    Note::Observed(id, observed) if self.is_on_disk(*id) => {
                        database.put_observed(&mut rocks, *id, *observed)?;
                    }
                    Note::FreshAt(id, time_ms) if self.is_on_disk(*id) => {
                        database.put_fresh_at(&mut rocks, *id, *time_ms)?;
                    }
                    Note::Meta(key, value) => Rocks::put_meta(&mut rocks, key, value),
                    Note::Offset(..) | Note::Observed(..) | Note::FreshAt(..) => {}
                }
            }
            database.write(rocks)?;
        }
        for (id, write) in memory {
            self.apply_in_memory(id, write)?;
        }
        for note in notes {
            self.remember(note)?;
        }
        Ok(())
    }
}

impl Batch {
    fn new(stores: TaskStores) -> Self {
        Self {
            stores,
            rocks: RocksBatch::default(),
            memory: Vec::new(),
            notes: Vec::new(),
            memory_bytes: 0,
            fault: None,
        }
    }

    /// Puts a value under a key.
    pub fn put(&mut self, store: StoreId, key: &[u8], value: &[u8]) {
        self.add(store, Write::Put(key, value));
    }

    /// Deletes a key.
    pub fn delete(&mut self, store: StoreId, key: &[u8]) {
        self.add(store, Write::Delete(key));
    }

    /// Deletes the keys from `from` up to `to`, `to` excluded, those put earlier in this batch too.
    pub fn delete_range(&mut self, store: StoreId, from: &[u8], to: &[u8]) {
        if from < to {
            self.add(store, Write::DeleteRange(from, to));
        }
    }

    /// Sets up to where the store has taken in its changelog. What the number counts (the last
    /// offset or the next) is the caller's choice. Of a store in memory it is not kept on disk.
    pub fn set_offset(&mut self, store: StoreId, offset: i64) {
        self.note(store, Note::Offset(store, offset));
    }

    /// Sets the largest time put into the store, by which its entries expire. Kept like the offset:
    /// so what is late after a restart is what was late before it.
    pub fn set_observed(&mut self, store: StoreId, observed_ms: i64) {
        self.note(store, Note::Observed(store, observed_ms));
    }

    /// Sets when all that the store lacks was in its changelog for the last time. Kept like the
    /// offset: a changelog forgets deletions after a while, so a store that is older than that
    /// cannot be completed from what its changelog has beyond the offset.
    pub fn set_fresh_at(&mut self, store: StoreId, time_ms: i64) {
        self.note(store, Note::FreshAt(store, time_ms));
    }

    /// Sets a note of the task's own.
    pub fn set_meta(&mut self, key: &[u8], value: &[u8]) {
        self.notes.push(Note::Meta(key.to_vec(), value.to_vec()));
    }

    /// About how many bytes the batch holds.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.rocks.len_bytes() + self.memory_bytes
    }

    /// Whether nothing was put into the batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rocks.is_empty() && self.memory.is_empty() && self.notes.is_empty()
    }

    fn take_fault(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn note(&mut self, store: StoreId, note: Note) {
        let known = self.stores.rocks_of(store).map(|_| ());
        self.note_fault(known);
        self.notes.push(note);
    }

    fn add(&mut self, store: StoreId, write: Write<'_>) {
        let done = match self.stores.rocks_of(store) {
            Ok(Some(rocks)) => rocks.add(&mut self.rocks, store, write),
            Ok(None) => {
                self.memory_bytes += write.len();
                self.memory.push((store, MemoryWrite::from(write)));
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.note_fault(done);
    }

    fn note_fault(&mut self, done: Result<()>) {
        if let (Err(error), None) = (done, &self.fault) {
            self.fault = Some(error);
        }
    }
}
