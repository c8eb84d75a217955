//! The handle of a table: a node of the drawing that hands on changes of rows.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::operators::table::view::View;
use crate::policy::OnError;
use crate::record::{Data, Shared};
use crate::serde::Serde;
use crate::topology::{Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, TableTraits};

/// A table: the latest value of each key, as a stream of changes.
///
/// ```
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// let builder = StreamsBuilder::new();
/// let names = builder.table::<String, String>("names", "names");
/// let short = names.filter(|_, name| name.len() < 10).named("short-names");
/// short.updates().to("short");
///
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: short-names"));
/// let mut driver = TopologyDriver::new(&topology)?;
/// driver.pipe("names", &text("7", "Ada", 1))?;
/// assert_eq!(driver.read::<String, String>("short")?, [text("7", "Ada", 1)]);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct KTable<K, V> {
    pub(crate) graph: SharedGraph,
    pub(crate) node: NodeId,
    /// The bytes of its keys.
    pub(crate) key: Arc<dyn Serde<K>>,
    /// How its rows come from those of tables above, where the node keeps none.
    computed: Option<Computed<K, V>>,
    types: PhantomData<fn() -> (K, V)>,
}

type Computed<K, V> = Rc<dyn Fn() -> View<K, V>>;

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            node: self.node,
            key: Arc::clone(&self.key),
            computed: self.computed.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KTable").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// A table whose node keeps its rows, or may keep them.
    pub(crate) fn new(graph: SharedGraph, node: NodeId, key: Arc<dyn Serde<K>>) -> Self {
        Self { graph, node, key, computed: None, types: PhantomData }
    }

    /// With rows that come from those of other tables.
    pub(crate) fn computed(mut self, view: impl Fn() -> View<K, V> + 'static) -> Self {
        self.computed = Some(Rc::new(view));
        self
    }

    /// How an operator below looks rows up. A source keeps its rows from now on.
    pub(crate) fn view(&self) -> View<K, V> {
        let kept = self.graph.borrow_mut().store_of_rows(self.node);
        match (kept, &self.computed) {
            (Some(store), _) => View::stored(store),
            (None, Some(computed)) => computed(),
            (None, None) => View::of_nothing(),
        }
    }

    /// Adds a child that computes its rows from those of this table.
    pub(crate) fn derived<V2: Data>(
        &self,
        prefix: &str,
        view: impl Fn(View<K, V>) -> View<K, V2> + 'static,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KTable<K, V2> {
        let name = self.graph.borrow_mut().generate(prefix);
        self.derived_as((name, Vec::new()), view, make)
    }

    /// As [`Self::derived`], under this name and with these stores.
    pub(crate) fn derived_as<V2: Data>(
        &self,
        (name, stores): (String, Vec<StoreIndex>),
        view: impl Fn(View<K, V>) -> View<K, V2> + 'static,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KTable<K, V2> {
        let mut graph = self.graph.borrow_mut();
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores,
            make: Box::new(make),
        });
        graph.set_table(node, TableTraits::computed_from(self.node));
        drop(graph);
        let above = self.clone();
        let table = KTable::new(Rc::clone(&self.graph), node, Arc::clone(&self.key));
        table.computed(move || view(above.view()))
    }

    /// Names the node just added: without it, it has Java's name and number.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.borrow_mut().rename(self.node, name);
        self
    }

    /// What the table does with a row that its store cannot write (a serde refuses the key or the
    /// value): the row stays as it was. With a record cache that is found out at a flush, and what
    /// was merged into the row since the last one is lost with it.
    ///
    /// ```
    /// use millstream::serde::{Json, Plain};
    /// use millstream::{Materialized, OnError};
    /// # use millstream::{DropReason, StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let sums = builder.stream::<String, f64>("in").group_by_key().aggregate(
    ///     Materialized::with_serdes("sums", Plain, Json),
    ///     || 0.0,
    ///     |_, value, sum| *sum += value,
    /// );
    /// // JSON knows no infinity.
    /// sums.on_error(OnError::Skip).updates().to("sums");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &Record::new("k".to_owned(), f64::INFINITY, Timestamp(1)))?;
    /// assert_eq!(driver.dropped(DropReason::Failed), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_policy(self.node, policy);
        self
    }

    /// What the table does with records that have no place in it: late ones, null keys and values, what its store has
    /// let go of, what was overtaken. Unless it is said they are dropped and counted ([`OnError::Skip`]); a dead letter
    /// has the reason as its `__streams.errors.message`. The repartition topic of a grouping, the sides of a join and
    /// the streams of a cogroup do it with it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use millstream::{OnError, TimeWindows};
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minute);
    /// clicks.count("per-minute").on_drop(OnError::dead_letter("late-clicks"));
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [59_000, 60_000, 58_000] {
    ///     driver.pipe("clicks", &text("ada", "/", at))?;
    /// }
    /// let late = driver.read::<String, String>("late-clicks")?;
    /// assert_eq!(late[0].timestamp.0, 58_000);
    /// assert_eq!(late[0].headers.last("__streams.errors.message"), Some(&b"late"[..]));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn on_drop(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_drops(self.node, policy);
        self
    }
}
