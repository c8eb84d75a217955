//! The record cache of tables, and what the caches of a worker share.

mod budget;
mod cache;

pub(crate) use budget::CacheBudget;
pub(super) use budget::Part;
pub(super) use cache::{Below, Entry, RecordCache, Room, Slot};
