//! A join of a stream with itself, over one store: `TopologyOptions::self_join`.
//!
//! | | |
//! |---|---|
//! | emits | what the join over two stores emits, in its order: the record with those before it, those before it with the record, by their times, and the record with itself where its time is |
//! | drops | null keys (`NullKey`) and null values (`NullValue`), also of left and outer joins |
//! | key | kept |
//! | time | the later one of the two |
//! | headers | of the record that came later |
//! | state | the window store of the left side; nobody waits, since each record meets itself |

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::Direction;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::policy::DropReason;
use crate::record::{Data, Record, Timestamp};
use crate::store::{Serdes, WindowState};
use crate::time::JoinWindows;

/// `L` and `R` are the same type: that of the one stream.
pub(super) struct WithItself<K, L, R, VO, F> {
    pub(super) f: Arc<F>,
    pub(super) windows: JoinWindows,
    pub(super) serdes: Serdes<K, L>,
    pub(super) store: Rc<RefCell<WindowState<K, L>>>,
    pub(super) children: Children<K, VO>,
    pub(super) faults: Faults,
    pub(super) right: PhantomData<fn(&R)>,
}

impl<K, L, R, VO, F> Node for WithItself<K, L, R, VO, F> {}

impl<K, L, R, VO, F> WithItself<K, L, R, VO, F>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
{
    /// Lets two records meet, the left one first, at a time.
    fn meet(
        &self,
        (left, right): (&L, &L),
        record: &Record<K, L>,
        at: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let right = (right as &dyn Any).downcast_ref::<R>();
        let Some(value) = (self.f)(Some(left), right) else { return Ok(()) };
        let (key, headers) = (record.key.clone(), record.headers.clone());
        self.children.forward(Record { key, value, timestamp: at, headers }, ctx)
    }

    /// The records of its key that came before and are so near.
    fn near(
        &self,
        record: &Record<K, L>,
        (before, after): (i64, i64),
    ) -> Result<Vec<(Timestamp, L)>> {
        let at = record.timestamp.0;
        let clamped = |at: i64| Timestamp(at.max(0));
        let times = (clamped(at.saturating_sub(before)), clamped(at.saturating_add(after)));
        let found = self.store.borrow_mut().of_key(&record.key, times, Direction::Forward)?;
        found.collect()
    }
}

impl<K, L, R, VO, F> Operator<K, L> for WithItself<K, L, R, VO, F>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
{
    fn process(&mut self, record: Record<K, L>, ctx: &mut TaskContext) -> Result<()> {
        let nulls =
            (self.serdes.key.is_null(&record.key), self.serdes.value.is_null(&record.value));
        let (reason, why) = match nulls {
            (true, _) => (DropReason::NullKey, "its key is null"),
            (false, true) => (DropReason::NullValue, "its value is null"),
            (false, false) => return self.all(&record, ctx),
        };
        let written = || self.serdes.written(&record);
        self.faults.dropped_record(reason, ctx, format_args!("{why}"), &written)
    }
}

impl<K, L, R, VO, F> WithItself<K, L, R, VO, F>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
{
    fn all(&self, record: &Record<K, L>, ctx: &mut TaskContext) -> Result<()> {
        let (before, after) = (self.windows.before_ms(), self.windows.after_ms());
        let (value, at) = (&record.value, record.timestamp);
        for (other_at, other) in self.near(record, (before, after))? {
            self.meet((value, &other), record, at.max(other_at), ctx)?;
        }
        let mut alone = true;
        for (other_at, other) in self.near(record, (after, before))? {
            if other_at > at && std::mem::take(&mut alone) {
                self.meet((value, value), record, at, ctx)?;
            }
            self.meet((&other, value), record, at.max(other_at), ctx)?;
        }
        if alone {
            self.meet((value, value), record, at, ctx)?;
        }
        Ok(())
    }
}
