//! Tables: the handle, its rows, the way in from topics and streams and the way back to a stream.

mod kept;
mod view;
mod handle;
mod source;
mod global;
mod to_table;
mod filter;
mod map_values;
mod transform_values;
mod materialized;
mod suppress;
mod to_stream;

pub use global::GlobalKTable;
pub use handle::KTable;
pub(crate) use kept::{EXPIRED, Kept, OLDER, Rows, expired, forward_held, settle};
pub use suppress::Buffer;
pub use transform_values::{TransformContext, ValueTransformer};
pub(crate) use view::{Lookup, View};
