//! What is decided by the user where something goes wrong, and how what is dropped is counted.

mod on_error;
mod reset;
mod drops;

pub(crate) use drops::{DropCounter, Dropped, Drops, RecordDropped};
pub use drops::{DropCounts, DropReason};
pub use on_error::OnError;
pub use reset::Reset;
