//! The stores of tables: rows with timestamps, behind a record cache if wanted.

mod kept;
mod history;
mod rows;
mod table;
mod in_hand;
mod scan;
mod by_time;
mod versions;
mod plain;
mod windowed;
mod session;

pub(crate) use history::Placed;
#[cfg(test)]
pub(crate) use kept::Held;
pub(crate) use kept::{Outcome, Stamp};
pub(crate) use plain::TableSpec;
pub(crate) use scan::TableRows;
pub(crate) use session::SessionTableSpec;
pub(crate) use table::TableStore;
pub(crate) use windowed::WindowTableSpec;
