//! From the calls of the DSL to a checked plan that a worker can turn into a running task.
//!
//! ```text
//!  StreamsBuilder ──► Graph ── build() ──► Topology ──► SubTopology ── instantiate ──► TaskParts
//!  (handles)          (names,  (all faults)             (one per set of                (one per
//!                      edges)                            connected nodes)               task)
//! ```

mod ids;
mod name;
mod pattern;
mod fault;
mod linker;
mod table_traits;
mod graph;
mod table_plan;
mod rewiring;
mod sub_topology;
mod shape;
mod checks;
mod describe;
mod plan;
mod options;
mod passes;
mod builder;
mod instantiate;

pub use builder::StreamsBuilder;
pub use fault::{TopologyErrors, TopologyFault};
pub(crate) use graph::{
    Graph, NodeDraft, NodeKind, Repartition, SharedGraph, SinkTopicName, StreamJoin,
};
pub(crate) use ids::{NodeId, StoreIndex};
pub(crate) use linker::{Linker, PatternSource, TaskSeed};
pub use name::NodeName;
pub use options::TopologyOptions;
pub(crate) use pattern::TopicPattern;
pub use plan::Topology;
pub(crate) use shape::SubTopologyShape;
pub(crate) use sub_topology::{SourcePlan, SubTopology, topic_in_log};
pub(crate) use table_traits::TableTraits;
