//! The producer that the tasks of a worker share: partitions, refusals, dead letters. It knows no operator.

mod collector;
mod counts;
mod partitioner;
mod refusals;
mod dead_letter;
mod row_in_hand;

pub(crate) use collector::{Collector, SinkTopic, Target, WorkerProducer};
pub(crate) use counts::SinkCounts;
pub(crate) use dead_letter::DeadLetter;
pub use partitioner::murmur2_partition;
pub(crate) use refusals::Refusals;
pub(crate) use row_in_hand::{HandsOnRows, RowInHand, Written};
