//! Groups cut by time, and what is made of the records of a key in a window.

mod windowed_by;
mod closing;
mod time;
mod session;
mod sliding;

pub(crate) use time::add_windowed;
pub use windowed_by::WindowedStream;
pub(crate) use windowed_by::{closing, window_store};
