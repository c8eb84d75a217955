//! Millstream: Kafka Streams for Rust.
//!
//! The modules stand in the order in which a record meets them.

mod error;
pub mod record;
pub mod log;

pub use error::{BoxError, Error, Reaction, Result};
