//! The plain types as Java's built-in serdes write them: UTF-8 text, bytes as they are, numbers
//! big-endian in their own width, a bool as one byte.

use crate::error::BoxError;
use crate::serde::{HasSerde, Null, Place, Serde};

/// The serde of text, bytes, numbers and bools.
///
/// ```
/// use millstream::record::Headers;
/// use millstream::serde::{Null, Part, Place, Plain, Serde};
///
/// let (mut headers, mut bytes) = (Headers::default(), Vec::new());
/// let mut place = Place { topic: "counts", part: Part::Value, headers: &mut headers };
/// assert_eq!(Plain.serialize(&mut place, &7_i64, &mut bytes)?, Null::No);
/// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 7]);
/// let read: i64 = Plain.deserialize(&mut place, Some(&bytes))?;
/// assert_eq!(read, 7);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// What every type without a null says to one.
pub(crate) fn not_null<'a>(
    bytes: Option<&'a [u8]>,
    place: &Place<'_>,
) -> Result<&'a [u8], BoxError> {
    bytes.ok_or_else(|| {
        let part = place.part.label();
        format!("the {part} is null, and its type has no null: `Option<..>` has one").into()
    })
}

impl Serde<String> for Plain {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &String,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.extend_from_slice(value.as_bytes());
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<String, BoxError> {
        Ok(std::str::from_utf8(not_null(bytes, place)?)?.to_owned())
    }
}

impl HasSerde for String {
    type Serde = Plain;
}

impl Serde<Vec<u8>> for Plain {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &Vec<u8>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.extend_from_slice(value);
        Ok(Null::No)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Vec<u8>, BoxError> {
        Ok(not_null(bytes, place)?.to_vec())
    }
}

impl HasSerde for Vec<u8> {
    type Serde = Plain;
}

impl Serde<bool> for Plain {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &bool,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.push(u8::from(*value));
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<bool, BoxError> {
        match not_null(bytes, place)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(format!("a bool is one byte, 0 or 1, not {other:?}").into()),
        }
    }
}

impl HasSerde for bool {
    type Serde = Plain;
}

macro_rules! number {
    ($($number:ty),*) => { $(
        impl Serde<$number> for Plain {
            fn serialize(&self, _: &mut Place<'_>, value: &$number, into: &mut Vec<u8>) -> Result<Null, BoxError> {
                into.extend_from_slice(&value.to_be_bytes());
                Ok(Null::No)
            }

            fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<$number, BoxError> {
                let bytes = not_null(bytes, place)?;
                let width = <[u8; size_of::<$number>()]>::try_from(bytes).map_err(|_| {
                    let (part, plural) = (place.part.label(), if bytes.len() == 1 { "" } else { "s" });
                    format!("the {part} has {} byte{plural}, {} has {}", bytes.len(), stringify!($number), size_of::<$number>())
                })?;
                Ok(<$number>::from_be_bytes(width))
            }

            fn width(&self) -> Option<usize> {
                Some(size_of::<$number>())
            }
        }

        impl HasSerde for $number {
            type Serde = Plain;
        }
    )* };
}

number!(i16, i32, i64, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::tests::{bytes_of, read, refusal_of};

    #[test]
    fn bytes_are_those_of_java() {
        assert_eq!(bytes_of(&Plain, &"häh".to_owned()), Some("häh".as_bytes().to_vec()));
        assert_eq!(bytes_of(&Plain, &258_i16), Some(vec![1, 2]));
        assert_eq!(bytes_of(&Plain, &-2_i32), Some(vec![255, 255, 255, 254]));
        assert_eq!(bytes_of(&Plain, &1_i64), Some(vec![0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(bytes_of(&Plain, &1.5_f32), Some(vec![0x3f, 0xc0, 0, 0]));
        assert_eq!(bytes_of(&Plain, &1.0_f64), Some(vec![0x3f, 0xf0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(bytes_of(&Plain, &true), Some(vec![1]));
    }

    #[test]
    fn reads_what_it_wrote_and_refuses_the_rest() {
        assert_eq!(read::<i64>(&Plain, Some(&[0, 0, 0, 0, 0, 0, 1, 0])), 256);
        assert_eq!(read::<String>(&Plain, Some(b"")), "");
        assert_eq!(read::<Vec<u8>>(&Plain, Some(&[7])), vec![7]);
        assert!(refusal_of::<i64>(&Plain, Some(&[1])).contains("the value has 1 byte, i64 has 8"));
        assert!(
            refusal_of::<i32>(&Plain, Some(&[1; 8])).contains("the value has 8 bytes, i32 has 4")
        );
        assert!(refusal_of::<String>(&Plain, Some(&[0xff])).contains("utf-8"));
        assert!(refusal_of::<bool>(&Plain, Some(&[2])).contains("one byte"));
        assert!(
            refusal_of::<String>(&Plain, None)
                .contains("value is null, and its type has no null: `Option<..>`")
        );
    }
}
