//! What a node is as a table.

use std::sync::Arc;

use crate::store::{SourceTopic, StoreSupplier};
use crate::topology::ids::{NodeId, StoreIndex};

/// What the graph knows of a node that is a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableTraits {
    /// Its rows are in the first store of its node.
    pub(super) kept: bool,
    /// The store of its rows, where other nodes write them.
    pub(super) written: Option<StoreIndex>,
    /// Those nodes.
    pub(super) writers: Vec<NodeId>,
    /// The tables that it computes its rows from, if it does.
    pub(super) above: Vec<NodeId>,
    /// It joins those above: they keep their rows.
    pub(super) joins: bool,
    /// The store of a source, opened only if it is named or somebody needs it.
    pub(super) spare: Option<Arc<dyn StoreSupplier>>,
    /// What those rows may be restored from instead of a changelog.
    pub(super) topic: Option<SourceTopic>,
    /// How long after the end of a window (of a session) its row may change, in milliseconds of stream time.
    pub(super) closes_after_ms: Option<i64>,
    /// It keeps its rows only where it is said: the name that Java would give its store.
    pub(super) reserved: Option<String>,
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
        Self { above: vec![above], ..Self::default() }
    }

    /// One whose rows other nodes write into a store that they share.
    pub(crate) fn written_by(writers: Vec<NodeId>, store: StoreIndex) -> Self {
        Self { kept: true, written: Some(store), writers, ..Self::default() }
    }

    /// A side of a join of two tables, or what both sides end in.
    pub(crate) fn joined(above: [NodeId; 2]) -> Self {
        Self { above: above.to_vec(), joins: true, ..Self::default() }
    }

    /// One whose rows come from elsewhere, and are kept only if that is said before anything is added below it.
    /// Java takes a number for the name of its store, unless it is named.
    pub(crate) fn kept_if_said(reserved: String) -> Self {
        Self { reserved: Some(reserved), ..Self::default() }
    }

    /// One that is filled from a topic; with a topic that it may be restored from.
    pub(crate) fn of_source(spare: Arc<dyn StoreSupplier>, topic: Option<SourceTopic>) -> Self {
        Self { spare: Some(spare), topic, ..Self::default() }
    }
}
