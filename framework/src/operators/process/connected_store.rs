//! Stores of processors: declared on the builder, connected by being named in `process`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::operators::table::{GlobalKTable, KTable};
use crate::record::{Data, RecordTime};
use crate::store::{ReadOnlyStore, StoreSupplier, TaskStore};
use crate::topology::{Linker, StoreIndex, StreamsBuilder, TopologyFault};

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
    pub(super) supplier: Arc<dyn StoreSupplier>,
    pub(super) open: fn(&TaskStore, &RecordTime) -> Result<H>,
}

impl<H> fmt::Debug for Declared<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Declared").field(&self.supplier).finish()
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

/// The stores that a processor uses: `()`, `&store`, `(&a, &b)` and so on up to eight. A table or a global table in the
/// place of a store is read only: see [`ReadOnlyStore`].
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

/// The rows of a table, to be read. They are in the task's partition: the table's topic and the stream's must be
/// partitioned alike.
impl<K: Data, V: Data> Stores for &KTable<K, V> {
    type Handles = ReadOnlyStore<K, V>;

    fn connect(self) -> Connection<ReadOnlyStore<K, V>> {
        let mut graph = self.graph.borrow_mut();
        let Some(index) = graph.store_of_rows(self.node) else {
            let fault = TopologyFault::RowsNotKept(graph.name_of(self.node).to_owned());
            graph.fault(fault);
            // The build is refused: no task asks.
            let (what, reason) = ("reading a table", "it keeps no rows");
            let refused = move |_: &Linker<'_>| {
                Err(Error::Fatal { what: what.to_owned(), reason: reason.to_owned() })
            };
            return Connection { stores: Vec::new(), open: Box::new(refused) };
        };
        let open: Open<Self::Handles> =
            Box::new(move |linker| ReadOnlyStore::of(linker.store(index)?));
        Connection { stores: vec![index], open }
    }
}

/// The rows of a global table, to be read: they are in each instance.
impl<K: Data, V: Data> Stores for &GlobalKTable<K, V> {
    type Handles = ReadOnlyStore<K, V>;

    fn connect(self) -> Connection<ReadOnlyStore<K, V>> {
        let rows = self.rows();
        let open: Open<Self::Handles> =
            Box::new(move |linker| Ok(ReadOnlyStore::of_global(rows(linker)?)));
        Connection { stores: Vec::new(), open }
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
tuples!(
    (A a),
    (A a, B b),
    (A a, B b, C c),
    (A a, B b, C c, D d),
    (A a, B b, C c, D d, E e),
    (A a, B b, C c, D d, E e, F f),
    (A a, B b, C c, D d, E e, F f, G g),
    (A a, B b, C c, D d, E e, F f, G g, H h)
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::BoxError;
    use crate::operators::process::context::Context;
    use crate::operators::process::process::Processor;
    use crate::operators::process::store_kinds::Lru;
    use crate::record::{Record, Session, Timestamp, Windowed};
    use crate::testing::{TopologyDriver, text};
    use crate::time::{SessionWindows, TimeWindows};

    /// Tells how many windows and sessions a key has, and whether windows can be read by a prefix.
    struct Looks {
        windows: ReadOnlyStore<Windowed<String>, i64>,
        sessions: ReadOnlyStore<Session<String>, i64>,
    }

    impl Processor<String, String> for Looks {
        type KOut = String;
        type VOut = String;

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            let (key, from, to) = (&record.key, Timestamp(0), record.timestamp);
            let windows = self.windows.fetch(key, from, to)?.count();
            let sessions = self.sessions.find_sessions(key, from, to)?.count();
            let all = (self.windows.all()?.count(), self.sessions.all()?.count());
            let any = Windowed { key: key.clone(), start: 0, end: 0 };
            let by_prefix = self.windows.prefix_scan(&any).is_ok();
            let value = format!("{windows} {sessions} {all:?} {by_prefix}");
            ctx.forward(record.with_value(value));
            Ok(())
        }
    }

    #[test]
    fn windows_and_sessions_of_a_table_are_read_by_time() {
        let builder = StreamsBuilder::new();
        let ms = Duration::from_millis;
        let grouped = builder.stream::<String, String>("in").group_by_key();
        let windows = grouped.windowed_by(TimeWindows::of(ms(10)).no_grace()).count("w");
        let gap = SessionWindows::with_gap(ms(5)).no_grace();
        let sessions = grouped.windowed_by(gap).count("s");
        let make = |(windows, sessions)| Looks { windows, sessions };
        let asked = builder.stream::<String, String>("asked");
        asked.process("look", (&windows, &sessions), make).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (key, at) in [("a", 1), ("a", 4), ("a", 12), ("b", 13)] {
            driver.pipe("in", &text(key, "", at)).unwrap();
        }
        driver.pipe("asked", &text("a", "", 14)).unwrap();
        let out = driver.read::<String, String>("out").unwrap();
        // Of 10 ms that are over nothing can be read any more: 1 and 4 are in [0, 10).
        assert_eq!(out[0].value, "1 1 (2, 2) false");
    }

    #[test]
    fn what_has_no_rows_is_refused() {
        let builder = StreamsBuilder::new();
        let table = builder.table::<String, String>("t", "t");
        let computed = table.filter(|_, _| true).named("computed");
        let stream = builder.stream::<String, String>("in");
        stream.process("p", &computed, |_| Nothing).to("out");
        let bounded = builder.store(Lru::<String, String>::named("none", 0));
        stream.process("q", &bounded, |_| Nothing).to("out");
        let faults = builder.build().unwrap_err();
        let expected = [
            TopologyFault::RowsNotKept("computed".to_owned()),
            TopologyFault::BadStore {
                store: "none".to_owned(),
                reason: "it is to keep no entry at all",
            },
        ];
        assert_eq!(faults.faults(), expected);
    }

    struct Nothing;

    impl Processor<String, String> for Nothing {
        type KOut = String;
        type VOut = String;

        fn process(
            &mut self,
            _: Record<String, String>,
            _: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            Ok(())
        }
    }
}
