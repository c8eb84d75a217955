//! The left side: each change of a row subscribes to the right row that it names, and ends the subscription to
//! the one that it named before.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::join::foreign::hash::Hash;
use crate::operators::join::foreign::wire::{Coder, Instruction, Subscription};
use crate::operators::table::OLDER;
use crate::policy::DropReason;
use crate::record::{Change, Data, Headers, Record, Timestamp};
use crate::serde::Null;

/// Follows right rows.
pub(super) struct Subscribe<K, V, FK, F> {
    pub(super) foreign_key: Arc<F>,
    pub(super) foreign: Coder<FK>,
    pub(super) values: Coder<V>,
    /// A left row has a result without a right one.
    pub(super) left: bool,
    pub(super) children: Children<Option<FK>, Subscription<K>>,
    pub(super) faults: Faults,
    /// What serdes write.
    pub(super) scratch: [Vec<u8>; 2],
}

/// Asks once more for what a left row names.
pub(super) trait Ask<K, V> {
    /// False if the row names nothing; else an answer comes, with or without a right row.
    fn ask_again(
        &mut self,
        row: (&K, &V),
        hash: Option<Hash>,
        of: (Timestamp, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<bool>;
}

/// Where those that make results find what asks.
pub(super) struct Asking<K, V>(pub(super) Option<Rc<RefCell<dyn Ask<K, V>>>>);

impl<K, V> Default for Asking<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

/// The foreign keys of a row, and what is to be said of them.
struct Named<FK> {
    old: Option<FK>,
    new: Option<FK>,
    changed: bool,
    hash: Option<Hash>,
}

impl<K, V, FK, F> Node for Subscribe<K, V, FK, F> {}

impl<K: Data, V: Data, FK: Data, F: Fn(&K, &V) -> Option<FK>> Subscribe<K, V, FK, F> {
    fn named(&mut self, key: &K, change: &Change<V>) -> Result<Named<FK>, BoxError> {
        let [one, other] = &mut self.scratch;
        let foreign = &self.foreign;
        // The key of a row, and its bytes: a key that is null is none.
        let named = |row: Option<&V>, into: &mut Vec<u8>| -> Result<Option<FK>, BoxError> {
            let Some(named) = row.and_then(|row| (self.foreign_key)(key, row)) else {
                return Ok(None);
            };
            Ok((foreign.encode(&named, into)? == Null::No).then_some(named))
        };
        let old = named(change.old.as_ref(), one)?;
        let new = named(change.new.as_ref(), other)?;
        let changed = new.is_none() || one != other;
        let hash = match &change.new {
            Some(row) => self.values.hash(row, one)?,
            None => None,
        };
        Ok(Named { old, new, changed, hash })
    }
}

impl<K, V, FK, F> Operator<K, Change<V>> for Subscribe<K, V, FK, F>
where
    K: Data,
    V: Data,
    FK: Data,
    F: Fn(&K, &V) -> Option<FK>,
{
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        use Instruction::{
            DeleteKeyAndPropagate, DeleteKeyNoPropagate, PropagateNullIfNoForeignValue,
            PropagateOnlyIfForeignValue,
        };
        let Record { key, value: change, timestamp, headers } = record;
        if !change.latest {
            // What is newer has asked already.
            return self.faults.dropped(DropReason::Stale, ctx, OLDER);
        }
        if change.new.is_none() && change.old.is_none() {
            return Ok(());
        }
        let Named { old, new, changed, hash } = match self.named(&key, &change) {
            Ok(named) => named,
            Err(error) => return self.faults.apply(DropReason::Failed, error, ctx),
        };
        let names_none = change.new.is_some() && new.is_none();
        if names_none && !self.left {
            let why = format_args!("its foreign key is null");
            self.faults.dropped(DropReason::NullKey, ctx, why)?;
        }
        let partition = Some(ctx.task.partition);
        let send = |foreign: Option<FK>, instruction, ctx: &mut TaskContext| {
            let value = Subscription { instruction, hash, key: key.clone(), partition };
            let headers = headers.clone();
            self.children.forward(Record { key: foreign, value, timestamp, headers }, ctx)
        };
        let had_one = old.is_some();
        if let Some(old) = old.filter(|_| changed) {
            // Of what follows the old one there is an answer, if anything follows.
            let answered = self.left || new.is_some();
            let how = if answered { DeleteKeyNoPropagate } else { DeleteKeyAndPropagate };
            send(Some(old), how, ctx)?;
        }
        match new {
            // Even a row that is gone gets an answer, so that its result goes.
            new if self.left => send(new, PropagateNullIfNoForeignValue, ctx),
            Some(new) if had_one && changed => send(Some(new), PropagateNullIfNoForeignValue, ctx),
            Some(new) => send(Some(new), PropagateOnlyIfForeignValue, ctx),
            None => Ok(()),
        }
    }
}

impl<K, V, FK, F> Ask<K, V> for Subscribe<K, V, FK, F>
where
    K: Data,
    V: Data,
    FK: Data,
    F: Fn(&K, &V) -> Option<FK>,
{
    fn ask_again(
        &mut self,
        (key, row): (&K, &V),
        hash: Option<Hash>,
        (timestamp, headers): (Timestamp, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let Some(named) = (self.foreign_key)(key, row) else { return Ok(false) };
        let [bytes, _] = &mut self.scratch;
        match self.foreign.encode(&named, bytes) {
            Ok(Null::No) => {}
            Ok(Null::Yes) => return Ok(false),
            Err(error) => {
                self.faults.apply(DropReason::Failed, error, ctx)?;
                return Ok(true);
            }
        }
        let instruction = Instruction::PropagateNullIfNoForeignValue;
        let partition = Some(ctx.task.partition);
        let value = Subscription { instruction, hash, key: key.clone(), partition };
        let headers = headers.clone();
        self.children.forward(Record { key: Some(named), value, timestamp, headers }, ctx)?;
        Ok(true)
    }
}
