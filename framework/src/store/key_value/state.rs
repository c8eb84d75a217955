//! The key-value store of one task.

use std::any::Any;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Batch, Direction, KeyRange, StoreId};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, Timestamp};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::described::{self, Described};
use crate::store::key_value::iterator::KeyValueIterator;
use crate::store::key_value::recency::Recency;
use crate::store::keys::{PlainKeys, RowKeys};
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::ranges::encoded_range;
use crate::store::serdes::Serdes;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};

/// A key-value store for processors.
pub(crate) struct KeyValueSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    /// Keeps no more than so many, in memory: what was not used for longest goes.
    pub(crate) entries_max: Option<usize>,
}

debug_by_options!(KeyValueSpec);

impl<K: Data, V: Data> StoreSupplier for KeyValueSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn refusal(&self) -> Option<&'static str> {
        (self.entries_max == Some(0)).then_some("it is to keep no entry at all")
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (keys, values) = self.serdes.codecs(&self.options.name, place);
        let logged = Logged::open(&self.options, None, place)?;
        let recency = self.entries_max.map(|max| opened(max, &logged)).transpose()?;
        Ok(TaskStore::new(KeyValueState {
            keys,
            values,
            logged,
            recency,
            local: Vec::new(),
            bytes: Vec::new(),
        }))
    }
}

/// The order of the keys of a store that is opened. One with a changelog is restored, in the order of the last puts: what
/// an abort left of it in memory does not say who was used when.
fn opened<V: Data>(entries_max: usize, logged: &Logged<V>) -> Result<Recency> {
    let mut recency = Recency::new(entries_max);
    if logged.changelog().is_some() {
        logged.stores().clear(logged.id())?;
        return Ok(recency);
    }
    for entry in logged.stores().scan(logged.id(), KeyRange::all(), Direction::Forward) {
        recency.uses(&entry?.0);
    }
    recency.commit();
    Ok(recency)
}

/// The store itself.
pub(crate) struct KeyValueState<K, V> {
    pub(super) keys: Codec<K>,
    values: Codec<V>,
    pub(super) logged: Logged<V>,
    /// Of bounded stores.
    recency: Option<Recency>,
    /// The key in hand.
    local: Vec<u8>,
    /// The value in hand.
    bytes: Vec<u8>,
}

impl<K: Data, V: Data> KeyValueState<K, V> {
    pub(super) fn get(&mut self, key: &K) -> Result<Option<V>> {
        self.keys.encode_key(key, &mut self.local)?;
        let found = self.logged.find(&self.local, |bytes| self.values.decode(bytes))?;
        if let Some(recency) = self.recency.as_mut().filter(|_| found.is_some()) {
            recency.uses(&self.local);
        }
        Ok(found)
    }

    /// Puts a value (none deletes) and logs it at a time.
    pub(super) fn put(&mut self, key: &K, value: Option<V>, at: Timestamp) -> Result<()> {
        self.keys.encode_key(key, &mut self.local)?;
        self.bytes.clear();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut self.bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        if let Some(recency) = &mut self.recency {
            match value {
                Some(_) => recency.uses(&self.local),
                None => recency.forget(&self.local),
            }
            // The changelog has what goes before what comes, so that a restore never holds more.
            while let Some(key) = recency.surplus() {
                self.logged.log(&key, None, at)?;
                self.logged.delete(&key);
            }
        }
        self.logged.log(&self.local, value.as_ref().map(|_| &*self.bytes), at)?;
        match value {
            Some(value) => self.logged.put(&self.local, value, &self.bytes),
            None => self.logged.delete(&self.local),
        }
        Ok(())
    }

    pub(super) fn range(
        &self,
        keys: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<KeyValueIterator<K, V>> {
        let range =
            encoded_range(keys, KeyRange::all(), |key, into| self.keys.encode_key(key, into))?;
        Ok(self.scan(range, direction))
    }

    pub(super) fn scan(&self, range: KeyRange, direction: Direction) -> KeyValueIterator<K, V> {
        KeyValueIterator {
            merged: self.logged.scan(vec![range], direction),
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K: Data, V: Data> Described for KeyValueState<K, V> {
    fn described() -> String {
        described::of::<K, V>("a key-value store")
    }
}

impl<K: Data, V: Data> StateStore for KeyValueState<K, V> {
    fn name(&self) -> &str {
        self.logged.name()
    }

    fn id(&self) -> StoreId {
        self.logged.id()
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.logged.changelog()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        if let Some(recency) = &mut self.recency {
            match record.value {
                Some(_) => recency.uses(key),
                None => recency.forget(key),
            }
            recency.commit();
        }
        self.logged.restore(batch, key, record.value)
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.logged.drain(batch);
        self.recency.iter_mut().for_each(Recency::commit);
    }

    fn rollback(&mut self) {
        self.logged.rollback();
        self.recency.iter_mut().for_each(Recency::rollback);
    }

    fn clear(&mut self) -> Result<()> {
        self.recency.iter_mut().for_each(Recency::clear);
        self.logged.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.logged.stores().clone(), self.logged.id());
        Box::new(Committed::new(place, keys, self.values.clone(), false, None))
    }
}
