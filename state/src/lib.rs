//! State of stream tasks: ordered stores over RocksDB and in memory, the layouts of their keys, and
//! the uncommitted writes above them. It knows no Kafka and no actors.
//!
//! ```text
//!   typed store (framework) ── put ──► Dirty ── commit ──► Batch ── write ──► TaskStores
//!            ▲                           │                                     │
//!            └────── Merged ◄── snapshot ┴──────────────── Scan ◄──────────────┘
//! ```
//!
//! ```
//! use millstream_state::{Direction, Dirty, KeyRange, Merged, StoreId, StoreKind, StoreSpec, TaskStores};
//!
//! let spec = StoreSpec { name: "counts".into(), kind: StoreKind::KeyValue, in_memory: false };
//! let (counts, stores) = (StoreId(0), TaskStores::in_memory(&[spec]));
//! let mut dirty = Dirty::new();
//! dirty.put(b"key", 7_u8, &[7]);
//! // Uncommitted: the store does not have it, a merged read does.
//! assert_eq!(stores.get(counts, b"key")?, None);
//! let all = Merged::new(&dirty, &stores, counts, KeyRange::all(), Direction::Forward);
//! assert_eq!(all.count(), 1);
//! // The commit: data and offset in one batch.
//! let mut batch = stores.batch();
//! dirty.drain_into(&mut batch, counts);
//! batch.set_offset(counts, 42);
//! stores.write(batch)?;
//! assert_eq!(stores.get(counts, b"key")?, Some(vec![7]));
//! assert_eq!(stores.offset(counts), Some(42));
//! # Ok::<(), millstream_state::Error>(())
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
mod versioned;
mod dirty;
mod appended;
mod write;
mod note;
mod chunk;
mod memory;
mod rocks;
mod shared;
mod stores;
mod merged;
mod scan;
mod batch;

#[cfg(test)]
mod suite;

pub use appended::Appended;
pub use batch::Batch;
pub use dirty::{Dirty, DirtyEntry};
pub use error::{Error, Result};
pub use merged::{Found, Layers, Merged};
pub use range::{Direction, KeyRange};
pub use rocks::SharedResources;
pub use scan::Scan;
pub use segments::{Segments, WindowOrder};
pub use session::{SessionKey, SessionLayout};
pub use shared::SharedStore;
pub use spec::{StoreId, StoreKind, StoreSpec};
pub use stores::TaskStores;
pub use versioned::VersionLayout;
pub use window::{WindowKey, WindowLayout};
