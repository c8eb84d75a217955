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
