//! Results that are emitted once, when their windows close: what is closed, and from when on something may be open.
//!
//! The last close time is noted with the committed offsets, so that a restart neither emits a result again nor lets late
//! records into it. Of what is open only the earliest time is held, a lower bound found by one seek after each emission:
//! however many windows there are, this is all the memory that they take.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chain::{Children, TaskContext};
use crate::error::Result;
use crate::record::{Change, Data, Headers, Record};
use crate::store::TableStore;

type Store<K, A> = Rc<RefCell<TableStore<K, A>>>;

/// What emitting on window close needs to remember.
pub(super) struct Closing {
    /// The name under which the last close time is noted: the store's.
    name: String,
    /// All that ended before (of time windows: by) then was emitted.
    closed: i64,
    /// No row whose time is earlier is open.
    earliest: i64,
}

impl Closing {
    pub(super) fn of(store: &str) -> Self {
        Self { name: store.to_owned(), closed: -1, earliest: i64::MAX }
    }

    /// The last close time; -1 if nothing was closed.
    pub(super) fn closed(&self) -> i64 {
        self.closed
    }

    /// Finds out what was open when the task was last committed: rows whose times are what `first_open` makes of the last
    /// close time, or later.
    pub(super) fn init<K: Data, A: Data>(
        &mut self,
        store: &Store<K, A>,
        ctx: &TaskContext,
        first_open: impl FnOnce(i64) -> i64,
    ) -> Result<()> {
        self.closed = ctx.progress.get(&self.name).copied().unwrap_or(-1);
        let from = if self.closed < 0 { 0 } else { first_open(self.closed).max(0) };
        self.earliest = store.borrow().first_by_time(from)?.unwrap_or(i64::MAX);
        Ok(())
    }

    /// Takes note of a row that was put.
    #[inline]
    pub(super) fn opens(&mut self, time: i64) {
        self.earliest = self.earliest.min(time);
    }

    /// Emits the rows whose times are `last` or earlier, which `close` closes, by time.
    #[inline]
    pub(super) fn emit<K: Data, A: Data>(
        &mut self,
        (close, last): (i64, i64),
        (store, children): (&Store<K, A>, &Children<K, Change<A>>),
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        if last < self.earliest {
            return Ok(());
        }
        let first = self.earliest;
        self.closed = close;
        match ctx.progress.get_mut(&self.name) {
            Some(noted) => *noted = close,
            None => drop(ctx.progress.insert(self.name.clone(), close)),
        }
        let mut rows = store.borrow().by_time(first, last)?;
        ctx.with_rows(store, |ctx| {
            loop {
                // Let go of the store before forwarding: operators downstream may read it.
                let row = store.borrow_mut().next_by_time(&mut rows)?;
                let Some((key, value, timestamp)) = row else { return Ok(()) };
                let value = Change::latest(Some(value), None);
                children
                    .forward(Record { key, value, timestamp, headers: headers.clone() }, ctx)?;
            }
        })?;
        self.earliest = store.borrow().first_by_time(last.saturating_add(1))?.unwrap_or(i64::MAX);
        Ok(())
    }
}
