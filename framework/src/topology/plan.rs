//! The checked plan of a topology.

use std::fmt;
use std::sync::Arc;

use millstream_state::StoreSpec;

use crate::store::{StoreSupplier, changelog_topic};
use crate::topology::describe;
use crate::topology::graph::{Graph, GraphNode};
use crate::topology::ids::StoreIndex;
use crate::topology::sub_topology::SubTopology;

/// A checked topology: cheap to clone, shared by all workers, which make tasks from it.
///
/// ```
/// use millstream::StreamsBuilder;
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in").filter(|_, _| true).to("out");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Sink: KSTREAM-SINK-0000000002 (topic: out)"));
/// assert!(topology.mermaid().starts_with("flowchart") || topology.mermaid().starts_with("graph"));
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone)]
pub struct Topology(Arc<Plan>);

struct Plan {
    graph: Graph,
    /// All of them, in the order of their numbers.
    all: Vec<SubTopology>,
    with_tasks: Vec<SubTopology>,
    global: Vec<SubTopology>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Topology {
    /// A graph without faults, divided.
    pub(crate) fn new(graph: Graph, sub_topologies: Vec<SubTopology>) -> Self {
        let (global, with_tasks) = sub_topologies.iter().cloned().partition(|sub| sub.global);
        Self(Arc::new(Plan { graph, all: sub_topologies, with_tasks, global }))
    }

    /// The sets of connected nodes that run as tasks, in the order of their numbers.
    pub(crate) fn sub_topologies(&self) -> &[SubTopology] {
        &self.0.with_tasks
    }

    /// True if sources read what matches a pattern.
    pub(crate) fn reads_patterns(&self) -> bool {
        self.sub_topologies().iter().any(|sub| sub.patterns().next().is_some())
    }

    /// Those that the instance hosts: one for each global table.
    pub(crate) fn global_tables(&self) -> &[SubTopology] {
        &self.0.global
    }

    /// All nodes, parents before children.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &GraphNode> {
        self.0.graph.nodes().map(|(_, node)| node)
    }

    /// A store of a sub-topology.
    pub(crate) fn store(&self, index: StoreIndex) -> Option<&dyn StoreSupplier> {
        self.0.graph.store(index)
    }

    /// The names of all stores.
    pub(crate) fn store_names(&self) -> impl Iterator<Item = &str> {
        let subs = self.sub_topologies().iter().chain(self.global_tables());
        let stores = subs.flat_map(|sub| &sub.stores);
        stores.filter_map(|index| Some(self.store(*index)?.name()))
    }

    /// Its stores as the state of a task is opened with them, in the order of their ids.
    pub(crate) fn store_specs(&self, sub: &SubTopology) -> Vec<StoreSpec> {
        sub.stores.iter().filter_map(|index| Some(self.store(*index)?.spec())).collect()
    }

    /// The names of all internal topics, as the log knows them.
    pub(crate) fn internal_topics(&self, application_id: &str) -> Vec<String> {
        let mut names = Vec::new();
        for sub in self.sub_topologies() {
            let internal = sub.sources.iter().filter(|source| source.internal);
            let internal = internal.filter_map(|source| source.in_log(application_id));
            names.extend(internal.map(|topic| topic.to_string()));
            let stores = sub.stores.iter().filter_map(|index| self.store(*index));
            let logged = stores.filter(|store| store.changelog_config(0).is_some());
            names.extend(logged.map(|store| changelog_topic(application_id, store.name())));
        }
        names
    }

    /// The graph that it was built from.
    pub(crate) fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// The topology as text, exactly as Java's `Topology#describe()` writes it, so that tools
    /// that read one can read the other.
    pub fn describe(&self) -> String {
        describe::as_text(&self.0.graph, &self.0.all)
    }

    /// The topology as a Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        describe::as_mermaid(&self.0.graph, &self.0.all)
    }
}
