//! Bytes on disk, all numbers big-endian. Format 1:
//!
//! ```text
//! records       key:   topic u32 ‖ partition u32 ‖ offset u64
//!               value: kind u8 ‖ timestamp i64 ‖ key ‖ value ‖ headers u32 ‖ (name ‖ value)*
//!                      kind 0: record, 1: control record,
//!                      2: record sent in a transaction, its number u64 stands behind the kind
//! topics        key:   't' ‖ topic u32
//!               value: name ‖ partitions u32 ‖ settings u32 ‖ (name ‖ value)*; nothing: deleted
//!               key:   'p' ‖ topic u32 ‖ partition u32
//!               value: start ‖ next ‖ cleaned to ‖ kept ‖ tombstones below ‖ since, each i64
//! groups        key:   group ‖ topic ‖ partition u32
//!               value: offset i64 ‖ text
//! transactions  key:   number u64
//!               value: (topic u32 ‖ partition u32 ‖ first offset u64)*
//! default       key:   "format", value: u32
//! ```
//!
//! Bytes and texts have their length as i32 before them; -1 is null.

use std::ops::Range;
use std::sync::Arc;

use crate::log::local::storage::{Slot, TxnId};
use crate::log::{Committed, NewTopic, RawRecord};
use crate::record::{Header, Headers, TopicPartition};

/// The format this code reads and writes.
pub(super) const FORMAT: u32 = 1;

/// What stands at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Control,
    InTransaction(TxnId),
}

/// A record found on disk; key and value are ranges of the bytes it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) timestamp: i64,
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Option<Range<usize>>,
    pub(super) headers: Headers,
}

/// What is noted of a partition besides its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartitionRow {
    /// First offset still there.
    pub(super) start: i64,
    /// The next offset is at least this (the records that say so may be gone).
    pub(super) next: i64,
    /// Below this, compaction left one record per key.
    pub(super) cleaned_to: i64,
    /// How many records compaction left.
    pub(super) kept: i64,
    /// Tombstones below this may go once they stood long enough since `since`.
    pub(super) tombstones_below: i64,
    /// Milliseconds since the epoch.
    pub(super) since: i64,
}

pub(super) fn record_key(slot: Slot, offset: i64) -> [u8; 16] {
    let mut key = [0; 16];
    let (topic, rest) = key.split_at_mut(4);
    let (partition, at) = rest.split_at_mut(4);
    topic.copy_from_slice(&slot.topic.to_be_bytes());
    partition.copy_from_slice(&slot.partition.to_be_bytes());
    at.copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a record's key, if it belongs to the partition.
pub(super) fn offset_of(key: &[u8], slot: Slot) -> Option<i64> {
    let mut parts = Parts::new(key);
    let found = Slot { topic: parts.u32()?, partition: parts.u32()? };
    (found == slot).then_some(parts.i64()?)
}

pub(super) fn encode_record(out: &mut Vec<u8>, txn: Option<TxnId>, record: &RawRecord<'_>) {
    match txn {
        None => out.push(0),
        Some(txn) => {
            out.push(2);
            out.extend(txn.to_be_bytes());
        }
    }
    encode_body(out, record);
}

pub(super) fn encode_control(out: &mut Vec<u8>, timestamp: i64) {
    out.push(1);
    let (offset, key, value, headers) = (0, None, None, Headers::default());
    encode_body(out, &RawRecord { offset, timestamp, key, value, headers });
}

fn encode_body(out: &mut Vec<u8>, record: &RawRecord<'_>) {
    out.extend(record.timestamp.to_be_bytes());
    put(out, record.key);
    put(out, record.value);
    out.extend(length(record.headers.len()).to_be_bytes());
    for header in record.headers.iter() {
        put(out, Some(header.name.as_bytes()));
        put(out, header.value.as_deref());
    }
}

/// Reads a record; `None` if the bytes are none.
pub(super) fn decode_record(bytes: &[u8]) -> Option<Found> {
    let mut parts = Parts::new(bytes);
    let kind = match parts.u8()? {
        0 => Kind::Record,
        1 => Kind::Control,
        2 => Kind::InTransaction(parts.u64()?),
        _ => return None,
    };
    let timestamp = parts.i64()?;
    let key = parts.range()?;
    let value = parts.range()?;
    let count = parts.u32()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name: Arc<str> = Arc::from(parts.text()?);
        let value = parts.range()?.and_then(|range| bytes.get(range)).map(<[u8]>::to_vec);
        headers.push(Header { name, value });
    }
    Some(Found { kind, timestamp, key, value, headers: headers.into_iter().collect() })
}

/// What stands for a topic that was deleted: its number stays taken, since records, also those of
/// transactions that end later, are kept by number.
pub(super) const GONE: &[u8] = &[];

pub(super) fn topic_key(id: u32) -> Vec<u8> {
    [b"t".as_slice(), &id.to_be_bytes()].concat()
}

pub(super) fn encode_topic(topic: &NewTopic) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, Some(topic.name.as_bytes()));
    out.extend(topic.partitions.to_be_bytes());
    out.extend(length(topic.config.len()).to_be_bytes());
    for (name, value) in &topic.config {
        put(&mut out, Some(name.as_bytes()));
        put(&mut out, Some(value.as_bytes()));
    }
    out
}

pub(super) fn decode_topic(bytes: &[u8]) -> Option<NewTopic> {
    let mut parts = Parts::new(bytes);
    let name = parts.text()?.to_owned();
    let partitions = i32::try_from(parts.u32()?).ok()?;
    let mut config = Vec::new();
    for _ in 0..parts.u32()? {
        config.push((parts.text()?.to_owned(), parts.text()?.to_owned()));
    }
    Some(NewTopic { name, partitions, replication_factor: 1, config })
}

pub(super) fn partition_key(slot: Slot) -> Vec<u8> {
    let (topic, partition) = (slot.topic.to_be_bytes(), slot.partition.to_be_bytes());
    [b"p".as_slice(), &topic, &partition].concat()
}

pub(super) fn encode_partition(row: &PartitionRow) -> Vec<u8> {
    let all = [row.start, row.next, row.cleaned_to, row.kept, row.tombstones_below, row.since];
    all.iter().flat_map(|number| number.to_be_bytes()).collect()
}

pub(super) fn decode_partition(bytes: &[u8]) -> Option<PartitionRow> {
    let mut parts = Parts::new(bytes);
    Some(PartitionRow {
        start: parts.i64()?,
        next: parts.i64()?,
        cleaned_to: parts.i64()?,
        kept: parts.i64()?,
        tombstones_below: parts.i64()?,
        since: parts.i64()?,
    })
}

pub(super) fn group_key(group: &str, of: &TopicPartition) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, Some(group.as_bytes()));
    put(&mut out, Some(of.topic.as_bytes()));
    out.extend(of.partition.to_be_bytes());
    out
}

pub(super) fn decode_group_key(bytes: &[u8]) -> Option<(String, TopicPartition)> {
    let mut parts = Parts::new(bytes);
    let (group, topic) = (parts.text()?.to_owned(), parts.text()?.to_owned());
    let partition = i32::try_from(parts.u32()?).ok()?;
    Some((group, TopicPartition::new(topic, partition)))
}

pub(super) fn encode_committed(committed: &Committed) -> Vec<u8> {
    let mut out = committed.offset.to_be_bytes().to_vec();
    put(&mut out, Some(committed.metadata.as_bytes()));
    out
}

pub(super) fn decode_committed(bytes: &[u8]) -> Option<Committed> {
    let mut parts = Parts::new(bytes);
    Some(Committed { offset: parts.i64()?, metadata: parts.text()?.to_owned() })
}

pub(super) fn encode_touched<'a>(touched: impl Iterator<Item = (&'a Slot, &'a i64)>) -> Vec<u8> {
    touched.flat_map(|(slot, first)| record_key(*slot, *first)).collect()
}

pub(super) fn decode_touched(bytes: &[u8]) -> Option<Vec<(Slot, i64)>> {
    let mut parts = Parts::new(bytes);
    let mut touched = Vec::new();
    while parts.at < bytes.len() {
        let slot = Slot { topic: parts.u32()?, partition: parts.u32()? };
        touched.push((slot, parts.i64()?));
    }
    Some(touched)
}

#[cfg(any(test, feature = "fuzzing"))]
/// Reads any bytes as each kind of row; what was read is read again after it was written.
pub(crate) fn any_row_on_disk(bytes: &[u8]) {
    if let Some(found) = decode_record(bytes) {
        let part = |range: &Option<Range<usize>>| range.clone().and_then(|range| bytes.get(range));
        let (key, value) = (part(&found.key), part(&found.value));
        let (timestamp, headers) = (found.timestamp, found.headers.clone());
        let record = RawRecord { offset: 0, timestamp, key, value, headers };
        let mut written = Vec::new();
        match found.kind {
            Kind::Record => encode_record(&mut written, None, &record),
            Kind::InTransaction(txn) => encode_record(&mut written, Some(txn), &record),
            Kind::Control => encode_control(&mut written, timestamp),
        }
        let again = decode_record(&written);
        let plain = found.kind == Kind::Control;
        assert!(again.is_some_and(|again| plain || again == found), "after {bytes:?}");
    }
    if let Some(topic) = decode_topic(bytes) {
        assert_eq!(decode_topic(&encode_topic(&topic)).as_ref(), Some(&topic), "after {bytes:?}");
    }
    if let Some(row) = decode_partition(bytes) {
        assert_eq!(decode_partition(&encode_partition(&row)), Some(row));
    }
    if let Some((group, of)) = decode_group_key(bytes) {
        assert_eq!(decode_group_key(&group_key(&group, &of)), Some((group, of)));
    }
    if let Some(committed) = decode_committed(bytes) {
        assert_eq!(decode_committed(&encode_committed(&committed)), Some(committed));
    }
    if let Some(touched) = decode_touched(bytes) {
        let pairs = touched.iter().map(|(slot, first)| (slot, first));
        assert_eq!(decode_touched(&encode_touched(pairs)).as_ref(), Some(&touched));
    }
}

fn put(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.extend((-1_i32).to_be_bytes()),
        Some(bytes) => {
            out.extend(length(bytes.len()).to_be_bytes());
            out.extend(bytes);
        }
    }
}

/// Lengths fit by the limit on a record's size.
fn length(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// Takes bytes apart from the front.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let taken = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[one]| one)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Where bytes with their length before them stand: `Some(None)` is null.
    #[expect(clippy::option_option, reason = "the outer one is failure, the inner one is null")]
    fn range(&mut self) -> Option<Option<Range<usize>>> {
        let length = i32::from_be_bytes(self.take()?);
        if length == -1 {
            return Some(None);
        }
        let start = self.at;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.bytes.get(start..end)?;
        self.at = end;
        Some(Some(start..end))
    }

    fn text(&mut self) -> Option<&'a str> {
        let range = self.range()??;
        std::str::from_utf8(self.bytes.get(range)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_record_has_these_bytes() {
        let mut headers = Headers::default();
        headers.push("h", None);
        let key = Some(b"k".as_slice());
        let record = RawRecord { offset: 9, timestamp: 5, key, value: None, headers };
        let mut out = Vec::new();
        encode_record(&mut out, None, &record);
        let body = "0000000000000005 00000001 6b ffffffff 00000001 00000001 68 ffffffff";
        assert_eq!(hex(&out), format!("00{}", body.replace(' ', "")));
        let found = decode_record(&out).unwrap();
        assert_eq!((found.kind, found.timestamp), (Kind::Record, 5));
        assert_eq!((&out[found.key.unwrap()], found.value), (&b"k"[..], None));
        assert_eq!(found.headers, record.headers);
        let mut out = Vec::new();
        encode_record(&mut out, Some(7), &record);
        assert_eq!(hex(&out), format!("020000000000000007{}", body.replace(' ', "")));
        assert_eq!(decode_record(&out).unwrap().kind, Kind::InTransaction(7));
        for short in 0..out.len() {
            assert_eq!(decode_record(&out[..short]), None);
        }
    }

    #[test]
    fn keys_sort_by_partition_and_offset() {
        let slot = |topic, partition| Slot { topic, partition };
        let keys = [
            record_key(slot(0, 0), 255),
            record_key(slot(0, 0), 256),
            record_key(slot(0, 1), 0),
            record_key(slot(1, 0), 0),
        ];
        assert!(keys.is_sorted());
        assert_eq!(hex(&keys[1]), "00000000000000000000000000000100");
        assert_eq!(offset_of(&keys[1], slot(0, 0)), Some(256));
        assert_eq!(offset_of(&keys[1], slot(0, 1)), None);
    }

    #[test]
    fn rows_come_back() {
        let config = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
        let topic = NewTopic { name: "t".to_owned(), partitions: 3, replication_factor: 1, config };
        assert_eq!(decode_topic(&encode_topic(&topic)), Some(topic));
        let row = PartitionRow {
            start: 1,
            next: 2,
            cleaned_to: 3,
            kept: 4,
            tombstones_below: 5,
            since: 6,
        };
        assert_eq!(decode_partition(&encode_partition(&row)), Some(row));
        let at = TopicPartition::new("t", 2);
        assert_eq!(decode_group_key(&group_key("g", &at)), Some(("g".to_owned(), at)));
        let committed = Committed { offset: 4, metadata: "\u{e4}".to_owned() };
        assert_eq!(decode_committed(&encode_committed(&committed)), Some(committed));
        let touched = [(Slot { topic: 1, partition: 2 }, 3)];
        let bytes = encode_touched(touched.iter().map(|(slot, first)| (slot, first)));
        assert_eq!(decode_touched(&bytes).unwrap(), touched);
    }
}
