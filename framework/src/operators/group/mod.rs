//! Streams grouped by key, and what is made of the records of a key.

mod grouped;
mod aggregate;

pub(crate) use aggregate::{forward_held, settle, with_rows};
pub use grouped::KGroupedStream;
