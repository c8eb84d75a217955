//! The stores of a task in one RocksDB: a column family for each, so that the task is one directory
//! and its commit one write. Nothing outside this folder names RocksDB.

mod resources;
mod notes;
mod reading;
mod shared;

#[cfg(test)]
mod tests;

pub(crate) use notes::Notes;
pub use resources::SharedResources;
pub(crate) use shared::SharedFamily;

use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::range::Direction;
use crate::spec::{StoreId, StoreSpec};
use crate::write::Write;
use notes::{FRESH_AT, LAYOUT, META, NUMBERS, OBSERVED, OFFSET, family, format_entry, note_key};
use reading::read_chunk;
use rocksdb::properties::{
    CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_NUM_KEYS, LIVE_SST_FILES_SIZE, SIZE_ALL_MEM_TABLES,
};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, Options, ReadOptions, WriteBatch,
    WriteOptions,
};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEFAULT_FAMILY: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

/// A task's database.
pub(crate) struct Rocks {
    dir: PathBuf,
    /// None once closed.
    db: RefCell<Option<Arc<DB>>>,
    /// By [`StoreId`], those of stores in memory too, which have no column family.
    stores: Vec<StoreFamily>,
    shared: SharedResources,
    point_read: ReadOptions,
}

#[derive(Debug)]
struct StoreFamily {
    name: String,
    family: String,
}

/// Writes on their way to a task's database.
#[derive(Default)]
pub(crate) struct RocksBatch(WriteBatch);

impl RocksBatch {
    pub(crate) fn len_bytes(&self) -> usize {
        self.0.size_in_bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rocks {
    pub(crate) fn open(
        dir: &Path,
        specs: &[StoreSpec],
        shared: &SharedResources,
    ) -> Result<(Self, Notes)> {
        std::fs::create_dir_all(dir).map_err(|error| refused_dir(dir, error.to_string()))?;
        let options = shared.options();
        let db = open_database(dir, specs, &options)
            .map_err(|error| refused_dir(dir, error.into_string()))?;
        let rocks = Self {
            dir: dir.to_owned(),
            db: RefCell::new(Some(Arc::new(db))),
            stores: specs
                .iter()
                .map(|spec| StoreFamily { name: spec.name.clone(), family: family(&spec.name) })
                .collect(),
            shared: shared.clone(),
            point_read: ReadOptions::default(),
        };
        let notes = rocks.read_notes(specs)?;
        Ok((rocks, notes))
    }

    /// Reads the notes, marks a new directory, and empties stores written with another layout.
    fn read_notes(&self, specs: &[StoreSpec]) -> Result<Notes> {
        let entries = self.with_db(|db| self.read_family(db, DEFAULT_FAMILY, Chunk::whole()))?;
        let mut notes = Notes::read(&self.dir, &entries)?;
        let mut batch = WriteBatch::default();
        if notes.check_format(&self.dir)? {
            let (key, value) = format_entry();
            batch.put(key, value);
        }
        for (index, spec) in (0_u16..).zip(specs).filter(|(_, spec)| !spec.in_memory) {
            let signature = spec.kind.signature();
            let known = notes.layouts.get(&spec.name);
            if known == Some(&signature) {
                continue;
            }
            if known.is_some() {
                self.clear(StoreId(index))?;
                notes.forget(&spec.name);
            }
            batch.put(note_key(LAYOUT, spec.name.as_bytes()), signature);
        }
        // An offset on disk of a store that is in memory now says nothing about its content.
        for spec in specs.iter().filter(|spec| spec.in_memory) {
            notes.forget(&spec.name);
        }
        if !batch.is_empty() {
            self.write(RocksBatch(batch))?;
        }
        Ok(notes)
    }

    pub(crate) fn get_with<R>(
        &self,
        id: StoreId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        self.with_db(|db| {
            let found = db
                .get_pinned_cf_opt(self.family(db, id)?, key, &self.point_read)
                .map_err(|error| self.refused(id, error))?;
            Ok(found.map(|value| read(&value)))
        })
    }

    pub(crate) fn chunk(&self, id: StoreId, chunk: Chunk<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let name = &self.store(id)?.family;
        self.with_db(|db| self.read_family(db, name, chunk))
    }

    pub(crate) fn add(&self, batch: &mut RocksBatch, id: StoreId, write: Write<'_>) -> Result<()> {
        self.with_db(|db| {
            let family = self.family(db, id)?;
            match write {
                Write::Put(key, value) => batch.0.put_cf(family, key, value),
                Write::Delete(key) => batch.0.delete_cf(family, key),
                Write::DeleteRange(from, to) => batch.0.delete_range_cf(family, from, to),
            }
            Ok(())
        })
    }

    pub(crate) fn put_offset(
        &self,
        batch: &mut RocksBatch,
        id: StoreId,
        offset: i64,
    ) -> Result<()> {
        self.put_number(batch, OFFSET, id, offset)
    }

    pub(crate) fn put_observed(
        &self,
        batch: &mut RocksBatch,
        id: StoreId,
        observed: i64,
    ) -> Result<()> {
        self.put_number(batch, OBSERVED, id, observed)
    }

    pub(crate) fn put_fresh_at(
        &self,
        batch: &mut RocksBatch,
        id: StoreId,
        time_ms: i64,
    ) -> Result<()> {
        self.put_number(batch, FRESH_AT, id, time_ms)
    }

    fn put_number(
        &self,
        batch: &mut RocksBatch,
        prefix: &[u8],
        id: StoreId,
        number: i64,
    ) -> Result<()> {
        let key = note_key(prefix, self.store(id)?.name.as_bytes());
        batch.0.put(key, number.to_be_bytes());
        Ok(())
    }

    pub(crate) fn put_meta(batch: &mut RocksBatch, key: &[u8], value: &[u8]) {
        batch.0.put(note_key(META, key), value);
    }

    pub(crate) fn write(&self, batch: RocksBatch) -> Result<()> {
        self.with_db(|db| {
            if self.shared.is_over_limit() {
                self.flush_own(db)?;
            }
            db.write(batch.0).map_err(|error| self.refused_task(error))
        })
    }

    /// Writes this task's buffers to files and waits for it: what keeps memory bounded when records
    /// come faster than the background threads flush.
    fn flush_own(&self, db: &DB) -> Result<()> {
        let families: Vec<&ColumnFamily> =
            self.stores.iter().filter_map(|store| db.cf_handle(&store.family)).collect();
        let size = |family: &&ColumnFamily| {
            let size = db.property_int_value_cf(*family, SIZE_ALL_MEM_TABLES);
            size.ok().flatten().unwrap_or(0)
        };
        if families.iter().map(size).sum::<u64>() < self.shared.worth_a_flush() {
            return Ok(());
        }
        db.flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(|error| self.refused_task(error))
    }

    /// Empties a store. Its notes go first and are synced: whatever happens after, a store that has
    /// lost entries has lost its offset too, and is restored from the changelog's start.
    pub(crate) fn clear(&self, id: StoreId) -> Result<()> {
        let store = self.store(id)?;
        let mut db = self.db.try_borrow_mut().map_err(|_| self.unavailable("in use"))?;
        let db = db.as_mut().ok_or_else(|| self.unavailable("closed"))?;
        let db = Arc::get_mut(db).ok_or_else(|| self.unavailable("shared"))?;
        let mut batch = WriteBatch::default();
        for prefix in NUMBERS {
            batch.delete(note_key(prefix, store.name.as_bytes()));
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        db.write_opt(batch, &synced).map_err(|error| self.refused(id, error))?;
        db.drop_cf(&store.family).map_err(|error| self.refused(id, error))?;
        db.create_cf(&store.family, &self.shared.options()).map_err(|error| self.refused(id, error))
    }

    /// A handle by which any thread reads the store.
    pub(crate) fn share(&self, id: StoreId) -> Result<SharedFamily> {
        let db = self.db.try_borrow().map_err(|_| self.unavailable("in use"))?;
        let db = db.as_ref().ok_or_else(|| self.unavailable("closed"))?;
        let StoreFamily { name, family } = self.store(id)?;
        Ok(SharedFamily::new(Arc::clone(db), name, family))
    }

    /// Drops the entries from `start` up to `bound`: files that hold nothing else go as a whole, one range
    /// deletion covers the rest. In this order, since a dropped file may hold an earlier range
    /// deletion whose entries are partly in other files; a crash in between may bring back expired
    /// entries, which the next call drops again and reads do not show.
    pub(crate) fn drop_range(&self, id: StoreId, start: &[u8], bound: &[u8]) -> Result<()> {
        self.with_db(|db| {
            let family = self.family(db, id)?;
            let first = Chunk { start, end: Some(bound), direction: Direction::Forward, len: 1 };
            if self.read_family(db, &self.store(id)?.family, first)?.is_empty() {
                return Ok(());
            }
            db.delete_file_in_range_cf(family, start, bound)
                .and_then(|()| db.delete_range_cf(family, start, bound))
                .map_err(|error| self.refused(id, error))
        })
    }

    pub(crate) fn size_bytes(&self, id: StoreId) -> u64 {
        self.property(id, LIVE_SST_FILES_SIZE) + self.property(id, CUR_SIZE_ALL_MEM_TABLES)
    }

    pub(crate) fn entries_estimate(&self, id: StoreId) -> u64 {
        self.property(id, ESTIMATE_NUM_KEYS)
    }

    pub(crate) fn close(&self) -> Result<()> {
        let db = self.db.try_borrow_mut().map_err(|_| self.unavailable("in use"))?.take();
        drop(db);
        Ok(())
    }

    fn read_family(
        &self,
        db: &DB,
        family: &str,
        chunk: Chunk<'_>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let handle = db.cf_handle(family).ok_or_else(|| self.unavailable("without a family"))?;
        read_chunk(db, handle, chunk).map_err(|error| self.refused_task(error))
    }

    fn property(&self, id: StoreId, name: &rocksdb::properties::PropName) -> u64 {
        self.with_db(|db| {
            db.property_int_value_cf(self.family(db, id)?, name)
                .map_err(|error| self.refused(id, error))
        })
        .ok()
        .flatten()
        .unwrap_or(0)
    }

    fn with_db<R>(&self, work: impl FnOnce(&DB) -> Result<R>) -> Result<R> {
        let db = self.db.try_borrow().map_err(|_| self.unavailable("in use"))?;
        work(db.as_ref().ok_or_else(|| self.unavailable("closed"))?)
    }

    fn store(&self, id: StoreId) -> Result<&StoreFamily> {
        self.stores.get(usize::from(id.0)).ok_or(Error::UnknownStore { id: id.0 })
    }

    fn family<'db>(&self, db: &'db DB, id: StoreId) -> Result<&'db ColumnFamily> {
        db.cf_handle(&self.store(id)?.family).ok_or(Error::UnknownStore { id: id.0 })
    }

    fn refused(&self, id: StoreId, error: rocksdb::Error) -> Error {
        let store = self.store(id).map_or_else(|_| id.0.to_string(), |store| store.name.clone());
        Error::Store { store, reason: error.into_string() }
    }

    fn refused_task(&self, error: rocksdb::Error) -> Error {
        Error::Store { store: self.dir.display().to_string(), reason: error.into_string() }
    }

    fn unavailable(&self, state: &'static str) -> Error {
        Error::Unavailable { task: self.dir.display().to_string(), state }
    }
}

/// Opens the database with the column families of the declared stores and those it has besides:
/// RocksDB opens a database only with all of them, and stores no longer declared keep their data.
fn open_database(dir: &Path, specs: &[StoreSpec], options: &Options) -> Result<DB, rocksdb::Error> {
    // A directory without a database has no list to read.
    let mut families =
        if dir.join("CURRENT").exists() { DB::list_cf(options, dir)? } else { vec![] };
    families.push(DEFAULT_FAMILY.to_owned());
    families.extend(specs.iter().filter(|spec| !spec.in_memory).map(|spec| family(&spec.name)));
    families.sort_unstable();
    families.dedup();
    let families =
        families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
    DB::open_cf_descriptors(options, dir, families)
}

fn refused_dir(dir: &Path, reason: String) -> Error {
    Error::Directory { dir: dir.to_owned(), reason }
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("dir", &self.dir)
            .field("stores", &self.stores)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RocksBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksBatch").field("len_bytes", &self.len_bytes()).finish()
    }
}
