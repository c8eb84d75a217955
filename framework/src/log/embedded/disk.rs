//! RocksDB as the storage of the embedded log.
//!
//! Records outside transactions gather in one write batch, which is written when it is flushed,
//! when it is large enough, or when somebody reads: so readers see only what was written. Records
//! of a transaction gather in a batch of their own; its end is one write: records, control records
//! and positions together. A transaction that grows too large is written early, under a note that
//! it is open; if it does not end well, its records are deleted again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::EmbeddedOptions;
use super::layout::{self, Found, Kind, PartitionRow};
use crate::error::{Error, Result};
use crate::log::local::lock;
use crate::log::local::storage::{
    CHUNK_BYTES_MAX, Chunk, Cleaning, Ending, Fetch, Slot, Storage, TxnId,
};
use crate::log::{Committed, Isolation, NewTopic, RawRecord, RecordBatch};
use crate::record::TopicPartition;

pub(super) const RECORDS: &str = "records";
pub(super) const TOPICS: &str = "topics";
pub(super) const GROUPS: &str = "groups";
pub(super) const TRANSACTIONS: &str = "transactions";

/// Records outside transactions are written when so many bytes have gathered. Larger: more memory
/// and longer writes. Smaller: more writes.
const GATHERED_BYTES_MAX: usize = 1 << 20;
/// So many records after the last look it is time to look for old ones. Larger: more disk.
/// Smaller: more looking.
const RECORDS_BETWEEN_CLEANINGS: u64 = 100_000;
/// Write-ahead log files are let go when there are so many bytes of them.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// RocksDB keeps at most so many files open.
const OPEN_FILES_MAX: i32 = 512;

/// The database, and what is on its way to it.
pub(super) struct Disk {
    pub(super) db: DB,
    options: EmbeddedOptions,
    gathered: Mutex<Gathered>,
    pub(super) rows: Mutex<HashMap<Slot, PartitionRow>>,
    appended: AtomicU64,
    /// Held by the one who compacts.
    compacting: Mutex<()>,
    /// Why a write failed.
    poison: OnceLock<String>,
    /// Ours as long as the database is open; let go last.
    _lock: File,
}

#[derive(Default)]
struct Gathered {
    plain: WriteBatch,
    open: BTreeMap<TxnId, OpenTxn>,
    /// Taken and given back, so that encoding does not allocate.
    bytes: Vec<u8>,
}

#[derive(Default)]
struct OpenTxn {
    batch: WriteBatch,
    /// First offset in each partition.
    touched: BTreeMap<Slot, i64>,
    /// Some of it is in the database already.
    early: bool,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.db.path().display())
    }
}

impl Disk {
    pub(super) fn open(dir: &Path, lock: File, options: EmbeddedOptions) -> Result<Self> {
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
    fn settle(&self, gathered: &mut Gathered) -> Result<()> {
        if !gathered.plain.is_empty() {
            self.write(mem::take(&mut gathered.plain))?;
        }
        Ok(())
    }

    /// Writes what an open transaction gathered so far.
    fn write_early(&self, id: TxnId, txn: &mut OpenTxn) -> Result<()> {
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

    fn put_offsets(
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

impl Storage for Disk {
    fn topic_created(&self, id: u32, topic: &NewTopic) -> Result<()> {
        let mut batch = WriteBatch::default();
        let row = layout::encode_topic(topic);
        batch.put_cf(self.family(TOPICS)?, layout::topic_key(id), row);
        self.write(batch)
    }

    fn topic_grown(&self, id: u32, topic: &NewTopic) -> Result<()> {
        self.topic_created(id, topic)
    }

    fn topic_deleted(&self, id: u32) -> Result<()> {
        self.flush()?;
        let topics = self.family(TOPICS)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(topics, layout::topic_key(id), layout::GONE);
        let (first, limit) =
            (Slot { topic: id, partition: 0 }, Slot { topic: id + 1, partition: 0 });
        let records = [first, limit].map(|slot| layout::record_key(slot, 0));
        batch.delete_range_cf(self.family(RECORDS)?, records[0], records[1]);
        batch.delete_range_cf(topics, layout::partition_key(first), layout::partition_key(limit));
        lock(&self.rows).retain(|slot, _| slot.topic != id);
        self.write(batch)
    }

    fn group_deleted(&self, group: &str) -> Result<()> {
        let groups = self.family(GROUPS)?;
        let mut batch = WriteBatch::default();
        for item in self.db.iterator_cf(groups, IteratorMode::Start) {
            let (key, _) = item.map_err(|e| failed(&e))?;
            let (found, _) = layout::decode_group_key(&key).ok_or_else(|| broken("a group"))?;
            if found == group {
                batch.delete_cf(groups, &key);
            }
        }
        self.write(batch)
    }

    fn append(&self, slot: Slot, txn: Option<TxnId>, record: &RawRecord<'_>) -> Result<()> {
        let records = self.family(RECORDS)?;
        let mut gathered = lock(&self.gathered);
        let Gathered { plain, open, bytes } = &mut *gathered;
        bytes.clear();
        layout::encode_record(bytes, txn, record);
        let key = layout::record_key(slot, record.offset);
        self.appended.fetch_add(1, Ordering::Relaxed);
        let Some(id) = txn else {
            plain.put_cf(records, key, bytes);
            if plain.size_in_bytes() >= GATHERED_BYTES_MAX {
                self.settle(&mut gathered)?;
            }
            return Ok(());
        };
        let txn = open.entry(id).or_default();
        txn.touched.entry(slot).or_insert(record.offset);
        txn.batch.put_cf(records, key, bytes);
        if txn.batch.size_in_bytes() >= self.options.transaction_bytes_max {
            self.write_early(id, txn)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.settle(&mut lock(&self.gathered))
    }

    fn end(&self, ending: &Ending<'_>) -> Result<()> {
        let (records, mut control) = (self.family(RECORDS)?, Vec::new());
        layout::encode_control(&mut control, ending.now);
        let mut gathered = lock(&self.gathered);
        let txn = gathered.open.remove(&ending.txn).unwrap_or_default();
        let (early, mut batch) = (txn.early, txn.batch);
        if !ending.commit {
            batch.clear();
        }
        for marker in ending.markers {
            if early && !ending.commit {
                let (slot, first) = (marker.slot, marker.first);
                self.delete_early(&mut batch, ending.txn, slot, first, marker.offset)?;
            }
            batch.put_cf(records, layout::record_key(marker.slot, marker.offset), &control);
        }
        if early {
            batch.delete_cf(self.family(TRANSACTIONS)?, ending.txn.to_be_bytes());
        }
        for (group, offsets) in ending.offsets {
            self.put_offsets(&mut batch, group, offsets)?;
        }
        self.write(batch)
    }

    fn commit_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        let mut batch = WriteBatch::default();
        self.put_offsets(&mut batch, group, offsets)?;
        self.write(batch)
    }

    fn delete_below(&self, slot: Slot, before: i64, next: i64) -> Result<()> {
        self.flush()?;
        let mut rows = lock(&self.rows);
        let row = rows.entry(slot).or_default();
        (row.start, row.next) = (before, next.max(row.next));
        let mut batch = WriteBatch::default();
        let (first, limit) = (layout::record_key(slot, 0), layout::record_key(slot, before));
        batch.delete_range_cf(self.family(RECORDS)?, first, limit);
        self.put_row(&mut batch, slot, row)?;
        self.write(batch)
    }

    fn read(&self, fetch: &Fetch) -> Result<Chunk> {
        {
            let mut gathered = lock(&self.gathered);
            self.settle(&mut gathered)?;
            if fetch.isolation == Isolation::ReadUncommitted {
                let open = gathered.open.iter_mut();
                for (id, txn) in open.filter(|(_, txn)| txn.touched.contains_key(&fetch.slot)) {
                    self.write_early(*id, txn)?;
                }
            }
        }
        let mut batch = DiskBatch::default();
        let mut next = fetch.limit;
        self.walk(fetch.slot, fetch.from, fetch.limit, |offset, bytes, found| {
            if found.kind == Kind::Control {
                return Ok(true);
            }
            if batch.records.len() == fetch.max || batch.bytes.len() >= CHUNK_BYTES_MAX {
                next = offset;
                return Ok(false);
            }
            batch.push(offset, bytes, found);
            Ok(true)
        })?;
        if batch.records.is_empty() {
            return Ok(Chunk { batch: None, next });
        }
        Ok(Chunk { batch: Some(Box::new(batch)), next })
    }

    fn offset_at(&self, slot: Slot, timestamp: i64, from: i64, limit: i64) -> Result<Option<i64>> {
        self.flush()?;
        let mut at = None;
        self.walk(slot, from, limit, |offset, _, found| {
            if found.kind != Kind::Control && found.timestamp >= timestamp {
                at = Some(offset);
            }
            Ok(at.is_none())
        })?;
        Ok(at)
    }

    fn cleaning_due(&self) -> bool {
        let appended = self.appended.load(Ordering::Relaxed);
        appended >= RECORDS_BETWEEN_CLEANINGS
            && self.appended.compare_exchange(appended, 0, Ordering::Relaxed, Ordering::Relaxed)
                == Ok(appended)
    }

    fn compact(&self, cleaning: &Cleaning) -> Result<()> {
        // Two at once would do the same work twice; what this one leaves, the next look finds.
        let Ok(_alone) = self.compacting.try_lock() else { return Ok(()) };
        self.flush()?;
        super::compaction::compact(self, cleaning)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Open transactions end with their process; nobody is left to hear of a failure.
        let _ = self.flush();
    }
}

fn item<'a>(records: &'a DBRawIterator<'_>) -> Option<(&'a [u8], &'a [u8])> {
    records.item()
}

/// Records copied out of the database together.
#[derive(Debug, Default)]
struct DiskBatch {
    bytes: Vec<u8>,
    records: Vec<Located>,
}

#[derive(Debug)]
struct Located {
    offset: i64,
    /// Where its bytes begin.
    base: usize,
    found: Found,
}

impl DiskBatch {
    fn push(&mut self, offset: i64, bytes: &[u8], found: Found) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.records.push(Located { offset, base, found });
    }
}

impl RecordBatch for DiskBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn get(&self, index: usize) -> Option<RawRecord<'_>> {
        let Located { offset, base, found } = self.records.get(index)?;
        let part =
            |range: &std::ops::Range<usize>| self.bytes.get(base + range.start..base + range.end);
        Some(RawRecord {
            offset: *offset,
            timestamp: found.timestamp,
            key: found.key.as_ref().and_then(part),
            value: found.value.as_ref().and_then(part),
            headers: found.headers.clone(),
        })
    }
}

pub(super) fn failed(error: &rocksdb::Error) -> Error {
    Error::Fatal { what: "embedded log".to_owned(), reason: error.to_string() }
}

pub(super) fn broken(what: &str) -> Error {
    let reason = format!("{what} cannot be read: the directory is damaged or of another version");
    Error::Fatal { what: "embedded log".to_owned(), reason }
}
