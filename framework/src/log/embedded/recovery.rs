//! What the embedded log does when it is opened: reads what it knows, and aborts the transactions
//! that its last process left open.

use rocksdb::{DBRawIterator, IteratorMode, WriteBatch};

use super::disk::{Disk, GROUPS, RECORDS, TOPICS, TRANSACTIONS, broken, failed};
use super::layout;
use crate::error::Result;
use crate::log::local::state::State;
use crate::log::local::storage::{Slot, TxnId};
use crate::log::locked::locked;

/// What the broker knew, as far as it was written.
pub(super) fn recover(disk: &Disk) -> Result<State> {
    let mut state = State::default();
    read_topics(disk, &mut state)?;
    find_ends(disk, &mut state)?;
    abort_open(disk)?;
    read_groups(disk, &mut state)?;
    Ok(state)
}

fn read_topics(disk: &Disk, state: &mut State) -> Result<()> {
    let mut rows = locked(&disk.rows);
    for item in disk.db.iterator_cf(disk.family(TOPICS)?, IteratorMode::Start) {
        let (key, value) = item.map_err(|e| failed(&e))?;
        match key.split_first() {
            Some((b't', id)) => {
                let added = if *value == *layout::GONE {
                    state.topics.skip()
                } else {
                    let topic = layout::decode_topic(&value).ok_or_else(|| broken("a topic"))?;
                    state.topics.add(&topic)
                };
                if *id != added.to_be_bytes() {
                    return Err(broken("the numbering of topics"));
                }
            }
            Some((b'p', slot)) => {
                let slot = slot_of(slot).ok_or_else(|| broken("a partition's key"))?;
                let row = layout::decode_partition(&value);
                rows.insert(slot, row.ok_or_else(|| broken("a partition"))?);
            }
            _ => return Err(broken("a key among the topics")),
        }
    }
    Ok(())
}

fn slot_of(key: &[u8]) -> Option<Slot> {
    let (topic, partition) = key.split_first_chunk::<4>()?;
    let partition = u32::from_be_bytes(partition.try_into().ok()?);
    Some(Slot { topic: u32::from_be_bytes(*topic), partition })
}

/// The next offset of each partition, from its last record and from what was noted.
fn find_ends(disk: &Disk, state: &mut State) -> Result<()> {
    let slots: Vec<Slot> = state.topics.slots().collect();
    let mut records = disk.db.raw_iterator_cf(disk.family(RECORDS)?);
    let mut batch = WriteBatch::default();
    for slot in slots {
        let row = locked(&disk.rows).get(&slot).copied().unwrap_or_default();
        let partition = state.partition_mut(slot)?;
        partition.start = row.start;
        partition.next = row.next.max(last_offset(&mut records, slot)? + 1);
        if row.start > 0 {
            // Records of a transaction that ended after they were deleted.
            let (first, limit) = (layout::record_key(slot, 0), layout::record_key(slot, row.start));
            batch.delete_range_cf(disk.family(RECORDS)?, first, limit);
        }
    }
    disk.write(batch)
}

fn last_offset(records: &mut DBRawIterator<'_>, slot: Slot) -> Result<i64> {
    records.seek_for_prev(layout::record_key(slot, i64::MAX));
    records.status().map_err(|e| failed(&e))?;
    Ok(records.key().and_then(|key| layout::offset_of(key, slot)).unwrap_or(-1))
}

/// Deletes what transactions wrote that never ended. They leave gaps, as control records do.
fn abort_open(disk: &Disk) -> Result<()> {
    let mut batch = WriteBatch::default();
    for item in disk.db.iterator_cf(disk.family(TRANSACTIONS)?, IteratorMode::Start) {
        let (key, value) = item.map_err(|e| failed(&e))?;
        let id: [u8; 8] = (*key).try_into().map_err(|_| broken("a transaction's number"))?;
        let touched = layout::decode_touched(&value).ok_or_else(|| broken("a transaction"))?;
        for (slot, first) in touched {
            disk.delete_early(&mut batch, TxnId::from_be_bytes(id), slot, first, i64::MAX)?;
        }
    }
    disk.write(batch)
}

fn read_groups(disk: &Disk, state: &mut State) -> Result<()> {
    for item in disk.db.iterator_cf(disk.family(GROUPS)?, IteratorMode::Start) {
        let (key, value) = item.map_err(|e| failed(&e))?;
        let (group, of) = layout::decode_group_key(&key).ok_or_else(|| broken("a group"))?;
        let committed = layout::decode_committed(&value).ok_or_else(|| broken("a position"))?;
        state.set_offsets(&group, &[(of, committed)]);
    }
    Ok(())
}
