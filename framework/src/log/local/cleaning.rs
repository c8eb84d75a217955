//! Getting rid of old records: `retention.ms` and `cleanup.policy`, as Kafka's topics have them.
//!
//! Without `retention.ms` nothing is deleted by age. Deletion takes the records at the beginning
//! of a partition that are older than that, up to the first one that is not.

use super::broker::Broker;
use super::state::{State, Topic};
use super::storage::{Cleaning, Slot, Storage};
use crate::error::Result;
use crate::log::Isolation;

/// Kafka's default of `delete.retention.ms`.
const TOMBSTONES_KEPT_MS: i64 = 86_400_000;

impl<S: Storage> Broker<S> {
    /// Deletes what is too old and compacts what is worth it.
    pub(crate) fn clean(&self, at_start: bool) -> Result<()> {
        let now = self.now();
        let cleanings = self.with(|state| {
            for (slot, cutoff) in expiring(state, now) {
                self.delete_older(state, slot, cutoff)?;
            }
            Ok::<_, crate::error::Error>(compactable(state, now, at_start))
        })?;
        // Not under the lock: this takes its time, and touches only what is old.
        for cleaning in cleanings {
            self.storage.compact(&cleaning)?;
        }
        Ok(())
    }

    fn delete_older(&self, state: &mut State, slot: Slot, cutoff: i64) -> Result<()> {
        let partition = state.partition(slot)?;
        let (start, limit) = (partition.start, partition.end(Isolation::ReadCommitted));
        let before = self.storage.offset_at(slot, cutoff, start, limit)?.unwrap_or(limit);
        self.delete_slot_below(state, slot, before)
    }
}

/// Partitions with a retention, and from when on they keep their records.
fn expiring(state: &State, now: i64) -> Vec<(Slot, i64)> {
    let cutoff = |topic: &Topic| {
        let kept: i64 = topic.setting("retention.ms")?.parse().ok()?;
        (kept >= 0 && allows(topic, "delete", true)).then_some(now.saturating_sub(kept))
    };
    let all = state.topics.iter().filter_map(|(id, topic)| Some((id, topic, cutoff(topic)?)));
    all.flat_map(|(id, topic, cutoff)| slots(id, topic).map(move |slot| (slot, cutoff))).collect()
}

fn compactable(state: &State, now: i64, at_start: bool) -> Vec<Cleaning> {
    let mut all = Vec::new();
    for (id, topic) in state.topics.iter().filter(|(_, t)| allows(t, "compact", false)) {
        let kept = topic.setting("delete.retention.ms").and_then(|ms| ms.parse().ok());
        let tombstones_kept_ms = kept.unwrap_or(TOMBSTONES_KEPT_MS);
        for (slot, partition) in slots(id, topic).zip(&topic.partitions) {
            let (start, limit) = (partition.start, partition.end(Isolation::ReadCommitted));
            all.push(Cleaning { slot, start, limit, now, tombstones_kept_ms, at_start });
        }
    }
    all
}

fn allows(topic: &Topic, policy: &str, without: bool) -> bool {
    topic.setting("cleanup.policy").map_or(without, |all| all.contains(policy))
}

fn slots(topic: u32, of: &Topic) -> impl Iterator<Item = Slot> {
    (0..).take(of.partitions.len()).map(move |partition| Slot { topic, partition })
}
