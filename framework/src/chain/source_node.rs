//! What a task asks of its sources.

use crate::chain::context::TaskContext;
use crate::error::Result;
use crate::log::RawRecord;
use crate::record::Timestamp;

/// A source of one task: decodes the records of one topic and sends them into the chain.
///
/// The host loads the next record of each input to compare timestamps, and fires the oldest.
pub(crate) trait SourceNode {
    /// Decodes a record, extracts its timestamp and keeps it. `None`: it was dropped (and counted)
    /// by policy or for its timestamp. The context already names the record as the one in hand.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail.
    fn load(
        &mut self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<Option<Timestamp>>;

    /// Sends the loaded record down the chain.
    ///
    /// # Errors
    /// Whatever an operator could not cope with.
    fn fire(&mut self, ctx: &mut TaskContext) -> Result<()>;
}
