//! Millstream: Kafka Streams for Rust.
//!
//! The modules stand in the order in which a record meets them.

mod error;
mod config;
pub mod record;
pub mod serde;
mod time;
mod topology;
pub mod log;
mod source;
mod task;
mod operators;
mod store;
mod sink;
mod runtime;
mod query;
mod metrics;
mod logging;
pub mod testing;

#[cfg(feature = "clap")]
pub use config::ConfigArgs;
pub use config::{
    ClientSettings, Compression, GroupProtocol, HttpAddress, KafkaOverrides, LogFormat, LogKind,
    ProcessingGuarantee, Sources, StreamsConfig, UncaughtError,
};
pub use error::{BoxError, Error, Reaction, Result};
pub use log::RefusalKind;
pub use logging::init_logging;
pub use metrics::{DropCounts, DropReason};
pub use operators::{
    Branches, Context, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KGroupedStream, KStream,
    KTable, KeyValue, Processor, Repartitioned, Split, Store, StoreKind, Stores, Window,
    WindowedStream,
};
pub use query::StoreQuery;
pub use runtime::{CommitStep, ResetOffsets, ResetPlan, Streams, StreamsOptions, StreamsState};
pub use sink::{Produced, murmur2_partition};
pub use source::{Consumed, OnError, Reset};
pub use store::{
    KeyValueIterator, KeyValueStore, Materialized, StoredEntry, WindowIterator, WindowStore,
    WindowedIterator,
};
pub use task::{Clock, Schedule, Source, TaskId, TaskState};
pub use time::{Emit, Grace, NoGraceYet, TimeWindows, UnlimitedWindows, WindowStarts, Windows};
pub use topology::{NodeName, StreamsBuilder, Topology, TopologyErrors, TopologyFault};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do those of the first program.
#[cfg(all(doctest, feature = "clap"))]
#[doc = include_str!("../../docs/first-program.md")]
struct FirstProgram;
