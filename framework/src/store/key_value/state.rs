//! The key-value store of one task.

use std::any::Any;
use std::ops::RangeBounds;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{
    Batch, Direction, Dirty, KeyRange, Merged, StoreId, StoreKind, StoreSpec, TaskStores,
};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, RecordTime};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::key_value::iterator::KeyValueIterator;
use crate::store::keys::{PlainKeys, RowKeys};
use crate::store::options::{Serdes, StoreOptions, debug_by_options};
use crate::store::ranges::encoded_range;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StorePlace, StoreSupplier, TaskStore};

/// A key-value store for processors.
pub(crate) struct KeyValueSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
}

debug_by_options!(KeyValueSpec);

impl<K: Data, V: Data> StoreSupplier for KeyValueSpec<K, V> {
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
        let name = &self.options.name;
        let codecs = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        Ok(TaskStore::new(KeyValueState::new(Arc::clone(name), place, codecs, changelog)))
    }
}

/// The store itself.
pub(crate) struct KeyValueState<K, V> {
    pub(super) name: Arc<str>,
    pub(super) id: StoreId,
    pub(super) stores: TaskStores,
    pub(super) keys: Codec<K>,
    values: Codec<V>,
    pub(super) dirty: Dirty<V>,
    changelog: Option<Changelog>,
    record_time: RecordTime,
    /// The key in hand.
    local: Vec<u8>,
}

impl<K: Data, V: Data> KeyValueState<K, V> {
    pub(super) fn new(
        name: Arc<str>,
        place: &StorePlace,
        (keys, values): (Codec<K>, Codec<V>),
        changelog: Option<Changelog>,
    ) -> Self {
        Self {
            name,
            id: place.id,
            stores: place.stores.clone(),
            keys,
            values,
            dirty: Dirty::new(),
            changelog,
            record_time: place.record_time.clone(),
            local: Vec::new(),
        }
    }

    pub(super) fn get(&mut self, key: &K) -> Result<Option<V>> {
        self.keys.encode_key(key, &mut self.local)?;
        if let Some(entry) = self.dirty.get(&self.local) {
            return Ok(entry.value.clone());
        }
        self.stores.get_with(self.id, &self.local, |bytes| self.values.decode(bytes))?.transpose()
    }

    pub(super) fn put(&mut self, key: &K, value: Option<V>) -> Result<()> {
        self.keys.encode_key(key, &mut self.local)?;
        let at = self.record_time.get();
        let mut bytes = Vec::new();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        if let Some(changelog) = &mut self.changelog {
            changelog.log(&self.local, value.as_ref().map(|_| &*bytes), at)?;
        }
        match value {
            Some(value) => self.dirty.put(&self.local, value, &bytes),
            None => self.dirty.delete(&self.local),
        }
        Ok(())
    }

    pub(super) fn range(
        &self,
        keys: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<KeyValueIterator<K, V>> {
        let range = encoded_range(keys, |key, into| self.keys.encode_key(key, into))?;
        Ok(self.scan(range, direction))
    }

    pub(super) fn scan(&self, range: KeyRange, direction: Direction) -> KeyValueIterator<K, V> {
        KeyValueIterator {
            merged: Merged::new(&self.dirty, &self.stores, self.id, range, direction),
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K: Data, V: Data> StateStore for KeyValueState<K, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        match (record.key, record.value) {
            (Some(key), Some(value)) => batch.put(self.id, key, value),
            (Some(key), None) => batch.delete(self.id, key),
            (None, _) => {}
        }
        Ok(())
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.dirty.drain_into(batch, self.id);
    }

    fn rollback(&mut self) {
        self.dirty.clear();
    }

    fn clear(&mut self) -> Result<()> {
        self.dirty.clear();
        Ok(self.stores.clear(self.id)?)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.stores.clone(), self.id);
        Box::new(Committed::new(place, keys, self.values.clone(), false, None))
    }
}
