//! Millstream: Kafka Streams for Rust.
//!
//! The modules stand in the order in which a record meets them.

mod error;
pub mod record;
pub mod serde;
pub mod log;
mod source;
mod task;
mod store;
mod sink;
mod metrics;

pub use error::{BoxError, Error, Reaction, Result};
pub use metrics::DropReason;
pub use sink::murmur2_partition;
pub use source::{OnError, Reset};
pub use store::{
    KeyValueIterator, KeyValueStore, WindowIterator, WindowStore, WindowedIterator,
};
pub use task::{Clock, Schedule, Source, TaskId};
