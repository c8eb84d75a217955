//! The way out: from typed records to bytes in a partition of a topic.

mod partitions;
mod produced;
mod encoding;

pub(crate) use encoding::Encoding;
pub use partitions::Partitions;
pub use produced::Produced;
pub(crate) use produced::{Destination, Partitioner};
