//! Rows with versions: how a table writes into its history, and reads it as of a time.

use millstream_state::VersionLayout;

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Change, Data, Timestamp};
use crate::store::row::Row;
use crate::store::table::history::{DELETION, Placed, VALUE};
use crate::store::table::kept::Outcome;
use crate::store::table::rows::Rows;
use crate::store::table::table::TableStore;

impl<K: Data, V: Data> TableStore<K, V> {
    /// The row of a key as of a time, where the store has a history; its latest one otherwise.
    pub(crate) fn get_as_of(&mut self, key: &K, at: Timestamp) -> Result<Option<(V, Timestamp)>> {
        if self.rows.history.is_none() {
            return self.get(key);
        }
        self.keys.encode(key, &mut self.local)?;
        self.rows.read_as_of(&self.local, at.0)
    }

    /// As [`Self::get_as_of`], with the time at which the row was replaced, if it was.
    pub(crate) fn version_as_of(
        &mut self,
        key: &K,
        at: Timestamp,
    ) -> Result<Option<(Row<V>, Option<i64>)>> {
        self.keys.encode(key, &mut self.local)?;
        self.rows.version_as_of(&self.local, at.0)
    }

    /// Puts a version (none: a deletion) into a store with a history, and says where it went.
    pub(crate) fn put_version(
        &mut self,
        key: &K,
        value: Option<V>,
        from: Timestamp,
    ) -> Result<Placed> {
        self.keys.encode(key, &mut self.local)?;
        self.rows.write_version(&self.local, value, from)
    }

    /// Who was told that a put had expired counts it: the store does not.
    pub(crate) fn told_expired(&mut self) {
        if let Some(history) = &mut self.rows.history {
            history.told();
        } else if let Some(expiry) = self.rows.logged_mut().expiry_mut() {
            expiry.told();
        }
    }

    /// A write of a store with a history.
    pub(super) fn write_version(
        &mut self,
        old: Option<V>,
        (new, timestamp): (Option<V>, Timestamp),
    ) -> Result<Outcome<V>> {
        let latest = match self.rows.write_version(&self.local, new.clone(), timestamp)? {
            Placed::Latest => true,
            Placed::Past { .. } => false,
            Placed::Not => return Ok(Outcome::Expired),
        };
        Ok(Outcome::Forward { change: Change { new, old, latest }, timestamp })
    }
}

impl<V: Data> Rows<V> {
    /// The row of a local key as of a time: the latest version that began by then; none where there was none, or the
    /// history is over.
    pub(super) fn read_as_of(&self, local: &[u8], at: i64) -> Result<Option<Row<V>>> {
        let version = self.version_as_of(local, at)?;
        Ok(version.map(|(row, _)| row))
    }

    /// As [`Self::read_as_of`], with the time at which it was replaced, if it was.
    fn version_as_of(&self, local: &[u8], at: i64) -> Result<Option<(Row<V>, Option<i64>)>> {
        let latest = self.find(local)?;
        let Some(history) = &self.history else { return Ok(latest.map(|row| (row, None))) };
        if latest.as_ref().is_some_and(|(_, from)| from.0 <= at) {
            return Ok(latest.map(|row| (row, None)));
        }
        let key = local.get(1..).unwrap_or_default();
        if !history.reaches(at) {
            return Ok(None);
        }
        let Some(past) = history.ended_after(key, at)?.filter(|past| past.from <= at) else {
            return Ok(None);
        };
        match past.rest.split_first() {
            Some((&VALUE, value)) => {
                let row = (self.values.decode(value)?, Timestamp(past.from));
                Ok(Some((row, Some(past.to))))
            }
            _ => Ok(None),
        }
    }

    /// Puts a version into the history as it demands, and logs it; none is a deletion.
    pub(super) fn write_version(
        &mut self,
        local: &[u8],
        value: Option<V>,
        from: Timestamp,
    ) -> Result<Placed> {
        let bytes = match &value {
            Some(value) => self.encoded(value)?,
            None => None,
        };
        self.logged.log(local, bytes.as_deref(), from)?;
        self.place_version(local, (value, bytes), from.0)
    }

    /// Takes over a version of the changelog. Where it goes depends on those before it, so it goes into the uncommitted
    /// writes, which the host moves into its batch.
    pub(super) fn restore_version(&mut self, key: &[u8], record: &RawRecord<'_>) -> Result<()> {
        let local = [[VersionLayout::LATEST_PREFIX].as_slice(), key].concat();
        let value = record.value.map(|bytes| self.values.decode(bytes)).transpose()?;
        let version = (value, record.value.map(<[u8]>::to_vec));
        let placed = self.place_version(&local, version, record.timestamp)?;
        if let (Placed::Not, Some(history)) = (placed, &mut self.history) {
            // It was counted when it came.
            history.told();
        }
        Ok(())
    }

    /// As [`Self::write_version`], of what is logged already.
    pub(super) fn place_version(
        &mut self,
        local: &[u8],
        (value, bytes): (Option<V>, Option<Vec<u8>>),
        from: i64,
    ) -> Result<Placed> {
        let latest = self.find(local)?;
        let before = latest.as_ref().map(|(value, _)| self.encoded(value)).transpose()?.flatten();
        let Some(history) = &mut self.history else { return Ok(Placed::Latest) };
        if !history.admits(from) {
            return Ok(Placed::Not);
        }
        let key = local.get(1..).unwrap_or_default();
        let rest = |value: &Option<Vec<u8>>| match value {
            Some(value) => [[VALUE].as_slice(), value].concat(),
            None => DELETION.to_vec(),
        };
        let deleted = match latest {
            Some(_) => None,
            None => history.deleted_since(key)?,
        };
        let began = latest.as_ref().map(|(_, began)| began.0).or(deleted);
        if let Some(began) = began.filter(|began| *began > from) {
            let until = history.put_into_past(key, from, began, &rest(&bytes))?;
            return Ok(Placed::Past { until });
        }
        if let Some(began) = began.filter(|began| *began < from) {
            history.put_past(key, (began, from), &rest(&before));
        }
        // A deletion that was the latest needs no note any more; it is forgotten when the history is over.
        match value.zip(bytes) {
            Some((value, bytes)) => {
                let stored = [from.to_be_bytes().as_slice(), &bytes].concat();
                self.logged.put(local, (value, Timestamp(from)), &stored);
            }
            None => {
                history.set_deleted(key, from);
                self.logged.delete(local);
            }
        }
        Ok(Placed::Latest)
    }
}
