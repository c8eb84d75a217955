//! What is held back: changes of a table, found by key and given out by time, and records that wait for a table.

mod bytes;
mod first;
mod state;
mod waiting;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use bytes::any_held_change;
#[cfg(test)]
pub(crate) use state::Held;
pub(crate) use state::{BufferSpec, BufferStore};
pub(crate) use waiting::{WaitingSpec, WaitingStore};
