//! Records in memory: the storage of the memory log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::log::local::storage::{CHUNK_BYTES_MAX, Chunk, Ending, Fetch, Slot, Storage, TxnId};
use crate::log::locked::locked;
use crate::log::{Committed, Isolation, NewTopic, RawRecord, RecordBatch};
use crate::record::{Headers, TopicPartition};

/// A record as it stands in memory.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Headers,
}

/// Who sees what stands at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Everybody (below the last stable offset).
    Record(Option<TxnId>),
    /// Only readers of uncommitted records.
    Aborted,
    /// Nobody.
    Control,
}

/// One partition; every offset from the first one on has an entry.
#[derive(Debug, Default)]
struct Entries {
    first: i64,
    entries: VecDeque<(Kind, Arc<Kept>)>,
}

impl Entries {
    fn from(&self, offset: i64) -> impl Iterator<Item = &(Kind, Arc<Kept>)> {
        let skip = usize::try_from(offset - self.first).unwrap_or(0);
        self.entries.iter().skip(skip)
    }

    fn control(&mut self, offset: i64, timestamp: i64) {
        let (key, value, headers) = (None, None, Headers::default());
        self.entries
            .push_back((Kind::Control, Arc::new(Kept { offset, timestamp, key, value, headers })));
    }
}

/// All partitions, by topic and partition.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<Vec<Vec<Entries>>>);

impl Records {
    fn of<T>(&self, slot: Slot, act: impl FnOnce(&mut Entries) -> T) -> Option<T> {
        let mut all = locked(&self.0);
        let topic = all.get_mut(slot.topic as usize)?;
        topic.get_mut(slot.partition as usize).map(act)
    }

    /// Finds visible records, at most `max` and not much more than `bytes_max`, and where to go on.
    pub(super) fn find(&self, fetch: &Fetch, bytes_max: usize) -> (Vec<Arc<Kept>>, i64) {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let next = self.of(fetch.slot, |entries| {
            for (kind, record) in entries.from(fetch.from) {
                if record.offset >= fetch.limit {
                    break;
                }
                let visible = match kind {
                    Kind::Record(_) => true,
                    Kind::Aborted => fetch.isolation == Isolation::ReadUncommitted,
                    Kind::Control => false,
                };
                if !visible {
                    continue;
                }
                if found.len() == fetch.max || bytes >= bytes_max {
                    return record.offset;
                }
                bytes += record.key.as_ref().map_or(0, Vec::len);
                bytes += record.value.as_ref().map_or(0, Vec::len);
                found.push(Arc::clone(record));
            }
            fetch.limit
        });
        (found, next.unwrap_or(fetch.limit))
    }
}

impl Storage for Records {
    fn topic_created(&self, _id: u32, topic: &NewTopic) -> Result<()> {
        locked(&self.0).push((0..topic.partitions).map(|_| Entries::default()).collect());
        Ok(())
    }

    fn topic_grown(&self, id: u32, topic: &NewTopic) -> Result<()> {
        if let Some(partitions) = locked(&self.0).get_mut(id as usize) {
            let wanted = usize::try_from(topic.partitions).unwrap_or_default();
            partitions.resize_with(wanted, Entries::default);
        }
        Ok(())
    }

    fn topic_deleted(&self, id: u32) -> Result<()> {
        if let Some(partitions) = locked(&self.0).get_mut(id as usize) {
            partitions.clear();
        }
        Ok(())
    }

    fn group_deleted(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn append(&self, slot: Slot, txn: Option<TxnId>, record: &RawRecord<'_>) -> Result<()> {
        let kept = Kept {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.clone(),
        };
        self.of(slot, |entries| entries.entries.push_back((Kind::Record(txn), Arc::new(kept))));
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn end(&self, ending: &Ending<'_>) -> Result<()> {
        for marker in ending.markers {
            self.of(marker.slot, |entries| {
                if !ending.commit {
                    let skip = usize::try_from(marker.first - entries.first).unwrap_or(0);
                    for (kind, _) in entries.entries.iter_mut().skip(skip) {
                        if *kind == Kind::Record(Some(ending.txn)) {
                            *kind = Kind::Aborted;
                        }
                    }
                }
                entries.control(marker.offset, ending.now);
            });
        }
        Ok(())
    }

    fn commit_offsets(&self, _: &str, _: &[(TopicPartition, Committed)]) -> Result<()> {
        Ok(())
    }

    fn delete_below(&self, slot: Slot, before: i64, _next: i64) -> Result<()> {
        self.of(slot, |entries| {
            let gone = usize::try_from(before - entries.first).unwrap_or(0);
            entries.entries.drain(..gone.min(entries.entries.len()));
            entries.first = before;
        });
        Ok(())
    }

    fn read(&self, fetch: &Fetch) -> Result<Chunk> {
        let (found, next) = self.find(fetch, CHUNK_BYTES_MAX);
        if found.is_empty() {
            return Ok(Chunk { batch: None, next });
        }
        Ok(Chunk { batch: Some(Box::new(MemoryBatch(found))), next })
    }

    fn offset_at(&self, slot: Slot, timestamp: i64, from: i64, limit: i64) -> Result<Option<i64>> {
        let found = self.of(slot, |entries| {
            let mut records = entries.from(from);
            let fits = |(kind, record): &&(Kind, Arc<Kept>)| {
                *kind != Kind::Control && record.offset < limit && record.timestamp >= timestamp
            };
            records.find(fits).map(|(_, record)| record.offset)
        });
        Ok(found.flatten())
    }
}

/// Records shared with the log.
#[derive(Debug)]
struct MemoryBatch(Vec<Arc<Kept>>);

impl RecordBatch for MemoryBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Option<RawRecord<'_>> {
        let kept = self.0.get(index)?;
        Some(RawRecord {
            offset: kept.offset,
            timestamp: kept.timestamp,
            key: kept.key.as_deref(),
            value: kept.value.as_deref(),
            headers: kept.headers.clone(),
        })
    }
}
