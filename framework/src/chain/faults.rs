//! What a node does with a record that its closure or a serde refuses: the policy it was given.

use std::fmt;
use std::sync::Arc;

use crate::chain::context::TaskContext;
use crate::collector::Written;
use crate::error::{BoxError, Error, PolicyAt, Reaction, Result, excerpt};
use crate::log::RawRecord;
use crate::policy::{DropReason, OnError};

/// The name and the policies of one node.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    node: Arc<str>,
    policy: OnError,
    /// For records that have no place here.
    drops: OnError,
    /// Where the user says the policy.
    policy_at: PolicyAt,
}

impl Faults {
    pub(crate) fn new(
        node: Arc<str>,
        policy: OnError,
        drops: OnError,
        policy_at: PolicyAt,
    ) -> Self {
        Self { node, policy, drops, policy_at }
    }

    /// The name of the node.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Drops the record in hand, which has no place here: by the policy for that, which only counts it unless it is
    /// said otherwise.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail, or to send a letter about a record of which there are no bytes.
    #[cold]
    pub(crate) fn dropped(
        &self,
        reason: DropReason,
        ctx: &mut TaskContext,
        why: fmt::Arguments<'_>,
    ) -> Result<()> {
        ctx.drop_record((&self.node, &self.drops), reason, why, None)
    }

    /// As [`Self::dropped`], by a node that can write the record: one that came from nowhere, as from a punctuation,
    /// is a dead letter too.
    ///
    /// # Errors
    /// As [`Self::dropped`].
    #[cold]
    pub(crate) fn dropped_record(
        &self,
        reason: DropReason,
        ctx: &mut TaskContext,
        why: fmt::Arguments<'_>,
        written: &dyn Fn() -> Written,
    ) -> Result<()> {
        ctx.drop_record((&self.node, &self.drops), reason, why, Some(written))
    }

    /// Applies the policy to the record in hand.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail.
    #[cold]
    pub(crate) fn apply(
        &self,
        reason: DropReason,
        error: BoxError,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        self.advised(ctx.fault(&self.policy, &self.node, reason, error))
    }

    /// Applies the policy to an output that its topic refuses.
    ///
    /// # Errors
    /// `BadRecord` if the policy is to fail.
    #[cold]
    pub(crate) fn refused(
        &self,
        error: BoxError,
        output: &RawRecord<'_>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        self.advised(ctx.refused(&self.policy, &self.node, error, output))
    }

    /// An error that there is since nobody said a policy says where that is done.
    fn advised(&self, mut result: Result<()>) -> Result<()> {
        if let (OnError::Fail, Err(Error::BadRecord { policy_at, .. })) =
            (&self.policy, &mut result)
        {
            *policy_at = Some(self.policy_at);
        }
        result
    }

    /// As [`Self::apply`], for an error out of user code that may have come from below: a failure
    /// of the state or of the log is nobody's policy and goes on up.
    ///
    /// # Errors
    /// Whatever is not about this record, and `BadRecord` if the policy is to fail.
    #[cold]
    pub(crate) fn apply_or_pass(&self, error: BoxError, ctx: &mut TaskContext) -> Result<()> {
        let error = match error.downcast::<Error>() {
            Ok(ours) if ours.reaction() != Reaction::Skip => return Err(*ours),
            Ok(ours) => ours as BoxError,
            Err(theirs) => theirs,
        };
        self.apply(DropReason::Failed, error, ctx)
    }

    /// As [`Self::apply`], for a row that its store cannot write; another failure goes on up.
    ///
    /// # Errors
    /// Whatever is not about this row, and `BadRecord` if the policy is to fail.
    #[cold]
    pub(crate) fn apply_to_row(&self, error: Error, ctx: &mut TaskContext) -> Result<()> {
        match error {
            Error::Unwritable { .. } => self.apply(DropReason::Failed, error.into(), ctx),
            other => Err(other),
        }
    }

    /// An error that no policy can skip, since there is no record.
    #[cold]
    pub(crate) fn fatal(&self, what: &str, error: &BoxError) -> Error {
        Error::Fatal { what: format!("{what} of {}", self.node), reason: excerpt(error) }
    }
}
