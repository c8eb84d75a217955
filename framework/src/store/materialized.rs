//! How the result of an operator is kept: the name of its store and what is special about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::serde::{HasSerde, Serde};
use crate::store::options::StoreOptions;
use crate::store::serdes::Serdes;

/// Stands for a name that is to be generated; no store can be named so.
const GENERATED: &str = "";

/// How a table is kept. A name is enough where the types know their serdes: the store is then on
/// disk, logged and behind a record cache.
///
/// The name is part of the names of topics (`<application>-<name>-changelog`) and must not change.
///
/// ```
/// use std::time::Duration;
/// use millstream::serde::{Json, Plain};
/// use millstream::{Materialized, TimeWindows};
/// # use millstream::StreamsBuilder;
///
/// # let builder = StreamsBuilder::new().allow_generated_names();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// clicks.count("a-name-is-enough");
/// clicks.count(Materialized::named("small").in_memory().without_changelog());
/// clicks.count(Materialized::named("each-change").without_cache());
/// clicks.count(Materialized::with_serdes("json", Plain, Json).changelog_config("segment.bytes", "1048576"));
/// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
/// let day = Duration::from_secs(86_400);
/// clicks.windowed_by(minute).count(Materialized::named("asked-for-a-day").retention(day));
/// builder.table::<String, String>("kept-if-needed", Materialized::generated());
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Materialized<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
    pub(crate) retention: Option<Duration>,
    pub(crate) history: Option<Duration>,
}

impl<K, V> fmt::Debug for Materialized<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materialized")
            .field("options", &self.options)
            .field("cached", &self.cached)
            .field("retention", &self.retention)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> From<&str> for Materialized<K, V> {
    fn from(name: &str) -> Self {
        Self::of(name, Serdes::default())
    }
}

impl<K: HasSerde, V: HasSerde> From<String> for Materialized<K, V> {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl<K: HasSerde, V: HasSerde> Materialized<K, V> {
    /// A store of this name.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }
}

impl<K: HasSerde, V> Materialized<K, V> {
    /// A store of this name, with values in bytes of this serde: for types that are not yours, such as maps
    /// and tuples.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use millstream::{Materialized, StreamsBuilder, serde::Json};
    /// let builder = StreamsBuilder::new();
    /// let by_word = builder.stream::<String, String>("words").group_by_key().aggregate(
    ///     Materialized::with_values("by-word", Json),
    ///     BTreeMap::new,
    ///     |_, word, seen: &mut BTreeMap<String, u64>| *seen.entry(word).or_default() += 1,
    /// );
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_values(name: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, K::Serde::default(), value)
    }
}

impl<K: HasSerde, V: HasSerde> Materialized<K, V> {
    /// No store of its own: rows are kept only if an operator has to look them up, under a name that is
    /// generated as Java does. The builder must allow generated names for that: the next node that is added
    /// above changes it, and what was kept is lost.
    pub fn generated() -> Self {
        Self::of(GENERATED, Serdes::default())
    }
}

impl<K, V> Materialized<K, V> {
    /// Whether the name is to be generated.
    pub(crate) fn is_generated(&self) -> bool {
        *self.options.name == *GENERATED
    }

    /// With this name instead of one that is to be generated.
    #[must_use]
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        self.options.name = name.into();
        self
    }

    /// A store of this name, in bytes of these serdes.
    pub fn with_serdes(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::of(name, Serdes::given(Arc::new(key), Arc::new(value)))
    }

    fn of(name: &str, serdes: Serdes<K, V>) -> Self {
        Self {
            options: StoreOptions::named(name),
            serdes,
            cached: true,
            retention: None,
            history: None,
        }
    }

    /// Kept in memory only: restored from the changelog's start each time.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.options.in_memory = true;
        self
    }

    /// How long windows are kept, counted from the latest window's start. Without it: the size of
    /// the windows and their grace, which is also the least that is allowed.
    #[must_use]
    pub fn retention(mut self, kept: Duration) -> Self {
        self.retention = Some(kept);
        self
    }

    /// Keeps the versions of each row for so long after they were replaced, in stream time: a join finds the row as of the
    /// time of its record, and what comes late goes into the history instead of replacing what is newer. What is older
    /// than the history is dropped (`Expired`). Such a store has no record cache and holds no windows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Materialized, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let hour = Duration::from_secs(3600);
    /// let prices = builder.table::<String, String>("prices", Materialized::named("prices").versioned(hour));
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.join_table(&prices, |_, price: &String| price.clone()).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("prices", &text("pen", "2", 1_000))?;
    /// driver.pipe("prices", &text("pen", "3", 5_000))?;
    /// // The price of then.
    /// driver.pipe("orders", &text("pen", "", 3_000))?;
    /// assert_eq!(driver.read::<String, String>("out")?[0].value, "2");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn versioned(mut self, history: Duration) -> Self {
        self.history = Some(history);
        self
    }

    /// No changelog: the store is empty after its directory is lost or its task moves.
    #[must_use]
    pub fn without_changelog(mut self) -> Self {
        self.options.logged = false;
        self
    }

    /// No record cache: each change is logged and emitted.
    #[must_use]
    pub fn without_cache(mut self) -> Self {
        self.cached = false;
        self
    }

    /// A setting of the changelog topic, in Kafka's words; it goes before the default.
    #[must_use]
    pub fn changelog_config(mut self, name: &str, value: &str) -> Self {
        self.options.topic_config.push((name.to_owned(), value.to_owned()));
        self
    }
}
