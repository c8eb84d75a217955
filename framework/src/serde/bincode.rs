//! Bincode: the smallest and fastest format for what only Rust reads. The only file that knows
//! the crate.
//!
//! ```text
//!  version u8 = 1 │ bincode 2, standard configuration (variable-length integers, little-endian)
//! ```
//!
//! Bytes after the value are refused: they would mean that the type has changed.
//!
//! The crate writes, and reads numbers. What has a length is read here: the crate reserves memory for
//! any length it reads without a check, so ten bytes could exhaust the memory:
//!
//! | bound | on | a larger one would cost |
//! |---|---|---|
//! | what is left of the input | lengths of text and bytes, room reserved for elements | memory |
//! | [`EMPTY_ELEMENTS_MAX`] | elements that take no bytes, such as `()` | time: a length is all there is of them |
//! | [`LEVELS_MAX`] | levels within one another | the stack |

use bincode::BorrowDecode;
use bincode::Decode;
use bincode::config::{Configuration, standard};
use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{Decoder as _, DecoderImpl};
use bincode::error::DecodeError;
use serde::Serialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::error::BoxError;
use crate::serde::plain::not_null;
use crate::serde::{Null, Place, Serde};

const VERSION: u8 = 1;
const FORMAT: Configuration = standard();

/// A value with more elements than this that take no bytes is refused.
const EMPTY_ELEMENTS_MAX: usize = 1 << 16;
/// Values nested deeper than this are refused; a node of a tree takes two or three levels.
const LEVELS_MAX: usize = 256;

/// Compact bytes of any type that serde knows. The format does not describe itself: a type that
/// changes its fields cannot read what it wrote before.
///
/// ```
/// use millstream::serde::{Bincode, HasSerde};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// struct Order {
///     item: String,
///     cents: i64,
/// }
///
/// impl HasSerde for Order {
///     type Serde = Bincode;
/// }
/// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
/// # let builder = StreamsBuilder::new();
/// builder.stream::<String, Order>("orders").filter(|_, order| order.cents > 100).to("large");
/// # let mut driver = TopologyDriver::new(&builder.build()?)?;
/// # let order = Order { item: "pens".to_owned(), cents: 500 };
/// # driver.pipe("orders", &Record::new("7".to_owned(), order.clone(), Timestamp(1)))?;
/// # assert_eq!(driver.read::<String, Order>("large")?[0].value, order);
/// # Ok::<(), millstream::BoxError>(())
/// ```
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
        let mut reading = Reading {
            numbers: DecoderImpl::new(Rest(body), FORMAT, ()),
            levels_left: LEVELS_MAX,
            empty_left: EMPTY_ELEMENTS_MAX,
        };
        let value = T::deserialize(&mut reading).map_err(readable)?;
        match reading.rest() {
            0 => Ok(value),
            more => Err(format!("{more} bytes too many").into()),
        }
    }
}

/// The crate shows its errors in Rust's debug form, texts of others too.
fn readable(error: DecodeError) -> BoxError {
    match error {
        DecodeError::OtherString(text) => text.into(),
        DecodeError::Other(text) => text.into(),
        other => Box::new(other),
    }
}

/// What was not read yet.
struct Rest<'de>(&'de [u8]);

impl Reader for Rest<'_> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> Result<(), DecodeError> {
        into.copy_from_slice(self.take_bytes(into.len())?);
        Ok(())
    }

    #[inline]
    fn peek_read(&mut self, length: usize) -> Option<&[u8]> {
        self.0.get(..length)
    }

    #[inline]
    fn consume(&mut self, length: usize) {
        self.0 = self.0.get(length..).unwrap_or_default();
    }
}

impl<'de> BorrowReader<'de> for Rest<'de> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'de [u8], DecodeError> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            let more = length - self.0.len();
            return Err(DecodeError::custom(format!("{more} bytes are missing")));
        };
        self.0 = rest;
        Ok(taken)
    }
}

/// Reads one value.
struct Reading<'de> {
    numbers: DecoderImpl<Rest<'de>, Configuration, ()>,
    levels_left: usize,
    empty_left: usize,
}

impl<'de> Reading<'de> {
    /// How many bytes are left.
    #[inline]
    fn rest(&mut self) -> usize {
        self.numbers.reader().0.len()
    }

    /// Reads what lies within something.
    #[inline]
    fn within<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, DecodeError>,
    ) -> Result<R, DecodeError> {
        let Some(left) = self.levels_left.checked_sub(1) else {
            let text = format!("it has more than {LEVELS_MAX} levels within one another");
            return Err(DecodeError::custom(text));
        };
        self.levels_left = left;
        let result = read(self);
        self.levels_left = left + 1;
        result
    }

    /// Elements of a number that is read from the bytes and may be wrong.
    #[inline]
    fn claimed(&mut self) -> Result<Elements<'_, 'de>, DecodeError> {
        let left = usize::decode(&mut self.numbers)?;
        let begun_at = self.rest();
        Ok(Elements { reading: self, left, claimed: true, begun_at })
    }

    /// Elements of a number that the type fixes.
    #[inline]
    fn known(&mut self, left: usize) -> Elements<'_, 'de> {
        Elements { reading: self, left, claimed: false, begun_at: 0 }
    }
}

/// The elements of something, one by one.
struct Elements<'a, 'de> {
    reading: &'a mut Reading<'de>,
    left: usize,
    claimed: bool,
    /// How many bytes were left when the element in hand began.
    begun_at: usize,
}

impl<'de> Elements<'_, 'de> {
    /// Begins the next element; false: there is none.
    #[inline]
    fn begin(&mut self) -> bool {
        self.begun_at = self.reading.rest();
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Ends an element: one that took no bytes could be repeated for ever.
    #[inline]
    fn end(&mut self) -> Result<(), DecodeError> {
        if self.claimed && self.reading.rest() == self.begun_at {
            let Some(left) = self.reading.empty_left.checked_sub(1) else {
                let text = format!("more than {EMPTY_ELEMENTS_MAX} elements without bytes");
                return Err(DecodeError::custom(text));
            };
            self.reading.empty_left = left;
        }
        Ok(())
    }

    /// For how many elements room may be reserved.
    #[inline]
    fn room(&self) -> usize {
        if self.claimed { self.left.min(self.begun_at) } else { self.left }
    }

    #[inline]
    fn read<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(&mut *self.reading)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if !self.begin() {
            return Ok(None);
        }
        let element = self.read(seed)?;
        self.end()?;
        Ok(Some(element))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.room())
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        if self.begin() { self.read(seed).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let value = self.read(seed)?;
        self.end()?;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.room())
    }
}

macro_rules! numbers {
    ($($read:ident => $visit:ident,)*) => { $(
        #[inline]
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit(Decode::<()>::decode(&mut self.numbers)?)
        }
    )* };
}

macro_rules! undescribed {
    ($($read:ident)*) => { $(
        fn $read<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
            Err(DecodeError::custom(
                "the type asks what comes next (as `flatten` and `untagged` do), and bincode does not say",
            ))
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Reading<'de> {
    type Error = DecodeError;

    numbers! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
        deserialize_char => visit_char,
    }

    undescribed! { deserialize_any deserialize_identifier deserialize_ignored_any }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(BorrowDecode::<()>::borrow_decode(&mut self.numbers)?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(BorrowDecode::<()>::borrow_decode(&mut self.numbers)?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match u8::decode(&mut self.numbers)? {
            0 => visitor.visit_none(),
            1 => self.within(|inner| visitor.visit_some(inner)),
            other => Err(DecodeError::custom(format!("an Option begins with 0 or 1, not {other}"))),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|inner| visitor.visit_newtype_struct(inner))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|inner| visitor.visit_seq(inner.claimed()?))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|inner| visitor.visit_map(inner.claimed()?))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|inner| visitor.visit_seq(inner.known(length)))
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|inner| visitor.visit_enum(inner))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl<'de> EnumAccess<'de> for &mut Reading<'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let number = u32::decode(&mut self.numbers)?;
        let variant =
            seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(number))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reading<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::time::Duration;

    use serde::Deserialize;

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

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Empty,
        One(Box<Tree>),
        Two(Box<Tree>, Box<Tree>),
        Named { name: String, below: Vec<Tree> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Name(String);

    /// Read as the crate reads it.
    fn is_read_as_before<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let bytes = bytes_of(&Bincode, value).unwrap();
        let (theirs, _) = bincode::serde::decode_from_slice::<T, _>(&bytes[1..], FORMAT).unwrap();
        let ours = read::<T>(&Bincode, Some(&bytes));
        assert_eq!((&ours, &theirs), (value, value));
    }

    #[test]
    fn every_kind_of_type_is_read_as_the_crate_reads_it() {
        is_read_as_before(&(true, 'ü', "text".to_owned(), vec![1_u8, 2], Unit, ()));
        is_read_as_before(&(i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
        is_read_as_before(&(u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX));
        for edge in [250_u64, 251, 65_535, 65_536, 4_294_967_295, 4_294_967_296] {
            is_read_as_before(&(edge, edge.cast_signed(), -edge.cast_signed()));
        }
        is_read_as_before(&(1.5_f32, f64::INFINITY, [1_u16, 2, 3], Duration::new(1, 2)));
        is_read_as_before(&(Some(Some(3_u8)), None::<u8>, Name("n".to_owned())));
        let map: BTreeMap<String, Vec<Option<i32>>> =
            [("a".to_owned(), vec![Some(1), None]), (String::new(), Vec::new())].into();
        is_read_as_before(&map);
        let below = vec![Tree::Empty, Tree::Two(Box::new(Tree::Empty), Box::new(Tree::Empty))];
        is_read_as_before(&Tree::One(Box::new(Tree::Named { name: "t".to_owned(), below })));
    }

    /// A number as long as the format has them, of eight bytes.
    fn long(length: u64) -> Vec<u8> {
        let mut bytes = vec![VERSION, 253];
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_reserved() {
        for length in [u64::MAX, 1 << 44, 1 << 36, 2] {
            let mut bytes = long(length);
            bytes.push(0);
            for refusal in [
                refusal_of::<String>(&Bincode, Some(&bytes)),
                refusal_of::<Name>(&Bincode, Some(&bytes)),
                refusal_of::<Vec<String>>(&Bincode, Some(&bytes)),
                refusal_of::<BTreeMap<String, String>>(&Bincode, Some(&bytes)),
                refusal_of::<std::collections::HashMap<u64, u64>>(&Bincode, Some(&bytes)),
                refusal_of::<Option<String>>(&Bincode, Some(&[&[1, 1], &bytes[1..]].concat())),
            ] {
                assert!(
                    refusal.contains("missing") || refusal.contains("UnexpectedEnd"),
                    "{refusal}"
                );
            }
        }
        assert_eq!(read::<String>(&Bincode, Some(&[1, 1, b'a'])), "a");
    }

    /// Says how much room it would have reserved.
    struct Room(usize);

    impl<'de> Deserialize<'de> for Room {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Asks;
            impl<'de> Visitor<'de> for Asks {
                type Value = Room;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Room, A::Error> {
                    let room = all.size_hint().unwrap();
                    while all.next_element::<u8>().ok().flatten().is_some() {}
                    Ok(Room(room))
                }
            }
            deserializer.deserialize_seq(Asks)
        }
    }

    impl Serialize for Room {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    #[test]
    fn room_is_reserved_for_no_more_elements_than_there_are_bytes() {
        let mut bytes = long(1 << 44);
        bytes.extend([0; 7]);
        assert_eq!(read::<Room>(&Bincode, Some(&bytes)).0, 7);
        assert_eq!(read::<Room>(&Bincode, Some(&[1, 2, 0, 0])).0, 2);
    }

    #[test]
    fn elements_without_bytes_are_bounded_over_the_whole_value() {
        let most = vec![(); EMPTY_ELEMENTS_MAX];
        let bytes = bytes_of(&Bincode, &most).unwrap();
        assert_eq!(read::<Vec<()>>(&Bincode, Some(&bytes)).len(), EMPTY_ELEMENTS_MAX);
        let more = bytes_of(&Bincode, &vec![Unit; EMPTY_ELEMENTS_MAX + 1]).unwrap();
        let refusal = refusal_of::<Vec<Unit>>(&Bincode, Some(&more));
        assert!(refusal.starts_with("more than 65536 elements"), "{refusal}");
        let nested = vec![vec![(); EMPTY_ELEMENTS_MAX / 2 + 1]; 2];
        let nested = bytes_of(&Bincode, &nested).unwrap();
        assert!(refusal_of::<Vec<Vec<()>>>(&Bincode, Some(&nested)).contains("65536"));
        assert!(refusal_of::<Vec<Unit>>(&Bincode, Some(&long(u64::MAX))).contains("65536"));
        assert!(refusal_of::<BTreeMap<(), ()>>(&Bincode, Some(&long(u64::MAX))).contains("65536"));
    }

    #[test]
    fn levels_are_bounded() {
        // Each `One` is a level, and so is what it holds.
        let tree = |levels: usize| [vec![VERSION], vec![1; levels - 1], vec![0]].concat();
        assert!(matches!(read::<Tree>(&Bincode, Some(&tree(LEVELS_MAX))), Tree::One(_)));
        let refusal = refusal_of::<Tree>(&Bincode, Some(&tree(LEVELS_MAX + 1)));
        assert_eq!(refusal, "it has more than 256 levels within one another");
        assert!(refusal_of::<Tree>(&Bincode, Some(&vec![1; 1 << 20])).contains("256 levels"));
    }
}
