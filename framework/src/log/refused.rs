//! What a log tells of records that it refuses for good.

use crate::log::OutgoingRecord;
use crate::record::{RefusalKind, TopicPartition};

/// Records of one partition that were refused for good, at least one of them for its own sake: the
/// others may only have travelled with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where they should have gone.
    pub partition: TopicPartition,
    /// Why.
    pub kind: RefusalKind,
    /// Bytes of key, value and headers of the largest.
    pub bytes_max: usize,
    /// The lowest of their timestamps.
    pub earliest: i64,
    /// The highest of their timestamps.
    pub latest: i64,
    /// True if one of them has no key.
    pub keyless: bool,
    /// What the log said.
    pub reason: String,
}

impl Refused {
    /// Adds to those that are known, so that there is one for each partition and kind.
    pub(crate) fn add_to(self, known: &mut Vec<Self>) {
        let same = |one: &&mut Self| one.partition == self.partition && one.kind == self.kind;
        match known.iter_mut().find(same) {
            Some(one) => {
                one.bytes_max = one.bytes_max.max(self.bytes_max);
                one.earliest = one.earliest.min(self.earliest);
                one.latest = one.latest.max(self.latest);
                one.keyless |= self.keyless;
            }
            None => known.push(self),
        }
    }
}

/// Bytes of key, value and headers of a record.
pub(crate) fn record_content_bytes(record: &OutgoingRecord<'_>) -> usize {
    let headers = record.headers.iter();
    let headers = headers.map(|one| one.name.len() + one.value.as_ref().map_or(0, Vec::len));
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
}
