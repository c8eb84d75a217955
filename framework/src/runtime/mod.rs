//! The threads and actors that run a topology: workers with their tasks, the control thread of
//! the group, commit, abort, restore.

mod clock;
mod stop;
mod board;
mod instance;
mod state_dir;
mod cleaning;
mod assignment;
mod positions;
mod partition_counts;
mod internal_topics;
mod grown;
mod reset;
mod build;
mod restore;
mod task_actor;
mod questions;
mod worker;
mod failing;
mod ownership;
mod late;
mod starting;
mod commit;
mod listener;
mod control;
mod connect;
mod probe;
mod stall;
mod watch;
mod signals;
mod streams;
#[cfg(test)]
mod tests;

pub use board::StreamsState;
pub use instance::CommitStep;
pub use reset::{ResetOffsets, ResetPlan};
pub use streams::{Streams, StreamsOptions};
