//! Streams: the handle, the source and the sink of a stream, and what needs no state.

mod placed;
mod handle;
mod source;
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
mod to;
mod outlet;

pub use handle::KStream;
pub(crate) use merge::Pass;
pub use outlet::{Outlet, SunkStream};
pub use placed::{And, InPlace, Placed, Placing, Rekeyed};
pub use repartition::Repartitioned;
pub(crate) use repartition::through_topic;
pub(crate) use source::SourceDraft;
pub use split::Split;
pub(crate) use to::SinkDraft;
