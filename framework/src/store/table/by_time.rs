//! Rows of a table in the order of their times: the start of a window, the end of a session. What closes on time asks
//! for them.
//!
//! A layout that goes by time first has the rows so; one that goes by key has entries by time beside them. Rows that the
//! record cache holds back have no entry yet, so tables with entries have no cache.

use std::slice::from_ref;

use millstream_state::{Direction, Merged};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp};
use crate::store::expiry::Expiry;
use crate::store::layout::Layout;
use crate::store::ranges::Wanted;
use crate::store::table::scan::TableRows;
use crate::store::table::table::TableStore;

/// Rows by time; it shows the table as it was when it was made.
pub(crate) enum ByTime<K, V> {
    Rows(TableRows<K, V>),
    Entries(Merged<()>),
}

impl<K: Data, V: Data> TableStore<K, V> {
    /// The rows whose times lie in `[from, to]`, by time and then by key, also those past the retention that were not
    /// dropped yet: what is to be emitted on close must not get lost when time jumps.
    pub(crate) fn by_time(&self, from: i64, to: i64) -> Result<ByTime<K, V>> {
        let layout = self.layout()?;
        if layout.has_entries() {
            return Ok(ByTime::Entries(self.rows.logged().entries(from, to)));
        }
        let (range, wanted) = match layout {
            Layout::Window(layout) => {
                (layout.fetch_all(from, to), Wanted::Windows { layout, key: None, from, to })
            }
            Layout::Session(layout) => {
                let (ends, latest_start) = ((from, to), i64::MAX);
                let wanted = Wanted::Sessions { layout, key: None, ends, latest_start };
                (layout.fetch_all(from, to), wanted)
            }
        };
        Ok(ByTime::Rows(self.scan(vec![range], Direction::Forward, wanted)))
    }

    /// The next of such rows, which is in hand from here on.
    pub(crate) fn next_by_time(
        &mut self,
        rows: &mut ByTime<K, V>,
    ) -> Result<Option<(K, V, Timestamp)>> {
        match rows {
            ByTime::Rows(rows) => {
                let Some(row) = rows.next().transpose()? else { return Ok(None) };
                self.take_in_hand(rows.local());
                let (key, value, time) = row;
                let time = self.told_at(&key, time);
                Ok(Some((key, value, time)))
            }
            ByTime::Entries(entries) => loop {
                let Some(entry) = entries.next().transpose()? else { return Ok(None) };
                let mut local = Vec::new();
                self.layout()?.local_from_entry(&entry.0, &mut local);
                if let Some((value, time)) = self.rows.find(&local)? {
                    self.take_in_hand(&local);
                    let key = self.keys.decode(&local)?;
                    let time = self.told_at(&key, time);
                    return Ok(Some((key, value, time)));
                }
            },
        }
    }

    /// The time of the first row at `from` or later.
    pub(crate) fn first_by_time(&self, from: i64) -> Result<Option<i64>> {
        let layout = self.layout()?;
        if layout.has_entries() {
            let entry = self.rows.logged().first_entry(from)?;
            let time = |entry: Vec<u8>| layout.local_from_entry(&entry, &mut Vec::new());
            return Ok(entry.and_then(time));
        }
        let range = match layout {
            Layout::Window(layout) => layout.fetch_all(from, i64::MAX),
            Layout::Session(layout) => layout.fetch_all(from, i64::MAX),
        };
        let time = |local: &[u8]| layout.changelog_key(local, &mut Vec::new());
        let below = self.rows.logged().edge(&range, Direction::Forward)?;
        let above = self.cache.iter().flat_map(|cache| cache.dirty_in(from_ref(&range)));
        let above = above.filter_map(|entry| time(&entry.local)).min();
        Ok(below.and_then(|local| time(&local)).into_iter().chain(above).min())
    }

    fn layout(&self) -> Result<Layout> {
        self.rows.logged().expiry().map(|expiry| *Expiry::layout(expiry)).ok_or_else(|| {
            Error::Fatal {
                what: format!("reading store {} by time", self.rows.logged().name()),
                reason: "its rows have no time".to_owned(),
            }
        })
    }
}
