//! The store of `suppress`: one change per key, in the order in which they are to be given out.
//!
//! ```text
//!  local    0 ‖ key                       the change (see `bytes`), which knows its release
//!           1 ‖ release i64 ‖ key         nothing: an entry by time
//!  changelog  key                         the change, header `v` = 3, the time of the producer; compact
//! ```
//!
//! A change of a key that is held already keeps its place in the order. What was changed since the last commit is logged
//! at the flush, once per key, as Java does.
//!
//! An entry by time whose change has gone, or has another release, is passed over and deleted: a restore, which takes the
//! records of the changelog one by one, need not look for those of earlier ones.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, Direction, Found, KeyRange, StoreId};

use crate::collector::{HandsOnRows, RowInHand};
use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::{Change, Data, Headers, Record, RecordMetadata, Timestamp};
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

/// The store of changes that are held back.
pub(crate) struct BufferSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
}

debug_by_options!(BufferSpec);

impl<K: Data, V: Data> StoreSupplier for BufferSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (keys, values) = self.serdes.codecs(&self.options.name, place);
        // Entries by time are not logged: the changes know when they are to be given out.
        let unlogged = StoreOptions { logged: false, ..self.options.clone() };
        let mut headers = Headers::default();
        headers.push(VERSION_HEADER, Some(VERSION.to_vec()));
        Ok(TaskStore::new(BufferStore::<K, V> {
            keys,
            values,
            changes: Logged::open(&self.options, None, place)?,
            entries: Logged::open(&unlogged, None, place)?,
            headers,
            first: First::of(ENTRY),
            held: None,
            in_hand: None,
            written: Vec::new(),
        }))
    }
}

const CHANGE: u8 = 0;
const ENTRY: u8 = 1;
const VERSION_HEADER: &str = "v";
const VERSION: &[u8] = &[3];

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) records: u64,
    /// Of keys and changes as they are stored.
    pub(crate) bytes: u64,
}

/// The store itself.
pub(crate) struct BufferStore<K, V> {
    keys: Codec<K>,
    values: Codec<V>,
    changes: Logged<Vec<u8>>,
    entries: Logged<()>,
    /// Those of the records in the changelog.
    headers: Headers,
    /// Of the entries by time.
    first: First,
    /// Known from the first time on that somebody asks.
    held: Option<Held>,
    /// The change that is being handed on.
    in_hand: Option<(Vec<u8>, Vec<u8>)>,
    written: Vec<u8>,
}

impl<K: Data, V: Data> BufferStore<K, V> {
    /// Holds a change back until `release`; one of a key that is held already keeps its place.
    ///
    /// # Errors
    /// `Unwritable` for a change that a serde refuses: nothing is changed then.
    pub(crate) fn put(
        &mut self,
        release: i64,
        record: &Record<K, Change<V>>,
        source: Option<RecordMetadata<'_>>,
    ) -> Result<()> {
        let local = self.local(&record.key)?;
        let (old, new) = (self.encoded(&record.value.old)?, self.encoded(&record.value.new)?);
        let held = self.changes.find(&local, |bytes| Ok(bytes.to_vec()))?;
        let before = held.as_deref().map(|bytes| read(&self.changes, bytes)).transpose()?;
        let (prior, place) = match &before {
            Some(before) => (before.prior, before.release),
            None => (old.as_deref(), release.max(0)),
        };
        let change = Bytes {
            time: record.timestamp.0,
            source: Source::of(source),
            headers: record.headers.clone(),
            prior,
            old: old.as_deref(),
            new: new.as_deref(),
            release: place,
        };
        change.write(&mut self.written);
        let before = held.as_ref().map(Vec::len);
        self.changes.put(&local, self.written.clone(), &self.written);
        self.count(local.len() - 1, before, Some(self.written.len()));
        if before.is_none() {
            let entry = entry(place, &local);
            self.entries.put(&entry, (), &[]);
            self.first.put(&entry);
        }
        Ok(())
    }

    /// When the first change is to be given out.
    pub(crate) fn first(&mut self) -> Result<Option<i64>> {
        let changes = &self.changes;
        let release = |entry: &[u8]| -> Result<bool> {
            let held = changes.find(&local_of(entry), |bytes| Ok(bytes.to_vec()))?;
            let held = held.as_deref().map(|bytes| read(changes, bytes)).transpose()?;
            Ok(held.is_some_and(|change| Some(change.release) == release_of(entry)))
        };
        Ok(self.first.get(&mut self.entries, release)?.and_then(release_of))
    }

    /// Takes the first change out, which is in hand from here on. Its old row is what was given out before.
    pub(crate) fn take(&mut self) -> Result<Option<Record<K, Change<V>>>> {
        self.first()?;
        let Some(entry) = self.first.take() else { return Ok(None) };
        let local = local_of(&entry);
        self.entries.delete(&entry);
        let Some(bytes) = self.changes.find(&local, |bytes| Ok(bytes.to_vec()))? else {
            return Ok(None);
        };
        self.changes.delete(&local);
        self.count(local.len() - 1, Some(bytes.len()), None);
        let key = local.get(1..).unwrap_or_default();
        let change = read(&self.changes, &bytes)?;
        let value = |bytes: Option<&[u8]>| bytes.map(|bytes| self.values.decode(bytes)).transpose();
        let record = Record {
            key: self.keys.decode(key)?,
            value: Change::latest(value(change.new)?, value(change.prior)?),
            timestamp: Timestamp(change.time),
            headers: change.headers,
        };
        self.in_hand = Some((key.to_vec(), bytes));
        Ok(Some(record))
    }

    /// What was given out last of a key that is held back (the outer is none if it is not).
    #[expect(clippy::option_option, reason = "there may have been no row")]
    pub(crate) fn prior(&self, key: &K) -> Result<Option<Option<V>>> {
        let local = self.local(key)?;
        let held = self.changes.find(&local, |bytes| Ok(bytes.to_vec()))?;
        let Some(held) = held else { return Ok(None) };
        let prior = read(&self.changes, &held)?.prior.map(|bytes| self.values.decode(bytes));
        prior.transpose().map(Some)
    }

    /// How much is held; the first time all of it is read.
    pub(crate) fn held(&mut self) -> Result<Held> {
        if let Some(held) = self.held {
            return Ok(held);
        }
        let mut held = Held::default();
        for change in self.changes.scan(vec![KeyRange::prefix(&[CHANGE])], Direction::Forward) {
            let (local, Found::Typed(change) | Found::Stored(change)) = change?;
            held.records += 1;
            held.bytes += (local.len() - 1 + change.len()) as u64;
        }
        self.held = Some(held);
        Ok(held)
    }

    /// Logs what was changed since the last commit, once per key.
    pub(crate) fn log_changes(&mut self) -> Result<()> {
        for (local, change) in self.changes.uncommitted() {
            let key = local.get(1..).unwrap_or_default();
            self.changes.log_untimed(key, change.as_deref(), &self.headers)?;
        }
        Ok(())
    }

    fn count(&mut self, key: usize, before: Option<usize>, after: Option<usize>) {
        if let Some(held) = &mut self.held {
            let cost = |change: Option<usize>| change.map_or(0, |change| (key + change) as u64);
            held.bytes = (held.bytes + cost(after)).saturating_sub(cost(before));
            held.records = (held.records + u64::from(after.is_some()))
                .saturating_sub(u64::from(before.is_some()));
        }
    }

    fn local(&self, key: &K) -> Result<Vec<u8>> {
        let mut local = Vec::new();
        self.keys.encode_key(key, &mut local)?;
        local.insert(0, CHANGE);
        Ok(local)
    }

    fn encoded(&self, value: &Option<V>) -> Result<Option<Vec<u8>>> {
        let Some(value) = value else { return Ok(None) };
        let mut bytes = Vec::new();
        let null = self.values.encode(value, &mut bytes)?;
        Ok((null == Null::No).then_some(bytes))
    }

    fn forget(&mut self) {
        self.first.forget();
        self.held = None;
        self.in_hand = None;
    }
}

fn read<'a>(changes: &Logged<Vec<u8>>, bytes: &'a [u8]) -> Result<Bytes<'a>> {
    Bytes::read(bytes).ok_or_else(|| Error::Fatal {
        what: format!("reading store {}", changes.name()),
        reason: "its bytes are not those of a change that is held back".to_owned(),
    })
}

fn entry(release: i64, local: &[u8]) -> Vec<u8> {
    let key = local.get(1..).unwrap_or_default();
    [[ENTRY].as_slice(), release.to_be_bytes().as_slice(), key].concat()
}

fn release_of(entry: &[u8]) -> Option<i64> {
    let (release, _) = entry.get(1..)?.split_first_chunk::<8>()?;
    Some(i64::from_be_bytes(*release))
}

fn local_of(entry: &[u8]) -> Vec<u8> {
    [[CHANGE].as_slice(), entry.get(9..).unwrap_or_default()].concat()
}

impl<K: Data, V: Data> Described for BufferStore<K, V> {
    fn described() -> String {
        described::of::<K, V>("what is suppressed, a buffer")
    }
}

impl<K: Data, V: Data> StateStore for BufferStore<K, V> {
    fn name(&self) -> &str {
        self.changes.name()
    }

    fn id(&self) -> StoreId {
        self.changes.id()
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.changes.changelog()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        let local = [[CHANGE].as_slice(), key].concat();
        let Some(bytes) = record.value else {
            batch.delete(self.id(), &local);
            return Ok(());
        };
        let version = record.headers.last(VERSION_HEADER);
        if version != Some(VERSION) {
            return Err(Error::Fatal {
                what: format!("restoring store {}", self.changes.name()),
                reason: format!(
                    "a record at offset {} of its changelog is of version {version:?}; version 3, which Kafka Streams \
                     writes since 2.6, is read",
                    record.offset
                ),
            });
        }
        let release = read(&self.changes, bytes)?.release;
        batch.put(self.id(), &local, bytes);
        batch.put(self.id(), &entry(release, &local), &[]);
        Ok(())
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.changes.drain(batch);
        self.entries.drain(batch);
    }

    fn rollback(&mut self) {
        self.changes.rollback();
        self.entries.rollback();
        self.forget();
    }

    fn clear(&mut self) -> Result<()> {
        self.rollback();
        self.changes.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.changes.stores().clone(), self.changes.id());
        Box::new(Committed::new(place, keys, self.values.clone(), false, None))
    }
}

impl<K: Data, V: Data> HandsOnRows for BufferStore<K, V> {
    fn changelog_name(&self) -> &Arc<str> {
        self.values.topic()
    }

    fn row_in_hand(&self) -> Result<RowInHand> {
        let (key, bytes) = self.in_hand.as_ref().ok_or_else(|| Error::Fatal {
            what: format!("reading store {}", self.changes.name()),
            reason: "no change of it is being handed on".to_owned(),
        })?;
        let change = read(&self.changes, bytes)?;
        Ok(RowInHand {
            key: key.clone(),
            value: change.new.map(<[u8]>::to_vec),
            timestamp: Timestamp(change.time),
            headers: change.headers,
        })
    }
}
