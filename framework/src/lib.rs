//! Millstream: Kafka Streams for Rust.
//!
//! The modules stand in the order in which a record meets them.

pub mod record;
mod policy;
mod error;
mod time;
pub mod serde;
mod config;
pub mod log;
mod metrics;
mod collector;
mod chain;
mod store;
mod source;
mod sink;
mod topology;
mod operators;
mod task;
mod query;
mod runtime;
mod logging;
pub mod client;
pub mod testing;

pub use chain::{PunctuationType, Schedule};
pub use collector::murmur2_partition;
#[cfg(feature = "clap")]
pub use config::ConfigArgs;
pub use config::{
    ClientSettings, Compression, GroupProtocol, HttpAddress, KafkaOverrides, LogFormat, LogKind,
    ProcessingGuarantee, Sources, StreamsConfig, UncaughtError,
};
pub use error::{BoxError, Error, Reaction, Result};
pub use logging::init_logging;
pub use operators::{
    And, Context, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, InPlace, KGroupedStream,
    KStream, KTable, KeyValue, Placed, Placing, Processor, Rekeyed, Repartitioned, Split, Store,
    StoreKind, Stores, Window, WindowedStream,
};
pub use policy::{DropCounts, DropReason, OnError, Reset};
pub use query::StoreQuery;
pub use record::{RecordAt, RecordMetadata, RefusalKind, Shared, TaskId};
pub use runtime::{CommitStep, ResetOffsets, ResetPlan, Streams, StreamsOptions, StreamsState};
pub use sink::Produced;
pub use source::Consumed;
pub use store::{
    KeyValueIterator, KeyValueStore, Materialized, StoredEntry, WindowIterator, WindowStore,
    WindowedIterator,
};
pub use task::TaskState;
pub use time::{Emit, Grace, NoGraceYet, TimeWindows, UnlimitedWindows, WindowStarts, Windows};
pub use topology::{NodeName, StreamsBuilder, Topology, TopologyErrors, TopologyFault};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do the recipes.
#[cfg(doctest)]
#[doc = include_str!("../../docs/recipes.md")]
struct Recipes;

/// So do those of the first program.
#[cfg(all(doctest, feature = "clap"))]
#[doc = include_str!("../../docs/first-program.md")]
struct FirstProgram;
