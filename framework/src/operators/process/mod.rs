//! Processors of the user's own, with their stores and punctuations.

mod connected_store;
mod context;
mod process;
mod fixed_key;
mod process_values;

pub use connected_store::{KeyValue, Store, StoreKind, Stores, Window};
pub use context::{Context, FixedKeyContext};
pub use fixed_key::FixedKeyRecord;
pub use process::Processor;
pub use process_values::FixedKeyProcessor;
