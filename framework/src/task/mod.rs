//! A task: one sub-topology on one partition. It picks the oldest record among its inputs, sends
//! it down the fused chain of operators, and owns their state.

mod care;
mod context;
mod input;
mod life;
mod notices;
mod operator;
mod pace;
mod progress;
mod punctuation;
mod record_time;
mod running;
mod uncommitted;

pub(crate) use context::{HeldRows, TaskContext};
pub use context::{Source, TaskId};
pub(crate) use input::Input;
pub use life::TaskState;
pub(crate) use operator::{Children, Link, Node, Operator};
pub(crate) use progress::Progress;
pub use punctuation::{Clock, Schedule};
pub(crate) use record_time::RecordTime;
pub(crate) use running::{NamedNode, OwnedQueues, Rest, Task, TaskLimits, Turn, TurnLimits};
pub(crate) use uncommitted::UncommittedBudget;
