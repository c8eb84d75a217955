//! Bytes and types: what a serde is, and how a type says which one it uses.

mod plain;
mod nullable;
mod json;
mod bincode;
mod windowed;

pub use bincode::Bincode;
pub use json::Json;
pub use nullable::Nullable;
pub use plain::Plain;
pub use windowed::WindowedSerde;

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

    /// The part of serialised key bytes that chooses the partition: all of them, but for windowed
    /// keys the inner key alone (as Java's `WindowedStreamPartitioner` does).
    fn partitioned_by<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
    }
}

/// A type that knows its format.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no serde: Millstream does not know its bytes in a topic or a store",
    note = "say it once: `impl HasSerde for {Self} {{ type Serde = Json; }}`, or give a serde to this node (`Consumed`, `Produced`, `Grouped`, `Materialized`)"
)]
pub trait HasSerde: Data {
    /// The serde used where a node does not name another.
    type Serde: Serde<Self> + Default;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
}
