//! What is noted with a committed offset, in Java's bytes (`TopicPartitionMetadata`, version 2):
//!
//! ```text
//! Base64( 0x02 ‖ partition time i64 ‖ count i32 { key length i32 ‖ key ‖ value i64 }* )
//! ```
//!
//! The pairs are the progress of processors: for an aggregation that emits on window close, the
//! name of its store and the last close time it emitted for. Version 1 has the time alone.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::record::Timestamp;

/// Partition time and processors' progress, as committed with an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The highest timestamp taken from the partition; negative if none was.
    pub(crate) partition_time: Timestamp,
    /// By the name a processor chose.
    pub(crate) processors: BTreeMap<String, i64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { partition_time: Timestamp(-1), processors: BTreeMap::new() }
    }
}

impl Progress {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![2_u8];
        bytes.extend(self.partition_time.0.to_be_bytes());
        bytes.extend((self.processors.len() as i32).to_be_bytes());
        for (key, value) in &self.processors {
            bytes.extend((key.len() as i32).to_be_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value.to_be_bytes());
        }
        STANDARD.encode(bytes)
    }

    /// Reads what was committed. Anything that is not of this form counts as no progress, as in
    /// Java: the metadata of an offset may have been written by another tool.
    pub(crate) fn decode(text: &str) -> Self {
        let read = || -> Option<Self> {
            let bytes = STANDARD.decode(text).ok()?;
            let (version, mut rest) = bytes.split_first()?;
            let partition_time = Timestamp(take_i64(&mut rest)?);
            let mut processors = BTreeMap::new();
            if *version == 2 {
                for _ in 0..take_i32(&mut rest)? {
                    let length = usize::try_from(take_i32(&mut rest)?).ok()?;
                    let (key, tail) = rest.split_at_checked(length)?;
                    rest = tail;
                    let value = take_i64(&mut rest)?;
                    processors.insert(String::from_utf8(key.to_vec()).ok()?, value);
                }
            } else if *version != 1 {
                return None;
            }
            Some(Self { partition_time, processors })
        };
        read().unwrap_or_default()
    }
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (head, tail) = bytes.split_first_chunk::<8>()?;
    *bytes = tail;
    Some(i64::from_be_bytes(*head))
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (head, tail) = bytes.split_first_chunk::<4>()?;
    *bytes = tail;
    Some(i32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_java_s() {
        let mut progress = Progress { partition_time: Timestamp(258), ..Progress::default() };
        assert_eq!(
            STANDARD.decode(progress.encode()).unwrap(),
            [2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]
        );
        progress.processors.insert("w".to_owned(), 5);
        assert_eq!(
            STANDARD.decode(progress.encode()).unwrap()[9..],
            [0, 0, 0, 1, 0, 0, 0, 1, b'w', 0, 0, 0, 0, 0, 0, 0, 5]
        );
        assert_eq!(Progress::decode(&progress.encode()), progress);
    }

    #[test]
    fn foreign_metadata_counts_as_none() {
        for text in ["", "hello", "AAAA", "Ag=="] {
            assert_eq!(Progress::decode(text), Progress::default(), "{text}");
        }
    }

    #[test]
    fn version_one_is_the_time_alone() {
        let mut bytes = vec![1_u8];
        bytes.extend(77_i64.to_be_bytes());
        assert_eq!(Progress::decode(&STANDARD.encode(bytes)).partition_time, Timestamp(77));
    }
}
