//! Stores of a driven topology, to be looked at by tests.

use std::rc::Rc;

use millstream_state::Direction;

use crate::error::{Error, Result};
use crate::record::{Data, RecordTime, Timestamp, Windowed};
use crate::store::{KeyValueStore, TableStore, TaskStore, WindowStore};
use crate::testing::driver::TopologyDriver;

impl TopologyDriver {
    fn store(&self, name: &str) -> Result<&TaskStore> {
        let found = self.stores.iter().find(|store| store.state().borrow().name() == name);
        found.ok_or_else(|| Error::Fatal {
            what: format!("looking at store {name}"),
            reason: "there is no such store".to_owned(),
        })
    }

    /// The names of all stores.
    pub fn store_names(&self) -> Vec<String> {
        self.stores.iter().map(|store| store.state().borrow().name().to_owned()).collect()
    }

    /// A key-value store of processors.
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn key_value_store<K: Data, V: Data>(&self, name: &str) -> Result<KeyValueStore<K, V>> {
        KeyValueStore::of(self.store(name)?, &RecordTime::default())
    }

    /// A window store of processors.
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn window_store<K: Data, V: Data>(&self, name: &str) -> Result<WindowStore<K, V>> {
        WindowStore::of(self.store(name)?, &RecordTime::default())
    }

    /// The rows of a table with their times, in the order of their keys' bytes.
    ///
    /// # Errors
    /// If there is no table of this name and these types.
    pub fn table<K: Data, V: Data>(&self, name: &str) -> Result<Vec<(K, V, Timestamp)>> {
        let store = self.store(name)?.typed::<TableStore<K, V>>()?;
        let rows = store.borrow_mut().range(.., Direction::Forward)?;
        rows.collect()
    }

    /// The rows of a windowed table that have not expired, with their times.
    ///
    /// # Errors
    /// If there is no windowed table of this name and these types.
    pub fn windowed_table<K: Data, V: Data>(
        &self,
        name: &str,
    ) -> Result<Vec<(Windowed<K>, V, Timestamp)>> {
        let store = Rc::clone(&self.store(name)?.typed::<TableStore<Windowed<K>, V>>()?);
        let rows = store.borrow_mut().fetch_all((0, i64::MAX), Direction::Forward)?;
        rows.collect()
    }
}
