//! State of stream tasks: ordered stores over RocksDB and in memory, the layouts of their keys, and
//! the uncommitted writes above them. It knows no Kafka and no actors.
//!
//! ```text
//!   typed store (framework) ── put ──► Dirty ── commit ──► Batch ── write ──► TaskStores
//!            ▲                           │                                     │
//!            └────── Merged ◄── snapshot ┴──────────────── Scan ◄──────────────┘
//! ```
//!
//! It is not: a cache (the record cache sits above [`Dirty`]), a serde (values are bytes below
//! [`Dirty`]), nor a place that may lose what it confirmed: data and changelog offsets of a task go
//! down in one atomic batch.

mod error;
mod range;
mod spec;
mod segments;
mod window;
mod session;
mod dirty;
mod merged;
mod batch;
mod stores;
mod scan;
mod memory;
mod rocks;

#[cfg(test)]
mod suite;

pub use batch::Batch;
pub use dirty::{Dirty, DirtyEntry};
pub use error::{Error, Result};
pub use merged::{Found, Merged};
pub use range::{Direction, KeyRange};
pub use rocks::SharedResources;
pub use scan::Scan;
pub use segments::{Segments, WindowOrder};
pub use session::{SessionKey, SessionLayout};
pub use spec::{StoreId, StoreKind, StoreSpec};
pub use stores::TaskStores;
pub use window::{WindowKey, WindowLayout};
