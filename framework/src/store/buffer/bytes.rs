//! A change that is held back, as bytes: Java's, version 3, in the store and in its changelog.
//!
//! ```text
//!  time i64 ‖ offset i64 ‖ topic length i32 ‖ topic ‖ partition i32
//!  count of headers i32 ‖ { length i32 ‖ name ‖ length i32 (-1: null) ‖ value }
//!  prior: length i32 (-1: null) ‖ value      what was given out last, or was there before anything was held back
//!  old:   length i32 (-1: null, -2: as prior) ‖ value
//!  new:   length i32 (-1: null) ‖ value
//!  release i64                               when it is to be given out: decides, with the key, the order
//! ```

use crate::record::{Headers, RecordMetadata};

/// The parts of a held change. Values are bytes of their serde.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) time: i64,
    pub(super) source: Source<'a>,
    pub(super) headers: Headers,
    pub(super) prior: Option<&'a [u8]>,
    pub(super) old: Option<&'a [u8]>,
    pub(super) new: Option<&'a [u8]>,
    pub(super) release: i64,
}

/// Where the record came from that changed it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl<'a> Source<'a> {
    /// Of a record with this origin; in a punctuation there is none.
    pub(super) fn of(origin: Option<RecordMetadata<'a>>) -> Self {
        let nowhere = Self { topic: "", partition: -1, offset: -1 };
        origin.map_or(nowhere, |RecordMetadata { topic, partition, offset }| Self {
            topic,
            partition,
            offset,
        })
    }
}

const NULL: i32 = -1;
const AS_PRIOR: i32 = -2;

impl<'a> Change<'a> {
    /// Writes it, in place of what was in `into`.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.time.to_be_bytes());
        into.extend_from_slice(&self.source.offset.to_be_bytes());
        write_bytes(Some(self.source.topic.as_bytes()), into);
        into.extend_from_slice(&self.source.partition.to_be_bytes());
        write_length(self.headers.len(), into);
        for header in self.headers.iter() {
            write_bytes(Some(header.name.as_bytes()), into);
            write_bytes(header.value.as_deref(), into);
        }
        write_bytes(self.prior, into);
        match self.old {
            Some(_) if self.old == self.prior => into.extend_from_slice(&AS_PRIOR.to_be_bytes()),
            old => write_bytes(old, into),
        }
        write_bytes(self.new, into);
        into.extend_from_slice(&self.release.to_be_bytes());
    }

    /// Reads it; none for bytes that are not those of a change.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let (time, offset) = (take_i64(&mut rest)?, take_i64(&mut rest)?);
        let topic = std::str::from_utf8(take_bytes(&mut rest)??).ok()?;
        let partition = take_i32(&mut rest)?;
        let mut headers = Headers::default();
        for _ in 0..usize::try_from(take_i32(&mut rest)?).ok()? {
            let name = std::str::from_utf8(take_bytes(&mut rest)??).ok()?;
            headers.push(name, take_bytes(&mut rest)?.map(<[u8]>::to_vec));
        }
        let prior = take_bytes(&mut rest)?;
        let old = match rest.split_first_chunk::<4>()? {
            (length, after) if i32::from_be_bytes(*length) == AS_PRIOR => {
                rest = after;
                prior
            }
            _ => take_bytes(&mut rest)?,
        };
        let new = take_bytes(&mut rest)?;
        let release = take_i64(&mut rest)?;
        let source = Source { topic, partition, offset };
        rest.is_empty().then_some(Self { time, source, headers, prior, old, new, release })
    }
}

#[cfg(any(test, feature = "fuzzing"))]
/// Whether any bytes are a change; it is read again after it was written.
pub(crate) fn any_held_change(bytes: &[u8]) -> bool {
    let Some(change) = Change::read(bytes) else { return false };
    let mut written = Vec::new();
    change.write(&mut written);
    assert_eq!(Change::read(&written).as_ref(), Some(&change), "after {bytes:?}");
    true
}

fn write_length(length: usize, into: &mut Vec<u8>) {
    into.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
}

fn write_bytes(bytes: Option<&[u8]>, into: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            write_length(bytes.len(), into);
            into.extend_from_slice(bytes);
        }
        None => into.extend_from_slice(&NULL.to_be_bytes()),
    }
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(i64::from_be_bytes(*number))
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*number))
}

/// Bytes with their length in front; the inner one is none for null.
#[expect(clippy::option_option, reason = "null is a value here, and being cut off is none")]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_i32(rest)?;
    if length == NULL {
        return Some(None);
    }
    let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// Recorded from Kafka Streams: the first change of a count, and a second one with a header.
    #[test]
    fn bytes_are_java_s() {
        let [zero, one, two] = [0_i64, 1, 2].map(i64::to_be_bytes);
        let (zero, one, two) = (&zero[..], &one[..], &two[..]);
        let first = "000000000001895b000000000000000000000002696e0000000000000000000000080000000000000000fffffffe\
                     000000080000000000000001000000000001adb0";
        let source = Source { topic: "in", partition: 0, offset: 0 };
        let mut change = Change {
            time: 100_699,
            source,
            headers: Headers::default(),
            prior: Some(zero),
            old: Some(zero),
            new: Some(one),
            release: 110_000,
        };
        assert_eq!(Change::read(&hex(first)), Some(change.clone()));
        let mut written = vec![7];
        change.write(&mut written);
        assert_eq!(written, hex(first));
        let second = "00000000000204d5000000000000000600000002696e0000000000000001000000057472616365000000027436\
                      00000008000000000000000000000008000000000000000100000008000000000000000200000000000222e0";
        change.headers.push("trace", Some(b"t6".to_vec()));
        (change.time, change.release, change.source.offset) = (132_309, 140_000, 6);
        (change.old, change.new) = (Some(one), Some(two));
        change.write(&mut written);
        assert_eq!(written, hex(second));
    }

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..4))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (time, offset, release) in (any::<i64>(), any::<i64>(), any::<i64>()),
            (topic, partition) in ("[a-z]{0,3}", any::<i32>()),
            headers in prop::collection::vec(("[a-z]{0,3}", value()), 0..3),
            (prior, old, new) in (value(), value(), value()),
        ) {
            let mut all = Headers::default();
            for (name, value) in headers {
                all.push(&*name, value);
            }
            let source = Source { topic: &topic, partition, offset };
            let (prior, old, new) = (prior.as_deref(), old.as_deref(), new.as_deref());
            let change = Change { time, source, headers: all, prior, old, new, release };
            let mut written = Vec::new();
            change.write(&mut written);
            prop_assert_eq!(Change::read(&written), Some(change.clone()));
            for cut in 0..written.len() {
                prop_assert_eq!(Change::read(&written[..cut]), None);
            }
        }

        #[test]
        fn other_bytes_are_none_or_a_change(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(Change::read(&bytes));
        }
    }
}
