//! Bincode: the smallest and fastest format for what only Rust reads. The only file that knows
//! the crate.
//!
//! ```text
//!  version u8 = 1 │ bincode 2, standard configuration (variable-length integers, little-endian)
//! ```
//!
//! Bytes after the value are refused: they would mean that the type has changed.

use bincode::config::{Configuration, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::serde::plain::not_null;
use crate::serde::{Null, Place, Serde};

const VERSION: u8 = 1;
const FORMAT: Configuration = standard();

/// Compact bytes of any type that serde knows. The format does not describe itself: a type that
/// changes its fields cannot read what it wrote before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bincode;

impl<T: Serialize + DeserializeOwned> Serde<T> for Bincode {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.push(VERSION);
        bincode::serde::encode_into_std_write(value, into, FORMAT)?;
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        let bytes = not_null(bytes, place)?;
        let Some((&VERSION, body)) = bytes.split_first() else {
            return Err(format!("not bincode of version {VERSION}").into());
        };
        let (value, read) = bincode::serde::decode_from_slice(body, FORMAT)?;
        if read != body.len() {
            return Err(format!("{} bytes too many", body.len() - read).into());
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::tests::{bytes_of, read, refusal_of};

    #[test]
    fn bytes_are_pinned() {
        let value = (300_u32, "ab".to_owned(), Some(-1_i64));
        let golden = vec![1, 251, 44, 1, 2, b'a', b'b', 1, 1];
        assert_eq!(bytes_of(&Bincode, &value), Some(golden.clone()));
        assert_eq!(read::<(u32, String, Option<i64>)>(&Bincode, Some(&golden)), value);
    }

    #[test]
    fn other_versions_and_trailing_bytes_are_refused() {
        assert!(refusal_of::<u32>(&Bincode, Some(&[2, 0])).contains("version 1"));
        assert!(refusal_of::<u32>(&Bincode, Some(&[])).contains("version 1"));
        assert!(refusal_of::<u32>(&Bincode, Some(&[1, 0, 0])).contains("1 bytes too many"));
    }
}
