//! The one contract of every operator, built in or the user's.
//!
//! An operator is a plain value in a chain: no I/O, no clock, no actor. The host calls, always on
//! the worker's thread and never two at a time:
//!
//! ```text
//! init ──► { process | collect | punctuate | time_passes | flush }* ──► close
//! ```
//!
//! `complete` makes outlets durable, after all flushes of a commit. `collect` takes in what futures came to; it is called only on operators that have some.
//! `flush` empties the record caches of the operator downstream; it is called before each commit
//! in the order in which records flow, so what one flush emits is seen by the flushes after it.
//! After an error nothing but `close` is called, and the task is built anew from its factories.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::chain::context::TaskContext;
use crate::chain::punctuation::Schedule;
use crate::error::Result;
use crate::record::{Data, Record, Timestamp, TopicPartition};

/// What all operators have in common, whatever flows through them.
pub(crate) trait Node {
    /// Called once, before the first record and after the state was restored.
    fn init(&mut self, _ctx: &mut TaskContext) -> Result<()> {
        Ok(())
    }

    /// A scheduled time has come: `schedule` is what [`TaskContext::schedule`] returned.
    fn punctuate(
        &mut self,
        _schedule: Schedule,
        _now: Timestamp,
        _ctx: &mut TaskContext,
    ) -> Result<()> {
        Ok(())
    }

    /// Time has passed up to `to` though no record came: what a record of that time would have closed is emitted, and
    /// what comes later is late. Called for all nodes in the order in which records flow. True if it did anything that
    /// has to be committed.
    fn time_passes(&mut self, _to: Timestamp, _ctx: &mut TaskContext) -> Result<bool> {
        Ok(false)
    }

    /// Emits what is held back in record caches.
    fn flush(&mut self, _ctx: &mut TaskContext) -> Result<()> {
        Ok(())
    }

    /// True if it starts futures, and so wants [`Self::collect`] to be called.
    fn is_asynchronous(&self) -> bool {
        false
    }

    /// Takes in what its futures came to, and hands on what may go on.
    fn collect(&mut self, _ctx: &mut TaskContext) -> Result<()> {
        Ok(())
    }

    /// True if it is a way out that wants [`Self::complete`] to be called.
    fn is_outlet(&self) -> bool {
        false
    }

    /// All that the next commit will have is here: `positions` are the next offsets of the task's inputs.
    fn complete(&mut self, _positions: &[(TopicPartition, i64)]) -> Result<()> {
        Ok(())
    }

    /// The task ends; nothing may be emitted.
    fn close(&mut self) {}
}

/// A task's operator under its name in the topology.
pub(crate) type NamedNode = (Arc<str>, Rc<RefCell<dyn Node>>);

/// An operator that takes records of `(K, V)`. Tables hand on `Operator<K, Change<V>>`.
pub(crate) trait Operator<K, V>: Node {
    /// Takes one record and forwards what comes of it to its children before returning.
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()>;
}

/// An edge of the topology in one task. Cells, not boxes: a merge has several parents. The graph
/// has no cycles, so a cell is never borrowed twice.
pub(crate) type Link<K, V> = Rc<RefCell<dyn Operator<K, V>>>;

/// The children of an operator.
pub(crate) struct Children<K, V>(SmallVec<[Link<K, V>; 2]>);

impl<K, V> Default for Children<K, V> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<K, V> Clone for Children<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Data, V: Data> Children<K, V> {
    pub(crate) fn push(&mut self, child: Link<K, V>) {
        self.0.push(child);
    }

    /// The child at a position, in the order of the topology.
    pub(crate) fn get(&self, index: usize) -> Option<&Link<K, V>> {
        self.0.get(index)
    }

    /// Hands a record to all children in order: all but the last get a clone.
    #[inline]
    pub(crate) fn forward(&self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        for child in others {
            child.borrow_mut().process(record.clone(), ctx)?;
        }
        last.borrow_mut().process(record, ctx)
    }

    /// Hands on one record for each of the values, in their order: all but the last with a clone of the key.
    #[inline]
    pub(crate) fn forward_each(
        &self,
        record: Record<K, impl IntoIterator<Item = V>>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let mut values = value.into_iter();
        let Some(mut value) = values.next() else { return Ok(()) };
        for next in values {
            let (key, headers) = (key.clone(), headers.clone());
            self.forward(Record { key, value, timestamp, headers }, ctx)?;
            value = next;
        }
        self.forward(Record { key, value, timestamp, headers }, ctx)
    }
}
