//! Settings of an instance: typed, with a default and a reason each, from file, environment and
//! command line. A key that does not exist or a value of the wrong type is refused with its place.

#[cfg(feature = "clap")]
mod arguments;
mod choice;
mod client;
mod directives;
#[cfg(test)]
mod reference;
mod settings;
mod sources;
mod spelling;
mod value;

#[cfg(feature = "clap")]
pub use arguments::ConfigArgs;
pub use choice::{
    Compression, GroupProtocol, HttpAddress, LogFormat, LogKind, ProcessingGuarantee, UncaughtError,
};
pub use client::ClientSettings;
pub(crate) use client::{HIDDEN, is_secret};
pub(crate) use directives::trimmed as trimmed_directives;
pub use settings::{KafkaOverrides, StreamsConfig};
pub use sources::Sources;
