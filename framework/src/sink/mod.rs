//! The way out: from typed records to bytes in a partition of a topic.

mod collector;
mod dead_letter;
mod partitioner;

pub(crate) use collector::{Collector, SinkTopic, Target, WorkerProducer};
pub(crate) use dead_letter::DeadLetter;
pub use partitioner::murmur2_partition;
