//! Stream time as aggregations over windows see it, and results that are emitted once, when their windows close: what is
//! closed, and from when on something may be open.
//!
//! The last close time is noted with the committed offsets, so that a restart neither emits a result again nor lets late
//! records into it. Of what is open only the earliest time is held, a lower bound found by one seek after each emission:
//! however many windows there are, this is all the memory that they take.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chain::{Children, TaskContext};
use crate::error::Result;
use crate::record::{Change, Data, Headers, Record};
use crate::store::{StateStore, TableStore};
use crate::time::Emit;
use crate::topology::{Linker, NodeId};

type Store<K, A> = Rc<RefCell<TableStore<K, A>>>;

/// Stream time as one node has seen it. Nodes that write one store and emit on close go by the largest time that any of
/// them has seen: they emit each row once.
pub(super) struct WindowTime {
    observed: i64,
    closing: Option<Rc<RefCell<Closing>>>,
}

/// What emitting on window close needs to remember.
struct Closing {
    /// The name under which the last close time is noted: the store's.
    name: String,
    /// The largest time that any of the nodes has seen.
    observed: i64,
    /// All that ended before (of time windows: by) then was emitted.
    closed: i64,
    /// No row whose time is earlier is open.
    earliest: i64,
}

impl Default for Closing {
    fn default() -> Self {
        Self { name: String::new(), observed: -1, closed: -1, earliest: i64::MAX }
    }
}

impl WindowTime {
    /// That of the node being made; `first` is the one that was added first of those that write its store, if that is
    /// another.
    pub(super) fn of(linker: &mut Linker<'_>, emit: Emit, first: Option<NodeId>) -> Result<Self> {
        let first = first.unwrap_or(linker.id());
        let closing = match emit {
            Emit::OnUpdate => None,
            Emit::OnWindowClose => Some(linker.shared::<Closing>(first)?),
        };
        Ok(Self { observed: -1, closing })
    }

    /// Finds out what was open when the task was last committed: rows whose times are what `first_open` makes of the last
    /// close time, or later.
    pub(super) fn init<K: Data, A: Data>(
        &self,
        store: &Store<K, A>,
        ctx: &TaskContext,
        first_open: impl FnOnce(i64) -> i64,
    ) -> Result<()> {
        match &self.closing {
            Some(closing) => closing.borrow_mut().init(store, ctx, first_open),
            None => Ok(()),
        }
    }

    /// Takes note of the time of a record, and returns by when windows are closed: so much before stream time.
    #[inline]
    pub(super) fn sees(&mut self, at: i64, open_ms: i64) -> i64 {
        self.observed = self.observed.max(at);
        let Some(closing) = &self.closing else { return self.observed.saturating_sub(open_ms) };
        let mut closing = closing.borrow_mut();
        closing.observed = closing.observed.max(at);
        self.observed = closing.observed;
        self.observed.saturating_sub(open_ms).max(closing.closed)
    }

    /// Stream time.
    pub(super) fn observed(&self) -> i64 {
        self.observed
    }

    /// True if rows are seen by nobody before they are closed.
    #[inline]
    pub(super) fn emits_on_close(&self) -> bool {
        self.closing.is_some()
    }

    /// Takes note of a row that was put.
    #[inline]
    pub(super) fn opens(&self, time: i64) {
        if let Some(closing) = &self.closing {
            let mut closing = closing.borrow_mut();
            closing.earliest = closing.earliest.min(time);
        }
    }

    /// Emits the rows whose times are `last` or earlier, which `close` closes, by time; false if there can be none.
    #[inline]
    pub(super) fn emit<K: Data, A: Data>(
        &self,
        (close, last): (i64, i64),
        into: (&Store<K, A>, &Children<K, Change<A>>),
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        match &self.closing {
            Some(closing) => closing.borrow_mut().emit((close, last), into, headers, ctx),
            None => Ok(false),
        }
    }
}

impl Closing {
    fn init<K: Data, A: Data>(
        &mut self,
        store: &Store<K, A>,
        ctx: &TaskContext,
        first_open: impl FnOnce(i64) -> i64,
    ) -> Result<()> {
        store.borrow().name().clone_into(&mut self.name);
        self.closed = ctx.progress.get(&self.name).copied().unwrap_or(-1);
        let from = if self.closed < 0 { 0 } else { first_open(self.closed).max(0) };
        self.earliest = store.borrow().first_by_time(from)?.unwrap_or(i64::MAX);
        Ok(())
    }

    fn emit<K: Data, A: Data>(
        &mut self,
        (close, last): (i64, i64),
        (store, children): (&Store<K, A>, &Children<K, Change<A>>),
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        if last < self.earliest {
            return Ok(false);
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
        Ok(true)
    }
}
