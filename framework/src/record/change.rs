//! What tables hand from operator to operator.

/// A change of a table's row, as tables hand it from operator to operator.
///
/// `old` is present only where a downstream operator asked for old values when the topology was
/// built; `new` is absent for a deletion.
///
/// ```
/// use millstream::record::Change;
///
/// let first = Change::latest(Some(5), None);
/// let deleted = Change::latest(None, Some(5));
/// assert!(first.latest && first.old.is_none());
/// assert_eq!((deleted.new, deleted.old), (None, Some(5)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Change<V> {
    /// The row after the change; `None` is a deletion.
    pub new: Option<V>,
    /// The row before the change, where asked for.
    pub old: Option<V>,
    /// Whether it is the latest of its key. A table whose rows have a history hands on what changes in the
    /// past too; all others hand on the latest only.
    pub latest: bool,
}

impl<V> Change<V> {
    /// The latest change of a row.
    pub fn latest(new: Option<V>, old: Option<V>) -> Self {
        Self { new, old, latest: true }
    }
}
