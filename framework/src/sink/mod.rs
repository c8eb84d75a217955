//! The way out: from typed records to bytes in a partition of a topic.

mod collector;
mod counts;
mod dead_letter;
mod partitioner;
mod produced;
mod refusals;
mod encoding;

pub(crate) use collector::{Collector, SinkTopic, Target, WorkerProducer};
pub(crate) use counts::SinkCounts;
pub(crate) use dead_letter::DeadLetter;
pub(crate) use encoding::SinkDraft;
pub use partitioner::murmur2_partition;
pub use produced::Produced;
pub(crate) use refusals::Refusals;
