//! A task: one sub-topology on one partition. It picks the oldest record among its inputs, sends
//! it down the fused chain of operators, and owns their state.

mod context;
mod operator;
mod punctuation;
mod record_time;

pub(crate) use context::TaskContext;
pub use context::{Source, TaskId};
pub(crate) use operator::{Children, Link, Node, Operator};
pub use punctuation::{Clock, Schedule};
pub(crate) use record_time::RecordTime;
