//! State of stream tasks: ordered stores over RocksDB and in memory, and the uncommitted writes
//! above them. It knows no Kafka and no actors.

mod error;

pub use error::{Error, Result};
