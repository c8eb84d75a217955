//! Processors of the user's own, with their stores and punctuations.

mod connected_store;
mod store_kinds;
mod global_store;
mod context;
mod process;
mod fixed_key;
mod process_values;

pub(crate) use connected_store::Connection;
pub use connected_store::{Store, StoreKind, Stores};
pub use context::{Context, FixedKeyContext};
pub use fixed_key::FixedKeyRecord;
pub use process::Processor;
pub use process_values::FixedKeyProcessor;
pub use store_kinds::{Custom, KeyValue, Lru, Sessions, Timestamped, Versioned, Window};
