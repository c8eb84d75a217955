//! The session store of one task.

use std::any::Any;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{
    Batch, Direction, KeyRange, SessionLayout, StoreId, StoreKind, WindowOrder,
};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, Session, Timestamp};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::described::{self, Described};
use crate::store::expiry::Expiry;
use crate::store::keys::{RowKeys, SessionKeys};
use crate::store::layout::Layout;
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::ranges::{Wanted, encoded_range};
use crate::store::serdes::Serdes;
use crate::store::session::iterator::SessionIterator;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};

/// A session store for processors.
pub(crate) struct SessionSpec<K, V> {
    pub(crate) options: StoreOptions,
    /// The key's serde is that of the key inside the session.
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) retention_ms: i64,
}

impl<K, V> SessionSpec<K, V> {
    fn layout(&self) -> SessionLayout {
        SessionLayout::new(WindowOrder::KeyFirst, self.retention_ms)
    }
}

debug_by_options!(SessionSpec);

impl<K: Data, V: Data> StoreSupplier for SessionSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Session(self.layout())
    }

    fn retention_ms(&self) -> Option<i64> {
        Some(self.retention_ms)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (inner, values) = self.serdes.codecs(&self.options.name, place);
        let layout = self.layout();
        let logged = Logged::open(&self.options, Some(Layout::Session(layout)), place)?;
        Ok(TaskStore::new(SessionState {
            keys: Rc::new(SessionKeys::new(inner.clone(), layout)),
            inner,
            values,
            logged,
            layout,
            local: Vec::new(),
            bytes: Vec::new(),
        }))
    }
}

/// The store itself.
pub(crate) struct SessionState<K, V> {
    keys: Rc<dyn RowKeys<Session<K>>>,
    inner: Codec<K>,
    values: Codec<V>,
    pub(super) logged: Logged<V>,
    layout: SessionLayout,
    /// Local key and value in hand.
    local: Vec<u8>,
    bytes: Vec<u8>,
}

/// Which sessions are asked for: their ends, and their latest start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) ends: (i64, i64),
    pub(super) latest_start: i64,
    pub(super) direction: Direction,
}

impl<K: Data, V: Data> SessionState<K, V> {
    /// Puts a value (none removes) and logs it at a time.
    pub(super) fn put(
        &mut self,
        session: &Session<K>,
        value: Option<V>,
        at: Timestamp,
    ) -> Result<()> {
        self.keys.encode(session, &mut self.local)?;
        self.bytes.clear();
        let value = match value {
            Some(value) => match self.values.encode(&value, &mut self.bytes)? {
                Null::No => Some(value),
                Null::Yes => None,
            },
            None => None,
        };
        self.logged.log(&self.local, value.as_ref().map(|_| &*self.bytes), at)?;
        let admitted = |expiry: &mut Expiry| expiry.admits(session.end.max(0));
        if !self.logged.expiry_mut().is_none_or(admitted) {
            return Ok(());
        }
        match value {
            Some(value) => self.logged.put(&self.local, value, &self.bytes),
            None => self.logged.delete(&self.local),
        }
        Ok(())
    }

    pub(super) fn get(&mut self, session: &Session<K>) -> Result<Option<V>> {
        if self.clamp((session.end, session.end)).is_none() {
            return Ok(None);
        }
        self.keys.encode(session, &mut self.local)?;
        self.logged.find(&self.local, |bytes| self.values.decode(bytes))
    }

    pub(super) fn of_key(&self, key: &K, asked: Asked) -> Result<SessionIterator<K, V>> {
        let mut bytes = Vec::new();
        self.inner.encode_key(key, &mut bytes)?;
        let (layout, latest_start) = (self.layout, asked.latest_start);
        let (ranges, ends) = match self.clamp(asked.ends) {
            Some(ends) => (layout.fetch(&bytes, ends.0, ends.1, asked.direction), ends),
            None => (Vec::new(), (0, 0)),
        };
        let wanted = Wanted::Sessions { layout, key: Some(bytes), ends, latest_start };
        Ok(self.scan(ranges, wanted, asked.direction))
    }

    pub(super) fn of_keys(
        &self,
        keys: impl RangeBounds<K>,
        asked: Asked,
    ) -> Result<SessionIterator<K, V>> {
        let encode = |key: &K, into: &mut Vec<u8>| self.inner.encode_key(key, into);
        let keys = encoded_range(keys, KeyRange::all(), encode)?;
        let (layout, latest_start) = (self.layout, asked.latest_start);
        let (ranges, ends) = match self.clamp(asked.ends) {
            Some(ends) => (layout.fetch_keys(&keys, ends.0, ends.1, asked.direction), ends),
            None => (Vec::new(), (0, 0)),
        };
        let wanted = Wanted::SessionsOf { layout, keys, ends, latest_start };
        Ok(self.scan(ranges, wanted, asked.direction))
    }

    fn clamp(&self, ends: (i64, i64)) -> Option<(i64, i64)> {
        self.logged.expiry()?.clamp(ends.0, ends.1)
    }

    fn scan(
        &self,
        ranges: Vec<KeyRange>,
        wanted: Wanted,
        direction: Direction,
    ) -> SessionIterator<K, V> {
        let merged = self.logged.scan(ranges, direction);
        SessionIterator { merged, wanted, keys: Rc::clone(&self.keys), values: self.values.clone() }
    }
}

impl<K: Data, V: Data> StateStore for SessionState<K, V> {
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
        record.key.map_or(Ok(()), |key| self.logged.restore(batch, key, record.value))
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.logged.drain(batch);
    }

    fn drop_expired(&mut self) -> Result<()> {
        self.logged.drop_expired()
    }

    fn rollback(&mut self) {
        self.logged.rollback();
    }

    fn clear(&mut self) -> Result<()> {
        self.logged.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let place = (self.logged.stores().clone(), self.logged.id());
        let (keys, values) = (Rc::clone(&self.keys), self.values.clone());
        Box::new(Committed::new(place, keys, values, false, Some(Layout::Session(self.layout))))
    }

    fn take_expired(&mut self) -> u64 {
        self.logged.take_expired()
    }
}

impl<K, V> Described for SessionState<K, V> {
    fn described() -> String {
        described::of::<K, V>("a session store")
    }
}
