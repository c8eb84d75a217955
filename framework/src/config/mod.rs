//! Settings of an instance: typed, with a default and a reason each, from file, environment and
//! command line. A key that does not exist or a value of the wrong type is refused with its place.

mod choice;
#[cfg(test)]
mod reference;
mod settings;
mod sources;
mod value;

pub use choice::{
    Compression, GroupProtocol, HttpAddress, LogKind, ProcessingGuarantee, UncaughtError,
};
pub use settings::{KafkaOverrides, StreamsConfig};
pub use sources::Sources;
