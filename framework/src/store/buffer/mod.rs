//! Changes of a table that are held back: found by key, given out by time.

mod bytes;
mod state;

#[cfg(test)]
pub(crate) use state::Held;
pub(crate) use state::{BufferSpec, BufferStore};
