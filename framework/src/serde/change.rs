//! The bytes of a change of a table's row in a repartition topic: Java's, flags at the end.
//!
//! ```text
//!  old only   old ‖ 0
//!  new only   new ‖ 1
//!  both       length of new (zigzag varint) ‖ new ‖ old ‖ 2
//! ```

use std::sync::Arc;

use crate::error::BoxError;
use crate::record::Change;
use crate::serde::{Null, Place, Serde};

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;

/// The serde of a change, around that of its rows.
pub(crate) struct ChangeSerde<V>(pub(crate) Arc<dyn Serde<V>>);

impl<V: 'static> ChangeSerde<V> {
    fn row(&self, place: &mut Place<'_>, row: &V, into: &mut Vec<u8>) -> Result<(), BoxError> {
        match self.0.serialize(place, row, into)? {
            Null::No => Ok(()),
            Null::Yes => Err("a row that is null is no row".into()),
        }
    }
}

impl<V: 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        change: &Change<V>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let mut bytes = Vec::new();
                self.row(place, new, &mut bytes)?;
                put_length(bytes.len(), into);
                into.extend_from_slice(&bytes);
                self.row(place, old, into)?;
                into.push(BOTH);
            }
            (Some(new), None) => {
                self.row(place, new, into)?;
                into.push(NEW);
            }
            (None, Some(old)) => {
                self.row(place, old, into)?;
                into.push(OLD);
            }
            (None, None) => return Err("a change of nothing into nothing".into()),
        }
        Ok(Null::No)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Change<V>, BoxError> {
        let (flag, rows) = bytes.and_then(<[u8]>::split_last).ok_or("a change has no bytes")?;
        let mut row = |bytes: &[u8]| self.0.deserialize(place, Some(bytes)).map(Some);
        let (new, old) = match *flag {
            OLD => (None, row(rows)?),
            NEW => (row(rows)?, None),
            BOTH => {
                let (length, rest) = take_length(rows).ok_or("a change has no length")?;
                let (new, old) =
                    rest.split_at_checked(length).ok_or("a change is shorter than it says")?;
                (row(new)?, row(old)?)
            }
            other => return Err(format!("a change ends in {other}, not in 0, 1 or 2").into()),
        };
        Ok(Change::latest(new, old))
    }
}

/// Appends a length as Java does: zigzag, then seven bits a byte, the lowest first.
fn put_length(length: usize, into: &mut Vec<u8>) {
    let mut left = (length as u64) << 1;
    while left >= 0x80 {
        into.push((left as u8 & 0x7f) | 0x80);
        left >>= 7;
    }
    into.push(left as u8);
}

/// A length and what follows it.
fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value: u64 = 0;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            // Odd ones are negative.
            let length = usize::try_from(value >> 1).ok().filter(|_| value & 1 == 0)?;
            return Some((length, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Headers;
    use crate::serde::{Part, Plain};

    fn serde() -> ChangeSerde<String> {
        ChangeSerde(Arc::new(Plain))
    }

    fn place(headers: &mut Headers) -> Place<'_> {
        Place { topic: "t", part: Part::Value, headers }
    }

    fn bytes(new: Option<&str>, old: Option<&str>) -> Result<Vec<u8>, BoxError> {
        let (mut headers, mut into) = (Headers::default(), Vec::new());
        let change = Change::latest(new.map(str::to_owned), old.map(str::to_owned));
        serde().serialize(&mut place(&mut headers), &change, &mut into)?;
        Ok(into)
    }

    fn read(bytes: &[u8]) -> Result<Change<String>, BoxError> {
        serde().deserialize(&mut place(&mut Headers::default()), Some(bytes))
    }

    #[test]
    fn the_bytes_are_those_of_java() {
        assert_eq!(bytes(Some("ab"), None).unwrap(), b"ab\x01");
        assert_eq!(bytes(None, Some("ab")).unwrap(), b"ab\x00");
        assert_eq!(bytes(Some("ab"), Some("c")).unwrap(), b"\x04abc\x02");
        let long = "x".repeat(100);
        assert_eq!(bytes(Some(&long), Some("")).unwrap().get(..2), Some(&[0xc8, 0x01][..]));
        assert!(bytes(None, None).is_err());
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for bad in [
            &b""[..],
            b"ab\x03",
            b"\x02",
            b"\x08ab\x02",
            b"\x03ab\x02",
            b"\xff\xff\xff\xff\xff\x02",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(new: Option<String>, old: Option<String>) {
            prop_assume!(new.is_some() || old.is_some());
            let written = bytes(new.as_deref(), old.as_deref()).unwrap();
            prop_assert_eq!(read(&written).unwrap(), Change::latest(new, old));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
