//! What a topic of the broker in this process refuses, by the settings that Kafka has for it.
//!
//! Bounds on timestamps hold only where a topic sets them, unlike Kafka's of an hour ahead: the
//! clock of the memory log stands still.

use crate::log::RawRecord;
use crate::record::RefusalKind;

/// The bounds of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `max.message.bytes`, if it is set.
    bytes_max: Option<usize>,
    /// `message.timestamp.before.max.ms` and `.after.max.ms`.
    before_ms: i64,
    after_ms: i64,
    /// Compacted topics take no record without a key.
    keyed: bool,
}

impl Limits {
    /// Those that the settings of a topic name.
    pub(crate) fn of(config: &[(String, String)]) -> Self {
        let find = |name: &str| config.iter().find(|(key, _)| key == name);
        let number = |name: &str| find(name).and_then(|(_, value)| value.parse::<i64>().ok());
        Self {
            bytes_max: number("max.message.bytes").and_then(|n| usize::try_from(n).ok()),
            before_ms: number("message.timestamp.before.max.ms").unwrap_or(i64::MAX),
            after_ms: number("message.timestamp.after.max.ms").unwrap_or(i64::MAX),
            keyed: find("cleanup.policy").is_some_and(|(_, policy)| policy.contains("compact")),
        }
    }

    /// Why the topic does not take a record, if it does not.
    pub(crate) fn refusal(
        &self,
        record: &RawRecord<'_>,
        bytes_max: usize,
        now: i64,
    ) -> Option<(RefusalKind, String)> {
        let bytes = record_bytes(record);
        let bytes_max = self.bytes_max.unwrap_or(bytes_max);
        if bytes > bytes_max {
            let reason = format!("a record of {bytes} bytes, and the topic takes {bytes_max}");
            return Some((RefusalKind::TooLarge, reason));
        }
        let ahead = record.timestamp.saturating_sub(now);
        if ahead > self.after_ms || ahead.saturating_neg() > self.before_ms {
            let reason = format!("a timestamp {ahead} ms ahead of the clock");
            return Some((RefusalKind::BadTimestamp, reason));
        }
        let lacks_key = self.keyed && record.key.is_none();
        lacks_key.then(|| (RefusalKind::Invalid, "a compacted topic needs keys".to_owned()))
    }
}

/// Bytes of a batch of this record alone, not compressed, as Kafka writes it: what its limits are
/// held against.
pub(crate) fn record_bytes(record: &RawRecord<'_>) -> usize {
    let part = |part: Option<&[u8]>| match part {
        Some(bytes) => varint_bytes(bytes.len()) + bytes.len(),
        // The length is -1.
        None => 1,
    };
    let headers = record.headers.iter().map(|header| {
        varint_bytes(header.name.len()) + header.name.len() + part(header.value.as_deref())
    });
    let body = ATTRIBUTES_AND_DELTAS_BYTES
        + part(record.key)
        + part(record.value)
        + varint_bytes(record.headers.len())
        + headers.sum::<usize>();
    BATCH_HEADER_BYTES + varint_bytes(body) + body
}

const BATCH_HEADER_BYTES: usize = 61;
/// The deltas of time and offset of the first record of a batch are 0.
const ATTRIBUTES_AND_DELTAS_BYTES: usize = 3;

/// Bytes of a length as a zigzag varint.
fn varint_bytes(length: usize) -> usize {
    let bits = (2 * length).max(1).ilog2() as usize + 1;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;

    #[test]
    fn a_record_is_as_large_as_in_kafka() {
        let bytes = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers| {
            let headers = headers.clone();
            record_bytes(&RawRecord { offset: 0, timestamp: 7, key, value, headers })
        };
        // As kafka-dump-log shows a batch of one record: header, length, attributes, deltas, key,
        // value, number of headers.
        assert_eq!(bytes(None, None, &Headers::default()), 61 + 1 + 3 + 1 + 1 + 1);
        assert_eq!(bytes(Some(b"k"), Some(&[0; 63]), &Headers::default()), 61 + 2 + 3 + 2 + 64 + 1);
        assert_eq!(bytes(Some(b"k"), Some(&[0; 64]), &Headers::default()), 61 + 2 + 3 + 2 + 66 + 1);
        let mut headers = Headers::default();
        headers.push("name", None);
        assert_eq!(bytes(None, None, &headers), 61 + 1 + 3 + 1 + 1 + 1 + 5 + 1);
    }
}
