//! The store of a table.

use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{StoreKind, VersionLayout};

use crate::error::Result;
use crate::record::Data;
use crate::store::codec::Codec;
use crate::store::described::{self, Described};
use crate::store::keys::{PlainKeys, PrefixedKeys};
use crate::store::logged::Logged;
use crate::store::materialized::Materialized;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::serdes::Serdes;
use crate::store::source_topic::SourceTopic;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::table::history::History;
use crate::store::table::rows::Rows;
use crate::store::table::table::TableStore;
use crate::time::millis;

/// The store of a table.
pub(crate) struct TableSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
    /// How long versions are kept after they were replaced, if they are; such a store has no cache.
    pub(crate) history_ms: Option<i64>,
}

impl<K: Data, V: Data> Described for TableStore<K, V> {
    fn described() -> String {
        described::of::<K, V>("a table")
    }
}

impl<K, V> From<Materialized<K, V>> for TableSpec<K, V> {
    fn from(store: Materialized<K, V>) -> Self {
        let Materialized { options, serdes, cached, history, .. } = store;
        Self {
            options,
            serdes,
            cached: cached && history.is_none(),
            history_ms: history.map(millis),
        }
    }
}

debug_by_options!(TableSpec);

impl<K: Data, V: Data> StoreSupplier for TableSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn kind(&self) -> StoreKind {
        match self.history_ms {
            Some(history_ms) => StoreKind::Versioned(VersionLayout::new(history_ms)),
            None => StoreKind::KeyValue,
        }
    }

    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        let mut config = self.options.changelog_config(None)?;
        if let Some(history_ms) = self.history_ms {
            let lag = "min.compaction.lag.ms";
            if config.iter().all(|(name, _)| name != lag) {
                let kept = history_ms.saturating_add(retention_extra_ms);
                config.push((lag.to_owned(), kept.to_string()));
            }
        }
        Some(config)
    }

    fn history_ms(&self) -> Option<i64> {
        self.history_ms
    }

    fn restored_from(&self, source: &SourceTopic) -> Option<Arc<dyn StoreSupplier>> {
        let is_restored = self.options.logged && self.history_ms.is_none();
        is_restored.then(|| {
            let options = self.options.restored_from(source.clone());
            let serdes = self.serdes.clone();
            Arc::new(Self { options, serdes, ..*self }) as Arc<dyn StoreSupplier>
        })
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let codecs = match &self.options.source {
            Some(source) => self.serdes.codecs_of(name, source.name()),
            None => self.serdes.codecs(name, place),
        };
        self.make_with(codecs, place)
    }
}

impl<K: Data, V: Data> TableSpec<K, V> {
    /// Makes the store of one task, in these bytes.
    pub(in crate::store) fn make_with(
        &self,
        (keys, values): (Codec<K>, Codec<V>),
        place: &StorePlace,
    ) -> Result<TaskStore> {
        let logged = Logged::open(&self.options, None, place)?;
        let Some(history_ms) = self.history_ms else {
            let cache = self.cached.then_some(&place.cache_budget);
            let rows = Rows::new(logged, values);
            return Ok(TaskStore::new(TableStore::<K, V>::new(
                Rc::new(PlainKeys(keys)),
                rows,
                cache,
            )));
        };
        let prefix = VersionLayout::LATEST_PREFIX;
        let history = History::open(history_ms, &self.options, place)?;
        let rows = Rows::new(logged.with_prefix(prefix), values).with_history(history);
        let keys = Rc::new(PrefixedKeys { inner: keys, prefix });
        Ok(TaskStore::new(TableStore::<K, V>::new(keys, rows, None)))
    }
}
