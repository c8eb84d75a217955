//! The window store of processors.

mod kept_rows;
mod iterators;
mod state;
mod handle;

pub use handle::WindowStore;
pub use iterators::{WindowIterator, WindowedIterator};
pub(crate) use state::{WindowSpec, WindowState};
