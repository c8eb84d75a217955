//! The store of a table of sessions.

use std::rc::Rc;

use millstream_state::{Direction, SessionLayout, StoreKind, WindowOrder};

use crate::error::{Error, Result};
use crate::record::{Data, Session};
use crate::store::expiry::Expiry;
use crate::store::keys::{RowKeys, SessionKeys};
use crate::store::layout::Layout;
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::ranges::Wanted;
use crate::store::serdes::Serdes;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::table::rows::Rows;
use crate::store::table::scan::TableRows;
use crate::store::table::table::TableStore;

/// The store of a table of sessions: a [`TableStore`] of `Session<K>`. The time of a row is that of the record that
/// wrote it, which is what its changelog has; what is forwarded has the end of the session as its time.
pub(crate) struct SessionTableSpec<K, V> {
    pub(crate) options: StoreOptions,
    /// The key's serde is that of the key inside the session.
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
    pub(crate) retention_ms: i64,
    /// `KeyFirstAndTime` for emit-on-close, which has no cache; `KeyFirst` otherwise.
    pub(crate) order: WindowOrder,
}

debug_by_options!(SessionTableSpec);

impl<K, V> SessionTableSpec<K, V> {
    fn layout(&self) -> SessionLayout {
        SessionLayout::new(self.order, self.retention_ms)
    }
}

impl<K: Data, V: Data> StoreSupplier for SessionTableSpec<K, V> {
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
        let keys: Rc<dyn RowKeys<Session<K>>> = Rc::new(SessionKeys::new(inner, layout));
        let cache = self.cached.then_some(&place.cache_budget);
        let mut store = TableStore::<Session<K>, V>::new(keys, Rows::new(logged, values), cache);
        store.told_by_keys();
        store.keep_ordered();
        Ok(TaskStore::new(store))
    }
}

impl<K: Data, V: Data> TableStore<Session<K>, V> {
    fn session_layout(&self) -> Result<SessionLayout> {
        match self.rows.logged().expiry().map(Expiry::layout) {
            Some(Layout::Session(layout)) => Ok(*layout),
            _ => Err(Error::Fatal {
                what: format!("reading store {}", self.rows.logged().name()),
                reason: "it does not hold sessions".to_owned(),
            }),
        }
    }

    /// The sessions of all keys, by segment, key, end and start.
    pub(crate) fn all_sessions(&mut self) -> Result<TableRows<Session<K>, V>> {
        let layout = self.session_layout()?;
        let Some(ends) = self.clamp(0, i64::MAX) else {
            return Ok(self.scan(Vec::new(), Direction::Forward, Wanted::All));
        };
        let ranges = vec![layout.fetch_all(ends.0, ends.1)];
        let wanted = Wanted::Sessions { layout, key: None, ends, latest_start: i64::MAX };
        Ok(self.scan(ranges, Direction::Forward, wanted))
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or before, by end, then
    /// by start.
    pub(crate) fn sessions(
        &mut self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<TableRows<Session<K>, V>> {
        self.between(key, (earliest_end, latest_start), false)
    }

    /// The sessions of a key that a record at `at` joins, which are no further away than the gap. All that there are
    /// must be further apart than that.
    pub(crate) fn joined_at(
        &mut self,
        key: &K,
        at: i64,
        gap_ms: i64,
    ) -> Result<TableRows<Session<K>, V>> {
        let (earliest_end, latest_start) = (at.saturating_sub(gap_ms), at.saturating_add(gap_ms));
        let observed = self.rows.logged().expiry().map_or(i64::MAX, Expiry::observed);
        if observed > at {
            return self.sessions(key, earliest_end, latest_start);
        }
        // No session ends later than the record, so none comes after it. If a changed one ends within the gap before
        // it, none before that one does.
        self.between(key, (earliest_end, latest_start), true)
    }

    /// `at_most_one`: there is no other session if one of them is among the changed ones.
    fn between(
        &mut self,
        key: &K,
        (earliest_end, latest_start): (i64, i64),
        at_most_one: bool,
    ) -> Result<TableRows<Session<K>, V>> {
        let layout = self.session_layout()?;
        let Some(ends) = self.clamp(earliest_end, i64::MAX) else {
            return Ok(self.scan(Vec::new(), Direction::Forward, Wanted::All));
        };
        let any = Session { key: key.clone(), start: 0, end: ends.0 };
        let mut local = Vec::new();
        self.keys.encode(&any, &mut local)?;
        let key = layout.decode(&local).map(|session| session.key.to_vec()).unwrap_or_default();
        let ranges = layout.fetch(&key, ends.0, ends.1, Direction::Forward);
        let wanted = Wanted::Sessions { layout, key: Some(key), ends, latest_start };
        let above = self.held_back(&ranges, &wanted);
        let is_only = at_most_one && above.iter().filter(|(_, row)| row.is_some()).count() == 1;
        let from = if is_only { i64::MAX } else { ends.0 };
        Ok(self.scan_below(ranges, Direction::Forward, wanted, (above, from)))
    }
}
