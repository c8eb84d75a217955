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
    ///
    /// ```
    /// use millstream::Joined;
    /// use millstream::serde::{Json, Plain};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, String>("orders").map_values(|order| vec![order]);
    /// // A list that is null in JSON is dropped.
    /// let how = Joined::with_serdes("named", Plain, Json);
    /// orders.join_table_with(how, &names, |order, name| format!("{name}: {order:?}")).to("lines");
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn with_serdes(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        let serdes = Serdes { key: Arc::new(key), value: Arc::new(value) };
        Self { name: Some(name.to_owned()), serdes }
    }
}

/// How two streams meet: the names of the join and of its stores, what their bytes are, and how they are kept.
///
/// A name is enough where the types know their serdes. It names the nodes (`<name>-this-join`, ..) and the stores
/// (`<name>-this-join-store`, `<name>-other-join-store` and, of left and outer joins, `<name>-left-shared-join-store` or
/// `<name>-outer-shared-join-store`), and is so part of the names of changelog topics: it must not change.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::serde::{Json, Plain};
/// # use millstream::{JoinWindows, StreamJoined, StreamsBuilder};
/// # let builder = StreamsBuilder::new().allow_generated_names();
/// # let (left, right) = (builder.stream::<String, String>("l"), builder.stream::<String, String>("r"));
/// # let minute = JoinWindows::within(Duration::from_secs(60)).no_grace();
/// # let pair = |left: &String, right: &String| format!("{left} {right}");
/// left.join("paid", &right, minute, pair).to("a");
/// left.join(StreamJoined::named("seen").store_name("seen-by").in_memory(), &right, minute, pair).to("b");
/// left.join(StreamJoined::with_serdes("json", Plain, (Json, Json)).without_changelog(), &right, minute, pair)
///     .to("c");
/// left.join(StreamJoined::generated().changelog_config("segment.bytes", "1048576"), &right, minute, pair)
///     .to("d");
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone)]
pub struct StreamJoined<K, L, R> {
    pub(crate) name: Option<String>,
    pub(crate) store: Option<String>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) left: Arc<dyn Serde<L>>,
    pub(crate) right: Arc<dyn Serde<R>>,
    pub(crate) in_memory: bool,
    pub(crate) logged: bool,
    pub(crate) changelog: Vec<(String, String)>,
}

impl<K, L, R> fmt::Debug for StreamJoined<K, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamJoined").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: HasSerde, L: HasSerde, R: HasSerde> From<&str> for StreamJoined<K, L, R> {
    fn from(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::generated() }
    }
}

impl<K: HasSerde, L: HasSerde, R: HasSerde> StreamJoined<K, L, R> {
    /// Under this name.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }

    /// Under names that are generated as Java does. The builder must allow generated names for that: the next node
    /// that is added above changes them, and the stores then begin empty.
    pub fn generated() -> Self {
        Self {
            name: None,
            store: None,
            key: Arc::new(K::Serde::default()),
            left: Arc::new(L::Serde::default()),
            right: Arc::new(R::Serde::default()),
            in_memory: false,
            logged: true,
            changelog: Vec::new(),
        }
    }
}

impl<K, L, R> StreamJoined<K, L, R> {
    /// Under this name, in bytes of these serdes: of keys, and of the values of both streams.
    pub fn with_serdes(
        name: &str,
        key: impl Serde<K>,
        (left, right): (impl Serde<L>, impl Serde<R>),
    ) -> Self {
        Self {
            name: Some(name.to_owned()),
            store: None,
            key: Arc::new(key),
            left: Arc::new(left),
            right: Arc::new(right),
            in_memory: false,
            logged: true,
            changelog: Vec::new(),
        }
    }

    /// Another name for the stores than for the nodes.
    #[must_use]
    pub fn store_name(mut self, name: &str) -> Self {
        self.store = Some(name.to_owned());
        self
    }

    /// Kept in memory only: restored from the changelogs' start each time.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// No changelogs: what waits for a match is lost with its directory, or when its task moves.
    #[must_use]
    pub fn without_changelog(mut self) -> Self {
        self.logged = false;
        self
    }

    /// A setting of the changelog topics, by Kafka's name. It overrides the default.
    #[must_use]
    pub fn changelog_config(mut self, name: &str, value: &str) -> Self {
        self.changelog.push((name.to_owned(), value.to_owned()));
        self
    }
}
