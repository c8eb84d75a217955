//! Runs a topology without a broker, record by record: for tests of topologies.
//!
//! ```
//! use millstream::record::{Record, Timestamp};
//! use millstream::testing::TopologyDriver;
//! use millstream::StreamsBuilder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let builder = StreamsBuilder::new();
//! builder.stream::<String, String>("names").group_by_key().count("counts").updates().to("out");
//!
//! let mut driver = TopologyDriver::new(&builder.build()?)?;
//! driver.pipe("names", &Record::new("a".to_owned(), "Ada".to_owned(), Timestamp(7)))?;
//! let counted = driver.read::<String, i64>("out")?;
//! assert_eq!(counted, [Record::new("a".to_owned(), 1, Timestamp(7))]);
//! # Ok(())
//! # }
//! ```

mod driver;
mod driver_counts;
mod driver_outputs;
mod driver_stores;
mod driver_topics;
mod queue;

pub use driver::{DriverOptions, TopologyDriver};

use crate::record::{Record, Timestamp};

/// A record of text, as many tests of topologies pipe and expect it; `at` in milliseconds since the epoch.
///
/// ```
/// use millstream::record::{Record, Timestamp};
/// let record = millstream::testing::text("key", "value", 7);
/// assert_eq!(record, Record::new("key".to_owned(), "value".to_owned(), Timestamp(7)));
/// ```
pub fn text(key: &str, value: &str, at: i64) -> Record<String, String> {
    Record::new(key.to_owned(), value.to_owned(), Timestamp(at))
}
