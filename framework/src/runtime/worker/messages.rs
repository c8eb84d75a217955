//! What workers, tasks and the control thread tell each other. Who sends holds a `Recipient` of the
//! message, not the address of an actor.
//!
//! ```text
//!   control ── TakeOver, AssignTasks, RevokeTasks, StopWorker ──► worker
//!   worker  ── Advance, RestoreStep (to itself, later)
//!   worker  ── Retire ──► task          task ── CommitWanted, TaskFailed ──► worker
//!   queue   ── WakeUp ──► task          question ── Ask ──► task
//! ```

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use actix::Message;

use crate::error::{Error, Result};
use crate::log::{Member, PartitionQueue};
use crate::query::Question;
use crate::record::{TaskId, TopicPartition};
use crate::runtime::ownership::Revocation;
use crate::runtime::positions::StartPosition;
use crate::task::OwnedQueues;

/// A partition with its queue; the position is absent where it must be looked up.
pub(crate) type AssignedInput = (TopicPartition, Box<dyn PartitionQueue>, Option<StartPosition>);

/// Tasks to start.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AssignTasks {
    pub(crate) member: Arc<dyn Member>,
    /// Suspended tasks that are not among those are closed.
    pub(crate) tasks: Vec<(TaskId, Vec<AssignedInput>)>,
}

/// Tasks to stop; the group waits for the answer, which holds their queues.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RevokeTasks {
    pub(crate) tasks: Vec<TaskId>,
    /// If they are lost, nothing may be committed; each loss is counted.
    pub(crate) revocation: Revocation,
    pub(crate) answer: SyncSender<OwnedQueues>,
}

/// The producer is opened before the group is joined.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TakeOver {
    pub(crate) answer: SyncSender<Result<()>>,
}

/// The worker closes what it has and ends.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopWorker;

/// A task asks for a commit before it goes on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CommitWanted;

/// A task could not go on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TaskFailed {
    pub(crate) task: TaskId,
    pub(crate) error: Error,
}

/// Something may have become possible.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Advance;

/// More of the changelogs may be there.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct RestoreStep;

/// There may be something to process.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct WakeUp;

/// A wall-clock punctuation may be due.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Punctuate;

/// The task was taken away: the actor ends.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// A question, on its way to a task.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask(pub(crate) Question);
