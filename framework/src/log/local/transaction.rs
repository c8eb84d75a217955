//! Transactions of the broker: owners of transactional ids, their epochs, and the end.

use super::broker::Broker;
use super::fault::Operation;
use super::limits::Limits;
use super::state::{LateMarker, State};
use super::storage::{Ending, Marker, Slot, Storage, TxnId};
use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::Headers;

/// A producer as the broker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) transactional_id: String,
    pub(crate) epoch: u32,
    pub(crate) timeout_ms: i64,
}

/// A record on its way in.
pub(crate) struct Incoming<'a> {
    pub(crate) slot: Slot,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
}

impl<S: Storage> Broker<S> {
    /// Makes the caller the owner of a transactional id: ends what the former owner left open
    /// and fences it. The epoch of the new owner.
    pub(crate) fn own(&self, state: &mut State, id: &str) -> Result<u32> {
        if let Some(open) = state.owners.get(id).and_then(|owner| owner.open) {
            self.end_transaction(state, open, false)?;
        }
        let owner = state.owners.entry(id.to_owned()).or_default();
        owner.epoch += 1;
        Ok(owner.epoch)
    }

    /// Refuses a producer that another one replaced, or whose transaction timed out.
    pub(crate) fn check_owner(
        &self,
        state: &State,
        who: &Identity,
        operation: Operation,
    ) -> Result<()> {
        let epoch = state.owners.get(&who.transactional_id).map_or(0, |owner| owner.epoch);
        if epoch == who.epoch {
            return Ok(());
        }
        let id = &who.transactional_id;
        let reason = format!("{id} has epoch {epoch} now, this producer has {}", who.epoch);
        Err(Error::Fenced { what: format!("{operation:?}"), reason })
    }

    /// The open transaction of an owner; it begins with the first thing that belongs to it.
    pub(crate) fn transaction_of(&self, state: &mut State, who: &Identity) -> TxnId {
        let ends_by = self.now().saturating_add(who.timeout_ms);
        state.open_txn(&who.transactional_id, ends_by)
    }

    /// Appends a record; its offset.
    pub(crate) fn append(
        &self,
        state: &mut State,
        txn: Option<TxnId>,
        incoming: &Incoming<'_>,
    ) -> Result<i64> {
        let slot = incoming.slot;
        let offset = state.partition(slot)?.next;
        let record = RawRecord {
            offset,
            timestamp: incoming.timestamp,
            key: incoming.key,
            value: incoming.value,
            headers: incoming.headers.clone(),
        };
        let limits = state.topics.get(slot.topic).map(|topic| topic.limits);
        let refusal =
            |limits: Limits| limits.refusal(&record, self.manners.record_bytes_max, self.now());
        if let Some((kind, reason)) = limits.and_then(refusal) {
            return Err(Error::Refused { partition: state.name_of(slot), kind, reason });
        }
        self.storage.append(slot, txn, &record)?;
        let partition = state.partition_mut(slot)?;
        partition.next = offset + 1;
        if let Some(id) = txn {
            partition.open.entry(id).or_insert(offset);
        }
        // Behind an open transaction nothing is committed yet.
        let committed = partition.open.is_empty();
        if let Some(txn) = txn.and_then(|id| state.txns.get_mut(&id)) {
            txn.touched.entry(slot).or_insert(offset);
        }
        state.wake(slot, committed);
        Ok(offset)
    }

    /// Ends a transaction: positions count, and what it held back becomes visible in each
    /// partition with the control record there. Where that is held back, it comes later.
    pub(crate) fn end_transaction(&self, state: &mut State, id: TxnId, commit: bool) -> Result<()> {
        let Some(txn) = state.txns.get(&id) else { return Ok(()) };
        let (markers, late) = state.markers(txn);
        let offsets = if commit { txn.offsets.clone() } else { Vec::new() };
        let now = self.now();
        let ending = Ending { txn: id, commit, markers: &markers, offsets: &offsets, now };
        self.storage.end(&ending)?;
        mark(state, id, &markers)?;
        for (group, offsets) in &offsets {
            state.set_offsets(group, offsets);
        }
        let Some(txn) = state.txns.remove(&id) else { return Ok(()) };
        if let Some(owner) = state.owners.get_mut(&txn.transactional_id) {
            owner.open = None;
        }
        state.late.extend(late.into_iter().map(|(slot, first)| {
            let transactional_id = txn.transactional_id.clone();
            LateMarker { txn: id, transactional_id, commit, slot, first }
        }));
        Ok(())
    }

    /// Writes the control records that were held back in a partition, in order.
    pub(crate) fn release_markers(&self, state: &mut State, slot: Slot) -> Result<()> {
        state.partition_mut(slot)?.holds_markers = false;
        let late: Vec<LateMarker> =
            state.late.extract_if(.., |marker| marker.slot == slot).collect();
        for LateMarker { txn, commit, first, .. } in late {
            let markers = [Marker { slot, first, offset: state.partition(slot)?.next }];
            let (offsets, now) = (&[], self.now());
            self.storage.end(&Ending { txn, commit, markers: &markers, offsets, now })?;
            mark(state, txn, &markers)?;
        }
        // For producers that wait for the end of their last transaction.
        state.record_news.is_new = true;
        Ok(())
    }

    /// Aborts transactions that are open for too long and fences their owners, as Kafka does.
    pub(crate) fn expire_transactions(&self, state: &mut State, now: i64) {
        let overdue = state.txns.iter().filter(|(_, txn)| txn.ends_by <= now);
        let overdue: Vec<String> = overdue.map(|(_, txn)| txn.transactional_id.clone()).collect();
        for id in overdue {
            // If the storage fails, it stays open and is tried again at the next occasion.
            let _ = self.own(state, &id);
        }
    }
}

/// What control records of a transaction mean for their partitions.
fn mark(state: &mut State, id: TxnId, markers: &[Marker]) -> Result<()> {
    for marker in markers {
        let partition = state.partition_mut(marker.slot)?;
        partition.next = marker.offset + 1;
        partition.open.remove(&id);
        state.wake(marker.slot, true);
    }
    Ok(())
}
