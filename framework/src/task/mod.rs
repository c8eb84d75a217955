//! A task: one sub-topology on one partition. It picks the oldest record among its inputs, sends
//! it down the fused chain of operators, and owns their state.

mod care;
mod idle;
mod input;
mod life;
mod pace;
mod progress;
mod turn;
mod running;
mod uncommitted;

pub(crate) use input::Input;
pub use life::TaskState;
pub(crate) use progress::Progress;
pub(crate) use running::{OpenStores, OwnedQueues, Task, TaskLimits};
pub(crate) use turn::{Rest, Turn, TurnLimits};
pub(crate) use uncommitted::UncommittedBudget;
