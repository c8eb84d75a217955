//! Tables: the handle, and the way back to a stream.

mod handle;
mod to_stream;

pub use handle::KTable;
