//! The key-value store of processors.

mod iterator;
mod recency;
mod state;
mod handle;

pub use handle::KeyValueStore;
pub use iterator::KeyValueIterator;
pub(crate) use state::KeyValueSpec;
