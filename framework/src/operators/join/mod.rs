//! Joins: rows and records of one key meet.

mod options;
mod stream_row;
mod stream_table;
mod stream_global;
mod stream_table_grace;
mod stream_side;
mod stream_with_itself;
mod streams;
mod table_side;
mod tables;
mod foreign;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use foreign::any_message as any_message_of_a_foreign_join;
pub use options::{Joined, StreamJoined, TableJoined};
