//! The kinds of stores that processors may have: what is said of them where they are declared.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::operators::process::connected_store::{Declared, StoreKind};
use crate::record::{Data, Shared};
use crate::serde::{HasSerde, Serde};
use crate::store::{
    CustomSpec, CustomState, CustomStore, KeyValueSpec, KeyValueStore, Serdes, SessionSpec,
    SessionStore, StoreChangelog, StoreOptions, TableSpec, TimestampedKeyValueStore,
    VersionedKeyValueStore, WindowSpec, WindowStore,
};
use crate::time::millis;

/// A key-value store to be declared with [`StreamsBuilder::store`](crate::StreamsBuilder::store).
///
/// ```
/// use std::time::Duration;
/// use millstream::serde::{Json, Plain};
/// use millstream::{KeyValue, Store, StreamsBuilder, Window};
///
/// let builder = StreamsBuilder::new();
/// let (kept, size) = (Duration::from_secs(3600), Duration::from_secs(60));
/// let seen: Store<KeyValue<String, i64>> = builder.store(KeyValue::named("seen").in_memory());
/// let lists = builder.store(KeyValue::<String, Vec<i64>>::with_values("lists", Json).without_changelog());
/// let pairs = builder.store(KeyValue::<(i64, i64), i64>::with_serdes("pairs", Json, Plain));
/// let recent = builder.store(Window::<String, i64>::named("recent", kept, size).with_duplicates());
/// let last = Window::<String, Vec<i64>>::with_values("last", kept, size, Json);
/// let last = builder.store(last.changelog_config("segment.bytes", "1048576"));
/// let wide = Window::<(i64, i64), i64>::with_serdes("wide", kept, size, Json, Plain);
/// let wide = builder.store(wide);
/// ```
#[derive(Debug)]
pub struct KeyValue<K, V>(KeyValueSpec<K, V>);

/// A key-value store with a time for each value, in the bytes of a table: see [`TimestampedKeyValueStore`].
///
/// ```
/// use millstream::serde::{Json, Plain};
/// use millstream::{StreamsBuilder, Timestamped};
///
/// let builder = StreamsBuilder::new();
/// let seen = builder.store(Timestamped::<String, i64>::named("seen").in_memory());
/// let lists = builder.store(Timestamped::<String, Vec<i64>>::with_values("lists", Json).without_changelog());
/// let pairs = Timestamped::<(i64, i64), i64>::with_serdes("pairs", Json, Plain);
/// let pairs = builder.store(pairs.changelog_config("segment.bytes", "1048576"));
/// ```
#[derive(Debug)]
pub struct Timestamped<K, V>(TableSpec<K, V>);

/// A key-value store in memory that keeps so many entries at most: when another one comes, the one that was not put or read
/// by its key for longest goes, and its deletion is logged. In the hands of a processor it is a [`KeyValueStore`].
///
/// After a restart and after an abort it is restored from its changelog, in the order of the last puts.
///
/// ```
/// use millstream::serde::{Json, Plain};
/// use millstream::{KeyValueStore, Lru, StreamsBuilder};
/// # use millstream::{BoxError, Context, Processor, record::Record, testing::TopologyDriver};
/// # struct Keep(KeyValueStore<String, i64>);
/// # impl Processor<String, i64> for Keep {
/// #     type KOut = String;
/// #     type VOut = i64;
/// #     fn process(&mut self, record: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
/// #         Ok(self.0.put(record.key, record.value)?)
/// #     }
/// # }
///
/// let builder = StreamsBuilder::new();
/// let recent = builder.store(Lru::<String, i64>::named("recent", 2));
/// # builder.stream("in").process("keep", &recent, Keep).to("out");
/// # let driver = TopologyDriver::new(&builder.build()?)?;
/// // As a processor has it, and here a test.
/// let recent: KeyValueStore<String, i64> = driver.key_value_store("recent")?;
/// recent.put("a".to_owned(), 1)?;
/// recent.put("b".to_owned(), 2)?;
/// recent.get(&"a".to_owned())?;
/// recent.put("c".to_owned(), 3)?;
/// assert_eq!(recent.get(&"b".to_owned())?, None);
///
/// let lists = Lru::<String, Vec<i64>>::with_values("lists", 1_000, Json).without_changelog();
/// let pairs = Lru::<(i64, i64), i64>::with_serdes("pairs", 1_000, Json, Plain).changelog_config("segment.bytes", "1048576");
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug)]
pub struct Lru<K, V>(KeyValueSpec<K, V>);

/// A key-value store that keeps the versions of each value for so long after they were replaced: see
/// [`VersionedKeyValueStore`].
///
/// ```
/// use std::time::Duration;
/// use millstream::serde::{Json, Plain};
/// use millstream::{StreamsBuilder, Versioned};
///
/// let builder = StreamsBuilder::new();
/// let day = Duration::from_secs(86_400);
/// let prices = builder.store(Versioned::<String, i64>::named("prices", day));
/// let lists = builder.store(Versioned::<String, Vec<i64>>::with_values("lists", day, Json).in_memory());
/// let pairs = Versioned::<(i64, i64), i64>::with_serdes("pairs", day, Json, Plain).without_changelog();
/// let pairs = builder.store(pairs.changelog_config("segment.bytes", "1048576"));
/// ```
#[derive(Debug)]
pub struct Versioned<K, V>(TableSpec<K, V>);

/// A window store to be declared with [`StreamsBuilder::store`](crate::StreamsBuilder::store): values by key and time,
/// which expire.
#[derive(Debug)]
pub struct Window<K, V>(WindowSpec<K, V>);

/// A session store: values by key and session, which expire. See [`SessionStore`].
///
/// ```
/// use std::time::Duration;
/// use millstream::serde::{Json, Plain};
/// use millstream::{Sessions, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// let day = Duration::from_secs(86_400);
/// let visits = builder.store(Sessions::<String, i64>::named("visits", day).in_memory());
/// let lists = builder.store(Sessions::<String, Vec<i64>>::with_values("lists", day, Json).without_changelog());
/// let pairs = Sessions::<(i64, i64), i64>::with_serdes("pairs", day, Json, Plain);
/// let pairs = builder.store(pairs.changelog_config("segment.bytes", "1048576"));
/// ```
#[derive(Debug)]
pub struct Sessions<K, V>(SessionSpec<K, V>);

/// A store of one's own: see [`CustomStore`].
///
/// ```
/// use std::collections::BTreeSet;
/// use millstream::{BoxError, ChangelogRecord, Custom, CustomStore, StoreChangelog, StreamsBuilder};
///
/// struct Seen { keys: BTreeSet<Vec<u8>>, changelog: StoreChangelog }
///
/// impl CustomStore for Seen {
///     fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
///         self.keys.insert(record.key.to_vec());
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let make = |changelog| Seen { keys: BTreeSet::new(), changelog };
/// let seen = builder.store(Custom::named("seen", make).changelog_config("segment.bytes", "1048576"));
/// let forgets = builder.store(Custom::named("forgets", make).without_changelog());
/// ```
#[derive(Debug)]
pub struct Custom<S>(CustomSpec<S>);

fn serdes<K, V>(key: impl Serde<K>, value: impl Serde<V>) -> Serdes<K, V> {
    Serdes::given(Arc::new(key), Arc::new(value))
}

impl<K: HasSerde, V: HasSerde> KeyValue<K, V> {
    /// A store of this name: on disk and logged. The name is part of the changelog topic's.
    pub fn named(name: &str) -> Self {
        Self::of(name, Serdes::default())
    }
}

impl<K: HasSerde, V> KeyValue<K, V> {
    /// A store of this name, with values in bytes of this serde.
    pub fn with_values(name: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, K::Serde::default(), value)
    }
}

impl<K, V> KeyValue<K, V> {
    /// A store of this name, in bytes of these serdes.
    pub fn with_serdes(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::of(name, serdes(key, value))
    }

    fn of(name: &str, serdes: Serdes<K, V>) -> Self {
        Self(KeyValueSpec { options: StoreOptions::named(name), serdes, entries_max: None })
    }
}

impl<K: HasSerde, V: HasSerde> Timestamped<K, V> {
    /// A store of this name: on disk and logged. The name is part of the changelog topic's.
    pub fn named(name: &str) -> Self {
        Self(plain_table(name, Serdes::default()))
    }
}

impl<K: HasSerde, V> Timestamped<K, V> {
    /// A store of this name, with values in bytes of this serde.
    pub fn with_values(name: &str, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, K::Serde::default(), value)
    }
}

impl<K, V> Timestamped<K, V> {
    /// A store of this name, in bytes of these serdes.
    pub fn with_serdes(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self(plain_table(name, serdes(key, value)))
    }
}

fn plain_table<K, V>(name: &str, serdes: Serdes<K, V>) -> TableSpec<K, V> {
    TableSpec { options: StoreOptions::named(name), serdes, cached: false, history_ms: None }
}

impl<K: HasSerde, V: HasSerde> Lru<K, V> {
    /// A store of this name that keeps so many entries at most, at least one. The name is part of the changelog topic's.
    pub fn named(name: &str, entries_max: usize) -> Self {
        Self::of(name, entries_max, Serdes::default())
    }
}

impl<K: HasSerde, V> Lru<K, V> {
    /// As [`Lru::named`], with values in bytes of this serde.
    pub fn with_values(name: &str, entries_max: usize, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, entries_max, K::Serde::default(), value)
    }
}

impl<K, V> Lru<K, V> {
    /// As [`Lru::named`], in bytes of these serdes.
    pub fn with_serdes(
        name: &str,
        entries_max: usize,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Self {
        Self::of(name, entries_max, serdes(key, value))
    }

    fn of(name: &str, entries_max: usize, serdes: Serdes<K, V>) -> Self {
        let options = StoreOptions { in_memory: true, ..StoreOptions::named(name) };
        Self(KeyValueSpec { options, serdes, entries_max: Some(entries_max) })
    }
}

impl<K: HasSerde, V: HasSerde> Versioned<K, V> {
    /// A store of this name: on disk and logged. `history` is how long versions are kept after they were replaced,
    /// counted from the latest time that was put. The name is part of the changelog topic's.
    pub fn named(name: &str, history: Duration) -> Self {
        Self::of(name, history, Serdes::default())
    }
}

impl<K: HasSerde, V> Versioned<K, V> {
    /// As [`Versioned::named`], with values in bytes of this serde.
    pub fn with_values(name: &str, history: Duration, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, history, K::Serde::default(), value)
    }
}

impl<K, V> Versioned<K, V> {
    /// As [`Versioned::named`], in bytes of these serdes.
    pub fn with_serdes(
        name: &str,
        history: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Self {
        Self::of(name, history, serdes(key, value))
    }

    fn of(name: &str, history: Duration, serdes: Serdes<K, V>) -> Self {
        Self(TableSpec { history_ms: Some(millis(history)), ..plain_table(name, serdes) })
    }
}

impl<K: HasSerde, V: HasSerde> Window<K, V> {
    /// A store of this name: on disk and logged. `retention` is how long entries are kept, counted
    /// from the latest start; `size` is that of the windows that it returns.
    pub fn named(name: &str, retention: Duration, size: Duration) -> Self {
        Self::of(name, retention, size, Serdes::default())
    }
}

impl<K: HasSerde, V> Window<K, V> {
    /// As [`Window::named`], with values in bytes of this serde.
    pub fn with_values(
        name: &str,
        retention: Duration,
        size: Duration,
        value: impl Serde<V>,
    ) -> Self {
        Self::with_serdes(name, retention, size, K::Serde::default(), value)
    }
}

impl<K, V> Window<K, V> {
    /// As [`Window::named`], in bytes of these serdes.
    pub fn with_serdes(
        name: &str,
        retention: Duration,
        size: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Self {
        Self::of(name, retention, size, serdes(key, value))
    }

    fn of(name: &str, retention: Duration, size: Duration, serdes: Serdes<K, V>) -> Self {
        Self(WindowSpec {
            options: StoreOptions::named(name),
            serdes,
            retention_ms: millis(retention),
            window_size_ms: millis(size),
            duplicates: false,
            kept_ms: None,
        })
    }

    /// Keeps all values put for one key and time, in the order of their puts.
    #[must_use]
    pub fn with_duplicates(mut self) -> Self {
        self.0.duplicates = true;
        self
    }
}

impl<K: HasSerde, V: HasSerde> Sessions<K, V> {
    /// A store of this name: on disk and logged. `retention` is how long sessions are kept, counted from the latest end.
    /// The name is part of the changelog topic's.
    pub fn named(name: &str, retention: Duration) -> Self {
        Self::of(name, retention, Serdes::default())
    }
}

impl<K: HasSerde, V> Sessions<K, V> {
    /// As [`Sessions::named`], with values in bytes of this serde.
    pub fn with_values(name: &str, retention: Duration, value: impl Serde<V>) -> Self {
        Self::with_serdes(name, retention, K::Serde::default(), value)
    }
}

impl<K, V> Sessions<K, V> {
    /// As [`Sessions::named`], in bytes of these serdes; that of the key is the one of the key in the session.
    pub fn with_serdes(
        name: &str,
        retention: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Self {
        Self::of(name, retention, serdes(key, value))
    }

    fn of(name: &str, retention: Duration, serdes: Serdes<K, V>) -> Self {
        let options = StoreOptions::named(name);
        Self(SessionSpec { options, serdes, retention_ms: millis(retention) })
    }
}

impl<S: CustomStore> Custom<S> {
    /// A store of this name, which each task makes for itself: `make` gets the changelog that it logs through. The name is
    /// part of the changelog topic's.
    pub fn named(name: &str, make: impl Fn(StoreChangelog) -> S + Shared) -> Self {
        Self(CustomSpec::new(name, make))
    }
}

macro_rules! logged {
    ($($kind:ident < $($part:ident),* >),*) => { $(
        impl<$($part),*> $kind<$($part),*> {
            /// No changelog: the store is empty after its directory is lost or its task moves.
            #[must_use]
            pub fn without_changelog(mut self) -> Self {
                self.0.options.logged = false;
                self
            }

            /// A setting of the changelog topic, by Kafka's name. It overrides the default.
            #[must_use]
            pub fn changelog_config(mut self, name: &str, value: &str) -> Self {
                self.0.options.topic_config.push((name.to_owned(), value.to_owned()));
                self
            }
        }
    )* };
}
logged!(KeyValue<K, V>, Timestamped<K, V>, Lru<K, V>, Versioned<K, V>, Window<K, V>, Sessions<K, V>, Custom<S>);

macro_rules! on_disk {
    ($($kind:ident),*) => { $(
        impl<K, V> $kind<K, V> {
            /// Kept in memory only: restored from the changelog's start each time.
            #[must_use]
            pub fn in_memory(mut self) -> Self {
                self.0.options.in_memory = true;
                self
            }
        }
    )* };
}
on_disk!(KeyValue, Timestamped, Versioned, Window, Sessions);

macro_rules! kinds {
    ($($kind:ident -> $handle:ident by $open:expr),* $(,)?) => { $(
        impl<K: Data, V: Data> StoreKind for $kind<K, V> {
            type Handle = $handle<K, V>;

            fn declare(self) -> Declared<Self::Handle> {
                Declared { supplier: Arc::new(self.0), open: $open }
            }
        }
    )* };
}
kinds!(
    KeyValue -> KeyValueStore by KeyValueStore::of,
    Timestamped -> TimestampedKeyValueStore by TimestampedKeyValueStore::of,
    Lru -> KeyValueStore by KeyValueStore::of,
    Versioned -> VersionedKeyValueStore by |store, _| VersionedKeyValueStore::of(store),
    Window -> WindowStore by WindowStore::of,
    Sessions -> SessionStore by SessionStore::of,
);

impl<S: CustomStore> StoreKind for Custom<S> {
    type Handle = Rc<RefCell<S>>;

    fn declare(self) -> Declared<Self::Handle> {
        let open = |store: &crate::store::TaskStore, _: &crate::record::RecordTime| {
            store.typed::<CustomState<S>>().map(|state| state.borrow().store())
        };
        Declared { supplier: Arc::new(self.0), open }
    }
}
