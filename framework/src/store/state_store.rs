//! What the host of a task needs of any store.

use std::any::Any;

use millstream_state::{Batch, StoreId};

use crate::error::Result;
use crate::log::RawRecord;
use crate::store::changelog::Changelog;
use crate::store::source_topic::SourceTopic;

/// What the host of a task needs of any store, whatever its types.
pub(crate) trait StateStore {
    /// Its name, unique in the topology.
    fn name(&self) -> &str;

    /// Its place among the stores of the task.
    fn id(&self) -> StoreId;

    /// Its changelog; none if it is not logged.
    fn changelog(&self) -> Option<&Changelog>;

    /// The topic that it is restored from instead of a changelog, if it is.
    fn source(&self) -> Option<&SourceTopic> {
        None
    }

    /// Takes over one record of the changelog: bytes to bytes, nothing is decoded. The batch may be
    /// written after any number of records; the offset in it is the host's business.
    ///
    /// # Errors
    /// `Fatal` for a key that no store of this kind wrote.
    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()>;

    /// Called after the last [`Self::restore`] of a batch, before it is written: what goes into it beside the records.
    fn restored(&mut self, _batch: &mut Batch) {}

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
