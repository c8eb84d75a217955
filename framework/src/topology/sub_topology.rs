//! Sub-topologies: sets of nodes that are connected by edges or by a shared store. Between them
//! stand repartition topics, so each can run on its own partitions. The one of a global table has no
//! tasks: the instance hosts it, and it takes a number like the others.
//!
//! They are numbered in the order in which their first source was added (as Java does, [vec]).

use std::sync::Arc;

use crate::policy::Reset;
use crate::topology::graph::{Graph, NodeKind, SinkTopicName};
use crate::topology::ids::{NodeId, StoreIndex};
use crate::topology::pattern::TopicPattern;

/// What a source plan reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceTopics {
    /// The topic of this name; that of an internal one without the application's prefix.
    Named(Arc<str>),
    /// All topics that match.
    Pattern(TopicPattern),
}

/// A topic that a sub-topology reads, or a pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcePlan {
    /// Which.
    pub(crate) topics: SourceTopics,
    /// A repartition topic of this topology.
    pub(crate) internal: bool,
    /// Where to begin without a committed position.
    pub(crate) reset: Reset,
    /// The partition count the user asked for, of a repartition topic.
    pub(crate) partitions: Option<i32>,
}

/// A topic that a sub-topology writes, apart from those that records choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkPlan {
    /// Its name; that of an internal topic without the application's prefix.
    pub(crate) topic: Arc<str>,
    /// A repartition topic of this topology.
    pub(crate) internal: bool,
    /// The partition count the user asked for, of a repartition topic.
    pub(crate) partitions: Option<i32>,
}

/// The name of a topic in the log: internal ones carry the application's id in front.
pub(crate) fn topic_in_log(topic: &str, internal: bool, application_id: &str) -> Arc<str> {
    if internal { format!("{application_id}-{topic}").into() } else { topic.into() }
}

impl SourcePlan {
    /// The topic's name in the log; none for a pattern.
    pub(crate) fn in_log(&self, application_id: &str) -> Option<Arc<str>> {
        match &self.topics {
            SourceTopics::Named(topic) => Some(topic_in_log(topic, self.internal, application_id)),
            SourceTopics::Pattern(_) => None,
        }
    }

    /// The pattern, if it is one.
    pub(crate) fn pattern(&self) -> Option<&TopicPattern> {
        match &self.topics {
            SourceTopics::Named(_) => None,
            SourceTopics::Pattern(pattern) => Some(pattern),
        }
    }

    /// A plan for each topic that matches its pattern; itself if it has none.
    fn over(&self, matching: &impl Fn(&TopicPattern) -> Vec<Arc<str>>) -> Vec<Self> {
        let Some(pattern) = self.pattern() else { return vec![self.clone()] };
        let named = |topic| Self { topics: SourceTopics::Named(topic), ..self.clone() };
        matching(pattern).into_iter().map(named).collect()
    }
}

impl SubTopology {
    /// The patterns of its sources.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &TopicPattern> {
        self.sources.iter().filter_map(SourcePlan::pattern)
    }

    /// The same with topics in place of patterns.
    pub(crate) fn over(&self, matching: &impl Fn(&TopicPattern) -> Vec<Arc<str>>) -> Self {
        let over = |plans: &Vec<SourcePlan>| -> Vec<SourcePlan> {
            plans.iter().flat_map(|plan| plan.over(matching)).collect()
        };
        let copartitioned = self.copartitioned.iter().map(over).collect();
        Self { sources: over(&self.sources), copartitioned, ..self.clone() }
    }
}

impl SinkPlan {
    /// Its name in the log.
    pub(crate) fn in_log(&self, application_id: &str) -> Arc<str> {
        topic_in_log(&self.topic, self.internal, application_id)
    }
}

/// One sub-topology.
#[derive(Clone, Debug)]
pub(crate) struct SubTopology {
    /// Its number.
    pub(crate) id: u32,
    /// What it reads, in order.
    pub(crate) sources: Vec<SourcePlan>,
    /// What it writes, repartition topics included, in order.
    pub(crate) sinks: Vec<SinkPlan>,
    /// Its stores, as places in the topology's list of stores.
    pub(crate) stores: Vec<StoreIndex>,
    /// Topics (of `sources`) that must have equal partition counts, because records of one key
    /// meet in a store; groups of at least two.
    pub(crate) copartitioned: Vec<Vec<SourcePlan>>,
    /// Topics of a pattern meet in a store: a task needs all of its partitions.
    pub(crate) keeps_patterns: bool,
    /// Its nodes, parents before children.
    pub(crate) nodes: Vec<NodeId>,
    /// The instance hosts it, for a global table: it has no tasks.
    pub(crate) global: bool,
}

/// Divides a graph into sub-topologies.
pub(crate) fn divide(graph: &Graph) -> Vec<SubTopology> {
    let groups = Groups::of(graph);
    let mut roots: Vec<usize> = Vec::new();
    for (id, node) in graph.nodes() {
        let root = groups.root(id.0);
        if matches!(node.kind, NodeKind::Source { .. }) && !roots.contains(&root) {
            roots.push(root);
        }
    }
    let members = |root: usize| {
        graph.nodes().map(|(id, _)| id).filter(|id| groups.root(id.0) == root).collect::<Vec<_>>()
    };
    roots.iter().zip(0..).map(|(root, id)| sub_topology(graph, id, members(*root))).collect()
}

fn sub_topology(graph: &Graph, id: u32, nodes: Vec<NodeId>) -> SubTopology {
    let mut sources = Vec::new();
    let mut sinks: Vec<SinkPlan> = Vec::new();
    let mut stores: Vec<StoreIndex> = Vec::new();
    let mut copartitioned: Vec<Vec<SourcePlan>> = Vec::new();
    let mut keeps_patterns = false;
    for node in nodes.iter().filter_map(|id| graph.node(*id)) {
        sources.extend(sources_of(&node.kind));
        if let NodeKind::Sink { topic: SinkTopicName::Fixed(topic), internal, partitions } =
            &node.kind
        {
            let (topic, internal, partitions) = (Arc::clone(topic), *internal, *partitions);
            sinks.push(SinkPlan { topic, internal, partitions });
        }
        for store in &node.stores {
            if !stores.contains(store) {
                stores.push(*store);
            }
        }
    }
    for store in &stores {
        let mut together = Vec::new();
        let mut seen = Vec::new();
        for node in &nodes {
            if graph.node(*node).is_some_and(|node| node.stores.contains(store)) {
                sources_above(graph, *node, &mut seen, &mut together);
            }
        }
        keeps_patterns |= together.iter().any(|plan| plan.pattern().is_some());
        if together.len() > 1 && !copartitioned.contains(&together) {
            copartitioned.push(together);
        }
    }
    let global = nodes.iter().any(|id| graph.node(*id).is_some_and(|node| node.kind.is_global()));
    SubTopology { id, sources, sinks, stores, copartitioned, keeps_patterns, nodes, global }
}

fn sources_of(kind: &NodeKind) -> Vec<SourcePlan> {
    let NodeKind::Source { topics, pattern, internal, reset, partitions, .. } = kind else {
        return Vec::new();
    };
    let plan = |topics: SourceTopics| SourcePlan {
        topics,
        internal: *internal,
        reset: *reset,
        partitions: *partitions,
    };
    let named = topics.iter().map(|topic| SourceTopics::Named(Arc::clone(topic)));
    named.chain(pattern.clone().map(SourceTopics::Pattern)).map(plan).collect()
}

fn sources_above(graph: &Graph, id: NodeId, seen: &mut Vec<NodeId>, found: &mut Vec<SourcePlan>) {
    let Some(node) = graph.node(id).filter(|_| !seen.contains(&id)) else { return };
    seen.push(id);
    found.extend(sources_of(&node.kind));
    for parent in &node.parents {
        sources_above(graph, *parent, seen, found);
    }
}

/// Union-find over nodes.
struct Groups(Vec<usize>);

impl Groups {
    fn of(graph: &Graph) -> Self {
        let most = graph.nodes().map(|(id, _)| id.0 + 1).max().unwrap_or(0);
        let mut groups = Self((0..most).collect());
        let mut users: Vec<Option<usize>> = vec![None; graph.stores().len()];
        for (id, node) in graph.nodes() {
            for parent in &node.parents {
                groups.join(parent.0, id.0);
            }
            for store in &node.stores {
                match users.get_mut(store.0) {
                    Some(Some(user)) => groups.join(*user, id.0),
                    Some(first) => *first = Some(id.0),
                    None => {}
                }
            }
        }
        groups
    }

    fn root(&self, mut node: usize) -> usize {
        while let Some(parent) = self.0.get(node).copied().filter(|parent| *parent != node) {
            node = parent;
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}
