//! The right side: which left rows follow which right row.
//!
//! ```text
//!  key     length of the right row's key i32 ‖ right row's key ‖ left row's key
//!  value   time i64 (not in the changelog) ‖ subscription
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::join::foreign::wire::{Coder, Instruction, Subscription};
use crate::policy::DropReason;
use crate::record::{Data, Record};
use crate::serde::{Null, Plain};
use crate::store::{Serdes, Stamp, StoreOptions, TableSpec, TableStore};

/// The store of subscriptions: bytes, since only their beginning is looked for.
pub(super) type Followers = TableStore<Vec<u8>, Vec<u8>>;

pub(super) fn store_of_followers(options: StoreOptions) -> TableSpec<Vec<u8>, Vec<u8>> {
    let serdes = Serdes::given(Arc::new(Plain), Arc::new(Plain));
    TableSpec { options, serdes, cached: false, history_ms: None }
}

/// Writes what the keys of all that follow a right row begin with, in place of what was in `into`.
pub(super) fn put_prefix(foreign: &[u8], into: &mut Vec<u8>) -> Result<(), BoxError> {
    let length = i32::try_from(foreign.len()).map_err(|_| "a foreign key is too long")?;
    into.clear();
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(foreign);
    Ok(())
}

/// Keeps subscriptions, and hands them on to be answered.
pub(super) struct Receive<K, FK> {
    pub(super) store: Rc<RefCell<Followers>>,
    pub(super) foreign: Coder<FK>,
    pub(super) primary: Coder<K>,
    pub(super) children: Children<Option<FK>, Subscription<K>>,
    pub(super) faults: Faults,
    /// The key of the row in hand, and what serdes write.
    pub(super) row: Vec<u8>,
    pub(super) scratch: Vec<u8>,
}

impl<K, FK> Node for Receive<K, FK> {}

impl<K: Data, FK: Data> Receive<K, FK> {
    /// Makes the key and the value of a row.
    fn row_of(&mut self, foreign: &FK, subscription: &Subscription<K>) -> Result<Row, BoxError> {
        use Instruction::{DeleteKeyAndPropagate, DeleteKeyNoPropagate};
        self.foreign.encode(foreign, &mut self.scratch)?;
        put_prefix(&self.scratch, &mut self.row)?;
        if self.primary.encode(&subscription.key, &mut self.scratch)? == Null::Yes {
            return Err("a row whose key is null follows no other".into());
        }
        self.row.extend_from_slice(&self.scratch);
        let ends = matches!(subscription.instruction, DeleteKeyAndPropagate | DeleteKeyNoPropagate);
        Ok((!ends).then(|| subscription.encoded(&self.scratch)))
    }
}

/// The bytes of a subscription; none if it ends.
type Row = Option<Vec<u8>>;

impl<K: Data, FK: Data> Operator<Option<FK>, Subscription<K>> for Receive<K, FK> {
    fn process(
        &mut self,
        record: Record<Option<FK>, Subscription<K>>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        match &record.key {
            Some(foreign) => {
                let row = match self.row_of(foreign, &record.value) {
                    Ok(row) => row,
                    Err(error) => return self.faults.apply(DropReason::Failed, error, ctx),
                };
                let stamp = Stamp { timestamp: record.timestamp, headers: &record.headers };
                self.store.borrow_mut().put(&self.row, row, &stamp)?;
            }
            // A left row without a right one: there is nothing to follow, but it wants an answer.
            None if record.value.instruction == Instruction::PropagateNullIfNoForeignValue => {}
            None => {
                let why = format_args!("the foreign key of a subscription is null");
                return self.faults.dropped(DropReason::NullKey, ctx, why);
            }
        }
        self.children.forward(record, ctx)
    }
}
