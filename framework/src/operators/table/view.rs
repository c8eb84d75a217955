//! Rows of a table, looked up by the operators below it: in its store, or, where it keeps none, as it
//! makes them of the rows of the tables above.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::{Data, Shared, Timestamp};
use crate::store::TableStore;
use crate::topology::{Linker, StoreIndex};

/// Looks rows up, in one task.
pub(crate) trait Lookup<K, V> {
    /// The row of a key with its time; none if there is none.
    fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>>;

    /// The row as of a time, where versions are kept; the latest one otherwise.
    fn get_as_of(&mut self, key: &K, _at: Timestamp) -> Result<Option<(V, Timestamp)>> {
        self.get(key)
    }
}

type Open<K, V> = Arc<dyn Fn(&Linker<'_>) -> Result<Box<dyn Lookup<K, V>>> + Send + Sync>;

/// How the rows of a table are looked up: opened for each task.
pub(crate) struct View<K, V> {
    /// The stores that it reads; the node that looks rows up is connected to them.
    pub(crate) stores: Vec<StoreIndex>,
    open: Open<K, V>,
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self { stores: self.stores.clone(), open: Arc::clone(&self.open) }
    }
}

impl<K: Data, V: Data> View<K, V> {
    /// Rows that are looked up as `open` says.
    pub(crate) fn new(
        stores: Vec<StoreIndex>,
        open: impl Fn(&Linker<'_>) -> Result<Box<dyn Lookup<K, V>>> + Shared,
    ) -> Self {
        Self { stores, open: Arc::new(open) }
    }

    /// Rows that are in a store.
    pub(crate) fn stored(store: StoreIndex) -> Self {
        let open = move |linker: &Linker<'_>| {
            let rows = linker.store(store)?.typed::<TableStore<K, V>>()?;
            Ok(Box::new(Stored(rows)) as Box<dyn Lookup<K, V>>)
        };
        Self { stores: vec![store], open: Arc::new(open) }
    }

    /// What an error of this crate alone can lead to; said where a task is made.
    pub(crate) fn of_nothing() -> Self {
        let open = |_: &Linker<'_>| {
            let reason = "its rows are neither kept nor computed".to_owned();
            Err(Error::Fatal { what: "looking up rows of a table".to_owned(), reason })
        };
        Self { stores: Vec::new(), open: Arc::new(open) }
    }

    /// Rows that are made of these; none where `f` makes none.
    pub(crate) fn then<V2: Data>(self, f: impl Fn(&K, V) -> Option<V2> + Shared) -> View<K, V2> {
        let f = Arc::new(f);
        let open = move |linker: &Linker<'_>| {
            let computed = Computed { above: (self.open)(linker)?, f: Arc::clone(&f) };
            Ok(Box::new(computed) as Box<dyn Lookup<K, V2>>)
        };
        View { stores: self.stores, open: Arc::new(open) }
    }

    /// Rows that are made of these and of others of the same key, either of which may be missing. A row has the later
    /// time of the two.
    pub(crate) fn meets<R: Data, V2: Data>(
        self,
        other: View<K, R>,
        f: impl Fn(Option<&V>, Option<&R>) -> Option<V2> + Shared,
    ) -> View<K, V2> {
        let f = Arc::new(f);
        let stores = self.stores.iter().chain(&other.stores).copied();
        let mut stores: Vec<StoreIndex> = stores.collect();
        stores.dedup();
        let open = move |linker: &Linker<'_>| {
            let (left, right) = ((self.open)(linker)?, (other.open)(linker)?);
            let joined = Joined { left, right, f: Arc::clone(&f) };
            Ok(Box::new(joined) as Box<dyn Lookup<K, V2>>)
        };
        View { stores, open: Arc::new(open) }
    }

    /// Opens it in the task that is being made.
    pub(crate) fn open(&self, linker: &Linker<'_>) -> Result<Box<dyn Lookup<K, V>>> {
        (self.open)(linker)
    }
}

struct Stored<K, V>(Rc<RefCell<TableStore<K, V>>>);

impl<K: Data, V: Data> Lookup<K, V> for Stored<K, V> {
    fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>> {
        self.0.borrow_mut().get(key)
    }

    fn get_as_of(&mut self, key: &K, at: Timestamp) -> Result<Option<(V, Timestamp)>> {
        self.0.borrow_mut().get_as_of(key, at)
    }
}

struct Computed<K, V, F> {
    above: Box<dyn Lookup<K, V>>,
    f: Arc<F>,
}

impl<K, V, V2, F: Fn(&K, V) -> Option<V2>> Lookup<K, V2> for Computed<K, V, F> {
    fn get(&mut self, key: &K) -> Result<Option<(V2, Timestamp)>> {
        let row = self.above.get(key)?;
        Ok(row.and_then(|(row, time)| Some(((self.f)(key, row)?, time))))
    }

    fn get_as_of(&mut self, key: &K, at: Timestamp) -> Result<Option<(V2, Timestamp)>> {
        let row = self.above.get_as_of(key, at)?;
        Ok(row.and_then(|(row, time)| Some(((self.f)(key, row)?, time))))
    }
}

struct Joined<K, L, R, F> {
    left: Box<dyn Lookup<K, L>>,
    right: Box<dyn Lookup<K, R>>,
    f: Arc<F>,
}

impl<K, L, R, V, F> Lookup<K, V> for Joined<K, L, R, F>
where
    F: Fn(Option<&L>, Option<&R>) -> Option<V>,
{
    fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>> {
        let (left, right) = (self.left.get(key)?, self.right.get(key)?);
        let time = left.as_ref().map(|(_, at)| *at).max(right.as_ref().map(|(_, at)| *at));
        let row = (self.f)(left.as_ref().map(|(row, _)| row), right.as_ref().map(|(row, _)| row));
        Ok(row.zip(time))
    }
}
