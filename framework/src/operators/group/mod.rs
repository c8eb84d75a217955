//! Streams grouped by key, and what is made of the records of a key.

mod grouped;
mod aggregate;
mod cogroup;
mod grouped_table;

pub(crate) use aggregate::First;
pub use cogroup::CogroupedStream;
pub(crate) use cogroup::RowsOf;
pub use grouped::KGroupedStream;
pub use grouped_table::KGroupedTable;
