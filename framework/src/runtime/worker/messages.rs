//! What workers, tasks and the control thread tell each other. Who sends holds a `Recipient` of the
//! message, not the address of an actor.
//!
//! ```text
//!   control ── TakeOver, AssignTasks, RevokeTasks, StopWorker ──► worker
//!   worker  ── RestoreStep (to itself, when the tasks had their turn)
//!   worker  ── Retire ──► task          task ── CommitWanted, TaskFailed ──► worker
//!   queue   ── WakeUp ──► task          question ── Ask ──► task
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};

use actix::{Message, Recipient};

use crate::error::{Error, Result};
use crate::log::Member;
use crate::query::Question;
use crate::record::TaskId;
use crate::runtime::owned::{OwnedPartition, TaskInputs};
use crate::runtime::ownership::{Revocation, RevocationId};

/// Tasks to start.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AssignTasks {
    pub(crate) member: Arc<dyn Member>,
    /// Suspended tasks that are not among those are closed.
    pub(crate) tasks: Vec<TaskInputs>,
}

/// Tasks to stop; the group waits for the answer, which holds their queues.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RevokeTasks {
    pub(crate) tasks: Vec<TaskId>,
    /// If they are lost, nothing may be committed; each loss is counted.
    pub(crate) revocation: Revocation,
    pub(crate) answer: AnswerTo,
}

/// What came of a revocation.
pub(crate) struct Answer {
    pub(crate) to: RevocationId,
    /// The queues of the tasks that stopped; `None` if the worker ended before it could answer.
    pub(crate) queues: Option<Vec<OwnedPartition>>,
}

/// The way back of an answer. One that is dropped says that there will be none.
pub(crate) struct AnswerTo {
    to: RevocationId,
    answers: Sender<Answer>,
    is_sent: bool,
}

impl AnswerTo {
    pub(crate) fn new(to: RevocationId, answers: Sender<Answer>) -> Self {
        Self { to, answers, is_sent: false }
    }

    /// Gives the queues back; false if the control thread is gone.
    pub(crate) fn send(mut self, queues: Vec<OwnedPartition>) -> bool {
        self.is_sent = true;
        self.answers.send(Answer { to: self.to, queues: Some(queues) }).is_ok()
    }
}

impl Drop for AnswerTo {
    fn drop(&mut self) {
        if !self.is_sent {
            // Nobody is left to be told when the instance ends.
            let _ = self.answers.send(Answer { to: self.to, queues: None });
        }
    }
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

/// Where a worker takes what the control thread tells it.
#[derive(Clone, Debug)]
pub(crate) struct WorkerMailbox {
    pub(crate) assign: Recipient<AssignTasks>,
    pub(crate) revoke: Recipient<RevokeTasks>,
    pub(crate) take_over: Recipient<TakeOver>,
}
