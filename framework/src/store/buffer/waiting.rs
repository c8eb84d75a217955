//! The store of a join with grace: records of a stream that wait until their time has come.
//!
//! ```text
//!  local, changelog  0 ‖ time i64 ‖ key ‖ number i32      a record (see `bytes`), which has neither prior nor old value
//! ```
//!
//! The changelog is Java's: the time of the producer, no headers; compact. The number tells records of one key and time
//! apart. Java begins it anew after a restart, and so may write over a record that waits; here the next free one is taken.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, StoreId};

use crate::collector::{HandsOnRows, RowInHand};
use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::{Data, Headers, Record, RecordMetadata, Timestamp};
use crate::serde::Null;
use crate::store::buffer::bytes::{Change as Bytes, Source};
use crate::store::buffer::first::First;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::described::{self, Described};
use crate::store::keys::{PlainKeys, RowKeys};
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::serdes::Serdes;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};

/// The store of records that wait.
pub(crate) struct WaitingSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
}

debug_by_options!(WaitingSpec);

impl<K: Data, V: Data> StoreSupplier for WaitingSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (keys, values) = self.serdes.codecs(&self.options.name, place);
        let logged = Logged::open(&self.options, None, place)?;
        Ok(TaskStore::new(WaitingStore::<K, V> {
            keys,
            values,
            logged,
            first: First::of(RECORD),
            number: 0,
            in_hand: None,
        }))
    }
}

const RECORD: u8 = 0;
const TIME: usize = size_of::<i64>();
const NUMBER: usize = size_of::<i32>();

/// The store itself.
pub(crate) struct WaitingStore<K, V> {
    keys: Codec<K>,
    values: Codec<V>,
    logged: Logged<Vec<u8>>,
    first: First,
    number: i32,
    /// The record that is being handed on.
    in_hand: Option<(Vec<u8>, Vec<u8>)>,
}

impl<K: Data, V: Data> WaitingStore<K, V> {
    /// Lets a record wait.
    ///
    /// # Errors
    /// `Unwritable` for one that a serde refuses.
    pub(crate) fn add(
        &mut self,
        record: &Record<K, V>,
        source: Option<RecordMetadata<'_>>,
    ) -> Result<()> {
        let local = self.free(&record.key, record.timestamp)?;
        let mut value = Vec::new();
        let null = self.values.encode(&record.value, &mut value)?;
        let mut bytes = Vec::new();
        Bytes {
            time: record.timestamp.0,
            source: Source::of(source),
            headers: record.headers.clone(),
            prior: None,
            old: None,
            new: (null == Null::No).then_some(&*value),
            release: 0,
        }
        .write(&mut bytes);
        self.logged.log_untimed(&local, Some(&bytes), &Headers::default())?;
        self.logged.put(&local, bytes.clone(), &bytes);
        self.first.put(&local);
        Ok(())
    }

    /// The time of the first record.
    pub(crate) fn first(&mut self) -> Result<Option<i64>> {
        let Some(local) = self.first.get(&mut self.logged, |_| Ok(true))? else { return Ok(None) };
        let time = taken_apart(local).map(|(time, _)| time);
        time.map(Some).ok_or_else(|| self.damaged())
    }

    /// Takes the first record out, which is in hand from here on.
    pub(crate) fn take(&mut self) -> Result<Option<Record<K, V>>> {
        self.first()?;
        let Some(local) = self.first.take() else { return Ok(None) };
        let bytes = self.logged.find(&local, |bytes| Ok(bytes.to_vec()))?;
        self.logged.log_untimed(&local, None, &Headers::default())?;
        self.logged.delete(&local);
        let bytes = bytes.ok_or_else(|| self.damaged())?;
        let (_, key) = taken_apart(&local).ok_or_else(|| self.damaged())?;
        let read = Bytes::read(&bytes).ok_or_else(|| self.damaged())?;
        let record = Record {
            key: self.keys.decode(key)?,
            value: self.values.decode(read.new.unwrap_or_default())?,
            timestamp: Timestamp(read.time),
            headers: read.headers,
        };
        self.in_hand = Some((local, bytes));
        Ok(Some(record))
    }

    /// A place that no record has.
    fn free(&mut self, key: &K, at: Timestamp) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.keys.encode_key(key, &mut bytes)?;
        let mut local = [[RECORD].as_slice(), &at.0.max(0).to_be_bytes(), &bytes].concat();
        let length = local.len();
        loop {
            self.number = self.number.wrapping_add(1) & i32::MAX;
            local.truncate(length);
            local.extend_from_slice(&self.number.to_be_bytes());
            if !self.logged.has(&local)? {
                return Ok(local);
            }
        }
    }

    fn damaged(&self) -> Error {
        Error::Fatal {
            what: format!("reading store {}", self.logged.name()),
            reason: "its bytes are not those of a record that waits".to_owned(),
        }
    }
}

/// Time and key.
fn taken_apart(local: &[u8]) -> Option<(i64, &[u8])> {
    let (time, rest) = local.get(1..)?.split_first_chunk::<TIME>()?;
    let (key, _) = rest.split_last_chunk::<NUMBER>()?;
    Some((i64::from_be_bytes(*time), key))
}

impl<K: Data, V: Data> Described for WaitingStore<K, V> {
    fn described() -> String {
        described::of::<K, V>("what waits for a join, a buffer")
    }
}

impl<K: Data, V: Data> StateStore for WaitingStore<K, V> {
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
        if record.value.is_some_and(|bytes| Bytes::read(bytes).is_none())
            || taken_apart(key).is_none()
        {
            return Err(self.damaged());
        }
        self.logged.restore(batch, key, record.value)
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.logged.drain(batch);
    }

    fn rollback(&mut self) {
        self.logged.rollback();
        self.first.forget();
        self.in_hand = None;
    }

    fn clear(&mut self) -> Result<()> {
        self.rollback();
        self.logged.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.logged.stores().clone(), self.logged.id());
        Box::new(Committed::new(place, keys, self.values.clone(), false, None))
    }
}

impl<K: Data, V: Data> HandsOnRows for WaitingStore<K, V> {
    fn changelog_name(&self) -> &Arc<str> {
        self.values.topic()
    }

    fn row_in_hand(&self) -> Result<RowInHand> {
        let (local, bytes) = self.in_hand.as_ref().ok_or_else(|| self.damaged())?;
        let (_, key) = taken_apart(local).ok_or_else(|| self.damaged())?;
        let read = Bytes::read(bytes).ok_or_else(|| self.damaged())?;
        Ok(RowInHand {
            key: key.to_vec(),
            value: read.new.map(<[u8]>::to_vec),
            timestamp: Timestamp(read.time),
            headers: read.headers,
        })
    }
}
