//! Groups cut by time, and what is made of the records of a key in a window.

mod windowed_by;
mod time;

pub use windowed_by::WindowedStream;
