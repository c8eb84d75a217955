//! When the windows (or sessions) of one store expire: Kafka Streams' rules over the times it has seen.
//!
//! The observed time is the largest start (of sessions: end) that was ever put. A put whose whole segment is past the
//! retention is dropped and counted; reads are cut to the millisecond.

use millstream_state::{Batch, StoreId, TaskStores};

use crate::error::Result;
use crate::store::layout::Layout;

/// The observed time of one window store and what follows from it.
#[derive(Debug)]
pub(crate) struct Expiry {
    layout: Layout,
    /// -1 before the first put.
    observed: i64,
    /// What the stores know of it; rollback returns to this.
    noted: i64,
    /// No row below the record cache starts later.
    written: i64,
    /// No committed row starts later.
    committed: i64,
    dropped: u64,
}

impl Expiry {
    pub(crate) fn new(layout: Layout, stores: &TaskStores, id: StoreId) -> Self {
        let observed = stores.observed(id).unwrap_or(-1);
        // What is on disk was observed in the batch that wrote it.
        let (noted, written, committed) = (observed, observed, observed);
        Self { layout, observed, noted, written, committed, dropped: 0 }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes note of a put; false, and counted, if its window has expired.
    #[inline]
    pub(crate) fn admits(&mut self, start: i64) -> bool {
        let admitted = self.sees(start);
        self.dropped += u64::from(!admitted);
        admitted
    }

    /// The part of `[from, to]` that can be read.
    pub(crate) fn clamp(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        self.layout.segments().clamp(from, to, self.observed)
    }

    /// Whether a window can be read.
    #[inline]
    pub(crate) fn shows(&self, start: i64) -> bool {
        self.clamp(start, start).is_some()
    }

    /// Takes note of a row that goes below the record cache.
    #[inline]
    pub(crate) fn wrote(&mut self, start: i64) {
        self.written = self.written.max(start);
    }

    /// False if there is surely no row below the record cache for a window that starts then: most
    /// windows are opened and filled between two commits, and need not be looked for.
    #[inline]
    pub(crate) fn may_hold(&self, start: i64) -> bool {
        start <= self.written
    }

    /// False if no row that starts then or later is committed: a range of such need not be looked for in the stores.
    #[inline]
    pub(crate) fn may_be_committed(&self, start: i64) -> bool {
        start <= self.committed
    }

    /// The largest start that was ever put.
    pub(crate) fn observed(&self) -> i64 {
        self.observed
    }

    /// Takes note of a record of the changelog; false if its window has expired.
    pub(crate) fn restores(&mut self, start: i64, batch: &mut Batch, id: StoreId) -> bool {
        let kept = self.sees(start);
        self.wrote(start);
        self.note(batch, id);
        kept
    }

    /// Writes the observed time down, if it has moved: all that was written is in this batch or before it.
    pub(crate) fn note(&mut self, batch: &mut Batch, id: StoreId) {
        self.committed = self.written;
        if self.observed > self.noted {
            batch.set_observed(id, self.observed);
            self.noted = self.observed;
        }
    }

    /// Lets the stores drop what has expired.
    pub(crate) fn drop_expired(&self, stores: &TaskStores, id: StoreId) -> Result<()> {
        Ok(stores.drop_expired(id, self.observed)?)
    }

    /// Returns to the time of the last commit.
    pub(crate) fn rollback(&mut self) {
        self.observed = self.noted;
    }

    /// Begins anew, with stores that know no time any more.
    pub(crate) fn clear(&mut self) {
        (self.observed, self.noted) = (-1, -1);
        (self.written, self.committed) = (-1, -1);
    }

    /// The last put that was dropped is counted by who made it.
    pub(crate) fn told(&mut self) {
        self.dropped = self.dropped.saturating_sub(1);
    }

    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    #[inline]
    fn sees(&mut self, start: i64) -> bool {
        self.observed = self.observed.max(start);
        self.layout.segments().accepts(start, self.observed)
    }
}
