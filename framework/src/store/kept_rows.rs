//! Rows of a store that are kept in memory after they were committed, for as long as they are asked for.
//!
//! Who joins streams asks for the rows of the last seconds, for each record: a row is read about as often as it is written,
//! and of RocksDB that costs twenty times as much. Rows from some time on are here as a whole; what starts earlier is read
//! from the store. They are a copy: nothing is lost with them.

use millstream_state::Recent;

use crate::store::cache::{CacheBudget, Part};

/// The rows, and which they are.
#[derive(Debug)]
pub(super) struct KeptRows {
    rows: Recent,
    /// How far back from the latest one rows are asked for.
    kept_ms: i64,
    /// Rows that start before were let go of.
    from: i64,
    /// There was no room for them: none are kept until this time.
    paused_until: i64,
    part: Part,
}

impl KeptRows {
    /// None if there shall be none.
    pub(super) fn new(kept_ms: i64, budget: &CacheBudget) -> Option<Self> {
        let (rows, from, paused_until) = (Recent::new(), i64::MIN, i64::MIN);
        (!budget.is_off()).then(|| Self { rows, kept_ms, from, paused_until, part: budget.part() })
    }

    /// Where a commit leaves a copy of what it writes; none while there is no room.
    pub(super) fn rows_mut(&mut self, observed: i64) -> Option<&mut Recent> {
        (observed >= self.paused_until).then_some(&mut self.rows)
    }

    pub(super) fn rows(&self) -> &Recent {
        &self.rows
    }

    /// Lets go of what is asked for no more, now and then, and of all if that is too much. Returns the latest start of
    /// what may be missing from now on, if that is more than before.
    pub(super) fn let_go(&mut self, observed: i64, start: impl Fn(&[u8]) -> i64) -> Option<i64> {
        if observed < self.paused_until {
            return Some(i64::MAX);
        }
        self.count();
        let from = observed.saturating_sub(self.kept_ms);
        // Each row is looked at about five times.
        let is_time = from.saturating_sub(self.from) > self.kept_ms / 4;
        let mut missing = None;
        if is_time || self.part.is_exceeded() {
            self.rows.retain(|local| start(local) >= from);
            self.from = from;
            missing = Some(from.saturating_sub(1));
        }
        self.count();
        if self.part.is_exceeded() {
            self.clear();
            self.paused_until = observed.saturating_add(self.kept_ms);
            return Some(i64::MAX);
        }
        missing
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.count();
    }

    fn count(&mut self) {
        self.part.replace(self.part.bytes(), self.rows.bytes());
    }
}
