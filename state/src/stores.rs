//! The stores of one task behind one handle, whatever holds them.

use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::memory::{MemoryCell, MemoryStore};
use crate::note::Note;
use crate::rocks::{Notes, Rocks, SharedResources};
use crate::shared::SharedStore;
use crate::spec::{StoreId, StoreSpec};
use crate::write::MemoryWrite;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// The stores of one task. A clone is another handle on the same stores; all of them live on the
/// task's thread.
#[derive(Clone, Debug)]
pub struct TaskStores {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// None when every store is in memory and nothing outlives the handle.
    rocks: Option<Rocks>,
    stores: Vec<Store>,
    meta: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
}

#[derive(Debug)]
struct Store {
    spec: StoreSpec,
    /// None: in RocksDB.
    memory: Option<MemoryCell>,
    offset: Cell<Option<i64>>,
    observed: Cell<Option<i64>>,
    fresh_at: Cell<Option<i64>>,
    /// The bound up to which expired entries were dropped since the store was opened.
    dropped_before: RefCell<Vec<u8>>,
}

impl TaskStores {
    /// Opens the stores of a task in its directory, or makes them. A store that was written with
    /// another layout of keys is emptied, its offset with it. Stores that are no longer declared
    /// keep their data.
    ///
    /// # Errors
    /// The directory cannot be opened, is in use by another handle, or was written in a format this
    /// version does not know.
    pub fn open(dir: &Path, specs: &[StoreSpec], shared: &SharedResources) -> Result<Self> {
        let (rocks, notes) = Rocks::open(dir, specs, shared)?;
        Ok(Self::assemble(Some(rocks), specs, notes))
    }

    /// Stores of which nothing is kept on disk, whatever their specs say.
    #[must_use]
    pub fn in_memory(specs: &[StoreSpec]) -> Self {
        Self::assemble(None, specs, Notes::default())
    }

    fn assemble(rocks: Option<Rocks>, specs: &[StoreSpec], notes: Notes) -> Self {
        let stores = specs
            .iter()
            .map(|spec| Store {
                spec: spec.clone(),
                memory: (spec.in_memory || rocks.is_none()).then(MemoryCell::default),
                offset: Cell::new(notes.offsets.get(&spec.name).copied()),
                observed: Cell::new(notes.observed.get(&spec.name).copied()),
                fresh_at: Cell::new(notes.fresh_at.get(&spec.name).copied()),
                dropped_before: RefCell::default(),
            })
            .collect();
        let meta = RefCell::new(notes.meta);
        Self { inner: Rc::new(Inner { rocks, stores, meta }) }
    }

    /// The store's number, by its name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<StoreId> {
        let index = self.inner.stores.iter().position(|store| store.spec.name == name)?;
        u16::try_from(index).ok().map(StoreId)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The database refuses, or the store is not there.
    pub fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_with(store, key, <[u8]>::to_vec)
    }

    /// What `read` makes of the value of a key, which it sees in place.
    ///
    /// # Errors
    /// The database refuses, or the store is not there.
    pub fn get_with<R>(
        &self,
        store: StoreId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        match self.place(store)? {
            Place::Memory(memory) => Ok(memory.read(|store| store.get(key).map(read))),
            Place::Rocks(rocks) => rocks.get_with(store, key, read),
        }
    }

    /// Up to where the store has taken in its changelog; none: nothing is known, restore from its
    /// start.
    #[must_use]
    pub fn offset(&self, store: StoreId) -> Option<i64> {
        self.store(store).ok()?.offset.get()
    }

    /// The largest time put into the store, as last set by a batch.
    #[must_use]
    pub fn observed(&self, store: StoreId) -> Option<i64> {
        self.store(store).ok()?.observed.get()
    }

    /// When all that the store lacks was in its changelog for the last time, as last set by a
    /// batch; none: nothing is known.
    #[must_use]
    pub fn fresh_at(&self, store: StoreId) -> Option<i64> {
        self.store(store).ok()?.fresh_at.get()
    }

    /// A note of the task's own.
    #[must_use]
    pub fn meta(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.inner.meta.borrow().get(key).cloned()
    }

    /// Throws away a store's content, its offset and its times, so that it can be rebuilt
    /// from the changelog's start. Batches for the store that were begun before cannot be written.
    ///
    /// # Errors
    /// The database refuses, or the store is in use by an operation in progress.
    pub fn clear(&self, id: StoreId) -> Result<()> {
        let store = self.store(id)?;
        match self.place(id)? {
            Place::Memory(memory) => memory.change(MemoryStore::clear)?,
            Place::Rocks(rocks) => rocks.clear(id)?,
        }
        store.offset.set(None);
        store.observed.set(None);
        store.fresh_at.set(None);
        store.dropped_before.borrow_mut().clear();
        Ok(())
    }

    /// Drops what has expired at an observed time: whole segments, as one range, unseen. A store
    /// whose entries do not expire is left alone. Cheap when nothing new has expired, so it can be
    /// called at every commit.
    ///
    /// # Errors
    /// The database refuses, or the store is not there.
    pub fn drop_expired(&self, id: StoreId, observed_ms: i64) -> Result<()> {
        let store = self.store(id)?;
        let expired = store.spec.kind.expired(observed_ms);
        let Some((_, bound)) = expired.first() else { return Ok(()) };
        if *bound <= *store.dropped_before.borrow() {
            return Ok(());
        }
        for (first, end) in &expired {
            match self.place(id)? {
                Place::Memory(memory) => memory.change(|store| store.delete_range(first, end))?,
                Place::Rocks(rocks) => rocks.drop_range(id, first, end)?,
            }
        }
        store.dropped_before.borrow_mut().clone_from(bound);
        Ok(())
    }

    /// About how many bytes the store takes, on disk and in memory.
    #[must_use]
    pub fn size_bytes(&self, store: StoreId) -> u64 {
        match self.place(store) {
            Ok(Place::Memory(memory)) => memory.read(MemoryStore::bytes) as u64,
            Ok(Place::Rocks(rocks)) => rocks.size_bytes(store),
            Err(_) => 0,
        }
    }

    /// About how many rows the store has.
    #[must_use]
    pub fn entries_estimate(&self, store: StoreId) -> u64 {
        let per_row = self.store(store).map_or(1, |store| store.spec.kind.entries_per_row());
        let entries = match self.place(store) {
            Ok(Place::Memory(memory)) => memory.read(MemoryStore::len) as u64,
            Ok(Place::Rocks(rocks)) => rocks.entries_estimate(store),
            Err(_) => 0,
        };
        entries / per_row
    }

    /// A handle by which any thread may read the store from now on, while this one goes on writing.
    /// A store that is shared cannot be cleared any more.
    ///
    /// # Errors
    /// The store is not there, or closed.
    pub fn share(&self, id: StoreId) -> Result<SharedStore> {
        match self.place(id)? {
            Place::Memory(memory) => Ok(SharedStore::in_memory(memory.share())),
            Place::Rocks(rocks) => rocks.share(id).map(SharedStore::on_disk),
        }
    }

    /// Closes the database, so that the directory can be opened by another handle, on another
    /// thread, or be removed. Every handle on these stores refuses its work from here on.
    ///
    /// # Errors
    /// An operation is in progress.
    pub fn close(&self) -> Result<()> {
        self.inner.rocks.as_ref().map_or(Ok(()), Rocks::close)
    }

    /// The database; none if every store is in memory.
    pub(crate) fn database(&self) -> Option<&Rocks> {
        self.inner.rocks.as_ref()
    }

    /// Does a write to a store that is in memory.
    pub(crate) fn apply_in_memory(&self, id: StoreId, write: MemoryWrite) -> Result<()> {
        if let Place::Memory(memory) = self.place(id)? {
            memory.change(|store| store.apply(write))?;
        }
        Ok(())
    }

    /// The database, if the store is in it.
    pub(crate) fn rocks_of(&self, id: StoreId) -> Result<Option<&Rocks>> {
        match self.place(id)? {
            Place::Memory(_) => Ok(None),
            Place::Rocks(rocks) => Ok(Some(rocks)),
        }
    }

    pub(crate) fn read_chunk(
        &self,
        id: StoreId,
        chunk: Chunk<'_>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        match self.place(id)? {
            Place::Memory(memory) => Ok(memory.read(|store| store.chunk(chunk))),
            Place::Rocks(rocks) => rocks.chunk(id, chunk),
        }
    }

    pub(crate) fn remember(&self, note: Note) -> Result<()> {
        match note {
            Note::Offset(id, offset) => self.store(id)?.offset.set(Some(offset)),
            Note::Observed(id, observed) => self.store(id)?.observed.set(Some(observed)),
            Note::FreshAt(id, time_ms) => self.store(id)?.fresh_at.set(Some(time_ms)),
            Note::Meta(key, value) => {
                self.inner.meta.borrow_mut().insert(key, value);
            }
        }
        Ok(())
    }

    pub(crate) fn is_on_disk(&self, id: StoreId) -> bool {
        self.store(id).is_ok_and(|store| store.memory.is_none())
    }

    fn store(&self, id: StoreId) -> Result<&Store> {
        self.inner.stores.get(usize::from(id.0)).ok_or(Error::UnknownStore { id: id.0 })
    }

    fn place(&self, id: StoreId) -> Result<Place<'_>> {
        match (&self.store(id)?.memory, &self.inner.rocks) {
            (Some(memory), _) => Ok(Place::Memory(memory)),
            (None, Some(rocks)) => Ok(Place::Rocks(rocks)),
            (None, None) => Err(Error::UnknownStore { id: id.0 }),
        }
    }
}

/// Where a store's entries are.
enum Place<'a> {
    Memory(&'a MemoryCell),
    Rocks(&'a Rocks),
}
