//! Typed clients of a log, for programs and tests around a topology: they write what it reads, and
//! read what it writes.
//!
//! They work on each of the three logs: Kafka and the embedded one (what [`StreamsConfig::connect`]
//! returns), and the memory log. Bytes and partitions are those of a topology's own sources and
//! sinks: the types know their serdes, keys choose partitions as Kafka's Java clients do.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use millstream::client::{Consumer, Producer};
//! use millstream::log::memory::MemoryLog;
//! use millstream::log::{Log, NewTopic};
//! use millstream::record::{Record, Timestamp};
//!
//! # fn main() -> millstream::Result<()> {
//! let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
//! log.create(&[NewTopic::new("stock", 2)])?;
//!
//! let mut producer = Producer::<String, i64>::open(&log, "stock")?;
//! producer.send(Record::new("apples".to_owned(), 12, Timestamp(1_000)))?;
//! producer.close()?;
//!
//! let mut consumer = Consumer::<String, i64>::open(&log, "stock")?;
//! let found = consumer.poll(Duration::from_secs(10))?;
//! assert_eq!(found.len(), 1);
//! assert_eq!((found[0].record.key.as_str(), found[0].record.value), ("apples", 12));
//! # Ok(())
//! # }
//! ```
//!
//! They are in no group and in no transaction: what has to be done once for each record, or goes on
//! where it stopped, is the work of a topology.
//!
//! [`StreamsConfig::connect`]: crate::StreamsConfig::connect

mod assignment;
mod consumer;
mod producer;

pub use assignment::Assignment;
pub use consumer::{Consumer, ConsumerRecord};
pub use producer::Producer;
