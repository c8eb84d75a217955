//! The builder: where a topology begins and where its faults come to light.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::topology::graph::{Graph, SharedGraph};
use crate::topology::sub_topology::divide;
use crate::topology::{Plan, Topology, TopologyErrors};

/// Draws a topology. Streams and tables that come from it are handles into the same drawing, so a
/// topology reads from top to bottom and nothing is moved or borrowed mutably.
#[derive(Debug, Default)]
pub struct StreamsBuilder {
    pub(crate) graph: SharedGraph,
}

impl StreamsBuilder {
    /// An empty drawing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows processors without a name of their own ([`crate::NodeName::generated`]): they get
    /// Java's names with Java's numbers.
    #[must_use]
    pub fn allow_generated_names(self) -> Self {
        self.graph.borrow_mut().generated_names_allowed = true;
        self
    }

    /// Checks the drawing as a whole and makes it ready to run.
    ///
    /// # Errors
    /// All its faults at once.
    pub fn build(self) -> Result<Topology, TopologyErrors> {
        let graph: Graph = self.graph.take();
        let faults = graph.all_faults();
        if !faults.is_empty() {
            return Err(TopologyErrors::new(faults));
        }
        let sub_topologies = divide(&graph);
        Ok(Topology(Arc::new(Plan { graph, sub_topologies })))
    }
}
