//! RocksDB as the storage of the embedded log.
//!
//! Records outside transactions gather in one write batch, which is written when it is flushed,
//! when it is large enough, or when somebody reads: so readers see only what was written. Records
//! of a transaction gather in a batch of their own; its end is one write: records, control records
//! and positions together. A transaction that grows too large is written early, under a note that
//! it is open; if it does not end well, its records are deleted again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::layout::{self, Found, Kind, PartitionRow};
use super::options::EmbeddedOptions;
use crate::error::{Error, Result};
use crate::log::Committed;
use crate::log::dir_lock::DirLock;
use crate::log::local::storage::{Slot, TxnId};
use crate::log::locked::locked;
use crate::record::TopicPartition;

pub(super) const RECORDS: &str = "records";
pub(super) const TOPICS: &str = "topics";
pub(super) const GROUPS: &str = "groups";
pub(super) const TRANSACTIONS: &str = "transactions";

/// Write-ahead log files are let go when there are so many bytes of them.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// RocksDB keeps at most so many files open.
const OPEN_FILES_MAX: i32 = 512;

/// The database, and what is on its way to it.
pub(super) struct Disk {
    pub(super) db: DB,
    pub(super) options: EmbeddedOptions,
    pub(super) gathered: Mutex<Gathered>,
    pub(super) rows: Mutex<HashMap<Slot, PartitionRow>>,
    pub(super) appended: AtomicU64,
    /// Held by the one who compacts.
    pub(super) compacting: Mutex<()>,
    /// Why a write failed.
    poison: OnceLock<String>,
    /// Ours as long as the database is open; let go last.
    _lock: DirLock,
}

#[derive(Default)]
pub(super) struct Gathered {
    pub(super) plain: WriteBatch,
    pub(super) open: BTreeMap<TxnId, OpenTxn>,
    /// Taken and given back, so that encoding does not allocate.
    pub(super) bytes: Vec<u8>,
}

#[derive(Default)]
pub(super) struct OpenTxn {
    pub(super) batch: WriteBatch,
    /// First offset in each partition.
    pub(super) touched: BTreeMap<Slot, i64>,
    /// Some of it is in the database already.
    pub(super) early: bool,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.db.path().display())
    }
}

impl Disk {
    pub(super) fn open(dir: &Path, lock: DirLock, options: EmbeddedOptions) -> Result<Self> {
        let mut general = Options::default();
        general.create_if_missing(true);
        general.create_missing_column_families(true);
        general.set_max_total_wal_size(WAL_BYTES_MAX);
        general.set_max_open_files(OPEN_FILES_MAX);
        general.set_keep_log_file_num(2);
        general.set_db_write_buffer_size(options.write_buffer_bytes);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(options.cache_bytes));
        let family = |name| {
            let mut own = Options::default();
            own.set_compression_type(DBCompressionType::Lz4);
            own.set_block_based_table_factory(&table);
            ColumnFamilyDescriptor::new(name, own)
        };
        let families = ["default", RECORDS, TOPICS, GROUPS, TRANSACTIONS].map(family);
        let db = DB::open_cf_descriptors(&general, dir, families).map_err(|e| failed(&e))?;
        let disk = Self {
            db,
            options,
            gathered: Mutex::default(),
            rows: Mutex::default(),
            appended: AtomicU64::new(0),
            compacting: Mutex::default(),
            poison: OnceLock::new(),
            _lock: lock,
        };
        disk.check_format()?;
        Ok(disk)
    }

    fn check_format(&self) -> Result<()> {
        let found = self.db.get(b"format").map_err(|e| failed(&e))?;
        match found {
            None => {
                let format = layout::FORMAT.to_be_bytes();
                self.db.put(b"format", format).map_err(|e| failed(&e))
            }
            Some(found) if *found == layout::FORMAT.to_be_bytes() => Ok(()),
            Some(found) => Err(broken(&format!("its format {found:?} is not known"))),
        }
    }

    pub(super) fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| broken(&format!("column family {name} is missing")))
    }

    /// Writes a batch as durably as was asked for. After a failure nothing is written any more:
    /// what was in the batch has its offsets already, so going on would lose it silently.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<()> {
        if let Some(reason) = self.poison.get() {
            let reason = format!("an earlier write failed: {reason}");
            return Err(Error::Fatal { what: "embedded log".to_owned(), reason });
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.options.sync);
        let written = self.db.write_opt(batch, &options);
        if let Err(error) = &written {
            // If another thread was faster, its reason is as good.
            let _ = self.poison.set(error.to_string());
        }
        written.map_err(|e| failed(&e))
    }

    /// Walks over the records of a partition until `see` says that it is enough.
    pub(super) fn walk(
        &self,
        slot: Slot,
        from: i64,
        limit: i64,
        mut see: impl FnMut(i64, &[u8], Found) -> Result<bool>,
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(layout::record_key(slot, limit));
        let mut records = self.db.raw_iterator_cf_opt(self.family(RECORDS)?, options);
        records.seek(layout::record_key(slot, from));
        while let Some((key, bytes)) = item(&records) {
            let offset = layout::offset_of(key, slot);
            let offset = offset.ok_or_else(|| broken("a record's key"))?;
            let found = layout::decode_record(bytes);
            let found = found.ok_or_else(|| broken(&format!("record {offset} of {slot:?}")))?;
            if !see(offset, bytes, found)? {
                return Ok(());
            }
            records.next();
        }
        records.status().map_err(|e| failed(&e))
    }

    /// Writes what was gathered outside transactions.
    pub(super) fn settle(&self, gathered: &mut Gathered) -> Result<()> {
        if !gathered.plain.is_empty() {
            self.write(mem::take(&mut gathered.plain))?;
        }
        Ok(())
    }

    /// Writes what an open transaction gathered so far.
    pub(super) fn write_early(&self, id: TxnId, txn: &mut OpenTxn) -> Result<()> {
        let note = layout::encode_touched(txn.touched.iter());
        txn.batch.put_cf(self.family(TRANSACTIONS)?, id.to_be_bytes(), note);
        self.write(mem::take(&mut txn.batch))?;
        txn.early = true;
        Ok(())
    }

    /// Adds to a batch what deletes the records that a transaction wrote early.
    pub(super) fn delete_early(
        &self,
        batch: &mut WriteBatch,
        id: TxnId,
        slot: Slot,
        first: i64,
        limit: i64,
    ) -> Result<()> {
        let records = self.family(RECORDS)?;
        self.walk(slot, first, limit, |offset, _, found| {
            if found.kind == Kind::InTransaction(id) {
                batch.delete_cf(records, layout::record_key(slot, offset));
            }
            Ok(true)
        })?;
        batch.delete_cf(self.family(TRANSACTIONS)?, id.to_be_bytes());
        Ok(())
    }

    pub(super) fn put_offsets(
        &self,
        batch: &mut WriteBatch,
        group: &str,
        offsets: &[(TopicPartition, Committed)],
    ) -> Result<()> {
        let groups = self.family(GROUPS)?;
        for (tp, committed) in offsets {
            let row = layout::encode_committed(committed);
            batch.put_cf(groups, layout::group_key(group, tp), row);
        }
        Ok(())
    }

    /// Notes something of a partition, in a batch.
    pub(super) fn put_row(
        &self,
        batch: &mut WriteBatch,
        slot: Slot,
        row: &PartitionRow,
    ) -> Result<()> {
        let topics = self.family(TOPICS)?;
        batch.put_cf(topics, layout::partition_key(slot), layout::encode_partition(row));
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Open transactions end with their process; a failure cannot be returned from here.
        let _ = self.settle(&mut locked(&self.gathered));
    }
}

fn item<'a>(records: &'a DBRawIterator<'_>) -> Option<(&'a [u8], &'a [u8])> {
    records.item()
}

pub(super) fn failed(error: &rocksdb::Error) -> Error {
    Error::Fatal { what: "embedded log".to_owned(), reason: error.to_string() }
}

pub(super) fn broken(what: &str) -> Error {
    let reason = format!("{what} cannot be read: the directory is damaged or of another version");
    Error::Fatal { what: "embedded log".to_owned(), reason }
}
