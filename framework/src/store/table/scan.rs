//! Ranges of a table's rows: by key, by prefix, and by time for windowed tables.
//!
//! An iterator shows the table as it was when it was made, the record cache included. It owns what
//! it needs, so the table may be read and written while it is open.

use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Direction, KeyRange, Merged, WindowLayout};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp, Windowed};
use crate::store::cache::Entry;
use crate::store::codec::Codec;
use crate::store::expiry::Expiry;
use crate::store::keys::RowKeys;
use crate::store::layout::Layout;
use crate::store::ranges::{Wanted, encoded_range};
use crate::store::row::{Row, found_row};
use crate::store::table::rows::HeldBack;
use crate::store::table::table::TableStore;

/// Rows of a table in the order of their local keys.
pub(crate) struct TableRows<K, V> {
    merged: Merged<Row<V>>,
    wanted: Wanted,
    keys: Rc<dyn RowKeys<K>>,
    values: Codec<V>,
    /// The local key of the last row.
    local: Vec<u8>,
}

impl<K, V> TableRows<K, V> {
    /// The local key of the row that came last.
    pub(crate) fn local(&self) -> &[u8] {
        &self.local
    }
}

impl<K, V> fmt::Debug for TableRows<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRows").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Iterator for TableRows<K, V> {
    type Item = Result<(K, V, Timestamp)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (local, found) = match self.merged.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            if self.wanted.holds(&local) {
                let row = found_row(&self.values, found);
                let row =
                    row.and_then(|(value, time)| Ok((self.keys.decode(&local)?, value, time)));
                self.local = local;
                return Some(row);
            }
        }
    }
}

impl<K: Data, V: Data> TableStore<K, V> {
    /// The rows whose keys lie in a range, by the order of their bytes.
    pub(crate) fn range(
        &mut self,
        bounds: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<TableRows<K, V>> {
        let keys = Rc::clone(&self.keys);
        let range = encoded_range(bounds, keys.all(), |key, into| keys.encode(key, into))?;
        Ok(self.scan(vec![range], direction, Wanted::All))
    }

    /// As [`Self::range`], without what has expired.
    pub(crate) fn readable(
        &self,
        bounds: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<TableRows<K, V>> {
        let keys = &self.keys;
        let range = encoded_range(bounds, keys.all(), |key, into| keys.encode(key, into))?;
        let layout = self.rows.logged().expiry().map(|expiry| *Expiry::layout(expiry));
        Ok(match Wanted::of_all(layout, || self.clamp(0, i64::MAX)) {
            Some(wanted) => self.scan(vec![range], direction, wanted),
            None => self.scan(Vec::new(), direction, Wanted::All),
        })
    }

    /// The rows whose keys begin, as bytes, with those of `prefix`.
    pub(crate) fn beginning_with(&self, prefix: &K) -> Result<TableRows<K, V>> {
        if self.rows.logged().expiry().is_some() {
            return Err(Error::Fatal {
                what: format!("reading store {} by a prefix", self.rows.logged().name()),
                reason: "its keys are windows or sessions".to_owned(),
            });
        }
        let mut bytes = Vec::new();
        self.keys.encode(prefix, &mut bytes)?;
        Ok(self.prefix_scan(&bytes))
    }

    /// The rows whose keys' bytes begin with a prefix.
    pub(crate) fn prefix_scan(&self, prefix: &[u8]) -> TableRows<K, V> {
        self.scan(vec![KeyRange::prefix(prefix)], Direction::Forward, Wanted::All)
    }

    pub(super) fn scan(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        wanted: Wanted,
    ) -> TableRows<K, V> {
        let above = self.held_back(&ranges, &wanted);
        let from = wanted.earliest();
        self.scan_below(ranges, direction, wanted, (above, from))
    }

    /// What the record cache holds back of ranges, as far as it is wanted.
    pub(super) fn held_back(&self, ranges: &[KeyRange], wanted: &Wanted) -> Vec<HeldBack<V>> {
        let above = self.cache.iter().flat_map(|cache| cache.dirty_in(ranges));
        let row = |entry: &Entry<V>| entry.row().map(|(value, time)| (value.clone(), time));
        above
            .filter(|entry| wanted.holds(&entry.local))
            .map(|entry| (entry.local.to_vec(), row(entry)))
            .collect()
    }

    /// Ranges with what is held back of them; what is committed is read only if there may be rows from `from` on.
    pub(super) fn scan_below(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        wanted: Wanted,
        (above, from): (Vec<HeldBack<V>>, i64),
    ) -> TableRows<K, V> {
        let merged = self.rows.scan(ranges, direction, above, from);
        let (keys, values) = (Rc::clone(&self.keys), self.rows.values().clone());
        TableRows { merged, wanted, keys, values, local: Vec::new() }
    }
}

impl<K, V: Data> TableStore<K, V> {
    pub(super) fn clamp(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        self.rows.logged().expiry()?.clamp(from, to)
    }
}

impl<K: Data, V: Data> TableStore<Windowed<K>, V> {
    /// The windows of a key that start in `[from, to]`, by start.
    pub(crate) fn fetch(
        &mut self,
        key: &K,
        (from, to): (i64, i64),
        direction: Direction,
    ) -> Result<TableRows<Windowed<K>, V>> {
        let layout = self.window_layout()?;
        let Some((from, to)) = self.clamp(from, to) else {
            return Ok(self.scan(Vec::new(), direction, Wanted::All));
        };
        let any = Windowed { key: key.clone(), start: from, end: from };
        let mut local = Vec::new();
        self.keys.encode(&any, &mut local)?;
        let Some(window) = layout.decode(&local) else {
            return Ok(self.scan(Vec::new(), direction, Wanted::All));
        };
        let ranges = layout.fetch(window.key, from, to, direction);
        let wanted = Wanted::Windows { layout, key: Some(window.key.to_vec()), from, to };
        Ok(self.scan(ranges, direction, wanted))
    }

    /// The windows of all keys that start in `[from, to]`: by start and key where the layout puts
    /// time first, by segment, key and start otherwise.
    pub(crate) fn fetch_all(
        &mut self,
        (from, to): (i64, i64),
        direction: Direction,
    ) -> Result<TableRows<Windowed<K>, V>> {
        let layout = self.window_layout()?;
        let Some((from, to)) = self.clamp(from, to) else {
            return Ok(self.scan(Vec::new(), direction, Wanted::All));
        };
        let wanted = Wanted::Windows { layout, key: None, from, to };
        Ok(self.scan(vec![layout.fetch_all(from, to)], direction, wanted))
    }

    fn window_layout(&self) -> Result<WindowLayout> {
        match self.rows.logged().expiry().map(Expiry::layout) {
            Some(Layout::Window(layout)) => Ok(*layout),
            _ => Err(Error::Fatal {
                what: format!("reading store {}", self.rows.logged().name()),
                reason: "it does not hold windows".to_owned(),
            }),
        }
    }
}
