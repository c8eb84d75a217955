//! The row of a table that is being handed on, as a dead letter would carry it.

use std::sync::Arc;

use crate::collector::{HandsOnRows, RowInHand};
use crate::error::Result;
use crate::record::{Data, Headers, Timestamp};
use crate::store::table::table::TableStore;

impl<K: Data, V: Data> TableStore<K, V> {
    /// Notes which row is handed on next.
    pub(crate) fn take_in_hand(&mut self, local: &[u8]) {
        self.in_hand.clear();
        self.in_hand.extend_from_slice(local);
    }
}

impl<K: Data, V: Data> HandsOnRows for TableStore<K, V> {
    fn changelog_name(&self) -> &Arc<str> {
        self.rows.values().topic()
    }

    fn row_in_hand(&self) -> Result<RowInHand> {
        let local = &*self.in_hand;
        let cached = self.cache.as_ref().and_then(|cache| {
            let slot = cache.find(cache.hash(local), local)?;
            cache.get(slot)
        });
        let (row, headers) = match cached {
            Some(entry) => {
                (entry.value.clone().map(|value| (value, entry.time)), entry.headers.clone())
            }
            None => (self.rows.find(local)?, Headers::default()),
        };
        let timestamp = match (&row, cached) {
            (Some((_, time)), _) => *time,
            (None, Some(entry)) => entry.time,
            (None, None) => Timestamp(-1),
        };
        // A row may be in hand because it cannot be written: then there are no bytes of it.
        let value = row.and_then(|(value, _)| self.rows.encoded(&value).ok().flatten());
        Ok(RowInHand { key: self.rows.logged().changelog_key(local), value, timestamp, headers })
    }
}
