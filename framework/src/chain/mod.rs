//! The contract of operators: what one is, what it sees of its task, and what it may do.

mod operator;
mod source_node;
mod future;
mod origin;
mod context;
mod notices;
mod faults;
mod punctuation;
mod meter_board;
mod meters;

pub(crate) use context::TaskContext;
pub(crate) use faults::Faults;
pub(crate) use future::{FuturePool, Signal};
pub(crate) use meter_board::MeterBoard;
pub(crate) use meters::Meters;
pub use meters::{Counter, Gauge, Histogram, OwnMetrics};
pub(crate) use operator::{Children, Link, NamedNode, Node, Operator};
pub(crate) use origin::HeldOrigin;
pub use punctuation::{PunctuationType, Schedule};
pub(crate) use source_node::SourceNode;
