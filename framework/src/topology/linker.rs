//! Makes the nodes of one task and links them: children first, so that a parent is made with the
//! links to its children and a record finds its way without a name.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use millstream_state::{StoreId, StoreKind, TaskStores};

use crate::chain::{Children, Faults, Link, NamedNode, Node, Operator, SourceNode, TaskContext};
use crate::error::{Error, Result};
use crate::policy::{DropCounter, DropReason, OnError};
use crate::record::Data;
use crate::store::{CacheBudget, StateStore, StorePlace, StoreSupplier, TaskStore};
use crate::topology::Topology;
use crate::topology::graph::{Graph, GraphNode, NodeId, NodeKind, StoreIndex};
use crate::topology::sub_topology::SubTopology;

/// What a task is made from.
pub(crate) struct TaskSeed<'a> {
    /// The task's context; nodes may look at it, nothing is sent yet.
    pub(crate) ctx: &'a mut TaskContext,
    /// The task's state, opened with [`SubTopology::store_specs`].
    pub(crate) disk: &'a TaskStores,
    /// What the record caches of the worker share.
    pub(crate) cache_budget: &'a CacheBudget,
}

/// A source under the name of its topic in the log.
pub(crate) type NamedSource = (Arc<str>, Box<dyn SourceNode>);

/// A task's nodes, linked.
pub(crate) struct TaskParts {
    /// A source for each topic, by its name in the log, in the order of [`SubTopology::sources`].
    pub(crate) sources: Vec<NamedSource>,
    /// All other nodes, parents before children. A node schedules punctuations by its place here.
    pub(crate) nodes: Vec<NamedNode>,
    /// Its stores, in the order of [`SubTopology::stores`].
    pub(crate) stores: Vec<Rc<RefCell<dyn StateStore>>>,
    /// The same with their types, for who looks at them from outside.
    pub(crate) typed_stores: Vec<TaskStore>,
}

impl fmt::Debug for TaskParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskParts")
            .field("sources", &self.sources.iter().map(|(topic, _)| topic).collect::<Vec<_>>())
            .field("nodes", &self.nodes.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}

/// The making of one task: what the factories of nodes see.
pub(crate) struct Linker<'g, 'a> {
    graph: &'g Graph,
    seed: TaskSeed<'a>,
    /// A `Link<K, V>` of each node made so far.
    links: HashMap<usize, Box<dyn Any>>,
    nodes: HashMap<usize, Rc<RefCell<dyn Node>>>,
    sources: Vec<NamedSource>,
    stores: Vec<(StoreIndex, TaskStore)>,
    current: NodeId,
    place: usize,
}

impl fmt::Debug for Linker<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linker").field("current", &self.current).finish_non_exhaustive()
    }
}

impl Topology {
    /// Makes the nodes of one task of a sub-topology.
    ///
    /// # Errors
    /// When a node cannot be made.
    pub(crate) fn instantiate(&self, sub: &SubTopology, seed: TaskSeed<'_>) -> Result<TaskParts> {
        Linker {
            graph: &self.0.graph,
            seed,
            links: HashMap::new(),
            nodes: HashMap::new(),
            sources: Vec::new(),
            stores: Vec::new(),
            current: NodeId(0),
            place: 0,
        }
        .link(sub)
    }
}

impl Linker<'_, '_> {
    fn link(mut self, sub: &SubTopology) -> Result<TaskParts> {
        self.make_stores(sub)?;
        let graph = self.graph;
        let is_source = |id: &NodeId| graph.node(*id).is_some_and(|node| node.kind.is_source());
        let inner: Vec<NodeId> = sub.nodes.iter().copied().filter(|id| !is_source(id)).collect();
        for (place, id) in inner.iter().enumerate().rev() {
            self.place = place;
            self.make(*id)?;
        }
        for id in sub.nodes.iter().copied().filter(is_source) {
            self.make(id)?;
        }
        let mut nodes = Vec::with_capacity(inner.len());
        for id in inner {
            if let (Some(made), Some(node)) = (self.nodes.remove(&id.0), graph.node(id)) {
                nodes.push((Arc::clone(&node.name), made));
            }
        }
        let stores = self.stores.iter().map(|(_, store)| Rc::clone(store.state())).collect();
        let typed_stores = self.stores.into_iter().map(|(_, store)| store).collect();
        Ok(TaskParts { sources: self.sources, nodes, stores, typed_stores })
    }

    fn make_stores(&mut self, sub: &SubTopology) -> Result<()> {
        let suppliers: Vec<(StoreIndex, &dyn StoreSupplier)> = sub
            .stores
            .iter()
            .filter_map(|index| Some((*index, self.graph.store(*index)?)))
            .collect();
        for ((index, supplier), id) in suppliers.into_iter().zip(0..) {
            let place = StorePlace {
                id: StoreId(id),
                stores: self.seed.disk.clone(),
                collector: self.seed.ctx.collector.clone(),
                application_id: Arc::clone(&self.seed.ctx.application_id),
                partition: self.seed.ctx.task.partition,
                cache_budget: self.seed.cache_budget.clone(),
                record_time: self.seed.ctx.record_time.clone(),
            };
            self.stores.push((index, supplier.make(&place)?));
            let expires = !matches!(supplier.spec().kind, StoreKind::KeyValue);
            let nodes = sub.nodes.iter().filter_map(|id| self.graph.node(*id));
            let user = nodes.filter(|_| expires).find(|node| node.stores.contains(&index));
            let drops = &mut self.seed.ctx.drops;
            let counter = user.map(|node| drops.counter(&node.name, DropReason::Expired));
            self.seed.ctx.expiring.push(counter);
        }
        Ok(())
    }

    fn make(&mut self, id: NodeId) -> Result<()> {
        self.current = id;
        match self.graph.node(id) {
            Some(node) => (node.make)(self),
            None => Err(broken(&format!("there is no node {}", id.0))),
        }
    }

    fn node(&self) -> Result<&GraphNode> {
        self.graph.node(self.current).ok_or_else(|| broken("there is no such node"))
    }

    /// The task's context.
    pub(crate) fn ctx(&mut self) -> &mut TaskContext {
        self.seed.ctx
    }

    /// What the node being made does with a record it cannot process.
    pub(crate) fn faults(&mut self) -> Result<Faults> {
        let node = self.node()?;
        let (name, policy) = (Arc::clone(&node.name), node.policy.clone());
        let reasons: &[DropReason] = match (&policy, &node.kind) {
            (OnError::Fail, _) => &[],
            (_, NodeKind::Source { .. }) => &[DropReason::BadBytes, DropReason::BadTimestamp],
            _ => &[DropReason::Failed],
        };
        self.may_drop(reasons)?;
        Ok(Faults::new(name, policy))
    }

    /// Makes known for which reasons the node being made may drop records.
    pub(crate) fn may_drop(&mut self, reasons: &[DropReason]) -> Result<()> {
        reasons.iter().try_for_each(|reason| self.drops(*reason).map(drop))
    }

    /// What counts the records that the node being made drops for a reason.
    pub(crate) fn drops(&mut self, reason: DropReason) -> Result<DropCounter> {
        let name = Arc::clone(&self.node()?.name);
        Ok(self.seed.ctx.drops.counter(&name, reason))
    }

    /// The node's place among the task's nodes, for punctuations.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// True if a node downstream needs old values of this table.
    pub(crate) fn sends_old(&self) -> Result<bool> {
        Ok(self.node()?.sends_old)
    }

    /// The links to the children of the node being made.
    pub(crate) fn children<K: Data, V: Data>(&self) -> Result<Children<K, V>> {
        let mut children = Children::default();
        for id in &self.node()?.children {
            children.push(self.link_to(*id)?);
        }
        Ok(children)
    }

    /// A store of the task, as its place in the graph names it.
    pub(crate) fn store(&self, index: StoreIndex) -> Result<&TaskStore> {
        let store = self.stores.iter().find(|(known, _)| *known == index);
        store.map(|(_, store)| store).ok_or_else(|| broken("a store is not connected"))
    }

    /// The names of the children of the node being made, in the order of their links.
    pub(crate) fn names_of_children(&self) -> Result<Vec<Arc<str>>> {
        let node = self.node()?;
        let name = |id: &NodeId| self.graph.node(*id).map(|child| Arc::clone(&child.name));
        Ok(node.children.iter().filter_map(name).collect())
    }

    fn link_to<K: Data, V: Data>(&self, id: NodeId) -> Result<Link<K, V>> {
        let link = self.links.get(&id.0).and_then(|link| link.downcast_ref::<Link<K, V>>());
        link.map(Rc::clone).ok_or_else(|| {
            broken(&format!(
                "{} and {} do not fit",
                self.graph.name_of(self.current),
                self.graph.name_of(id)
            ))
        })
    }

    /// Hands over the node that was made.
    pub(crate) fn add<K: Data, V: Data, N: Operator<K, V> + 'static>(&mut self, node: N) {
        let node = Rc::new(RefCell::new(node));
        let link: Link<K, V> = Rc::clone(&node) as Link<K, V>;
        self.links.insert(self.current.0, Box::new(link));
        self.nodes.insert(self.current.0, node);
    }

    /// Hands over the source that was made for a topic.
    pub(crate) fn add_source(&mut self, topic_in_log: Arc<str>, source: Box<dyn SourceNode>) {
        self.sources.push((topic_in_log, source));
    }
}

/// What only an error of this crate can cause; said instead of a panic.
pub(crate) fn broken(reason: &str) -> Error {
    Error::Fatal { what: "linking the nodes of a task".to_owned(), reason: reason.to_owned() }
}
