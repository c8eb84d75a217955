//! The way out: from typed records to bytes in a partition of a topic.

mod produced;
mod encoding;

pub(crate) use encoding::Encoding;
pub(crate) use produced::Destination;
pub use produced::Produced;
