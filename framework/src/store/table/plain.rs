//! The store of a table.

use std::rc::Rc;

use millstream_state::{StoreKind, StoreSpec};

use crate::error::Result;
use crate::record::Data;
use crate::store::codec::Codec;
use crate::store::keys::PlainKeys;
use crate::store::logged::Logged;
use crate::store::options::{Serdes, StoreOptions, debug_by_options};
use crate::store::supplier::{StorePlace, StoreSupplier, TaskStore};
use crate::store::table::rows::Rows;
use crate::store::table::table::TableStore;

/// The store of a table.
pub(crate) struct TableSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
}

debug_by_options!(TableSpec);

impl<K: Data, V: Data> StoreSupplier for TableSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::KeyValue)
    }

    fn changelog_config(&self, _retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        self.options.changelog_config(None)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        self.make_with(self.serdes.codecs(&self.options.name, place), place)
    }
}

impl<K: Data, V: Data> TableSpec<K, V> {
    /// Makes the store of one task, in these bytes.
    pub(in crate::store) fn make_with(
        &self,
        (keys, values): (Codec<K>, Codec<V>),
        place: &StorePlace,
    ) -> Result<TaskStore> {
        let rows = Rows::new(Logged::open(&self.options, None, place)?, values);
        let cache = self.cached.then_some(&place.cache_budget);
        Ok(TaskStore::new(TableStore::<K, V>::new(Rc::new(PlainKeys(keys)), rows, cache)))
    }
}
