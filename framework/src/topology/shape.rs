//! A sub-topology over the topics as they are.

use std::sync::Arc;

/// A sub-topology as far as its partitions are concerned.
#[derive(Clone, Debug)]
pub(crate) struct SubTopologyShape {
    pub(crate) id: u32,
    /// Source topics with their partition counts.
    pub(crate) topics: Vec<(Arc<str>, i32)>,
    /// Its operators need records of a key in one task.
    pub(crate) copartitioned: bool,
    /// A task runs only with all its partitions, whatever the counts: topics of a pattern meet in a store.
    pub(crate) whole: bool,
}
