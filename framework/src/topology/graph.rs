//! The graph that the calls of the DSL build: nodes with Java's names and numbers, edges, stores.
//!
//! One counter numbers all nodes of a builder in the order of the calls. Some numbers are taken
//! without being used, so that the others equal Java's: a named node still takes its number, and
//! a repartition takes three (sink, filter, source).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{PolicyAt, Result};
use crate::policy::{OnError, Reset};
use crate::store::StoreSupplier;
use crate::topology::fault::TopologyFault;
use crate::topology::ids::{NodeId, StoreIndex};
use crate::topology::linker::Linker;
use crate::topology::name::{NodeName, refusal};
use crate::topology::pattern::TopicPattern;
use crate::topology::table_traits::TableTraits;

/// The graph as builder and handles share it.
pub(crate) type SharedGraph = Rc<RefCell<Graph>>;

/// Where a sink writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SinkTopicName {
    /// Always here.
    Fixed(Arc<str>),
    /// To a topic that each record chooses.
    PerRecord,
}

/// What kind of node it is, as far as the runtime and `describe` must know.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// Reads topics.
    Source {
        /// The topics; internal ones without the application's prefix.
        topics: Vec<Arc<str>>,
        /// Reads all topics that match it, instead of those.
        pattern: Option<TopicPattern>,
        /// A repartition topic of this topology.
        internal: bool,
        /// Where to begin.
        reset: Reset,
        /// The partition count the user gave the repartition topic.
        partitions: Option<i32>,
        /// Read whole by each instance, for a global table, and not by tasks.
        global: bool,
    },
    /// Anything between.
    Processor,
    /// Writes to a topic.
    Sink {
        /// Which; internal ones without the application's prefix.
        topic: SinkTopicName,
        /// A repartition topic of this topology.
        internal: bool,
        /// The partition count the user gave the repartition topic.
        partitions: Option<i32>,
    },
}

/// Makes a node of one task and hands it to the linker.
pub(crate) type Make = Box<dyn Fn(&mut Linker<'_>) -> Result<()> + Send + Sync>;

/// A node to be added.
pub(crate) struct NodeDraft {
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) stores: Vec<StoreIndex>,
    pub(crate) make: Make,
}

/// A node of the graph.
pub(crate) struct GraphNode {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) children: Vec<NodeId>,
    pub(crate) stores: Vec<StoreIndex>,
    /// What to do with a record that its closure refuses.
    pub(crate) policy: OnError,
    /// What to do with a record that has no place here.
    pub(crate) drops: OnError,
    /// Nodes that drop records in its place: the policy for that is theirs too.
    drop_for_it: Vec<NodeId>,
    /// It gives records without a key out.
    pub(crate) takes_null_keys: bool,
    /// A node below it does, so it lets null keys through.
    pub(crate) passes_null_keys: bool,
    /// It joins a stream with itself.
    pub(crate) joins_itself: bool,
    /// It hands on the records that it gets, all or some, as they are.
    pub(super) hands_on: bool,
    /// Nothing can fail in it; the operator in which something can.
    pub(super) fallible_form: Option<&'static str>,
    /// It was given a policy for what fails all the same.
    pub(super) has_needless_policy: bool,
    /// Another node does what it did.
    pub(super) removed: bool,
    /// What it is as a table, if it is one.
    table: Option<TableTraits>,
    pub(crate) make: Make,
}

impl fmt::Debug for GraphNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphNode")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

/// The nodes and window stores of a join of two streams whose records may meet themselves.
#[derive(Clone, Debug)]
pub(crate) struct StreamJoin {
    /// Where the records of left and right are remembered.
    pub(crate) windowed: [NodeId; 2],
    /// Where they meet those of the other side.
    pub(crate) sides: [NodeId; 2],
    /// Where both end.
    pub(crate) met: NodeId,
    /// The stores, that of the left one first.
    pub(crate) stores: Vec<StoreIndex>,
}

/// The nodes of a repartition topic of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Repartition {
    /// Where records without a key are dropped.
    pub(crate) filter: NodeId,
    pub(crate) sink: NodeId,
    pub(crate) source: NodeId,
    /// It is there since the key may have changed, and has nothing of its own: no serdes, no partitioner.
    pub(crate) may_merge: bool,
}

/// All nodes and stores of a topology.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(super) nodes: Vec<GraphNode>,
    /// Their places, parents before children.
    pub(super) order: Vec<NodeId>,
    pub(super) stores: Vec<Arc<dyn StoreSupplier>>,
    stream_joins: Vec<StreamJoin>,
    repartitions: Vec<Repartition>,
    /// Stores that no node needs any more.
    pub(super) given_up: Vec<StoreIndex>,
    pub(super) faults: Vec<TopologyFault>,
    numbered: u32,
    pub(crate) generated_names_allowed: bool,
}

impl Graph {
    /// Takes the next number and makes a name of it.
    pub(crate) fn generate(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}{:010}", self.numbered);
        self.numbered += 1;
        name
    }

    /// Gives a name back that was generated and will not be used, if no other was since.
    pub(super) fn give_back(&mut self, name: &str) {
        if let Some(last) = self.numbered.checked_sub(1)
            && name.ends_with(&format!("-{last:010}"))
        {
            self.numbered = last;
        }
    }

    /// Adds a node and its edges.
    pub(crate) fn add(&mut self, draft: NodeDraft) -> NodeId {
        let id = NodeId(self.nodes.len());
        for parent in &draft.parents {
            if let Some(parent) = self.nodes.get_mut(parent.0) {
                parent.children.push(id);
            }
        }
        self.nodes.push(GraphNode {
            name: draft.name.into(),
            kind: draft.kind,
            parents: draft.parents,
            children: Vec::new(),
            stores: draft.stores,
            policy: OnError::default(),
            drops: OnError::Skip,
            drop_for_it: Vec::new(),
            takes_null_keys: false,
            passes_null_keys: false,
            joins_itself: false,
            hands_on: false,
            fallible_form: None,
            has_needless_policy: false,
            removed: false,
            table: None,
            make: draft.make,
        });
        self.order.push(id);
        id
    }

    /// Adds a store.
    pub(crate) fn add_store(&mut self, supplier: Arc<dyn StoreSupplier>) -> StoreIndex {
        if supplier.name().is_empty() {
            self.fault(TopologyFault::UnnamedStore);
        } else {
            self.check_name("a store", supplier.name());
        }
        if let Some(reason) = supplier.refusal() {
            let store = supplier.name().to_owned();
            self.fault(TopologyFault::BadStore { store, reason });
        }
        self.stores.push(supplier);
        StoreIndex(self.stores.len() - 1)
    }

    /// Notes a fault; `build` reports it.
    pub(crate) fn fault(&mut self, fault: TopologyFault) {
        self.faults.push(fault);
    }

    /// Notes a fault if `name` cannot be used.
    pub(crate) fn check_name(&mut self, what: &'static str, name: &str) {
        if let Some(reason) = refusal(name) {
            self.fault(TopologyFault::BadName { what, name: name.to_owned(), reason });
        }
    }

    /// Gives a node a name of its own.
    pub(crate) fn rename(&mut self, node: NodeId, name: &str) {
        self.check_name("a node", name);
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.name = name.into();
        }
    }

    /// Sets the policy of a node. The one of a repartition topic holds for both of its ends.
    pub(crate) fn set_policy(&mut self, node: NodeId, policy: OnError) {
        let internal = match self.nodes.get(node.0).map(|node| &node.kind) {
            Some(NodeKind::Source { topics, internal: true, .. }) => topics.first().cloned(),
            _ => None,
        };
        let is_its_sink = |kind: &NodeKind| match (kind, &internal) {
            (NodeKind::Sink { topic: SinkTopicName::Fixed(topic), internal, .. }, Some(wanted)) => {
                *internal && topic == wanted
            }
            _ => false,
        };
        for sink in self.nodes.iter_mut().filter(|sink| is_its_sink(&sink.kind)) {
            sink.policy = policy.clone();
        }
        // A table that others write meets no record that fails: they do.
        let writers = self.table(node).map(|table| table.writers.clone()).unwrap_or_default();
        for writer in writers {
            if let Some(writer) = self.nodes.get_mut(writer.0) {
                writer.policy = policy.clone();
            }
        }
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.policy = policy;
            node.has_needless_policy = node.fallible_form.is_some();
        }
    }

    /// Says that a node gives records without a key out.
    pub(crate) fn take_null_keys(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.takes_null_keys = true;
        }
    }

    /// Lets null keys through a node.
    pub(super) fn pass_null_keys(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.passes_null_keys = true;
        }
    }

    /// Notes a join of streams.
    pub(crate) fn add_stream_join(&mut self, join: StreamJoin) {
        self.stream_joins.push(join);
    }

    pub(super) fn stream_joins(&self) -> &[StreamJoin] {
        &self.stream_joins
    }

    /// Notes the nodes of a repartition topic of a stream.
    pub(crate) fn add_repartition(&mut self, repartition: Repartition) {
        self.repartitions.push(repartition);
    }

    pub(super) fn repartitions(&self) -> &[Repartition] {
        &self.repartitions
    }

    /// Says that a node hands on the records that it gets, all or some, as they are.
    pub(crate) fn set_hands_on(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.hands_on = true;
        }
    }

    /// Says that nothing can fail in a node, and in which operator something can.
    pub(crate) fn set_infallible(&mut self, node: NodeId, fallible_form: &'static str) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.fallible_form = Some(fallible_form);
        }
    }

    /// Says which nodes drop records in the place of one that is added behind them.
    pub(crate) fn drop_for(&mut self, node: NodeId, others: impl IntoIterator<Item = NodeId>) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.drop_for_it.extend(others);
        }
    }

    /// The source of the repartition topic that a node reads, if it reads one.
    pub(crate) fn repartition_above(&self, node: NodeId) -> Option<NodeId> {
        let above = self.node(node)?.parents.first().copied()?;
        let kind = &self.node(above)?.kind;
        matches!(kind, NodeKind::Source { internal: true, .. }).then_some(above)
    }

    /// Sets what a node does with records that have no place there, and those that drop them in its place.
    pub(crate) fn set_drops(&mut self, node: NodeId, policy: OnError) {
        let others = self.node(node).map(|node| node.drop_for_it.clone());
        for other in others.unwrap_or_default() {
            self.set_drops(other, policy.clone());
        }
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.drops = policy;
        }
    }

    /// Says that a node is a table.
    pub(crate) fn set_table(&mut self, node: NodeId, table: TableTraits) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.table = Some(table);
        }
    }

    pub(super) fn table(&self, node: NodeId) -> Option<&TableTraits> {
        self.node(node)?.table.as_ref()
    }

    pub(super) fn table_mut(&mut self, node: NodeId) -> Option<&mut TableTraits> {
        self.nodes.get_mut(node.0)?.table.as_mut()
    }

    pub(super) fn has_children(&self, node: NodeId) -> bool {
        self.node(node).is_some_and(|node| !node.children.is_empty())
    }

    /// The name of a node that must have one: as in Kafka Streams, a name of its own takes no number.
    pub(crate) fn named(&mut self, prefix: &str, name: NodeName) -> String {
        if let Some(name) = name.into_text() {
            self.check_name("a node", &name);
            return name;
        }
        let generated = self.generate(prefix);
        if !self.generated_names_allowed {
            self.fault(TopologyFault::Unnamed(generated.clone()));
        }
        generated
    }

    /// Connects a node with the store that it keeps its rows in: the first of its stores.
    pub(super) fn connect(&mut self, node: NodeId, store: StoreIndex) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.stores.insert(0, store);
        }
    }

    /// All nodes, parents before children.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &GraphNode)> {
        let all = self.order.iter().filter_map(|id| Some((*id, self.nodes.get(id.0)?)));
        all.filter(|(_, node)| !node.removed)
    }

    /// A node.
    pub(crate) fn node(&self, id: NodeId) -> Option<&GraphNode> {
        self.nodes.get(id.0)
    }

    /// The name of a node.
    pub(crate) fn name_of(&self, id: NodeId) -> &str {
        self.node(id).map_or("", |node| &node.name)
    }

    /// All stores.
    pub(crate) fn stores(&self) -> &[Arc<dyn StoreSupplier>] {
        &self.stores
    }

    /// A store.
    pub(crate) fn store(&self, index: StoreIndex) -> Option<&dyn StoreSupplier> {
        self.stores.get(index.0).map(AsRef::as_ref)
    }
}

impl GraphNode {
    /// A node downstream needs the old values of this table.
    pub(crate) fn sends_old(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.sends_old)
    }

    /// The store that it keeps its rows in, if it does.
    pub(super) fn store_of_rows(&self) -> Option<StoreIndex> {
        self.table.as_ref().filter(|table| table.kept).and(self.stores.first().copied())
    }
}

impl NodeKind {
    /// True for a node that reads topics.
    pub(crate) fn is_source(&self) -> bool {
        matches!(self, Self::Source { .. })
    }

    /// Where the user says the policy of such a node.
    pub(crate) fn policy_at(&self) -> PolicyAt {
        match self {
            Self::Source { internal: false, .. } => PolicyAt::Source,
            Self::Sink { internal: false, .. } => PolicyAt::Sink,
            _ => PolicyAt::Operator,
        }
    }

    /// True for a source that each instance reads whole.
    pub(crate) fn is_global(&self) -> bool {
        matches!(self, Self::Source { global: true, .. })
    }
}
