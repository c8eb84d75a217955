//! The contract of operators: what one is, what it sees of its task, and what it may do.

mod operator;
mod source_node;
mod future;
mod origin;
mod context;
mod notices;
mod faults;
mod punctuation;

pub(crate) use context::TaskContext;
pub(crate) use faults::Faults;
pub(crate) use future::FuturePool;
pub(crate) use operator::{Children, Link, NamedNode, Node, Operator};
pub(crate) use origin::HeldOrigin;
pub use punctuation::{PunctuationType, Schedule};
pub(crate) use source_node::SourceNode;
