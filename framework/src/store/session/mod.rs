//! The session store of processors.

mod iterator;
mod state;
mod handle;

pub use handle::SessionStore;
pub use iterator::SessionIterator;
pub(crate) use state::SessionSpec;
