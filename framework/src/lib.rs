//! Kafka Streams for Rust: a library with which a program becomes a scalable, fault-tolerant stream
//! processor over Kafka, without a cluster of its own.
//!
//! ```rust,no_run
//! use millstream::{Streams, StreamsBuilder, StreamsConfig, init_logging};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = StreamsConfig::load()?;
//!     init_logging(&config)?;
//!     let builder = StreamsBuilder::new();
//!     builder
//!         .stream::<Option<String>, String>("lines")
//!         .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
//!         .group_by(|_, word| word.clone())
//!         .count("words")
//!         .updates()
//!         .to("counts");
//!     let streams = Streams::start(builder.build()?, config)?;
//!     Ok(streams.run_until_signal()?)
//! }
//! ```
//!
//! Start the program on more machines and they share the work. In a test the same topology needs no
//! broker, and time stands still until it is moved:
//!
//! ```
//! use millstream::testing::{TopologyDriver, text};
//! use millstream::{BoxError, StreamsBuilder};
//!
//! # fn main() -> Result<(), BoxError> {
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<String, String>("lines")
//!     .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
//!     .group_by(|_, word| word.clone())
//!     .count("words")
//!     .updates()
//!     .to("counts");
//!
//! let mut driver = TopologyDriver::new(&builder.build()?)?;
//! driver.pipe("lines", &text("", "to be or not to be", 1))?;
//! let counts = driver.read::<String, i64>("counts")?;
//! let last = counts.last().ok_or("nothing was counted")?;
//! assert_eq!((last.key.as_str(), last.value), ("be", 2));
//! # Ok(())
//! # }
//! ```
//!
//! Name what you use, as these do: after `use millstream::*` a plain `serde` or `log` is ambiguous between this crate's
//! modules and the crates of these names.
//!
//! # Build a topology
//!
//! | what | where |
//! |---|---|
//! | the beginning, and the check of the whole | [`StreamsBuilder`], [`Topology`], [`TopologyErrors`], [`NodeName`] |
//! | streams | [`KStream`], [`Split`], [`Repartitioned`]; what moved since it was read: [`InPlace`], [`Rekeyed`] |
//! | joins | [`KStream::join`], [`KStream::join_table`], [`KTable::join`], [`KTable::join_foreign`], [`KStream::join_global`]; [`JoinWindows`], [`StatedGrace`], [`StreamJoined`], [`Joined`], [`TableJoined`] |
//! | groups, aggregations, tables | [`KGroupedStream`], [`CogroupedStream`], [`WindowedStream`], [`KTable`], [`KGroupedTable`]; whole in each instance: [`GlobalKTable`] |
//! | windows, and when they speak | [`TimeWindows`], [`SlidingWindows`], [`SessionWindows`], [`UnlimitedWindows`], [`Emit`] |
//! | futures: what waits for something outside | [`KStream::map_async`], [`KStream::flat_map_async`], [`KStream::for_each_async`], [`Async`] |
//! | topics at both ends | [`Consumed`], [`Produced`] with [`Partitions`] |
//! | a way out into a database or a lake | [`KStream::sink`], [`Outlet`] |
//! | how a result is kept | [`Materialized`] |
//! | an operator of one's own | [`Processor`] with [`Context`], [`FixedKeyProcessor`] with [`FixedKeyContext`], [`PunctuationType`]; of tables [`ValueTransformer`] with [`TransformContext`] |
//! | stores of such an operator | [`KeyValue`], [`Window`]; in its hands [`KeyValueStore`], [`WindowStore`] |
//! | counters, gauges and histograms of its own | [`Context::metrics`], [`OwnMetrics`] |
//! | with times, versions, sessions, a bound | [`Timestamped`], [`Versioned`], [`Sessions`], [`Lru`] |
//! | the rows of a table in such an operator, a store of one's own | [`ReadOnlyStore`]; [`Custom`], [`CustomStore`] |
//!
//! # Records and time
//!
//! | what | where |
//! |---|---|
//! | key, value, timestamp, headers | [`record::Record`], [`record::Timestamp`], [`record::Headers`] |
//! | a row of a table as it changes, a key in a window | [`record::Change`], [`record::Windowed`], [`record::Session`] |
//! | bytes | [`serde::Serde`], [`serde::HasSerde`], [`serde::Json`], [`serde::Bincode`] |
//! | where a record came from | [`RecordMetadata`], [`RecordAt`], [`TaskId`] |
//!
//! # Run it
//!
//! | what | where |
//! |---|---|
//! | settings | [`StreamsConfig`], [`Sources`], [`init_logging`] |
//! | an instance, and its end | [`Streams`], [`StreamsOptions`], [`StreamsState`] |
//! | to begin from the start | [`ResetPlan`] |
//! | topics to feed and read by hand | [`client::Producer`], [`client::Consumer`] |
//! | Kafka, a durable log in this process, one for tests | [`log`] |
//!
//! # State
//!
//! | what | where |
//! |---|---|
//! | questions about committed state, from outside the topology | [`Streams::store`], [`StoreQuery`] |
//!
//! # Bad data and errors
//!
//! | what | where |
//! |---|---|
//! | skip, dead letter or fail, by operator | [`OnError`] |
//! | what went no further, by reason | [`DropReason`], [`DropCounts`] |
//! | where a group without positions begins | [`Reset`] |
//! | errors, and what follows from them | [`Error`], [`PolicyAt`], [`Reaction`], [`UncaughtError`] |
//!
//! # Test it
//!
//! [`testing::TopologyDriver`] runs a topology without a broker; [`log::memory::MemoryLog`] runs a whole
//! instance with faults on command.

// The modules stand in the order in which a record meets them.
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
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use chain::{Counter, Gauge, Histogram, OwnMetrics, PunctuationType, Schedule};
pub use collector::murmur2_partition;
#[cfg(feature = "clap")]
pub use config::ConfigArgs;
pub use config::{
    ClientSettings, Compression, GroupProtocol, HttpAddress, KafkaOverrides, LogFormat, LogKind,
    ProcessingGuarantee, Sources, StreamsConfig, UncaughtError,
};
pub use error::{BoxError, Error, PolicyAt, Reaction, Result};
pub use logging::init_logging;
pub use operators::{
    And, Async, Buffer, CogroupedStream, Context, Custom, FixedKeyContext, FixedKeyProcessor,
    FixedKeyRecord, GlobalKTable, InPlace, Joined, KGroupedStream, KGroupedTable, KStream, KTable,
    KeyValue, Lru, Outlet, Placed, Placing, Processor, Rekeyed, Repartitioned, Sessions, Split,
    Store, StoreKind, Stores, StreamJoined, SunkStream, TableJoined, Timestamped, TransformContext,
    ValueTransformer, Versioned, Window, WindowedCogroup, WindowedStream,
};
pub use policy::{DropCounts, DropReason, OnError, Reset};
pub use query::StoreQuery;
pub use record::{RecordAt, RecordMetadata, RefusalKind, Shared, TaskId};
pub use runtime::{CommitStep, ResetOffsets, ResetPlan, Streams, StreamsOptions, StreamsState};
pub use sink::{Partitions, Produced};
pub use source::Consumed;
pub use store::{
    ChangelogRecord, CustomStore, KeyValueIterator, KeyValueStore, Materialized, ReadOnlyStore,
    RowIterator, SessionIterator, SessionStore, StoreChangelog, StoredEntry,
    TimestampedKeyValueStore, VersionPut, VersionedKeyValueStore, VersionedRecord, WindowIterator,
    WindowStore, WindowedIterator,
};
pub use task::TaskState;
pub use time::{
    Emit, Grace, JoinWindows, NoGraceYet, SessionWindows, SlidingWindows, StatedGrace, Suppress,
    SuppressPlan, Suppresses, TimeWindows, UnlimitedWindows, UntilTimeLimit, UntilWindowCloses,
    WindowStarts, Windowing, Windows,
};
pub use topology::{
    NodeName, StreamsBuilder, Topology, TopologyErrors, TopologyFault, TopologyOptions,
};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do the recipes.
#[cfg(doctest)]
#[doc = include_str!("../../docs/recipes.md")]
struct Recipes;

/// So does what those find who know Kafka Streams.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-kafka-streams.md")]
struct FromKafkaStreams;

/// So do those of the first program.
#[cfg(all(doctest, feature = "clap"))]
#[doc = include_str!("../../docs/first-program.md")]
struct FirstProgram;
