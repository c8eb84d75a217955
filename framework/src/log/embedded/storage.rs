//! The storage of a broker, in [`Disk`]: what is appended, ended, read and deleted.

use std::sync::atomic::Ordering;

use rocksdb::{IteratorMode, WriteBatch};

use super::compaction;
use super::disk::{Disk, GROUPS, Gathered, RECORDS, TOPICS, TRANSACTIONS, broken, failed};
use super::layout::{self, Found, Kind};
use crate::error::Result;
use crate::log::local::storage::{
    CHUNK_BYTES_MAX, Chunk, Cleaning, Ending, Fetch, Slot, Storage, TxnId,
};
use crate::log::locked::locked;
use crate::log::{Committed, Isolation, NewTopic, RawRecord, RecordBatch};
use crate::record::TopicPartition;

/// Records outside transactions are written when so many bytes have gathered. Larger: more memory
/// and longer writes. Smaller: more writes.
const GATHERED_BYTES_MAX: usize = 1 << 20;
/// So many records after the last look it is time to look for old ones. Larger: more disk.
/// Smaller: more looking.
const RECORDS_BETWEEN_CLEANINGS: u64 = 100_000;

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
        locked(&self.rows).retain(|slot, _| slot.topic != id);
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
        let mut gathered = locked(&self.gathered);
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
        self.settle(&mut locked(&self.gathered))
    }

    fn end(&self, ending: &Ending<'_>) -> Result<()> {
        let (records, mut control) = (self.family(RECORDS)?, Vec::new());
        layout::encode_control(&mut control, ending.now);
        let mut gathered = locked(&self.gathered);
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
        let mut rows = locked(&self.rows);
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
            let mut gathered = locked(&self.gathered);
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
        compaction::compact(self, cleaning)
    }
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
