//! Settings with a closed set of answers.

use std::fmt;
use std::net::SocketAddr;

/// Which log the instance works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogKind {
    /// A Kafka cluster, reached by `bootstrap_servers`.
    #[default]
    Kafka,
    /// A durable log inside this process, in the state directory.
    Embedded,
}

/// What a crash may do to results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Nothing is lost; up to a commit interval may count twice.
    #[default]
    AtLeastOnce,
    /// Each input counts once, for readers that read only what is committed.
    ExactlyOnceV2,
}

/// How the members of the group agree on who reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol of all brokers from 2.5: every rebalance stops every member for a moment.
    #[default]
    Classic,
    /// KIP-848, brokers from 4.0: only what moves is stopped.
    Consumer,
}

/// What follows an error (or panic) that no policy covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UncaughtError {
    /// Build the worker's tasks anew from the last commit and go on.
    ReplaceTask,
    /// Stop this instance with the error; others take its partitions over.
    #[default]
    StopInstance,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// How batches are packed on their way to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// Small and slow.
    Gzip,
    /// Fast.
    Snappy,
    /// Fast, and smaller than snappy on most data.
    #[default]
    Lz4,
    /// Smaller than lz4 for more CPU.
    Zstd,
}

/// Where metrics and health are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpAddress {
    /// Nowhere.
    #[default]
    Off,
    /// On this address; port 0 is any free one.
    On(SocketAddr),
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(address) => write!(f, "{address}"),
        }
    }
}

/// The words of a closed set, as they stand in files.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for LogKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("kafka", Self::Kafka), ("embedded", Self::Embedded)];
}

impl Choice for ProcessingGuarantee {
    const WORDS: &'static [(&'static str, Self)] =
        &[("at_least_once", Self::AtLeastOnce), ("exactly_once_v2", Self::ExactlyOnceV2)];
}

impl Choice for GroupProtocol {
    const WORDS: &'static [(&'static str, Self)] =
        &[("classic", Self::Classic), ("consumer", Self::Consumer)];
}

impl Choice for UncaughtError {
    const WORDS: &'static [(&'static str, Self)] =
        &[("replace_task", Self::ReplaceTask), ("stop_instance", Self::StopInstance)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Choice for Compression {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("snappy", Self::Snappy),
        ("lz4", Self::Lz4),
        ("zstd", Self::Zstd),
    ];
}

impl Compression {
    /// The word that Kafka clients understand.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, it)| *it == self).map_or("none", |(word, _)| word)
    }
}
