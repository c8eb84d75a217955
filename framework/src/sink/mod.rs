//! The way out: from typed records to bytes in a partition of a topic.

mod produced;
mod encoding;

pub(crate) use encoding::SinkDraft;
pub use produced::Produced;
