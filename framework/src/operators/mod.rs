//! The operators: one file each, with what it means, its method of the DSL, its node and its
//! tests. They do no I/O, read no clock and know no actor.

mod stream;
mod table;
mod group;
mod join;
mod window;
mod process;
mod asynchronous;
#[cfg(test)]
mod tests;

pub use asynchronous::Async;
pub use group::{CogroupedStream, KGroupedStream, KGroupedTable};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use join::any_message_of_a_foreign_join;
pub use join::{Joined, StreamJoined, TableJoined};
pub use process::{
    Context, Custom, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValue, Lru, Processor,
    Sessions, Store, StoreKind, Stores, Timestamped, Versioned, Window,
};
pub use stream::{
    And, InPlace, KStream, Outlet, Placed, Placing, Rekeyed, Repartitioned, Split, SunkStream,
};
pub use table::{Buffer, GlobalKTable, KTable, TransformContext, ValueTransformer};
pub use window::{WindowedCogroup, WindowedStream};
