//! A worker: the thread on which tasks run, and the unit of commit and of abort.

mod messages;
mod task_cell;
pub(super) mod failure;
pub(super) mod machine;
mod restore;
mod build;
mod worker;
mod task_actor;
mod starting;
mod settling;
mod commit;
mod report;

pub(super) use messages::{
    Answer, AnswerTo, Ask, AssignTasks, RevokeTasks, StopWorker, TakeOver, WorkerMailbox,
};
pub(super) use restore::Freshness;
pub(super) use worker::Worker;
