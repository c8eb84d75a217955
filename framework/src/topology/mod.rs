//! From the calls of the DSL to a checked plan that a worker can turn into a running task.
//!
//! ```text
//!  StreamsBuilder ──► Graph ── build() ──► Topology ──► SubTopology ── instantiate ──► TaskParts
//!  (handles)          (names,  (all faults)             (one per set of                (one per
//!                      edges)                            connected nodes)               task)
//! ```

mod name;
mod fault;
mod graph;
mod builder;
mod sub_topology;
mod linker;
mod describe;

pub use builder::StreamsBuilder;
pub use fault::{TopologyErrors, TopologyFault};
pub(crate) use graph::{
    Graph, GraphNode, NodeDraft, NodeId, NodeKind, SharedGraph, SinkTopicName, StoreIndex,
};
pub(crate) use linker::{Linker, TaskSeed};
pub use name::NodeName;
pub(crate) use sub_topology::{SourcePlan, SubTopology, topic_in_log};

use std::fmt;
use std::sync::Arc;

use crate::store::StoreSupplier;

/// A checked topology: cheap to clone, shared by all workers, which make tasks from it.
#[derive(Clone)]
pub struct Topology(Arc<Plan>);

struct Plan {
    graph: Graph,
    sub_topologies: Vec<SubTopology>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Topology {
    /// The sets of connected nodes, in the order of their numbers.
    pub(crate) fn sub_topologies(&self) -> &[SubTopology] {
        &self.0.sub_topologies
    }

    /// All nodes, parents before children.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &GraphNode> {
        self.0.graph.nodes().map(|(_, node)| node)
    }

    /// A store of a sub-topology.
    pub(crate) fn store(&self, index: StoreIndex) -> Option<&dyn StoreSupplier> {
        self.0.graph.store(index)
    }

    /// The topology as text, exactly as Java's `Topology#describe()` writes it, so that tools
    /// that read one can read the other.
    pub fn describe(&self) -> String {
        describe::as_text(&self.0.graph, &self.0.sub_topologies)
    }

    /// The topology as a Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        describe::as_mermaid(&self.0.graph, &self.0.sub_topologies)
    }
}
