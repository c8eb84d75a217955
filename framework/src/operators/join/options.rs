//! Names and serdes of a join.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::OnError;
use crate::record::Shared;
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
    pub(crate) grace: Option<Duration>,
}

impl<K, V> fmt::Debug for Joined<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> Default for Joined<K, V> {
    /// Under a name that is generated.
    fn default() -> Self {
        Self { name: None, serdes: Serdes::default(), grace: None }
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

impl<K: HasSerde, V> Joined<K, V> {
    /// As [`Joined::with_serdes`], with keys as their own serde says.
    ///
    /// ```
    /// use millstream::{Joined, serde::Json};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// # let names = builder.table::<String, String>("names", "names");
    /// # let orders = builder.stream::<String, String>("orders").map_values(|order| vec![order]);
    /// let how = Joined::with_values("named", Json);
    /// orders.join_table_with(how, &names, |order, name| format!("{name}: {order:?}")).to("lines");
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn with_values(name: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, K::Serde::default(), value)
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
        let serdes = Serdes::given(Arc::new(key), Arc::new(value));
        Self { name: Some(name.to_owned()), serdes, grace: None }
    }

    /// Records wait until stream time is this much past their own, and meet the row that the table had at their time: so
    /// rows that come late are met. The table must be [`versioned`](crate::Materialized::versioned), with a history of at
    /// least the grace. What waits is in a store, `<name>-Buffer`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Joined, Materialized, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let prices = Materialized::named("prices").versioned(Duration::from_secs(3600));
    /// let prices = builder.table::<String, String>("prices", prices);
    /// let orders = builder.stream::<String, String>("orders");
    /// let how = Joined::named("priced").grace(Duration::from_secs(5));
    /// orders.join_table_with(how, &prices, |_, price: &String| price.clone()).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("pen", "", 3_000))?;
    /// driver.pipe("prices", &text("pen", "2", 1_000))?;
    /// assert!(driver.read::<String, String>("out")?.is_empty());
    /// driver.pipe("orders", &text("ink", "", 8_000))?;
    /// assert_eq!(driver.read::<String, String>("out")?, [text("pen", "2", 3_000)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
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

impl<K: HasSerde, L, R> StreamJoined<K, L, R> {
    /// Under this name, with values of both streams in bytes of these serdes; keys in those of their own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{JoinWindows, StreamJoined, serde::{Json, Plain}};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders").map_values(|order| vec![order]);
    /// let paid = builder.stream::<String, String>("paid");
    /// let within = JoinWindows::within(Duration::from_secs(60)).no_grace();
    /// let how = StreamJoined::with_values("settled", Json, Plain);
    /// orders.join(how, &paid, within, |order, paid| format!("{order:?} {paid}")).to("settled");
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn with_values(name: &str, left: impl Serde<L>, right: impl Serde<R>) -> Self {
        Self::with_serdes(name, K::Serde::default(), (left, right))
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

/// Chooses the partition of a foreign key, of so many; none leaves it to the key.
type ForeignPartitioner<FK> = Arc<dyn Fn(&FK, i32) -> Option<i32> + Send + Sync>;

/// How two tables meet by foreign key: the name of the join, the bytes of the rows of both tables, and how it is kept
/// who follows which row.
///
/// A name is enough where the types know their serdes. It names the nodes (`<name>-subscription-receive`, ..), the topics
/// `<application>-<name>-subscription-registration-topic` and `-subscription-response-topic`, and the store
/// `<name>-subscription-store`: it must not change.
///
/// ```
/// # use millstream::serde::{Json, Plain};
/// # use millstream::{OnError, StreamsBuilder, TableJoined};
/// # let builder = StreamsBuilder::new().allow_generated_names();
/// # let (orders, names) = (builder.table::<String, String>("l", "l"), builder.table::<String, String>("r", "r"));
/// # let customer = |_: &String, order: &String| order.split(' ').next().map(str::to_owned);
/// # let line = |order: &String, name: &String| format!("{order} {name}");
/// let _ = orders.join_foreign("customers", &names, customer, line);
/// let small = TableJoined::named("small").in_memory().changelog_config("segment.bytes", "1048576");
/// let _ = orders.join_foreign(small, &names, customer, line);
/// let _ = orders.join_foreign(TableJoined::with_serdes("json", Json, Plain), &names, customer, line);
/// let _ = orders.join_foreign(TableJoined::generated().on_error(OnError::Skip), &names, customer, line);
/// // The topic of the names was not written by Java's partitioner.
/// let by_length = |name: &String, partitions: i32| Some(name.len() as i32 % partitions);
/// let _ = orders.join_foreign(TableJoined::named("placed").partitioner(by_length), &names, customer, line);
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct TableJoined<FK, L, R> {
    pub(crate) name: Option<String>,
    pub(crate) left: Arc<dyn Serde<L>>,
    pub(crate) right: Arc<dyn Serde<R>>,
    pub(crate) partitioner: Option<ForeignPartitioner<FK>>,
    pub(crate) in_memory: bool,
    pub(crate) changelog: Vec<(String, String)>,
    pub(crate) policy: OnError,
}

impl<FK, L, R> fmt::Debug for TableJoined<FK, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableJoined").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<FK, L: HasSerde, R: HasSerde> From<&str> for TableJoined<FK, L, R> {
    fn from(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::generated() }
    }
}

impl<FK, L: HasSerde, R: HasSerde> TableJoined<FK, L, R> {
    /// Under this name.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }

    /// Under names that are generated as Java does. The builder must allow generated names for that: the next node
    /// that is added above changes them, and what is in the topics and the store is then lost.
    pub fn generated() -> Self {
        Self::of(None, Arc::new(L::Serde::default()), Arc::new(R::Serde::default()))
    }
}

impl<FK, L, R> TableJoined<FK, L, R> {
    /// Under this name, with the rows of both tables in bytes of these serdes. Those of the left table are not sent:
    /// their hash is, which tells a row from the ones before it.
    pub fn with_serdes(name: &str, left: impl Serde<L>, right: impl Serde<R>) -> Self {
        Self::of(Some(name.to_owned()), Arc::new(left), Arc::new(right))
    }

    fn of(name: Option<String>, left: Arc<dyn Serde<L>>, right: Arc<dyn Serde<R>>) -> Self {
        Self {
            name,
            left,
            right,
            partitioner: None,
            in_memory: false,
            changelog: Vec::new(),
            policy: OnError::default(),
        }
    }

    /// Where the row of a foreign key is, if its topic was not written by Java's partitioner: told the key and the
    /// number of partitions.
    #[must_use]
    pub fn partitioner(mut self, choose: impl Fn(&FK, i32) -> Option<i32> + Shared) -> Self {
        self.partitioner = Some(Arc::new(choose));
        self
    }

    /// Who follows which row is kept in memory only: restored from the changelog's start each time.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// A setting of the changelog topic, by Kafka's name. It overrides the default.
    #[must_use]
    pub fn changelog_config(mut self, name: &str, value: &str) -> Self {
        self.changelog.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What to do with a record of the join's topics that cannot be read, and with a row that cannot be written to
    /// them. The default is to stop.
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.policy = policy;
        self
    }
}
