//! The left side: an answer meets its row, if that is still the one that asked.

use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::join::foreign::wire::{Answer, Coder};
use crate::operators::table::Lookup;
use crate::policy::DropReason;
use crate::record::{Change, Data, Record};

/// Makes results of answers.
pub(super) struct Resolve<K, V, VO, F> {
    pub(super) rows: Box<dyn Lookup<K, V>>,
    pub(super) values: Coder<V>,
    /// The result of a left row and of what there is on the right.
    pub(super) join: Arc<F>,
    pub(super) children: Children<K, Change<VO>>,
    pub(super) faults: Faults,
    /// What serdes write.
    pub(super) scratch: Vec<u8>,
}

impl<K, V, VO, F> Node for Resolve<K, V, VO, F> {}

impl<K, V, R, VO, F> Operator<K, Answer<R>> for Resolve<K, V, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(&V, Option<&R>) -> Option<VO>,
{
    fn process(&mut self, record: Record<K, Answer<R>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: answer, timestamp, headers } = record;
        let row = self.rows.get(&key)?.map(|(row, _)| row);
        let hash = row.as_ref().map(|row| self.values.hash(row, &mut self.scratch));
        let hash = match hash.transpose() {
            Ok(hash) => hash.flatten(),
            Err(error) => return self.faults.apply(DropReason::Failed, error, ctx),
        };
        if hash != answer.hash {
            let why = format_args!("the answer is to a row that has changed since");
            self.faults.dropped(DropReason::Stale, ctx, why);
            return Ok(());
        }
        let new = row.and_then(|row| (self.join)(&row, answer.row.as_ref()));
        let value = Change::latest(new, None);
        self.children.forward(Record { key, value, timestamp, headers }, ctx)
    }
}
