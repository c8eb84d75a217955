//! Visits of users: what belongs together until half an hour passes without a line.

mod visit;
mod behaviour;

pub use behaviour::BehaviourMetric;
pub(super) use behaviour::{Behaviour, Over};
pub use visit::Session;
pub(super) use visit::{Visit, view_of};
