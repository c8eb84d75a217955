//! The rows that a node keeps, and what it forwards of them: now, or when the record cache is flushed.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chain::{Children, Faults, TaskContext};
use crate::error::Result;
use crate::policy::DropReason;
use crate::record::{Change, Data, Headers, Record, Timestamp};
use crate::store::{Outcome, Stamp, TableStore};
use crate::topology::Linker;

/// Why a change goes no further that came too late into a versioned table.
pub(crate) const OLDER: std::fmt::Arguments<'static> =
    format_args!("the versioned table above has a newer row of its key");

/// Why a row goes no further that its store does not keep any more.
pub(crate) const EXPIRED: std::fmt::Arguments<'static> = format_args!(
    "its row is older than what the store keeps: its retention or its history is over"
);

/// Where a node of a table hands its rows: to its children, or into its store first.
pub(crate) enum Rows<K, V> {
    /// It keeps nothing.
    Passed(Children<K, Change<V>>),
    /// It keeps them.
    Kept(Kept<K, V>),
}

/// A store with what comes after it.
pub(crate) struct Kept<K, V> {
    pub(crate) store: Rc<RefCell<TableStore<K, V>>>,
    pub(crate) children: Children<K, Change<V>>,
    pub(crate) faults: Faults,
}

impl Linker<'_> {
    /// Where the node being made hands its rows.
    pub(crate) fn rows<K: Data, V: Data>(&mut self) -> Result<Rows<K, V>> {
        let children = self.children::<K, Change<V>>()?;
        let Some(store) = self.own_store() else { return Ok(Rows::Passed(children)) };
        let store = store.typed::<TableStore<K, V>>()?;
        if self.sends_old() {
            store.borrow_mut().send_old_values();
        }
        Ok(Rows::Kept(Kept { store, children, faults: self.faults()? }))
    }
}

impl<K: Data, V: Data> Rows<K, V> {
    /// The row of a key, if rows are kept.
    pub(crate) fn kept(&self, key: &K) -> Option<Result<Option<V>>> {
        match self {
            Self::Passed(_) => None,
            Self::Kept(kept) => {
                Some(kept.store.borrow_mut().get(key).map(|row| row.map(|(value, _)| value)))
            }
        }
    }

    /// Hands a change on. Where rows are kept, the old one is the store's.
    #[inline]
    pub(crate) fn hand_on(
        &self,
        record: Record<K, Change<V>>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        match self {
            Self::Passed(children) => children.forward(record, ctx),
            Self::Kept(kept) => {
                let Record { key, value, timestamp, headers } = record;
                kept.put(key, value.new, (timestamp, headers), ctx)
            }
        }
    }

    pub(crate) fn flush(&self, ctx: &mut TaskContext) -> Result<()> {
        match self {
            Self::Passed(_) => Ok(()),
            Self::Kept(kept) => kept.flush(ctx),
        }
    }
}

impl<K: Data, V: Data> Kept<K, V> {
    /// Puts a row at the time of its record, or deletes it.
    pub(crate) fn put(
        &self,
        key: K,
        value: Option<V>,
        (timestamp, headers): (Timestamp, Headers),
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let stamp = Stamp { timestamp, headers: &headers };
        // Let go of the store before forwarding: operators downstream may read it.
        let outcome = self.store.borrow_mut().put(&key, value, &stamp);
        self.written(outcome, key, headers, ctx)
    }

    /// Puts the row of a key that has none, as its operator has seen.
    pub(crate) fn put_first(
        &self,
        key: K,
        value: V,
        (timestamp, headers): (Timestamp, Headers),
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let stamp = Stamp { timestamp, headers: &headers };
        let outcome = self.store.borrow_mut().put_first(&key, value, &stamp);
        self.written(outcome, key, headers, ctx)
    }

    /// Puts a row, or deletes it, and forwards nothing: for rows that nobody sees before their time.
    pub(crate) fn put_unseen(
        &self,
        key: &K,
        value: Option<V>,
        (timestamp, headers): (Timestamp, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let put = self.store.borrow_mut().put(key, value, &Stamp { timestamp, headers });
        match put {
            Ok(Outcome::Expired) => expired(&self.store, &self.faults, ctx),
            Ok(_) => Ok(()),
            Err(error) => self.faults.apply_to_row(error, ctx),
        }
    }

    /// Makes a row, with its time, of the one that is there; none deletes it.
    pub(crate) fn change(
        &self,
        key: K,
        (timestamp, headers): (Timestamp, Headers),
        ctx: &mut TaskContext,
        make: impl FnOnce(&K, Option<(V, Timestamp)>) -> (Option<V>, Timestamp),
    ) -> Result<()> {
        let stamp = Stamp { timestamp, headers: &headers };
        let outcome = self.store.borrow_mut().change(&key, &stamp, |row| make(&key, row));
        self.written(outcome, key, headers, ctx)
    }

    /// Forwards what a write of the store answers.
    pub(crate) fn written(
        &self,
        outcome: Result<Outcome<V>>,
        key: K,
        headers: Headers,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        match outcome {
            Ok(Outcome::Forward { change, timestamp }) => {
                self.children.forward(Record { key, value: change, timestamp, headers }, ctx)
            }
            Ok(Outcome::Held) => Ok(()),
            Ok(Outcome::Expired) => expired(&self.store, &self.faults, ctx),
            Ok(Outcome::Full) => self.flush(ctx),
            Err(error) => self.faults.apply_to_row(error, ctx),
        }
    }

    /// Forwards what the record cache holds back.
    pub(crate) fn flush(&self, ctx: &mut TaskContext) -> Result<()> {
        forward_held(&self.store, &self.children, &self.faults, ctx)
    }
}

/// Drops a record whose row the store does not keep any more.
#[cold]
pub(crate) fn expired<K: Data, A: Data>(
    store: &RefCell<TableStore<K, A>>,
    faults: &Faults,
    ctx: &mut TaskContext,
) -> Result<()> {
    store.borrow_mut().told_expired();
    faults.dropped(DropReason::Expired, ctx, EXPIRED)
}

/// Forwards all changes that the record cache of a store holds back.
pub(crate) fn forward_held<K: Data, A: Data>(
    store: &Rc<RefCell<TableStore<K, A>>>,
    children: &Children<K, Change<A>>,
    faults: &Faults,
    ctx: &mut TaskContext,
) -> Result<()> {
    ctx.with_rows(store, |ctx| {
        loop {
            let held = store.borrow_mut().next_held();
            let held = match held {
                Ok(Some(held)) => held,
                Ok(None) => return Ok(()),
                Err(error) => {
                    faults.apply_to_row(error, ctx)?;
                    store.borrow_mut().give_up()?;
                    continue;
                }
            };
            let record = Record {
                key: held.key,
                value: held.change,
                timestamp: held.timestamp,
                headers: held.headers,
            };
            children.forward(record, ctx)?;
        }
    })
}

/// Flushes the record cache of a store without forwarding.
pub(crate) fn settle<K: Data, A: Data>(
    store: &Rc<RefCell<TableStore<K, A>>>,
    faults: &Faults,
    ctx: &mut TaskContext,
) -> Result<()> {
    ctx.with_rows(store, |ctx| {
        loop {
            let settled = store.borrow_mut().settle();
            let Err(error) = settled else { return Ok(()) };
            faults.apply_to_row(error, ctx)?;
            store.borrow_mut().give_up()?;
        }
    })
}
