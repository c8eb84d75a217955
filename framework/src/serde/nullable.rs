//! Types that may be null: `None` is Kafka's null, anything else goes to the inner serde.

use crate::error::BoxError;
use crate::serde::{HasSerde, Null, Place, Serde};

/// The serde of `Option<T>`, around the serde of `T`.
///
/// ```
/// use millstream::Consumed;
/// use millstream::serde::{Json, Nullable, Plain};
/// # let builder = millstream::StreamsBuilder::new();
/// // Lists in JSON, or null.
/// let source = Consumed::<String, Option<Vec<i64>>>::with_serdes("in", Plain, Nullable(Json));
/// builder.stream(source).non_null_values().for_each(|_, list: Vec<i64>| println!("{list:?}"));
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<S>(pub S);

impl<T, S: Serde<T>> Serde<Option<T>> for Nullable<S> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Option<T>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        match value {
            Some(value) => self.0.serialize(place, value, into),
            None => Ok(Null::Yes),
        }
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Option<T>, BoxError> {
        match bytes {
            Some(_) => self.0.deserialize(place, bytes).map(Some),
            None => Ok(None),
        }
    }

    fn is_null(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.0.is_null(value))
    }

    fn width(&self) -> Option<usize> {
        self.0.width()
    }

    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.0.partitioned_by(bytes)
    }
}

impl<T: HasSerde> HasSerde for Option<T> {
    type Serde = Nullable<T::Serde>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::plain::Plain;
    use crate::serde::tests::{bytes_of, read};

    #[test]
    fn none_is_null_and_empty_is_not() {
        let serde = Nullable(Plain);
        assert_eq!(bytes_of(&serde, &None::<String>), None);
        assert_eq!(bytes_of(&serde, &Some(String::new())), Some(Vec::new()));
        assert_eq!(read::<Option<String>>(&serde, None), None);
        assert_eq!(read::<Option<String>>(&serde, Some(b"")), Some(String::new()));
        assert!(Serde::<Option<String>>::is_null(&serde, &None));
    }
}
