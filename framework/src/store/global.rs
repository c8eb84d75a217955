//! Global tables: one store for the whole instance. Its owner fills it from the topic as a task fills a
//! table, without a changelog; the tasks of all workers read it.
//!
//! ```text
//!   thread of the global tables ──► TableStore ──► Batch (rows and positions) ──► TaskStores
//!   tasks, on their workers     ──► GlobalRows ───────── SharedStore ────────────────┘
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;

use millstream_state::{Direction, KeyRange, Scan, SharedStore};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp};
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::ranges::encoded_range;
use crate::store::row::{Row, decode_row};
use crate::store::serdes::Serdes;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::table::TableSpec;

/// The store of a global table, as its owner writes it.
pub(crate) struct GlobalSpec<K, V> {
    pub(crate) table: TableSpec<K, V>,
    /// The topic that it is a copy of, and that its serdes are told.
    pub(crate) topic: Arc<str>,
}

impl<K, V> std::fmt::Debug for GlobalSpec<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalSpec").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> StoreSupplier for GlobalSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.table.options
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let codecs = self.table.serdes.codecs_of(&self.table.options.name, &self.topic);
        self.table.make_with(codecs, place)
    }

    fn committed_in(&self, store: &SharedStore) -> Box<dyn Any> {
        let (keys, values) = self.table.serdes.codecs_of(&self.table.options.name, &self.topic);
        Box::new(Committed::of_global(store.clone(), keys, values))
    }
}

/// The global tables of an instance by their names, once they are complete. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct GlobalStores(Arc<BTreeMap<String, SharedStore>>);

impl FromIterator<(String, SharedStore)> for GlobalStores {
    fn from_iter<T: IntoIterator<Item = (String, SharedStore)>>(stores: T) -> Self {
        Self(Arc::new(stores.into_iter().collect()))
    }
}

impl GlobalStores {
    /// One of them, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<SharedStore> {
        self.0.get(name).cloned()
    }

    /// The rows of one of them.
    ///
    /// # Errors
    /// `Fatal` if it is not there: a fault of the host, which makes tasks once all are.
    pub(crate) fn rows<K: Data, V: Data>(
        &self,
        name: &Arc<str>,
        topic: &Arc<str>,
        serdes: &Serdes<K, V>,
    ) -> Result<GlobalRows<K, V>> {
        let store = self.0.get(&**name).cloned().ok_or_else(|| Error::Fatal {
            what: format!("connecting the global table {name}"),
            reason: "it is not open".to_owned(),
        })?;
        let (keys, values) = serdes.codecs_of(name, topic);
        Ok(GlobalRows { store, keys, values, key: Vec::new() })
    }
}

/// The rows of a global table, as one node of a task reads them.
pub(crate) struct GlobalRows<K, V> {
    store: SharedStore,
    keys: Codec<K>,
    values: Codec<V>,
    /// The bytes of the key in hand.
    key: Vec<u8>,
}

impl<K: Data, V: Data> GlobalRows<K, V> {
    /// The row of a key as it is now, with its time.
    #[inline]
    pub(crate) fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>> {
        self.keys.encode_key(key, &mut self.key)?;
        let values = &self.values;
        let found: Option<Result<Row<V>>> =
            self.store.get_with(&self.key, |bytes| decode_row(values, bytes))?;
        found.transpose()
    }

    /// The rows whose keys lie in a range, by the order of their bytes.
    pub(super) fn range(
        &self,
        bounds: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<GlobalScan<K, V>> {
        let encode = |key: &K, into: &mut Vec<u8>| self.keys.encode_key(key, into);
        Ok(self.scan(encoded_range(bounds, KeyRange::all(), encode)?, direction))
    }

    /// The rows whose keys begin, as bytes, with those of `prefix`.
    pub(super) fn beginning_with(&self, prefix: &K) -> Result<GlobalScan<K, V>> {
        let mut bytes = Vec::new();
        self.keys.encode_key(prefix, &mut bytes)?;
        Ok(self.scan(KeyRange::prefix(&bytes), Direction::Forward))
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> GlobalScan<K, V> {
        let scan = self.store.scan(range, direction);
        GlobalScan { scan, keys: self.keys.clone(), values: self.values.clone() }
    }
}

/// Rows of a global table in order, as they are when they are read.
pub(super) struct GlobalScan<K, V> {
    scan: Scan,
    keys: Codec<K>,
    values: Codec<V>,
}

impl<K: Data, V: Data> Iterator for GlobalScan<K, V> {
    type Item = Result<(K, V, Timestamp)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.scan.next()?.map_err(Error::from).and_then(|(key, bytes)| {
            let (value, time) = decode_row(&self.values, &bytes)?;
            Ok((self.keys.decode(&key)?, value, time))
        }))
    }
}
