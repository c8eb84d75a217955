//! Keys of sessions, as Java's `SessionWindowedSerializer` writes them.
//!
//! ```text
//!  key bytes │ end i64 big-endian │ start i64 big-endian
//! ```

use crate::error::BoxError;
use crate::record::Session;
use crate::serde::plain::not_null;
use crate::serde::{HasSerde, Null, Place, Serde};

const TIME: usize = size_of::<i64>();

/// The serde of `Session<K>`, around the serde of `K`. Records are partitioned by the inner key alone, so that all
/// sessions of a key stay together.
///
/// ```
/// use millstream::record::Session;
/// use millstream::serde::{Plain, SessionSerde};
/// use millstream::Consumed;
/// # let builder = millstream::StreamsBuilder::new();
/// let visits = Consumed::with_serdes("visits", SessionSerde(Plain), Plain);
/// builder.stream::<Session<String>, i64>(visits).for_each(|visit, pages| println!("{visit:?}: {pages}"));
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionSerde<S>(pub S);

impl<K, S: Serde<K>> Serde<Session<K>> for SessionSerde<S> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Session<K>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        let null = self.0.serialize(place, &value.key, into)?;
        if null == Null::No {
            into.extend_from_slice(&value.end.to_be_bytes());
            into.extend_from_slice(&value.start.to_be_bytes());
        }
        Ok(null)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Session<K>, BoxError> {
        let bytes = not_null(bytes, place)?;
        let parts = bytes.split_last_chunk::<TIME>().and_then(|(rest, start)| {
            rest.split_last_chunk::<TIME>().map(|(key, end)| (key, end, start))
        });
        let (key, end, start) = parts.ok_or("a session's key has at least 16 bytes")?;
        let key = self.0.deserialize(place, Some(key))?;
        Ok(Session { key, start: i64::from_be_bytes(*start), end: i64::from_be_bytes(*end) })
    }

    fn is_null(&self, value: &Session<K>) -> bool {
        self.0.is_null(&value.key)
    }

    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let inner = bytes.len().checked_sub(2 * TIME).and_then(|end| bytes.get(..end));
        self.0.partitioned_by(inner.unwrap_or(bytes))
    }
}

impl<K: HasSerde> HasSerde for Session<K> {
    type Serde = SessionSerde<K::Serde>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::plain::Plain;
    use crate::serde::tests::{bytes_of, read, refusal_of};

    const BYTES: &[u8] = &[b'a', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5];

    #[test]
    fn key_then_end_then_start() {
        let serde = SessionSerde(Plain);
        let session = Session { key: "a".to_owned(), start: 5, end: 258 };
        assert_eq!(bytes_of(&serde, &session), Some(BYTES.to_vec()));
        assert_eq!(read::<Session<String>>(&serde, Some(BYTES)), session);
        assert_eq!(Serde::<Session<String>>::partitioned_by(&serde, BYTES), b"a");
        assert!(refusal_of::<Session<String>>(&serde, Some(&BYTES[..15])).contains("16 bytes"));
    }

    #[test]
    fn a_null_key_stays_null() {
        let serde = SessionSerde(<Option<String> as HasSerde>::Serde::default());
        let session = Session { key: None::<String>, start: 5, end: 258 };
        assert!(serde.is_null(&session));
        assert_eq!(bytes_of(&serde, &session), None);
    }
}
