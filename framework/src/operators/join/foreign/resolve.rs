//! The left side: an answer meets its row, if that is still the one that asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::join::foreign::hash::Hash;
use crate::operators::join::foreign::subscribe::Asking;
use crate::operators::join::foreign::wire::{Answer, Coder};
use crate::operators::table::Lookup;
use crate::policy::DropReason;
use crate::record::{Change, Data, Headers, Record, Timestamp};

/// Makes results of answers.
pub(super) struct Resolve<K, V, VO, F> {
    pub(super) rows: Box<dyn Lookup<K, V>>,
    pub(super) values: Coder<V>,
    /// The result of a left row and of what there is on the right.
    pub(super) join: Arc<F>,
    pub(super) children: Children<K, Change<VO>>,
    pub(super) faults: Faults,
    /// Of an inner join: what asks once more.
    pub(super) asking: Option<Rc<RefCell<Asking<K, V>>>>,
    /// What serdes write.
    pub(super) scratch: Vec<u8>,
}

impl<K, V, VO, F> Node for Resolve<K, V, VO, F> {}

impl<K: Data, V: Data, VO, F> Resolve<K, V, VO, F> {
    /// After an answer that would have deleted the result of a row that has changed since: true if the row as it is now
    /// has no result, so that what may be left of an earlier one has to go. If it may have one, it asks for it again: an
    /// inner join need not have been answered, since it takes for granted that there is nothing to delete.
    fn may_remain(
        &self,
        (key, row): (&K, Option<&V>),
        hash: Option<Hash>,
        (timestamp, headers): &(Timestamp, Headers),
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let Some(asking) = &self.asking else { return Ok(false) };
        let asks = asking.borrow().0.clone();
        let (Some(row), Some(asks)) = (row, asks) else { return Ok(true) };
        let mut asks = asks.borrow_mut();
        Ok(!asks.ask_again((key, row), hash, (*timestamp, headers), ctx)?)
    }
}

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
        let about = (timestamp, headers);
        let row = self.rows.get(&key)?.map(|(row, _)| row);
        let hash = row.as_ref().map(|row| self.values.hash(row, &mut self.scratch));
        let hash = match hash.transpose() {
            Ok(hash) => hash.flatten(),
            Err(error) => return self.faults.apply(DropReason::Failed, error, ctx),
        };
        if hash != answer.hash {
            let why = format_args!("the answer is to a row that has changed since");
            self.faults.dropped(DropReason::Stale, ctx, why)?;
            let deletes = answer.row.is_none();
            let remains = deletes && self.may_remain((&key, row.as_ref()), hash, &about, ctx)?;
            if !remains {
                return Ok(());
            }
            let value = Change::latest(None, None);
            let (timestamp, headers) = about;
            return self.children.forward(Record { key, value, timestamp, headers }, ctx);
        }
        let (timestamp, headers) = about;
        let new = row.and_then(|row| (self.join)(&row, answer.row.as_ref()));
        let value = Change::latest(new, None);
        self.children.forward(Record { key, value, timestamp, headers }, ctx)
    }
}
