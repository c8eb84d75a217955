//! Makes the nodes of one task and links them: children first, so that a parent is made with the
//! links to its children and no name is looked up for a record.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use millstream_state::TaskStores;

use crate::chain::{Children, Faults, Link, NamedNode, Node, Operator, SourceNode, TaskContext};
use crate::error::{Error, PolicyAt, Result};
use crate::policy::{DropCounter, DropReason, OnError};
use crate::record::{Data, RecordTime, TaskId};
use crate::store::{CacheBudget, GlobalStores, StateStore, TaskStore, UncommittedBytes};
use crate::topology::ids::{NodeId, StoreIndex};
use crate::topology::pattern::TopicPattern;

/// What a task is made from.
pub(crate) struct TaskSeed<'a> {
    /// The task's context; nodes may look at it, nothing is sent yet.
    pub(crate) ctx: &'a mut TaskContext,
    /// The task's state, opened with [`SubTopology::store_specs`].
    pub(crate) disk: &'a TaskStores,
    /// What the record caches of the worker share.
    pub(crate) cache_budget: &'a CacheBudget,
    /// The global tables of the instance.
    pub(crate) globals: &'a GlobalStores,
}

/// A source under the name of its topic in the log.
pub(crate) type NamedSource = (Arc<str>, Box<dyn SourceNode>);

/// What reads the topics that match a pattern: makes the source of each.
pub(crate) struct PatternSource {
    pattern: TopicPattern,
    make: Box<dyn Fn(Arc<str>) -> Box<dyn SourceNode>>,
}

impl PatternSource {
    /// The source of a topic; none if that does not match.
    pub(crate) fn source_of(&self, topic: &Arc<str>) -> Option<Box<dyn SourceNode>> {
        self.pattern.matches(topic).then(|| (self.make)(Arc::clone(topic)))
    }
}

/// A task's nodes, linked.
pub(crate) struct TaskParts {
    /// A source for each topic, by its name in the log, in the order of [`SubTopology::sources`].
    pub(crate) sources: Vec<NamedSource>,
    /// Those of patterns.
    pub(crate) patterns: Vec<PatternSource>,
    /// All other nodes, parents before children. A node schedules punctuations by its place here.
    pub(crate) nodes: Vec<NamedNode>,
    /// Its stores, in the order of [`SubTopology::stores`].
    pub(crate) stores: Vec<Rc<RefCell<dyn StateStore>>>,
    /// What counts their uncommitted bytes.
    pub(crate) uncommitted: UncommittedBytes,
    /// The stores with their types, for the test driver.
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

/// The node that is being made, as far as its factory may know it.
pub(crate) struct Seat {
    pub(crate) id: NodeId,
    pub(crate) name: Arc<str>,
    pub(crate) policy: OnError,
    /// For records that have no place in it.
    pub(crate) drops: OnError,
    /// It reads topics.
    pub(crate) is_source: bool,
    /// Where the user says its policy.
    pub(crate) policy_at: PolicyAt,
    /// A node downstream needs the old values of this table.
    pub(crate) sends_old: bool,
    /// A node downstream gives records without a key out.
    pub(crate) passes_null_keys: bool,
    /// It joins a stream with itself.
    pub(crate) joins_itself: bool,
    /// The store that it keeps its rows in, if it does.
    pub(crate) store: Option<StoreIndex>,
    /// Its children with their names, in order.
    pub(crate) children: Vec<(NodeId, Arc<str>)>,
    /// Its place among the nodes of the task that are no sources.
    pub(crate) place: usize,
}

/// The making of one task: what the factories of nodes see. It knows the current node, not the graph.
pub(crate) struct Linker<'a> {
    seed: TaskSeed<'a>,
    /// A `Link<K, V>` of each node made so far.
    links: HashMap<usize, Box<dyn Any>>,
    nodes: HashMap<usize, Rc<RefCell<dyn Node>>>,
    sources: Vec<NamedSource>,
    patterns: Vec<PatternSource>,
    stores: Vec<(StoreIndex, TaskStore)>,
    uncommitted: UncommittedBytes,
    /// What several nodes of the task share besides stores, by a node of theirs and its type.
    shared: HashMap<(usize, TypeId), Rc<dyn Any>>,
    seat: Seat,
}

impl fmt::Debug for Linker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linker").field("node", &self.seat.name).finish_non_exhaustive()
    }
}

impl Seat {
    fn nobody() -> Self {
        Self {
            id: NodeId(0),
            name: Arc::from(""),
            policy: OnError::default(),
            drops: OnError::Skip,
            is_source: false,
            policy_at: PolicyAt::Operator,
            sends_old: false,
            passes_null_keys: false,
            joins_itself: false,
            store: None,
            children: Vec::new(),
            place: 0,
        }
    }
}

impl<'a> Linker<'a> {
    /// With the stores of the task and what counts their uncommitted bytes.
    pub(crate) fn new(
        seed: TaskSeed<'a>,
        stores: Vec<(StoreIndex, TaskStore)>,
        uncommitted: UncommittedBytes,
    ) -> Self {
        Self {
            seed,
            links: HashMap::new(),
            nodes: HashMap::new(),
            sources: Vec::new(),
            patterns: Vec::new(),
            stores,
            uncommitted,
            shared: HashMap::new(),
            seat: Seat::nobody(),
        }
    }

    /// Makes this node the current one: what is asked and added from now on is about it.
    pub(crate) fn sit(&mut self, seat: Seat) {
        self.seat = seat;
    }

    /// The node that was made for a place in the graph; none for sources.
    pub(crate) fn take_node(&mut self, id: NodeId) -> Option<Rc<RefCell<dyn Node>>> {
        self.nodes.remove(&id.0)
    }

    /// What was made, with these nodes in order.
    pub(crate) fn finish(self, nodes: Vec<NamedNode>) -> TaskParts {
        let stores = self.stores.iter().map(|(_, store)| Rc::clone(store.state())).collect();
        let typed_stores = self.stores.into_iter().map(|(_, store)| store).collect();
        TaskParts {
            sources: self.sources,
            patterns: self.patterns,
            nodes,
            stores,
            uncommitted: self.uncommitted,
            typed_stores,
        }
    }

    /// The task's context.
    pub(crate) fn ctx(&mut self) -> &mut TaskContext {
        self.seed.ctx
    }

    /// Which task is being made.
    pub(crate) fn task(&self) -> TaskId {
        self.seed.ctx.task
    }

    /// The time of the current record, as the nodes of the task set it.
    pub(crate) fn record_time(&self) -> &RecordTime {
        &self.seed.ctx.record_time
    }

    /// What the node being made does with a record it cannot process.
    pub(crate) fn faults(&mut self) -> Result<Faults> {
        let (name, policy) = (Arc::clone(&self.seat.name), self.seat.policy.clone());
        let reasons: &[DropReason] = match (&policy, self.seat.is_source) {
            (OnError::Fail, _) => &[],
            (_, true) => &[DropReason::BadBytes, DropReason::BadTimestamp],
            (_, false) => &[DropReason::Failed],
        };
        self.may_drop(reasons)?;
        Ok(Faults::new(name, policy, self.seat.drops.clone(), self.seat.policy_at))
    }

    /// Makes known for which reasons the node being made may drop records.
    pub(crate) fn may_drop(&mut self, reasons: &[DropReason]) -> Result<()> {
        reasons.iter().try_for_each(|reason| self.drops(*reason).map(drop))
    }

    /// What counts the records that the node being made drops for a reason.
    pub(crate) fn drops(&mut self, reason: DropReason) -> Result<DropCounter> {
        Ok(self.seed.ctx.drops.counter(&self.seat.name, reason))
    }

    /// The node's place among the task's nodes, for punctuations.
    pub(crate) fn place(&self) -> usize {
        self.seat.place
    }

    /// True if a node downstream needs old values of this table.
    pub(crate) fn sends_old(&self) -> bool {
        self.seat.sends_old
    }

    /// True if null keys go through the node being made.
    pub(crate) fn passes_null_keys(&self) -> bool {
        self.seat.passes_null_keys
    }

    /// True if the node being made joins a stream with itself.
    pub(crate) fn joins_itself(&self) -> bool {
        self.seat.joins_itself
    }

    /// The links to the children of the node being made.
    pub(crate) fn children<K: Data, V: Data>(&self) -> Result<Children<K, V>> {
        let mut children = Children::default();
        for (id, name) in &self.seat.children {
            children.push(self.link_to(*id, name)?);
        }
        Ok(children)
    }

    /// A store of the task, as its place in the graph names it.
    pub(crate) fn store(&self, index: StoreIndex) -> Result<&TaskStore> {
        let store = self.stores.iter().find(|(known, _)| *known == index);
        store.map(|(_, store)| store).ok_or_else(|| broken("a store is not connected"))
    }

    /// The global tables of the instance.
    pub(crate) fn globals(&self) -> &GlobalStores {
        self.seed.globals
    }

    /// The store that the node being made keeps its rows in, if it does.
    pub(crate) fn own_store(&self) -> Option<&TaskStore> {
        self.seat.store.and_then(|index| self.store(index).ok())
    }

    /// What nodes of this task share besides stores; they agree on a node under which they find it.
    pub(crate) fn shared<T: Default + 'static>(&mut self, id: NodeId) -> Result<Rc<RefCell<T>>> {
        let place = (id.0, TypeId::of::<T>());
        let shared =
            self.shared.entry(place).or_insert_with(|| Rc::new(RefCell::new(T::default())));
        let shared = Rc::clone(shared).downcast::<RefCell<T>>();
        shared.map_err(|_| broken("what nodes share is of another type"))
    }

    /// The names of the children of the node being made, in the order of their links.
    pub(crate) fn names_of_children(&self) -> Result<Vec<Arc<str>>> {
        Ok(self.seat.children.iter().map(|(_, name)| Arc::clone(name)).collect())
    }

    fn link_to<K: Data, V: Data>(&self, id: NodeId, name: &str) -> Result<Link<K, V>> {
        let link = self.links.get(&id.0).and_then(|link| link.downcast_ref::<Link<K, V>>());
        link.map(Rc::clone)
            .ok_or_else(|| broken(&format!("{} and {name} do not fit", self.seat.name)))
    }

    /// The node being made, under which others may find what it shares.
    pub(crate) fn id(&self) -> NodeId {
        self.seat.id
    }

    /// Hands over the node that was made; what comes back is for others that share more than a store with it.
    pub(crate) fn add<K: Data, V: Data, N: Operator<K, V> + 'static>(
        &mut self,
        node: N,
    ) -> Rc<RefCell<N>> {
        let node = Rc::new(RefCell::new(node));
        let link: Link<K, V> = Rc::clone(&node) as Link<K, V>;
        self.links.insert(self.seat.id.0, Box::new(link));
        self.nodes.insert(self.seat.id.0, Rc::<RefCell<N>>::clone(&node));
        node
    }

    /// Hands over the source that was made for a topic.
    pub(crate) fn add_source(&mut self, topic_in_log: Arc<str>, source: Box<dyn SourceNode>) {
        self.sources.push((topic_in_log, source));
    }

    /// Hands over what makes the source of each topic that matches a pattern.
    pub(crate) fn add_pattern(
        &mut self,
        pattern: TopicPattern,
        make: impl Fn(Arc<str>) -> Box<dyn SourceNode> + 'static,
    ) {
        self.patterns.push(PatternSource { pattern, make: Box::new(make) });
    }
}

/// An error that only a fault of this crate can cause, instead of a panic.
pub(crate) fn broken(reason: &str) -> Error {
    Error::Fatal { what: "linking the nodes of a task".to_owned(), reason: reason.to_owned() }
}
