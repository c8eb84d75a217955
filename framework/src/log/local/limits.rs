//! What a topic of the broker in this process refuses, by the settings that Kafka has for it.
//!
//! Bounds on timestamps hold only where a topic sets them, unlike Kafka's of an hour ahead: the
//! clock of the memory log stands still.

use super::transaction::record_bytes;
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
