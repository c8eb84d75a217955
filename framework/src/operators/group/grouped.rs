//! `group_by_key`, `group_by`: brings the records of one key together, to be aggregated.
//!
//! | | |
//! |---|---|
//! | emits | nothing by itself; `group_by` gives each record the new key |
//! | key | `group_by_key`: kept, and repartitioned only if it changed on the way; `group_by`: changed, always repartitioned |
//! | state | none; the repartition topic is named after the store that follows, or by `named` |

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::operators::stream::{KStream, Placing, Rekeyed, Repartitioned, through_topic};
use crate::operators::table::KTable;
use crate::record::{Data, Shared};
use crate::serde::{HasSerde, Serde};
use crate::store::{Serdes, StoreSupplier};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, TableTraits,
};

/// A stream whose records are brought together by key.
///
/// ```
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// let builder = StreamsBuilder::new();
/// let words = builder.stream::<String, String>("words");
/// let by_word = words.group_by(|_, word| word.clone()).named("by-word");
/// by_word.count("counts");
/// by_word.reduce("last", |_, last| last);
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("words", &text("", "be", 1))?;
/// // Both go through the one topic.
/// assert_eq!(driver.read_raw("app-by-word-repartition")?.len(), 1);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct KGroupedStream<K, V> {
    pub(crate) graph: SharedGraph,
    node: NodeId,
    /// The key may have changed since the records were partitioned.
    rekeyed: bool,
    pub(crate) serdes: Serdes<K, V>,
    /// The name of the repartition topic, if the user gave one.
    name: Option<String>,
    /// Where the stream comes out of the topic of that name, once it does: several aggregations
    /// of one named grouping share it.
    shared: Rc<Cell<Option<NodeId>>>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            node: self.node,
            rekeyed: self.rekeyed,
            serdes: self.serdes.clone(),
            name: self.name.clone(),
            shared: Rc::clone(&self.shared),
        }
    }
}

impl<K, V> fmt::Debug for KGroupedStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KGroupedStream").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Groups by the key the records have.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").group_by_key().count("counts");
    ///
    /// let topology = builder.build()?;
    /// assert!(!topology.describe().contains("repartition"), "the key is that of the topic");
    /// # let mut driver = TopologyDriver::new(&topology)?;
    /// # driver.pipe("in", &text("k", "v", 1))?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn group_by_key(&self) -> KGroupedStream<K, V>
    where
        K: HasSerde,
        V: HasSerde,
    {
        self.grouped(Serdes::default())
    }

    /// As [`Self::group_by_key`], with these serdes for a repartition topic.
    ///
    /// ```
    /// use millstream::Materialized;
    /// use millstream::serde::{Json, Plain};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let lists = builder.stream::<String, String>("in").map(|key, value| (value, vec![key]));
    /// // In JSON, not in the bytes that Java gives its lists.
    /// let store = Materialized::with_values("joined", Json);
    /// lists.group_by_key_with(Plain, Json).reduce(store, |a, b| [a, b].concat());
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn group_by_key_with(
        &self,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> KGroupedStream<K, V> {
        self.grouped(Serdes::given(Arc::new(key), Arc::new(value)))
    }

    fn grouped(&self, serdes: Serdes<K, V>) -> KGroupedStream<K, V> {
        KGroupedStream {
            graph: Rc::clone(&self.graph),
            node: self.node,
            rekeyed: P::REKEYED,
            serdes,
            name: None,
            shared: Rc::default(),
        }
    }

    /// Groups by another key. The records go through a repartition topic.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Timestamp, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.group_by(|_, word| word.clone()).count("counts");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("words", &text("line 1", "be", 1))?;
    /// driver.pipe("words", &text("line 2", "be", 2))?;
    /// assert_eq!(driver.table("counts")?, [("be".to_owned(), 2_i64, Timestamp(2))]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn group_by<K2: HasSerde>(&self, f: impl Fn(&K, &V) -> K2 + Shared) -> KGroupedStream<K2, V>
    where
        V: HasSerde,
    {
        self.select_key(f).group_by_key()
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Names the repartition topic, if there is one: `<application>-<name>-repartition`. Without
    /// this it is named after the store that follows.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.graph.borrow_mut().check_name("a repartition topic", name);
        self.name = Some(name.to_owned());
        self
    }

    /// The node to aggregate from: behind the repartition topic if the key changed on the way.
    pub(crate) fn repartitioned(&self, graph: &mut Graph, store: &str) -> NodeId {
        if !self.rekeyed {
            return self.node;
        }
        if let Some(node) = self.shared.get().filter(|_| self.name.is_some()) {
            return node;
        }
        let how = Repartitioned::named(self.name.as_deref().unwrap_or(store));
        let node = through_topic::<K, V, Rekeyed>(graph, self.node, &how, &self.serdes);
        self.shared.set(Some(node));
        node
    }

    /// Adds a node that aggregates this grouping into a store.
    pub(crate) fn aggregated<K2: Data, A: Data, M>(
        &self,
        prefix: &str,
        store: Arc<dyn StoreSupplier>,
        key: Arc<dyn Serde<K2>>,
        make: impl FnOnce(StoreIndex) -> M,
    ) -> KTable<K2, A>
    where
        M: Fn(&mut Linker<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate(prefix);
        let parent = self.repartitioned(&mut graph, store.name());
        let index = graph.add_store(store);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores: vec![index],
            make: Box::new(make(index)),
        });
        graph.set_table(node, TableTraits::kept());
        graph.drop_for(node, Some(parent).filter(|_| self.rekeyed));
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node, key)
    }
}
