//! Stores as operators and processors see them: typed, above the bytes of `millstream-state`.
//!
//! One file per layer. A write goes down, a read stops at the first layer that knows the key:
//!
//! ```text
//!   operator ──► TableStore ──► RecordCache ─┐ (flush: once per key and commit)
//!   processor ─► KeyValueStore / WindowStore ┼─► Changelog (each put, in order)
//!                                            └─► Dirty ── commit ──► Batch ──► TaskStores
//! ```
//!
//! | kind | made by | cached | changelog record |
//! |---|---|---|---|
//! | [`KeyValueStore`] | [`KeyValueSpec`] | no | value, time of the record in hand |
//! | [`WindowStore`] | [`WindowSpec`] | no | value, time of the record in hand |
//! | [`TableStore`] of any key | [`TableSpec`] | if wanted | value, time of the row |
//! | [`TableStore`] of `Windowed` keys | [`WindowTableSpec`] | if wanted | value, time of the row |
//!
//! All are shared inside one task as `Rc<RefCell<..>>` and never leave its thread. The commit of the
//! host is: `Node::flush` of all operators (which empties the record caches), producer and offsets,
//! then [`StateStore::drain`] of all stores into one batch, then `TaskStores::write`.

mod changelog;
mod codec;
mod expiry;
mod rows;
mod key_value;
mod window;
mod cache_budget;
mod cache;
mod table_keys;
mod table;
mod table_rows;
mod committed;
mod supplier;
mod materialized;

use std::any::Any;

use millstream_state::{Batch, StoreId};

pub(crate) use cache_budget::CacheBudget;
pub(crate) use changelog::Changelog;
pub(crate) use committed::Committed;
pub use committed::StoredEntry;
pub use key_value::{KeyValueIterator, KeyValueStore};
pub use materialized::Materialized;
#[cfg(test)]
pub(crate) use millstream_state::{Direction, WindowOrder};
pub(crate) use supplier::{
    KeyValueSpec, Serdes, StoreOptions, StorePlace, StoreSupplier, TableSpec, TaskStore,
    WindowSpec, WindowTableSpec, changelog_topic,
};
pub(crate) use table::{Outcome, Stamp, TableStore};
pub use window::{WindowIterator, WindowStore, WindowedIterator};

use crate::error::Result;
use crate::log::RawRecord;

/// What the host of a task needs of any store, whatever its types.
pub(crate) trait StateStore {
    /// Its name, unique in the topology.
    fn name(&self) -> &str;

    /// Its place among the stores of the task.
    fn id(&self) -> StoreId;

    /// Its changelog; none if it is not logged.
    fn changelog(&self) -> Option<&Changelog>;

    /// Takes over one record of the changelog: bytes to bytes, nothing is decoded. The batch may be
    /// written after any number of records; the offset in it is the host's business.
    ///
    /// # Errors
    /// `Fatal` for a key that no store of this kind wrote.
    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()>;

    /// Throws everything away, uncommitted or not, so that the store can be rebuilt from the start
    /// of its changelog: it knows nothing then, as a new one.
    ///
    /// # Errors
    /// When the local state fails, or is in use.
    fn clear(&mut self) -> Result<()>;

    /// Moves everything uncommitted into the batch; called once the commit is confirmed. The record
    /// cache was flushed through its operator before the outputs were.
    fn drain(&mut self, batch: &mut Batch);

    /// Lets go of what has expired; called after the batch was written.
    ///
    /// # Errors
    /// When the local state fails.
    fn drop_expired(&mut self) -> Result<()> {
        Ok(())
    }

    /// Forgets everything uncommitted, cached values included.
    fn rollback(&mut self);

    /// About how much memory uncommitted writes take, for `uncommitted_bytes_max`.
    fn uncommitted_bytes(&self) -> usize;

    /// About how much memory the record cache takes.
    fn cache_bytes(&self) -> usize {
        0
    }

    /// A `Committed<K, V>` of the store's own types: what it has committed, for questions from
    /// outside.
    fn committed(&self) -> Box<dyn Any>;

    /// How many puts were dropped as expired since the last call; the host counts them as
    /// `DropReason::Expired`.
    fn take_expired(&mut self) -> u64 {
        0
    }
}

#[cfg(test)]
pub(crate) mod tests;
