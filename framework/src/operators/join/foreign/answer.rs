//! The right side: a right row is sent to the left rows that follow it, when they begin to and when it changes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{Error, Result};
use crate::operators::join::foreign::subscriptions::{Followers, put_prefix};
use crate::operators::join::foreign::wire::{Answer, Coder, Instruction, Subscription};
use crate::operators::table::{Lookup, OLDER};
use crate::policy::DropReason;
use crate::record::{Change, Data, Record};

/// Answers a subscription with the row as it is.
pub(super) struct AnswerSubscription<K, FK, R> {
    pub(super) rows: Box<dyn Lookup<FK, R>>,
    pub(super) children: Children<K, Answer<R>>,
}

impl<K, FK, R> Node for AnswerSubscription<K, FK, R> {}

impl<K: Data, FK: Data, R: Data> Operator<Option<FK>, Subscription<K>>
    for AnswerSubscription<K, FK, R>
{
    fn process(
        &mut self,
        record: Record<Option<FK>, Subscription<K>>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let Record { key: foreign, value: subscription, timestamp, headers } = record;
        let Subscription { instruction, hash, key, partition } = subscription;
        if instruction == Instruction::DeleteKeyNoPropagate {
            return Ok(());
        }
        let found = match &foreign {
            Some(foreign) => self.rows.get(foreign)?,
            None => None,
        };
        if instruction == Instruction::PropagateOnlyIfForeignValue && found.is_none() {
            return Ok(());
        }
        let timestamp = found.as_ref().map_or(timestamp, |(_, at)| timestamp.max(*at));
        let ends = instruction == Instruction::DeleteKeyAndPropagate;
        let row = found.filter(|_| !ends).map(|(row, _)| row);
        let value = Answer { hash, row, partition };
        self.children.forward(Record { key, value, timestamp, headers }, ctx)
    }
}

/// Sends a change of a row to all that follow it.
pub(super) struct AnswerChange<K, FK, R> {
    pub(super) store: Rc<RefCell<Followers>>,
    pub(super) foreign: Coder<FK>,
    pub(super) primary: Coder<K>,
    pub(super) children: Children<K, Answer<R>>,
    pub(super) faults: Faults,
    /// What the keys of those that follow begin with, and what serdes write.
    pub(super) prefix: Vec<u8>,
    pub(super) scratch: Vec<u8>,
}

impl<K, FK, R> Node for AnswerChange<K, FK, R> {}

impl<K: Data, FK: Data, R: Data> Operator<FK, Change<R>> for AnswerChange<K, FK, R> {
    fn process(&mut self, record: Record<FK, Change<R>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key: foreign, value: change, timestamp, headers } = record;
        if !change.latest {
            // What is newer was sent already.
            return self.faults.dropped(DropReason::Stale, ctx, OLDER);
        }
        let prefix = self.foreign.encode(&foreign, &mut self.scratch);
        if let Err(error) = prefix.and_then(|_| put_prefix(&self.scratch, &mut self.prefix)) {
            return self.faults.apply(DropReason::Failed, error, ctx);
        }
        let followers = self.store.borrow_mut().prefix_scan(&self.prefix);
        for follower in followers {
            let (_, subscription, _) = follower?;
            let subscription = self.primary.subscription(&subscription);
            let Subscription { hash, key, partition, .. } =
                subscription.map_err(|error| Error::Fatal {
                    what: "reading a subscription of a join by foreign key".to_owned(),
                    reason: format!("{error}; was the serde of the left table's keys changed?"),
                })?;
            let value = Answer { hash, row: change.new.clone(), partition };
            let headers = headers.clone();
            self.children.forward(Record { key, value, timestamp, headers }, ctx)?;
        }
        Ok(())
    }
}
