//! The threads and actors that run a topology: workers with their tasks, the control thread of
//! the group, commit, abort, restore, the thread that reads global tables.

mod clock;
mod settings;
mod commit_step;
mod stop;
mod board;
mod instance;
mod state_dir;
mod belonging;
mod cleaning;
mod task_plan;
mod positions;
mod partition_counts;
mod internal_topics;
mod reset;
mod ownership;
mod owned;
mod running_tasks;
mod questions;
mod worker;
mod global;
mod group;
mod connect;
mod probe;
mod stall;
mod watch;
mod signals;
mod streams;
#[cfg(test)]
mod tests;

pub use board::StreamsState;
pub use commit_step::CommitStep;
pub use reset::{ResetOffsets, ResetPlan};
pub use streams::{Streams, StreamsOptions};
