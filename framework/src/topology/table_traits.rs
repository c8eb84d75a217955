//! What a node is as a table.

use std::sync::Arc;

use crate::store::StoreSupplier;
use crate::topology::ids::NodeId;

/// What the graph knows of a node that is a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableTraits {
    /// Its rows are in the first store of its node.
    pub(super) kept: bool,
    /// The table that it computes its rows from, if it does.
    pub(super) above: Option<NodeId>,
    /// The store of a source, opened only if it is named or somebody needs it.
    pub(super) spare: Option<Arc<dyn StoreSupplier>>,
    /// Somebody downstream needs old values.
    pub(crate) sends_old: bool,
}

impl TableTraits {
    /// A table with a store.
    pub(crate) fn kept() -> Self {
        Self { kept: true, ..Self::default() }
    }

    /// One that computes its rows from those of another.
    pub(crate) fn computed_from(above: NodeId) -> Self {
        Self { above: Some(above), ..Self::default() }
    }

    /// One that is filled from a topic.
    pub(crate) fn of_source(spare: Arc<dyn StoreSupplier>) -> Self {
        Self { spare: Some(spare), ..Self::default() }
    }
}
