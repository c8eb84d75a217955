//! Lists as Java's `ListSerde` writes them: a list of values whose serde gives all of them one width has no lengths.
//!
//! ```text
//!   width known   0 ‖ how many nulls i32 ‖ (index of a null i32)* ‖ size i32 ‖ (bytes of a value)*    without the nulls
//!   otherwise     1 ‖ size i32 ‖ (length i32 ‖ bytes of a value)*                                      null: length -1
//! ```

use crate::error::BoxError;
use crate::serde::plain::not_null;
use crate::serde::{HasSerde, Null, Place, Serde};

const ONE_WIDTH: u8 = 0;
const LENGTHS: u8 = 1;
/// The length of a null.
const NULL: i32 = -1;

/// The serde of `Vec<T>`, around the serde of `T`.
///
/// ```
/// use millstream::serde::ListSerde;
/// use millstream::{Consumed, StreamsBuilder, serde::{Json, Plain}};
/// # use millstream::{record::{Record, Timestamp}, testing::TopologyDriver};
///
/// let builder = StreamsBuilder::new();
/// // Lists of anything that has a serde need none to be named.
/// builder.stream::<String, Vec<i64>>("numbers").map_values(|all| all.iter().sum::<i64>()).to("sums");
/// // Of others the serde of an element is.
/// let pairs = Consumed::<String, Vec<(i64, i64)>>::with_serdes("pairs", Plain, ListSerde(Json));
/// builder.stream(pairs).flat_map_values(|all| all.into_iter().map(|(a, b)| a * b)).to("products");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("numbers", &Record::new("k".to_owned(), vec![1_i64, 2, 3], Timestamp(1)))?;
/// assert_eq!(driver.read::<String, i64>("sums")?[0].value, 6);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ListSerde<S>(pub S);

impl<T, S: Serde<T>> Serde<Vec<T>> for ListSerde<S> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Vec<T>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        if self.0.width().is_some() {
            into.push(ONE_WIDTH);
            let is_null = |(_, value): &(usize, &T)| self.0.is_null(value);
            let nulls: Vec<usize> =
                value.iter().enumerate().filter(is_null).map(|(i, _)| i).collect();
            put_number(nulls.len(), into)?;
            nulls.into_iter().try_for_each(|index| put_number(index, into))?;
            put_number(value.len(), into)?;
            value.iter().try_for_each(|value| self.0.serialize(place, value, into).map(drop))?;
            return Ok(Null::No);
        }
        into.push(LENGTHS);
        put_number(value.len(), into)?;
        for value in value {
            let at = into.len();
            into.extend_from_slice(&NULL.to_be_bytes());
            if self.0.serialize(place, value, into)? == Null::No {
                let length = i32::try_from(into.len() - at - size_of::<i32>())?;
                let place = into.iter_mut().skip(at).zip(length.to_be_bytes());
                place.for_each(|(byte, of_length)| *byte = of_length);
            }
        }
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<Vec<T>, BoxError> {
        let mut rest = Rest(not_null(bytes, place)?);
        let mut nulls = Vec::new();
        let width = match rest.take(1)? {
            [ONE_WIDTH] => {
                let width =
                    self.0.width().ok_or("a list of values of one width, which these have not")?;
                for _ in 0..rest.number()? {
                    nulls.push(rest.number()?);
                }
                nulls.sort_unstable();
                Some(i32::try_from(width)?)
            }
            [LENGTHS] => None,
            other => return Err(format!("a list begins with 0 or 1, not {other:?}").into()),
        };
        let size = rest.number()?;
        let mut values = Vec::new();
        for index in 0..size {
            let length = match width {
                Some(_) if nulls.binary_search(&index).is_ok() => NULL,
                Some(width) => width,
                None => rest.number()?,
            };
            let bytes = match length {
                NULL => None,
                length => Some(rest.take(usize::try_from(length)?)?),
            };
            values.push(self.0.deserialize(place, bytes)?);
        }
        match rest.0 {
            [] => Ok(values),
            more => Err(format!("a list of {size} has {} bytes too many", more.len()).into()),
        }
    }
}

impl<T: HasSerde> HasSerde for Vec<T> {
    type Serde = ListSerde<T::Serde>;
}

fn put_number(number: usize, into: &mut Vec<u8>) -> Result<(), BoxError> {
    into.extend_from_slice(&i32::try_from(number)?.to_be_bytes());
    Ok(())
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BoxError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a list ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i32, BoxError> {
        let bytes = self.take(size_of::<i32>())?;
        Ok(i32::from_be_bytes(bytes.try_into()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Headers;
    use crate::serde::tests::{bytes_of, read, refusal_of};
    use crate::serde::{Json, Nullable, Part, Plain};

    #[test]
    fn bytes_are_those_of_java() {
        let longs = [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(bytes_of(&ListSerde(Plain), &vec![7_i64, 256]).unwrap(), longs);
        let nulls = [0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2];
        let list = vec![None, Some(258_i16), None];
        assert_eq!(bytes_of(&ListSerde(Nullable(Plain)), &list).unwrap(), nulls);
        let texts = [1, 0, 0, 0, 3, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255, 0, 0, 0, 0];
        let list = vec![Some("ab".to_owned()), None, Some(String::new())];
        assert_eq!(bytes_of(&ListSerde(Nullable(Plain)), &list).unwrap(), texts);
        assert_eq!(bytes_of(&ListSerde(Plain), &Vec::<bool>::new()).unwrap(), [1, 0, 0, 0, 0]);
        let lists = [1, 0, 0, 0, 1, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5];
        assert_eq!(bytes_of(&ListSerde(ListSerde(Plain)), &vec![vec![5_i32]]).unwrap(), lists);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let refusal = |bytes: &[u8]| refusal_of::<Vec<i16>>(&ListSerde(Plain), Some(bytes));
        assert!(refusal(&[]).contains("ends too early"));
        assert!(refusal(&[2, 0, 0, 0, 0]).contains("begins with 0 or 1, not [2]"));
        assert!(refusal(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 9]).contains("ends too early"));
        assert!(refusal(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9]).contains("2 bytes too many"));
        // One null of a type that has none.
        assert!(refusal(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]).contains("is null"));
        assert!(refusal(&[1, 0, 0, 0, 1, 255, 255, 255, 254]).contains("out of range"));
        let texts = refusal_of::<Vec<String>>(&ListSerde(Plain), Some(&[0, 0, 0, 0, 0]));
        assert!(texts.contains("one width, which these have not"), "{texts}");
        // A list of values of one width that was written with lengths.
        assert_eq!(
            read::<Vec<i16>>(&ListSerde(Plain), Some(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2])),
            [258]
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            numbers in prop::collection::vec(any::<Option<i32>>(), 0..9),
            texts in prop::collection::vec(any::<Option<String>>(), 0..9),
            pairs in prop::collection::vec(any::<(i64, bool)>(), 0..9),
        ) {
            let serde = ListSerde(Nullable(Plain));
            let bytes = bytes_of(&serde, &numbers);
            prop_assert_eq!(read::<Vec<Option<i32>>>(&serde, bytes.as_deref()), numbers);
            let bytes = bytes_of(&serde, &texts);
            prop_assert_eq!(read::<Vec<Option<String>>>(&serde, bytes.as_deref()), texts);
            let bytes = bytes_of(&ListSerde(Json), &pairs);
            prop_assert_eq!(read::<Vec<(i64, bool)>>(&ListSerde(Json), bytes.as_deref()), pairs);
        }

        /// Whatever bytes come, they end in a list or in an error, and take no more memory than they are long.
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..40)) {
            let mut headers = Headers::default();
            let mut place = Place { topic: "t", part: Part::Value, headers: &mut headers };
            let list: Result<Vec<Option<i16>>, _> = ListSerde(Nullable(Plain)).deserialize(&mut place, Some(&bytes));
            if let Ok(list) = list {
                prop_assert!(list.len() <= bytes.len());
            }
        }
    }
}
