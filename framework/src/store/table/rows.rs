//! The rows of a table below its record cache: dirty layer, changelog and stored bytes.
//!
//! ```text
//!  local value       timestamp i64 ‖ value
//!  changelog record  value, with the row's timestamp; a deletion: null, with the record's timestamp
//! ```

use std::sync::Arc;

use millstream_state::{Batch, Direction, Dirty, KeyRange, Merged, StoreId, TaskStores, WindowKey};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, Timestamp};
use crate::serde::Null;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::expiry::Expiry;
use crate::store::row::{Row, TIME, decode_row, window_key};
use crate::store::supplier::StorePlace;

/// What a record cache holds back of a local key: a row, or that there is none.
pub(crate) type HeldBack<'a, V> = (&'a [u8], Option<(&'a V, Timestamp)>);

/// The rows of one table in one task.
pub(crate) struct Rows<V> {
    name: Arc<str>,
    id: StoreId,
    stores: TaskStores,
    values: Codec<V>,
    dirty: Dirty<Row<V>>,
    changelog: Option<Changelog>,
    /// Of a windowed table.
    expiry: Option<Expiry>,
    changelog_key: Vec<u8>,
    /// The row in hand, as it is stored.
    written: Vec<u8>,
}

impl<V: Data> Rows<V> {
    pub(crate) fn new(
        name: Arc<str>,
        place: &StorePlace,
        values: Codec<V>,
        changelog: Option<Changelog>,
        expiry: Option<Expiry>,
    ) -> Self {
        Self {
            name,
            id: place.id,
            stores: place.stores.clone(),
            values,
            dirty: Dirty::new(),
            changelog,
            expiry,
            changelog_key: Vec::new(),
            written: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn stores(&self) -> &TaskStores {
        &self.stores
    }

    pub(crate) fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    pub(crate) fn values(&self) -> &Codec<V> {
        &self.values
    }

    pub(crate) fn expiry(&self) -> Option<&Expiry> {
        self.expiry.as_ref()
    }

    pub(crate) fn expiry_mut(&mut self) -> Option<&mut Expiry> {
        self.expiry.as_mut()
    }

    /// The row of a local key, whose window starts at `start` if it is one's.
    pub(crate) fn read(&self, key: &[u8], start: i64) -> Result<Option<Row<V>>> {
        if self.expiry.as_ref().is_some_and(|expiry| !expiry.may_hold(start)) {
            return Ok(None);
        }
        self.find(key)
    }

    /// As [`Self::read`], wherever the row may be.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Row<V>>> {
        if let Some(entry) = self.dirty.get(key) {
            return Ok(entry.value.clone());
        }
        self.stores.get_with(self.id, key, |bytes| decode_row(&self.values, bytes))?.transpose()
    }

    /// A value as the changelog has it; none for one that its serde writes as null.
    pub(crate) fn encoded(&self, value: &V) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let null = self.values.encode(value, &mut bytes)?;
        Ok((null == Null::No).then_some(bytes))
    }

    /// A local key as the changelog has it.
    pub(crate) fn changelog_key(&self, local: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        match self.expiry.as_ref().and_then(|expiry| expiry.layout().decode(local)) {
            Some(window) => window.to_changelog(&mut key),
            None => key.extend_from_slice(local),
        }
        key
    }

    /// Whether there is a row of a local key, without reading it.
    pub(crate) fn has(&self, key: &[u8]) -> Result<bool> {
        match self.dirty.get(key) {
            Some(entry) => Ok(entry.value.is_some()),
            None => Ok(self.stores.get_with(self.id, key, |_| ())?.is_some()),
        }
    }

    /// Puts or deletes a row and logs it. `at` is the time of the record that caused it. Returns
    /// whether there is a row now, and the length of its value: a value that its serde writes as
    /// null is a deletion.
    pub(crate) fn write(
        &mut self,
        key: &[u8],
        row: Option<Row<V>>,
        at: Timestamp,
    ) -> Result<Option<usize>> {
        if let Some((value, time)) = row {
            let mut bytes = std::mem::take(&mut self.written);
            bytes.clear();
            bytes.extend_from_slice(&time.0.to_be_bytes());
            if self.values.encode(&value, &mut bytes)? == Null::No {
                self.log(key, bytes.get(TIME..), time)?;
                self.dirty.put(key, (value, time), &bytes);
                self.written = bytes;
                return Ok(Some(self.written.len() - TIME));
            }
            self.written = bytes;
        }
        self.log(key, None, at)?;
        self.dirty.delete(key);
        Ok(None)
    }

    /// Ranges of rows, read one after another, with `above` (what a record cache holds back, by
    /// local key) on top.
    pub(crate) fn scan(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        above: Vec<HeldBack<'_, V>>,
    ) -> Merged<Row<V>> {
        if above.is_empty() {
            return Merged::over(&self.dirty, &self.stores, self.id, ranges, direction);
        }
        let mut layered = Dirty::new();
        for range in &ranges {
            for (key, row) in self.dirty.snapshot(range, Direction::Forward) {
                match row {
                    Some(row) => layered.put(&key, row, &[]),
                    None => layered.delete(&key),
                }
            }
        }
        for (key, row) in above {
            match row {
                Some((value, time)) => layered.put(key, (value.clone(), time), &[]),
                None => layered.delete(key),
            }
        }
        Merged::over(&layered, &self.stores, self.id, ranges, direction)
    }

    pub(crate) fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        let mut local = Vec::new();
        let key = match &mut self.expiry {
            None => key,
            Some(expiry) => {
                let WindowKey { key, start, seq } = window_key(&self.name, key)?;
                if !expiry.restores(start, batch, self.id) {
                    return Ok(());
                }
                expiry.layout().encode(key, start, seq, &mut local);
                &local
            }
        };
        match record.value {
            None => batch.delete(self.id, key),
            Some(value) => {
                let mut bytes = Vec::with_capacity(TIME + value.len());
                bytes.extend_from_slice(&record.timestamp.to_be_bytes());
                bytes.extend_from_slice(value);
                batch.put(self.id, key, &bytes);
            }
        }
        Ok(())
    }

    pub(crate) fn drain(&mut self, batch: &mut Batch) {
        self.dirty.drain_into(batch, self.id);
        if let Some(expiry) = &mut self.expiry {
            expiry.note(batch, self.id);
        }
    }

    pub(crate) fn drop_expired(&self) -> Result<()> {
        self.expiry.as_ref().map_or(Ok(()), |expiry| expiry.drop_expired(&self.stores, self.id))
    }

    pub(crate) fn rollback(&mut self) {
        self.dirty.clear();
        if let Some(expiry) = &mut self.expiry {
            expiry.rollback();
        }
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        self.dirty.clear();
        if let Some(expiry) = &mut self.expiry {
            expiry.clear();
        }
        Ok(self.stores.clear(self.id)?)
    }

    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    /// Logs a write, and notes the start of a window of which there is a row from now on.
    fn log(&mut self, key: &[u8], value: Option<&[u8]>, at: Timestamp) -> Result<()> {
        let mut key = key;
        if let Some(expiry) = &mut self.expiry
            && let Some(window) = expiry.layout().decode(key)
        {
            expiry.wrote(window.start);
            window.to_changelog(&mut self.changelog_key);
            key = &self.changelog_key;
        }
        match &mut self.changelog {
            Some(changelog) => changelog.log(key, value, at),
            None => Ok(()),
        }
    }
}
