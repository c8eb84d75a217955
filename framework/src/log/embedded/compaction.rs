//! Compaction of topics with `cleanup.policy=compact`: the last record of each key stays.
//!
//! As Kafka's cleaner: the keys of the part that is not clean yet are gathered with their last
//! offsets, as many as the memory for it holds; then everything up to there is walked over once,
//! and what has a later record of its key goes. Control records go too. Tombstones stay for
//! `delete.retention.ms` after they were first met, so that a store that was away still learns
//! of the deletion.

use std::collections::HashMap;
use std::mem;

use rocksdb::WriteBatch;

use super::disk::{Disk, RECORDS};
use super::layout::{self, Kind, PartitionRow};
use crate::error::Result;
use crate::log::local::storage::Cleaning;
use crate::log::locked::locked;

/// Memory for the keys of one walk. Larger: fewer walks. Smaller: less memory.
const KEYS_BYTES_MAX: usize = 64 << 20;
/// What an entry of the map takes besides the key's bytes, roughly.
const ENTRY_BYTES: usize = 64;
/// Deletions are written when there are so many bytes of them.
const DELETIONS_BYTES_MAX: usize = 1 << 20;
/// While the log runs, less than this is not worth a walk.
const DIRTY_MIN: i64 = 100_000;

/// Compacts a partition if it is worth it: at start when a third is new, later when it doubled.
pub(super) fn compact(disk: &Disk, cleaning: &Cleaning) -> Result<()> {
    let slot = cleaning.slot;
    let mut row = locked(&disk.rows).get(&slot).copied().unwrap_or_default();
    let dirty = cleaning.limit - row.cleaned_to.max(cleaning.start);
    let worth =
        if cleaning.at_start { dirty * 2 > row.kept } else { dirty > row.kept.max(DIRTY_MIN) };
    if dirty <= 0 || !worth {
        return Ok(());
    }
    let matured = cleaning.now.saturating_sub(row.since) >= cleaning.tombstones_kept_ms;
    let tombstones_below = if matured { row.tombstones_below } else { 0 };
    while row.cleaned_to < cleaning.limit {
        let (last, end) = gather(disk, cleaning, row.cleaned_to)?;
        row.kept = sweep(disk, cleaning, end, &last, tombstones_below)?;
        row.cleaned_to = end;
    }
    if matured {
        (row.tombstones_below, row.since) = (cleaning.limit, cleaning.now);
    }
    note(disk, cleaning, row)
}

/// The last offset of each key from `from` on, and how far that goes.
fn gather(disk: &Disk, cleaning: &Cleaning, from: i64) -> Result<(HashMap<Vec<u8>, i64>, i64)> {
    let (mut last, mut bytes, mut end) = (HashMap::new(), 0, cleaning.limit);
    let from = from.max(cleaning.start);
    disk.walk(cleaning.slot, from, cleaning.limit, |offset, record, found| {
        if bytes >= KEYS_BYTES_MAX {
            end = offset;
            return Ok(false);
        }
        if let Some(key) = found.key.and_then(|range| record.get(range)) {
            if let Some(known) = last.get_mut(key) {
                *known = offset;
            } else {
                bytes += key.len() + ENTRY_BYTES;
                last.insert(key.to_vec(), offset);
            }
        }
        Ok(true)
    })?;
    Ok((last, end))
}

/// Deletes what has a later record of its key; how many records are left below `end`.
fn sweep(
    disk: &Disk,
    cleaning: &Cleaning,
    end: i64,
    last: &HashMap<Vec<u8>, i64>,
    tombstones_below: i64,
) -> Result<i64> {
    let (slot, records) = (cleaning.slot, disk.family(RECORDS)?);
    let (mut kept, mut batch) = (0, WriteBatch::default());
    disk.walk(slot, cleaning.start, end, |offset, record, found| {
        let key = found.key.and_then(|range| record.get(range));
        let newer = key.and_then(|key| last.get(key)).is_some_and(|last| *last > offset);
        let expired = found.value.is_none() && offset < tombstones_below;
        if found.kind == Kind::Control || newer || expired {
            batch.delete_cf(records, layout::record_key(slot, offset));
            if batch.size_in_bytes() >= DELETIONS_BYTES_MAX {
                disk.write(mem::take(&mut batch))?;
            }
        } else {
            kept += 1;
        }
        Ok(true)
    })?;
    disk.write(batch)?;
    Ok(kept)
}

fn note(disk: &Disk, cleaning: &Cleaning, cleaned: PartitionRow) -> Result<()> {
    let mut rows = locked(&disk.rows);
    let row = rows.entry(cleaning.slot).or_default();
    // Somebody may have deleted records meanwhile: only what was cleaned is news.
    let (start, next) = (row.start, row.next.max(cleaning.limit));
    *row = PartitionRow { start, next, ..cleaned };
    let mut batch = WriteBatch::default();
    disk.put_row(&mut batch, cleaning.slot, row)?;
    disk.write(batch)
}
