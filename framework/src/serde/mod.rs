//! Bytes and types: what a serde is, and how a type says which one it uses.

mod plain;
mod nullable;
mod list;
mod json;
mod bincode;
mod session;
mod windowed;
mod change;

pub use bincode::Bincode;
pub(crate) use change::ChangeSerde;
pub use json::Json;
pub use list::ListSerde;
pub use nullable::Nullable;
pub use plain::Plain;
pub use session::SessionSerde;
pub use windowed::WindowedSerde;

use std::sync::Arc;

use crate::error::BoxError;
use crate::record::{Data, Headers};

/// Key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key of a record.
    Key,
    /// The value of a record.
    Value,
}

impl Part {
    /// The word for it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

/// Where bytes stand: what a serde may look at besides them.
///
/// A schema registry needs the topic, and whether it is the key; some formats live in headers.
///
/// ```
/// use millstream::BoxError;
/// use millstream::serde::{Null, Part, Place, Serde};
///
/// /// Numbers as text.
/// struct Digits;
///
/// impl Serde<i64> for Digits {
///     fn serialize(&self, _: &mut Place<'_>, value: &i64, into: &mut Vec<u8>) -> Result<Null, BoxError> {
///         into.extend_from_slice(value.to_string().as_bytes());
///         Ok(Null::No)
///     }
///
///     fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<i64, BoxError> {
///         let what = if place.part == Part::Key { "key" } else { "value" };
///         let bytes = bytes.ok_or_else(|| format!("the {what} in {} is null", place.topic))?;
///         Ok(std::str::from_utf8(bytes)?.parse()?)
///     }
/// }
/// # use millstream::{Consumed, StreamsBuilder, serde::Plain, testing::{TopologyDriver, text}};
/// # let builder = StreamsBuilder::new();
/// builder.stream(Consumed::<String, i64>::with_serdes("in", Plain, Digits)).to("out");
/// # let mut driver = TopologyDriver::new(&builder.build()?)?;
/// # driver.pipe("in", &text("k", "77", 1))?;
/// # assert_eq!(driver.read::<String, i64>("out")?[0].value, 77);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Place<'a> {
    /// The topic; for a store, its changelog topic.
    pub topic: &'a str,
    /// Key or value.
    pub part: Part,
    /// The headers of the record.
    pub headers: &'a mut Headers,
}

/// Whether a serialised value is Kafka's null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// It is null; nothing was written.
    Yes,
    /// It is not null; its bytes (perhaps none) were appended.
    No,
}

/// Turns a `T` into bytes and back.
///
/// Kafka's null is no bytes at all, which is not the same as empty bytes. A serde of a type
/// without null refuses it with an error; the policy of the source then decides.
pub trait Serde<T>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `into`.
    ///
    /// # Errors
    /// When the value has no representation; the record is then treated by policy.
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError>;

    /// Reads a value; `None` is Kafka's null.
    ///
    /// # Errors
    /// When the bytes are not of this format.
    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError>;

    /// True if this value is Kafka's null: constant `false` for types that have none.
    fn is_null(&self, _value: &T) -> bool {
        false
    }

    /// How many bytes each value has that is not null, if all have as many and Kafka's own serde knows it, as those of
    /// numbers do: a list of them holds no lengths.
    fn width(&self) -> Option<usize> {
        None
    }

    /// The part of serialised key bytes that chooses the partition: all of them, but for windowed
    /// keys the inner key alone (as Java's `WindowedStreamPartitioner` does).
    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
    }
}

impl<T: 'static> Serde<T> for Arc<dyn Serde<T>> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        (**self).serialize(place, value, into)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        (**self).deserialize(place, bytes)
    }

    fn is_null(&self, value: &T) -> bool {
        (**self).is_null(value)
    }

    fn width(&self) -> Option<usize> {
        (**self).width()
    }

    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        (**self).partitioned_by(bytes)
    }
}

/// A type that knows its format.
///
/// A type of your own says it once:
///
/// ```
/// use millstream::serde::{HasSerde, Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Click { page: String }
///
/// impl HasSerde for Click {
///     type Serde = Json;
/// }
/// ```
///
/// Rust does not let a program say it of another crate's type (`BTreeMap`, a tuple). It goes into a
/// struct of your own, or its serdes are named where it is read, written or kept:
///
/// ```
/// use std::collections::BTreeMap;
/// use millstream::serde::{Json, Plain};
/// use millstream::{Consumed, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// let source = Consumed::with_serdes("counts", Plain, Json);
/// let counts = builder.stream::<String, BTreeMap<String, u64>>(source);
/// ```
///
/// Without either it does not compile:
///
/// ```compile_fail,E0277
/// # use std::collections::BTreeMap;
/// # let builder = millstream::StreamsBuilder::new();
/// let counts = builder.stream::<String, BTreeMap<String, u64>>("counts");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no serde: Millstream does not know its bytes in a topic or a store",
    note = "a type of your own says it once: `impl HasSerde for {Self} {{ type Serde = Json; }}` (or `Bincode`, or a serde that you wrote)",
    note = "another crate's type goes into a struct of your own, or its serdes are named where it is read, written or kept: `Consumed::with_serdes`, `Produced::with_serdes`, `Materialized::with_serdes`, `KeyValue::with_serdes`, `Window::with_serdes`, `KStream::group_by_key_with`, `KStream::repartition_with`, `KTable::group_by_with`, `Joined::with_serdes`, `StreamJoined::with_serdes`, `TableJoined::with_serdes`"
)]
pub trait HasSerde: Data {
    /// The serde used where a node does not name another.
    type Serde: Serde<Self> + Default;
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::time::Duration;

    use ::serde::{Deserialize, Serialize};

    use super::*;
    use crate::record::Windowed;

    fn value_of_topic(headers: &mut Headers) -> Place<'_> {
        Place { topic: "topic", part: Part::Value, headers }
    }

    pub(crate) fn bytes_of<T>(serde: &impl Serde<T>, value: &T) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut headers = Headers::default();
        match serde.serialize(&mut value_of_topic(&mut headers), value, &mut bytes).unwrap() {
            Null::Yes => None,
            Null::No => Some(bytes),
        }
    }

    pub(crate) fn read<T>(serde: &impl Serde<T>, bytes: Option<&[u8]>) -> T {
        serde.deserialize(&mut value_of_topic(&mut Headers::default()), bytes).unwrap()
    }

    pub(crate) fn refusal_of<T>(serde: &impl Serde<T>, bytes: Option<&[u8]>) -> String {
        match serde.deserialize(&mut value_of_topic(&mut Headers::default()), bytes) {
            Ok(_) => panic!("these bytes were read"),
            Err(error) => error.to_string(),
        }
    }

    pub(crate) fn refusal_to_write<T>(serde: &impl Serde<T>, value: &T) -> String {
        let mut bytes = Vec::new();
        let mut headers = Headers::default();
        match serde.serialize(&mut value_of_topic(&mut headers), value, &mut bytes) {
            Ok(_) => panic!("it was written as {}", String::from_utf8_lossy(&bytes)),
            Err(error) => error.to_string(),
        }
    }

    /// Numbers that look like chance, the same ones each time.
    pub(crate) fn noise(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Branch(Box<Tree>, Option<Box<Tree>>),
        Named { name: String, below: Vec<Tree> },
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Lists(Vec<Lists>);

    type Mixed = (Vec<String>, BTreeMap<String, Vec<u8>>, Option<(u64, char)>, HashSet<i32>);

    fn mixed() -> Mixed {
        let map = BTreeMap::from([("key".to_owned(), vec![1, 2, 3]), (String::new(), vec![])]);
        (vec!["text".to_owned(); 3], map, Some((1 << 40, 'ü')), HashSet::from([-1, 70_000]))
    }

    fn tree() -> Tree {
        let below = vec![Tree::Leaf, Tree::Branch(Box::new(Tree::Leaf), None)];
        let named = Tree::Named { name: "n".to_owned(), below };
        Tree::Branch(Box::new(Tree::Leaf), Some(Box::new(named)))
    }

    /// Bytes of chance, and what the serde writes with some bytes changed or cut off. Lengths and
    /// depths of hostile ones are met on the way.
    fn reads_or_refuses<T>(serde: &impl Serde<T>, sample: &T) {
        let written = bytes_of(serde, sample).unwrap_or_default();
        let mut noise = noise(7);
        let mut next = |below: usize| (noise.next().unwrap() % below as u64) as usize;
        for round in 0..3_000 {
            let mut bytes = written.clone();
            if round % 3 == 0 {
                bytes = (0..next(40)).map(|_| next(256) as u8).collect();
            }
            for _ in 0..next(4) {
                let at = next(bytes.len() + 1);
                // Beside chance: what begins long numbers, and what opens and closes in JSON.
                let likely = *b"\xfb\xfc\xfd\xfe\xff\x00\x01[]{}\"";
                let byte = if next(2) == 0 { next(256) as u8 } else { likely[next(likely.len())] };
                match bytes.get_mut(at) {
                    Some(place) => *place = byte,
                    None => bytes.push(byte),
                }
            }
            bytes.truncate(next(bytes.len() + 20));
            let mut headers = Headers::default();
            let read = serde.deserialize(&mut value_of_topic(&mut headers), Some(&bytes));
            if let Err(error) = read {
                assert!(!error.to_string().is_empty());
            }
        }
        assert!(serde.deserialize(&mut value_of_topic(&mut Headers::default()), None).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused_by_every_serde() {
        reads_or_refuses(&Plain, &"text".to_owned());
        reads_or_refuses(&Plain, &vec![1_u8, 2]);
        reads_or_refuses(&Plain, &true);
        reads_or_refuses(&Plain, &1_i16);
        reads_or_refuses(&Plain, &1_i32);
        reads_or_refuses(&Plain, &1_i64);
        reads_or_refuses(&Plain, &1.0_f32);
        reads_or_refuses(&Plain, &1.0_f64);
        let windowed = Windowed { key: "key".to_owned(), start: 5, end: 15 };
        let size = Duration::from_millis(10);
        reads_or_refuses(&WindowedSerde::<Plain>::of_size(size), &windowed);
        let windowed = Windowed { key: mixed(), start: i64::MAX - 1, end: i64::MAX };
        reads_or_refuses(&WindowedSerde::<Bincode>::of_size(Duration::MAX), &windowed);
        reads_or_refuses(&Json, &mixed());
        reads_or_refuses(&Json, &tree());
        reads_or_refuses(&Json, &1.5_f64);
        reads_or_refuses(&Bincode, &mixed());
        reads_or_refuses(&Bincode, &tree());
        reads_or_refuses(&Bincode, &"text".to_owned());
        reads_or_refuses(&Bincode, &(vec![()], vec![vec![(), ()], vec![]]));
        reads_or_refuses(&Bincode, &(1_i128, u128::MAX, 'x', [1_u16, 2], Duration::from_secs(1)));
        let nullable = Nullable(Bincode);
        let read = nullable.deserialize(&mut value_of_topic(&mut Headers::default()), None);
        assert_eq!(read.unwrap(), None::<Tree>);
    }

    #[test]
    fn hostile_nesting_is_refused_and_takes_no_stack() {
        let levels = 200_000;
        let lists = [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(refusal_of::<Lists>(&Json, Some(&lists)).contains("recursion limit"));
        let wrapped = br#"{"Branch":["#.repeat(levels);
        assert!(refusal_of::<Tree>(&Json, Some(&wrapped)).contains("recursion limit"));
        assert!(refusal_of::<Tree>(&Bincode, Some(&vec![1; levels])).contains("levels"));
        assert!(refusal_of::<Lists>(&Bincode, Some(&vec![1; levels])).contains("levels"));
    }
}
