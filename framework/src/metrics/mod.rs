//! What is counted. Operators count in plain integers of their task; the host carries the sums to
//! the registry once per turn, so that no record pays for a shared counter.

mod drops;

pub use drops::DropReason;
pub(crate) use drops::Drops;
