//! What comes in and what goes out.

use std::time::Duration;

use crate::error::Error;
use crate::record::TaskId;
use crate::runtime::settings::Backoff;
use crate::runtime::worker::failure::Failure;
use crate::task::TaskState;

/// What happened: the first ones are told to the worker, the others came of an action.
#[derive(Debug)]
pub(crate) enum Event {
    /// The producer is to be opened before the group is joined.
    TakeOver,
    /// Tasks came; suspended ones that are not among them stay away.
    Assign(Vec<TaskId>),
    /// Tasks are to stop; the control thread waits for the answer.
    Revoke { tasks: Vec<TaskId>, lost: bool },
    /// It is time for a commit, or a task wants one.
    CommitDue,
    /// A task could not go on.
    TaskFailed(Failure),
    /// What `Action::PlanAdvance` asked for.
    Advance,
    /// What `Action::PlanRestoreStep` asked for.
    RestoreStep,
    /// A second went by.
    Measured,
    /// The worker is to end, and to wait for the broker until then.
    Stop { by: Duration },
    /// What `Action::PlanEnd` asked for.
    EndAgain,

    /// The action was done.
    Done,
    /// It was not.
    Failed(Failure),
    /// Whether there is something to commit.
    Work(bool),
    /// Futures are on their way.
    InFlight,
    /// A task was built; some of its state may have to be restored first.
    Built { restores: bool },
    /// These have all their state.
    Restored(Vec<TaskId>),
    /// Whether a task that was stopped still has stores open.
    Suspended { open: bool },
    /// Whether a revocation was answered in time.
    Answered { in_time: bool },
}

/// What is to be done, in this order. After one that waits comes its outcome.
#[derive(Debug)]
pub(crate) enum Action {
    /// Waits: open the producer, and end what predecessors left open.
    TakeOver,
    /// Answers the control thread.
    TookOver(Result<(), Error>),

    /// Waits for `Work`: is there something to commit?
    Look,
    /// Waits, for `InFlight` if there are some: no record comes in where futures are on their way. If it is
    /// to block, it blocks until they are done or the time for it is over.
    Settle { block: bool },
    /// Waits, for `InFlight` too: flush caches through the operators of all running tasks.
    Flush,
    /// Waits until everything sent is acknowledged.
    Acknowledge,
    /// Waits: take the member's generation, to send offsets with.
    Generation,
    /// Waits: make the positions part of the transaction.
    SendOffsets,
    /// Waits: end the transaction.
    EndTransaction,
    /// Waits: commit the positions to the group.
    CommitOffsets,
    /// Waits: take what is committed over into the local stores.
    Apply,
    /// All is committed. Delete what was consumed of repartition topics, if it is time.
    Committed { purge: bool },
    /// There was nothing to commit: wishes for a commit are fulfilled.
    NothingToCommit,
    /// Let every task look for records.
    Wake,

    /// Waits: open the producer.
    OpenProducer,
    /// Drop the producer as it is; the next one fences it.
    DropProducer,
    /// Waits: abort the producer's transaction, and drop it.
    AbortTransaction,
    /// Waits: look up the positions of waiting tasks that have none.
    LookUpPositions,
    /// Waits for `Built`: build a waiting task. One that cannot be built stays as it is.
    Build(TaskId),
    /// Waits: let a built task begin. One that cannot begin waits again.
    Run(TaskId),
    /// Waits for `Restored`: read more of the changelogs.
    Restore,
    /// Throw away all of a task but its stores and queues.
    Reset(TaskId),
    /// Take an assigned task in.
    Host(TaskId),
    /// Waits for `Suspended`: end a task but keep its stores open; its queues go back.
    Suspend(TaskId),
    /// Waits: close the stores of a suspended task.
    Close(TaskId),
    /// Waits for `Answered`: answer the revocation.
    Answer,
    /// Tell the state of a task.
    State(TaskId, TaskState),

    /// All assigned tasks have started, or restore.
    Started,
    /// Some cannot start yet.
    NotStarted { error: Error, wait: Duration },
    /// State cannot be restored yet.
    NotRestored { error: Error, wait: Duration },
    /// Everything since the last commit is dropped. Without a wait nothing starts again.
    Aborted { error: Error, wait: Option<Duration>, replaces: Option<TaskId> },
    /// The instance ends with this.
    Fail(Error),
    /// A transaction stays open until its time-out.
    LeftOpen(Error),
    /// Come back with `Advance` after so long.
    PlanAdvance(Duration),
    /// Come back with `RestoreStep` when the tasks had their turn.
    PlanRestoreStep,
    /// Come back with `EndAgain` after so long.
    PlanEnd(Duration),
    /// The worker has ended.
    Ended,
}

/// What the host sees when an event comes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// On the clock that never goes back.
    pub(crate) now: Duration,
    /// How often partitions were taken from the worker without its consent.
    pub(crate) losses: u64,
    /// A task failed; the message that says why may be on its way.
    pub(crate) task_failed: bool,
    /// The producer has a transaction open.
    pub(crate) in_transaction: bool,
    /// The instance stops: what is dropped now does not start again.
    pub(crate) stops: bool,
}

/// How a worker decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerRules {
    pub(crate) exactly_once: bool,
    pub(crate) replace_failed_tasks: bool,
    pub(crate) backoff: Backoff,
    pub(crate) purge_interval: Duration,
    /// How long a commit waits for futures.
    pub(crate) commit_wait_max: Duration,
    /// Sources read what matches a pattern: a topic that is gone leaves by itself.
    pub(crate) topics_may_go: bool,
}
