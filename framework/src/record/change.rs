//! What tables hand from operator to operator.

/// A change of a table's row, as tables hand it from operator to operator.
///
/// `old` is present only where a downstream operator asked for old values when the topology was
/// built; `new` is absent for a deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<V> {
    /// The row after the change; `None` is a deletion.
    pub new: Option<V>,
    /// The row before the change, where asked for.
    pub old: Option<V>,
}
