//! JSON, through serde.
//!
//! What is written is what is read: JSON has no text for some values of Rust, and the crate would
//! write `null` for them. They are refused when they are written, while the record can still follow
//! its policy, and not when a store is read again:
//!
//! | value | would be read as |
//! |---|---|
//! | a float that is not finite | nothing: `null` is no number; `None` in an `Option` |
//! | `Some` of what is written as `null` (`Some(None)`, `Some(())`) | `None` |
//! | more than [`LEVELS_MAX`] levels within one another | nothing: the crate reads no more |

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::error::BoxError;
use crate::serde::plain::not_null;
use crate::serde::{Null, Place, Serde};

/// The crate reads so many arrays and objects within one another.
const LEVELS_MAX: u8 = 127;

/// JSON text of any type that serde knows.
///
/// ```
/// use millstream::serde::{HasSerde, Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// struct Order {
///     item: String,
///     cents: i64,
/// }
///
/// impl HasSerde for Order {
///     type Serde = Json;
/// }
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// # let builder = StreamsBuilder::new();
/// builder.stream::<String, Order>("orders").map_values(|order| order.cents).to("cents");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("orders", &text("7", r#"{"item": "pens", "cents": 500}"#, 1))?;
/// assert_eq!(driver.read::<String, i64>("cents")?[0].value, 500);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        let mut json = serde_json::Serializer::new(into);
        value.serialize(Exact { inner: &mut json, levels_left: LEVELS_MAX, in_some: false })?;
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(not_null(bytes, place)?)?)
    }
}

/// A serializer that refuses what would not be read as it was.
struct Exact<S> {
    inner: S,
    levels_left: u8,
    /// `null` would be read as `None`, and it is `Some`.
    in_some: bool,
}

impl<S: Serializer> Exact<S> {
    /// Fewer levels for what lies within.
    #[inline]
    fn within(&self, levels: u8) -> Result<u8, S::Error> {
        self.levels_left.checked_sub(levels).ok_or_else(|| {
            S::Error::custom(format!("it has more than {LEVELS_MAX} levels within one another"))
        })
    }

    #[inline]
    fn null(self, write: impl FnOnce(S) -> Result<S::Ok, S::Error>) -> Result<S::Ok, S::Error> {
        if self.in_some {
            return Err(S::Error::custom("Some(null) would be read as None"));
        }
        write(self.inner)
    }
}

#[cold]
fn not_finite<E: serde::ser::Error>(value: f64) -> E {
    E::custom(format!("{value} is no number of JSON, it would be read as null"))
}

/// What is written within something.
struct Inner<'a, T: ?Sized> {
    value: &'a T,
    levels_left: u8,
    in_some: bool,
}

impl<T: Serialize + ?Sized> Serialize for Inner<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { levels_left, in_some, .. } = *self;
        self.value.serialize(Exact { inner: serializer, levels_left, in_some })
    }
}

/// The parts of something, written one by one.
struct Parts<C> {
    inner: C,
    levels_left: u8,
}

impl<C> Parts<C> {
    #[inline]
    fn part<'a, T: ?Sized>(&self, value: &'a T) -> Inner<'a, T> {
        Inner { value, levels_left: self.levels_left, in_some: false }
    }
}

macro_rules! plain {
    ($($write:ident($type:ty),)*) => { $(
        #[inline]
        fn $write(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$write(value)
        }
    )* };
}

impl<S: Serializer> Serializer for Exact<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<S::SerializeSeq>;
    type SerializeTuple = Parts<S::SerializeTuple>;
    type SerializeTupleStruct = Parts<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<S::SerializeTupleVariant>;
    type SerializeMap = Parts<S::SerializeMap>;
    type SerializeStruct = Parts<S::SerializeStruct>;
    type SerializeStructVariant = Parts<S::SerializeStructVariant>;

    plain! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.inner.serialize_f32(value)
        } else {
            Err(not_finite(f64::from(value)))
        }
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.inner.serialize_f64(value) } else { Err(not_finite(value)) }
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.null(S::serialize_none)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let levels_left = self.levels_left;
        self.inner.serialize_some(&Inner { value, levels_left, in_some: true })
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.null(S::serialize_unit)
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.null(|inner| inner.serialize_unit_struct(name))
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let Self { inner, levels_left, in_some } = self;
        inner.serialize_newtype_struct(name, &Inner { value, levels_left, in_some })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let within = Inner { value, levels_left: self.within(1)?, in_some: false };
        self.inner.serialize_newtype_variant(name, index, variant, &within)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let levels_left = self.within(1)?;
        Ok(Parts { inner: self.inner.serialize_seq(length)?, levels_left })
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        let levels_left = self.within(1)?;
        Ok(Parts { inner: self.inner.serialize_tuple(length)?, levels_left })
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let levels_left = self.within(1)?;
        Ok(Parts { inner: self.inner.serialize_tuple_struct(name, length)?, levels_left })
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let levels_left = self.within(2)?;
        let inner = self.inner.serialize_tuple_variant(name, index, variant, length)?;
        Ok(Parts { inner, levels_left })
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let levels_left = self.within(1)?;
        Ok(Parts { inner: self.inner.serialize_map(length)?, levels_left })
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let levels_left = self.within(1)?;
        Ok(Parts { inner: self.inner.serialize_struct(name, length)?, levels_left })
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let levels_left = self.within(2)?;
        let inner = self.inner.serialize_struct_variant(name, index, variant, length)?;
        Ok(Parts { inner, levels_left })
    }

    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! in_order {
    ($($kind:ident::$part:ident,)*) => { $(
        impl<C: $kind> $kind for Parts<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let part = self.part(value);
                self.inner.$part(&part)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )* };
}

in_order! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! by_name {
    ($($kind:ident,)*) => { $(
        impl<C: $kind> $kind for Parts<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                let part = self.part(value);
                self.inner.serialize_field(name, &part)
            }

            #[inline]
            fn skip_field(&mut self, name: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(name)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )* };
}

by_name! { SerializeStruct, SerializeStructVariant, }

impl<C: SerializeMap> SerializeMap for Parts<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    /// The crate refuses keys that it could not read.
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let part = self.part(value);
        self.inner.serialize_value(&part)
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;
    use crate::serde::tests::{bytes_of, noise, read, refusal_of, refusal_to_write};

    #[test]
    fn reads_what_it_wrote_and_says_where_it_cannot() {
        let value = vec![(1_i32, "a".to_owned())];
        assert_eq!(bytes_of(&Json, &value), Some(br#"[[1,"a"]]"#.to_vec()));
        assert_eq!(read::<Vec<(i32, String)>>(&Json, Some(br#"[[1,"a"]]"#)), value);
        assert!(refusal_of::<Vec<i32>>(&Json, Some(b"[1,")).contains("line 1 column 3"));
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Share(f64);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box(f64, f64),
        Named { name: String, sides: Vec<f64>, share: Option<Share> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        mean: f64,
        last: Option<f32>,
        by_name: BTreeMap<String, f64>,
        shape: Shape,
    }

    fn row(float: f64) -> Row {
        Row { mean: 1.0, last: None, by_name: BTreeMap::new(), shape: Shape::Circle(float) }
    }

    fn is_read_as_it_was<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let bytes = bytes_of(&Json, value).unwrap();
        // The text is the one that the crate writes.
        assert_eq!(bytes, serde_json::to_vec(value).unwrap());
        assert_eq!(read::<T>(&Json, Some(&bytes)), *value);
    }

    #[test]
    fn what_is_written_is_read() {
        is_read_as_it_was(&row(-0.0));
        is_read_as_it_was(&(Shape::Point, Shape::Box(1e300, 5e-324), Unit, ()));
        let (name, share) = ("n".to_owned(), Some(Share(0.1)));
        is_read_as_it_was(&Shape::Named { name, sides: vec![0.1 + 0.2], share });
        is_read_as_it_was(&(u128::MAX, i128::MIN, u64::MAX, i64::MIN, '\u{0}', Some(Some(1))));
        is_read_as_it_was(&BTreeMap::from([(-1_i64, true), (2, false)]));
        is_read_as_it_was(&BTreeMap::from([(true, None::<u8>), (false, Some(1))]));
    }

    #[test]
    fn floats_are_read_to_the_last_bit() {
        for bits in noise(1).take(20_000) {
            let (double, single) = (f64::from_bits(bits), f32::from_bits(bits as u32));
            if double.is_finite() && single.is_finite() {
                let bytes = bytes_of(&Json, &(double, single)).unwrap();
                let (read, small) = read::<(f64, f32)>(&Json, Some(&bytes));
                assert_eq!((read.to_bits(), small.to_bits()), (bits, bits as u32));
            }
        }
    }

    #[test]
    fn a_float_that_json_cannot_write_is_refused_wherever_it_stands() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let by_name = BTreeMap::from([("x".to_owned(), float)]);
            let named = Shape::Named { name: String::new(), sides: vec![1.0, float], share: None };
            let share =
                Shape::Named { name: String::new(), sides: vec![], share: Some(Share(float)) };
            #[expect(clippy::cast_possible_truncation, reason = "it stays what it is")]
            let single = float as f32;
            for refusal in [
                refusal_to_write(&Json, &float),
                refusal_to_write(&Json, &single),
                refusal_to_write(&Json, &Some(float)),
                refusal_to_write(&Json, &vec![(1, float)]),
                refusal_to_write(&Json, &Row { mean: float, ..row(1.0) }),
                refusal_to_write(&Json, &Row { last: Some(single), ..row(1.0) }),
                refusal_to_write(&Json, &Row { by_name: by_name.clone(), ..row(1.0) }),
                refusal_to_write(&Json, &row(float)),
                refusal_to_write(&Json, &Row { shape: Shape::Box(1.0, float), ..row(1.0) }),
                refusal_to_write(&Json, &Row { shape: named.clone(), ..row(1.0) }),
                refusal_to_write(&Json, &Row { shape: share.clone(), ..row(1.0) }),
            ] {
                assert!(refusal.contains("is no number of JSON"), "{refusal}");
            }
        }
    }

    #[test]
    fn some_that_would_be_read_as_none_is_refused() {
        for refusal in [
            refusal_to_write(&Json, &Some(None::<u8>)),
            refusal_to_write(&Json, &vec![Some(())]),
            refusal_to_write(&Json, &Some(Unit)),
            refusal_to_write(&Json, &Some(Some(None::<u8>))),
            refusal_to_write(&Json, &Some(serde_json::Value::Null)),
        ] {
            assert_eq!(refusal, "Some(null) would be read as None");
        }
    }

    /// How many levels it adds, and how.
    type Wrap = (u8, fn(Nest) -> Nest);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Nest {
        End,
        Wrapped(Box<Nest>),
        Listed(Vec<Nest>),
        Paired(Box<Nest>, ()),
        Named { below: Box<Nest> },
    }

    #[test]
    fn what_is_too_deep_to_be_read_is_refused_when_it_is_written() {
        let wrap: [Wrap; 4] = [
            (1, |below| Nest::Wrapped(Box::new(below))),
            (2, |below| Nest::Listed(vec![below])),
            (2, |below| Nest::Paired(Box::new(below), ())),
            (2, |below| Nest::Named { below: Box::new(below) }),
        ];
        for (levels, wrap) in wrap {
            let most = (0..LEVELS_MAX / levels).fold(Nest::End, |nest, _| wrap(nest));
            is_read_as_it_was(&most);
            let deeper = refusal_to_write(&Json, &wrap(most));
            assert_eq!(deeper, "it has more than 127 levels within one another");
        }
    }
}
