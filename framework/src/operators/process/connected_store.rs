//! Stores of processors: declared on the builder, connected by being named in `process`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::record::{Data, RecordTime};
use crate::serde::{HasSerde, Serde};
use crate::store::{
    KeyValueSpec, KeyValueStore, Serdes, StoreOptions, StoreSupplier, TaskStore, WindowSpec,
    WindowStore,
};
use crate::time::millis;
use crate::topology::{Linker, StoreIndex, StreamsBuilder};

/// A key-value store to be declared with [`StreamsBuilder::store`].
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

/// A window store to be declared with [`StreamsBuilder::store`]: values by key and time, which
/// expire.
#[derive(Debug)]
pub struct Window<K, V>(WindowSpec<K, V>);

impl<K: HasSerde, V: HasSerde> KeyValue<K, V> {
    /// A store of this name: on disk and logged. The name is part of the changelog topic's.
    pub fn named(name: &str) -> Self {
        Self(KeyValueSpec { options: StoreOptions::named(name), serdes: Serdes::default() })
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
        let serdes = Serdes { key: Arc::new(key), value: Arc::new(value) };
        Self(KeyValueSpec { options: StoreOptions::named(name), serdes })
    }
}

impl<K: HasSerde, V: HasSerde> Window<K, V> {
    /// A store of this name: on disk and logged. `retention` is how long entries are kept, counted
    /// from the latest start; `size` is that of the windows that it returns.
    pub fn named(name: &str, retention: Duration, size: Duration) -> Self {
        Self(WindowSpec {
            options: StoreOptions::named(name),
            serdes: Serdes::default(),
            retention_ms: millis(retention),
            window_size_ms: millis(size),
            duplicates: false,
        })
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
        Self(WindowSpec {
            options: StoreOptions::named(name),
            serdes: Serdes { key: Arc::new(key), value: Arc::new(value) },
            retention_ms: millis(retention),
            window_size_ms: millis(size),
            duplicates: false,
        })
    }

    /// Keeps all values put for one key and time, in the order of their puts.
    #[must_use]
    pub fn with_duplicates(mut self) -> Self {
        self.0.duplicates = true;
        self
    }
}

macro_rules! options {
    ($($kind:ident),*) => { $(
        impl<K, V> $kind<K, V> {
            /// Kept in memory only: restored from the changelog's start each time.
            #[must_use]
            pub fn in_memory(mut self) -> Self {
                self.0.options.in_memory = true;
                self
            }

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
options!(KeyValue, Window);

/// A kind of store: what is declared, and the handle that a processor gets.
///
/// Code that takes a store of any kind asks for this:
///
/// ```
/// use millstream::{KeyValue, Store, StoreKind, StreamsBuilder};
///
/// fn declared<S: StoreKind>(builder: &StreamsBuilder, kind: S) -> Store<S> {
///     builder.store(kind)
/// }
/// let builder = StreamsBuilder::new();
/// let seen = declared(&builder, KeyValue::<String, i64>::named("seen"));
/// # builder.stream::<String, String>("in").process("p", &seen, |_| Ends).to("out");
/// # assert!(builder.build()?.describe().contains("stores: [seen]"));
/// # struct Ends;
/// # impl millstream::Processor<String, String> for Ends {
/// #     type KOut = String;
/// #     type VOut = String;
/// #     fn process(
/// #         &mut self,
/// #         _: millstream::record::Record<String, String>,
/// #         _: &mut millstream::Context<'_, String, String>,
/// #     ) -> Result<(), millstream::BoxError> {
/// #         Ok(())
/// #     }
/// # }
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub trait StoreKind: Send + Sync + 'static {
    /// What a processor works with.
    type Handle: 'static;

    /// Turns the declaration into what the topology keeps.
    #[doc(hidden)]
    fn declare(self) -> Declared<Self::Handle>;
}

/// A declared store.
#[doc(hidden)]
pub struct Declared<H> {
    supplier: Arc<dyn StoreSupplier>,
    open: fn(&TaskStore, &RecordTime) -> Result<H>,
}

impl<H> fmt::Debug for Declared<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Declared").field(&self.supplier).finish()
    }
}

impl<K: Data, V: Data> StoreKind for KeyValue<K, V> {
    type Handle = KeyValueStore<K, V>;

    fn declare(self) -> Declared<Self::Handle> {
        Declared { supplier: Arc::new(self.0), open: KeyValueStore::of }
    }
}

impl<K: Data, V: Data> StoreKind for Window<K, V> {
    type Handle = WindowStore<K, V>;

    fn declare(self) -> Declared<Self::Handle> {
        Declared { supplier: Arc::new(self.0), open: WindowStore::of }
    }
}

/// A store of a topology with its type: naming it in `process` connects it.
pub struct Store<S: StoreKind> {
    index: StoreIndex,
    open: fn(&TaskStore, &RecordTime) -> Result<S::Handle>,
    kind: PhantomData<fn() -> S>,
}

impl<S: StoreKind> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.index).finish()
    }
}

impl StreamsBuilder {
    /// Declares a store for processors.
    pub fn store<S: StoreKind>(&self, store: S) -> Store<S> {
        let Declared { supplier, open } = store.declare();
        let index = self.graph.borrow_mut().add_store(supplier);
        Store { index, open, kind: PhantomData }
    }
}

/// How a task opens the stores of one processor.
type Open<H> = Box<dyn Fn(&Linker<'_>) -> Result<H> + Send + Sync>;

/// The stores of a processor: where they are in the topology, and how a task opens them.
#[doc(hidden)]
pub struct Connection<H> {
    pub(crate) stores: Vec<StoreIndex>,
    open: Open<H>,
}

impl<H> fmt::Debug for Connection<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.stores).finish()
    }
}

impl<H> Connection<H> {
    pub(crate) fn open(&self, linker: &Linker<'_>) -> Result<H> {
        (self.open)(linker)
    }
}

/// The stores that a processor uses: `()`, `&store`, `(&a, &b)` and so on up to four.
///
/// The factory gets one handle for each store, in the same order:
///
/// ```
/// use millstream::{KeyValue, KeyValueStore, Store, Stores, StreamsBuilder};
///
/// fn handles<S: Stores<Handles = H>, H>(_: S) -> &'static str {
///     std::any::type_name::<H>()
/// }
/// let builder = StreamsBuilder::new();
/// let a: Store<KeyValue<String, i64>> = builder.store(KeyValue::named("a"));
/// let b: Store<KeyValue<String, i64>> = builder.store(KeyValue::named("b"));
/// type Handle = KeyValueStore<String, i64>;
/// assert_eq!(handles(()), "()");
/// assert_eq!(handles(&a), std::any::type_name::<Handle>());
/// assert_eq!(handles((&a, &b)), std::any::type_name::<(Handle, Handle)>());
/// ```
pub trait Stores {
    /// The handles that the processor's factory gets.
    type Handles: 'static;

    /// Finds them.
    #[doc(hidden)]
    fn connect(self) -> Connection<Self::Handles>;
}

impl Stores for () {
    type Handles = ();

    fn connect(self) -> Connection<()> {
        Connection { stores: Vec::new(), open: Box::new(|_| Ok(())) }
    }
}

impl<S: StoreKind> Stores for &Store<S> {
    type Handles = S::Handle;

    fn connect(self) -> Connection<S::Handle> {
        let (index, open) = (self.index, self.open);
        let open: Open<S::Handle> =
            Box::new(move |linker| open(linker.store(index)?, linker.record_time()));
        Connection { stores: vec![index], open }
    }
}

macro_rules! tuples {
    ($( ($($part:ident $name:ident),*) ),*) => { $(
        impl<$($part: Stores),*> Stores for ($($part,)*) {
            type Handles = ($($part::Handles,)*);

            fn connect(self) -> Connection<Self::Handles> {
                let ($($name,)*) = self;
                $( let $name = $name.connect(); )*
                let mut stores = Vec::new();
                $( stores.extend_from_slice(&$name.stores); )*
                Connection { stores, open: Box::new(move |linker| Ok(($($name.open(linker)?,)*))) }
            }
        }
    )* };
}
tuples!((A a), (A a, B b), (A a, B b, C c), (A a, B b, C c, D d));
