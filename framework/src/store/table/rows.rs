//! The rows of a table below its record cache: dirty layer, changelog and stored bytes.
//!
//! ```text
//!  local value       timestamp i64 ‖ value
//!  changelog record  value, with the row's timestamp; a deletion: null, with the record's timestamp
//! ```

use millstream_state::{Batch, Direction, KeyRange, Merged};

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::{Data, Timestamp};
use crate::serde::Null;
use crate::store::codec::Codec;
use crate::store::logged::Logged;
use crate::store::row::{Row, TIME, decode_row};
use crate::store::table::history::History;

/// What a record cache holds back of a local key: a row, or that there is none.
pub(super) type HeldBack<V> = (Vec<u8>, Option<Row<V>>);

/// The rows of one table in one task.
pub(in crate::store) struct Rows<V> {
    pub(super) logged: Logged<Row<V>>,
    pub(super) values: Codec<V>,
    /// Of versioned stores.
    pub(super) history: Option<History>,
    /// The row in hand, as it is stored.
    written: Vec<u8>,
}

impl<V: Data> Rows<V> {
    pub(super) fn new(logged: Logged<Row<V>>, values: Codec<V>) -> Self {
        Self { logged, values, history: None, written: Vec::new() }
    }

    pub(super) fn with_history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// What is the same for all kinds of stores.
    pub(super) fn logged(&self) -> &Logged<Row<V>> {
        &self.logged
    }

    pub(super) fn logged_mut(&mut self) -> &mut Logged<Row<V>> {
        &mut self.logged
    }

    pub(super) fn values(&self) -> &Codec<V> {
        &self.values
    }

    /// The row of a local key, whose window starts at `start` if it is one's.
    #[inline]
    pub(super) fn read(&self, key: &[u8], start: i64) -> Result<Option<Row<V>>> {
        if self.logged.expiry().is_some_and(|expiry| !expiry.may_hold(start)) {
            return Ok(None);
        }
        self.find(key)
    }

    /// As [`Self::read`], wherever the row may be.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Row<V>>> {
        self.logged.find(key, |bytes| decode_row(&self.values, bytes))
    }

    /// A value as the changelog has it; none for one that its serde writes as null.
    pub(super) fn encoded(&self, value: &V) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let null = self.values.encode(value, &mut bytes)?;
        Ok((null == Null::No).then_some(bytes))
    }

    /// Puts or deletes a row and logs it. `at` is the time of the record that caused it. Returns
    /// whether there is a row now, and the length of its value: a value that its serde writes as
    /// null is a deletion.
    pub(super) fn write(
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
                self.logged.log(key, bytes.get(TIME..), time)?;
                self.logged.put(key, (value, time), &bytes);
                self.written = bytes;
                return Ok(Some(self.written.len() - TIME));
            }
            self.written = bytes;
        }
        self.logged.log(key, None, at)?;
        self.logged.delete(key);
        Ok(None)
    }

    /// Ranges of rows, read one after another, with `above` (what a record cache holds back, by
    /// local key) on top. Rows with a time before `from` are not wanted.
    pub(super) fn scan(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        above: Vec<HeldBack<V>>,
        from: i64,
    ) -> Merged<Row<V>> {
        self.logged.scan_below(ranges, direction, above, from)
    }

    pub(super) fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        if self.history.is_some() {
            return self.restore_version(key, record);
        }
        self.written.clear();
        self.written.extend_from_slice(&record.timestamp.to_be_bytes());
        self.written.extend_from_slice(record.value.unwrap_or_default());
        let stored = record.value.map(|_| &*self.written);
        self.logged.restore(batch, key, stored)
    }
}
