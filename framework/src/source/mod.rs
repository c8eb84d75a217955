//! The way in: from bytes in a partition to typed records with a timestamp.

mod consumed;
mod decoding;

pub use consumed::Consumed;
pub(crate) use consumed::Reading;
pub(crate) use decoding::SourceDraft;

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Result;
use crate::log::RawRecord;
use crate::record::Timestamp;
use crate::task::TaskContext;

/// What to do with a record that cannot be read or processed. There is no silent choice: each
/// dropped record is counted by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Stop with an error that names the record: the default.
    #[default]
    Fail,
    /// Drop it, log it, count it.
    Skip,
    /// Send its original bytes to this topic, with Java's `__streams.errors.*` headers.
    DeadLetter(Cow<'static, str>),
}

impl OnError {
    /// To this topic.
    pub fn dead_letter(topic: impl Into<Cow<'static, str>>) -> Self {
        Self::DeadLetter(topic.into())
    }
}

/// Where to begin in a partition for which the group has no committed position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that is still there: the default, as in Kafka Streams.
    #[default]
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
    /// At the first record not older than this, counted back from now.
    Ago(Duration),
    /// Nowhere: an error that names the partition.
    Fail,
}

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
