//! Keys of time windows, as Java's `TimeWindowedSerializer` writes them.
//!
//! ```text
//!  key bytes │ start i64 big-endian
//! ```
//!
//! The end is not in the bytes: a reader must know the size of the windows.

use std::time::Duration;

use crate::error::BoxError;
use crate::record::Windowed;
use crate::serde::plain::not_null;
use crate::serde::{HasSerde, Null, Place, Serde};

const START: usize = size_of::<i64>();

/// The serde of `Windowed<K>`, around the serde of `K`. Records are partitioned by the inner key
/// alone, so that all windows of a key stay together.
///
/// To write, nothing more is needed; to read, the window size is: [`WindowedSerde::of_size`].
///
/// ```
/// use std::time::Duration;
/// use millstream::record::Windowed;
/// use millstream::serde::{Plain, WindowedSerde};
/// use millstream::{Consumed, Produced, TimeWindows};
/// # let builder = millstream::StreamsBuilder::new();
/// let minute = Duration::from_secs(60);
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let counts = clicks.windowed_by(TimeWindows::of(minute).no_grace()).count("per-minute");
/// // Written with the size or without: keys hold the start only.
/// counts.updates().to(Produced::with_serdes("counts", WindowedSerde::<Plain>::of_size(minute), Plain));
/// // Read elsewhere: the end follows from the size.
/// let source = Consumed::with_serdes("other-counts", WindowedSerde::around(Plain, minute), Plain);
/// builder.stream::<Windowed<String>, i64>(source).for_each(|window, n| println!("{window:?}: {n}"));
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WindowedSerde<S> {
    inner: S,
    size_ms: Option<i64>,
}

impl<S: Default> WindowedSerde<S> {
    /// For windows of this size.
    pub fn of_size(size: Duration) -> Self {
        Self::around(S::default(), size)
    }
}

impl<S> WindowedSerde<S> {
    /// Around this serde, for windows of this size.
    pub fn around(inner: S, size: Duration) -> Self {
        Self { inner, size_ms: Some(i64::try_from(size.as_millis()).unwrap_or(i64::MAX)) }
    }
}

impl<K, S: Serde<K>> Serde<Windowed<K>> for WindowedSerde<S> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Windowed<K>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        let null = self.inner.serialize(place, &value.key, into)?;
        if null == Null::No {
            into.extend_from_slice(&value.start.to_be_bytes());
        }
        Ok(null)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Windowed<K>, BoxError> {
        let Some(size) = self.size_ms else {
            return Err(
                "a windowed key does not hold the size of its window: read it with \
                 `WindowedSerde::<Plain>::of_size(size)`, in `Consumed::with_serdes` or, in a test, \
                 `TopologyDriver::read_with`; the rows of the table are in `TopologyDriver::windowed_table`"
                    .into(),
            );
        };
        let bytes = not_null(bytes, place)?;
        let (key, start) =
            bytes.split_last_chunk::<START>().ok_or("a windowed key has at least 8 bytes")?;
        let start = i64::from_be_bytes(*start);
        let key = self.inner.deserialize(place, Some(key))?;
        Ok(Windowed { key, start, end: start.saturating_add(size) })
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.inner.is_null(&value.key)
    }

    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let inner = bytes.split_last_chunk::<START>().map_or(bytes, |(inner, _)| inner);
        self.inner.partitioned_by(inner)
    }
}

impl<K: HasSerde> HasSerde for Windowed<K> {
    type Serde = WindowedSerde<K::Serde>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::plain::Plain;
    use crate::serde::tests::{bytes_of, read, refusal_of};

    const BYTES: &[u8] = &[b'a', 0, 0, 0, 0, 0, 0, 1, 0];

    #[test]
    fn key_then_start() {
        let serde = WindowedSerde::<Plain>::of_size(Duration::from_millis(10));
        let key = Windowed { key: "a".to_owned(), start: 256, end: 266 };
        assert_eq!(bytes_of(&serde, &key), Some(BYTES.to_vec()));
        assert_eq!(read::<Windowed<String>>(&serde, Some(BYTES)), key);
        assert_eq!(Serde::<Windowed<String>>::partitioned_by(&serde, BYTES), b"a");
    }

    #[test]
    fn the_end_is_cut_off_at_the_end_of_time() {
        let serde = WindowedSerde::<Plain>::of_size(Duration::MAX);
        assert_eq!(read::<Windowed<String>>(&serde, Some(BYTES)).end, i64::MAX);
    }

    #[test]
    fn reading_needs_the_size() {
        let serde = WindowedSerde::<Plain>::default();
        let said = refusal_of::<Windowed<String>>(&serde, Some(BYTES));
        for cure in ["WindowedSerde::<Plain>::of_size(size)", "read_with", "windowed_table"] {
            assert!(said.contains(cure), "{said}");
        }
    }
}
