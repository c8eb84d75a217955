//! Groups cut by time, and what is made of the records of a key in a window.

mod windowed_by;
mod closing;
mod time;
mod session;
mod sliding;
mod cogroup;

pub use cogroup::WindowedCogroup;
pub(crate) use session::{Merge, SessionRows, add_sessions};
pub(crate) use sliding::add_sliding;
pub(crate) use time::add_windowed;
pub use windowed_by::WindowedStream;
pub(crate) use windowed_by::adding;
