//! The operators: one file each, with what it means, its method of the DSL, its node and its
//! tests. They do no I/O, read no clock and know no actor.

mod stream;
mod table;

mod filter;
mod non_null;
mod map;
mod map_values;
mod flat_map;
mod flat_map_values;
mod select_key;
mod peek;
mod for_each;
mod merge;
mod split;
mod repartition;
mod grouped;
mod aggregate;
mod windowed_by;
mod windowed_aggregate;
mod to_stream;
mod connected_store;
mod context;
mod process;
mod fixed_key;
mod process_values;

pub use connected_store::{KeyValue, Store, StoreKind, Stores, Window};
pub use context::{Context, FixedKeyContext};
pub use fixed_key::FixedKeyRecord;
pub use grouped::KGroupedStream;
pub use process::Processor;
pub use process_values::FixedKeyProcessor;
pub use repartition::Repartitioned;
pub use split::{Branches, Split};
pub use stream::KStream;
pub use table::KTable;
pub use windowed_by::WindowedStream;
