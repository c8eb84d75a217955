//! The operators: one file each, with what it means, its method of the DSL, its node and its
//! tests. They do no I/O, read no clock and know no actor.

mod fault;
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
mod to_stream;

pub(crate) use fault::Faults;
pub use repartition::Repartitioned;
pub use split::{Branches, Split};
pub use stream::KStream;
pub use table::KTable;
