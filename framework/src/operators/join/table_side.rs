//! One side of a join of two tables: a change of a row here meets the row there.

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::table::{Lookup, OLDER, Rows};
use crate::policy::DropReason;
use crate::record::{Change, Data, Record};

/// Changes of `V` meet rows of `R`.
pub(super) struct TableSide<K, R, VO, F> {
    pub(super) other: Box<dyn Lookup<K, R>>,
    /// The result of a row here and one there.
    pub(super) join: F,
    /// Without a row there no result is there, and was none before.
    pub(super) needs_other: bool,
    pub(super) sends_old: bool,
    pub(super) children: Children<K, Change<VO>>,
    pub(super) faults: Faults,
}

impl<K, R, VO, F> Node for TableSide<K, R, VO, F> {}

impl<K, V, R, VO, F> Operator<K, Change<V>> for TableSide<K, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&V>, Option<&R>) -> Option<VO>,
{
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: Change { new, old, latest }, timestamp, headers } = record;
        if !latest {
            // What is newer was joined already.
            return self.faults.dropped(DropReason::Stale, ctx, OLDER);
        }
        let other = self.other.get(&key)?;
        let was_and_is_nothing = new.is_none() && old.is_none();
        if other.is_none() && (self.needs_other || was_and_is_nothing) {
            return Ok(());
        }
        let timestamp = other.as_ref().map_or(timestamp, |(_, at)| timestamp.max(*at));
        let row = other.as_ref().map(|(row, _)| row);
        let new = (self.join)(new.as_ref(), row);
        let old = if self.sends_old { (self.join)(old.as_ref(), row) } else { None };
        let value = Change { new, old, latest };
        self.children.forward(Record { key, value, timestamp, headers }, ctx)
    }
}

/// What both sides end in: it keeps the results, if they are kept.
pub(super) struct Merge<K, VO> {
    pub(super) rows: Rows<K, VO>,
}

impl<K: Data, VO: Data> Node for Merge<K, VO> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K: Data, VO: Data> Operator<K, Change<VO>> for Merge<K, VO> {
    #[inline]
    fn process(&mut self, record: Record<K, Change<VO>>, ctx: &mut TaskContext) -> Result<()> {
        self.rows.hand_on(record, ctx)
    }
}
