//! Names and serdes of a join.

use std::fmt;
use std::sync::Arc;

use crate::serde::{HasSerde, Serde};
use crate::store::Serdes;

/// How a stream meets a table: under which name, and what is null.
///
/// ```
/// # use millstream::{Joined, StreamsBuilder, testing::{TopologyDriver, text}};
/// let builder = StreamsBuilder::new();
/// let names = builder.table::<String, String>("names", "names");
/// let orders = builder.stream::<String, String>("orders");
/// orders.join_table_with(Joined::named("named"), &names, |order, name| format!("{name}: {order}")).to("lines");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: named (stores: [names])"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Joined<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) serdes: Serdes<K, V>,
}

impl<K, V> fmt::Debug for Joined<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> Default for Joined<K, V> {
    /// Under a name that is generated.
    fn default() -> Self {
        Self { name: None, serdes: Serdes::default() }
    }
}

impl<K: HasSerde, V: HasSerde> From<&str> for Joined<K, V> {
    fn from(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }
}

impl<K: HasSerde, V: HasSerde> Joined<K, V> {
    /// Under this name.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }
}

impl<K, V> Joined<K, V> {
    /// Under this name, with keys and values of the stream that are null as these serdes say.
    pub fn with_serdes(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        let serdes = Serdes { key: Arc::new(key), value: Arc::new(value) };
        Self { name: Some(name.to_owned()), serdes }
    }
}
