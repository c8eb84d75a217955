//! What is wrong with a topology: all of it at once.

use std::fmt;

/// One fault of a topology.
///
/// ```
/// use millstream::{StreamsBuilder, TopologyFault};
///
/// assert_eq!(StreamsBuilder::new().build().unwrap_err().faults(), [TopologyFault::Empty]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyFault {
    /// Two nodes have the same name.
    #[error(
        "two nodes are named {name}: one {first} and one {second}; give one of them another name"
    )]
    DuplicateNode {
        /// The name.
        name: String,
        /// Where the first is: what it is behind, or reads.
        first: String,
        /// Where the second is.
        second: String,
    },
    /// Two stores have the same name.
    #[error(
        "two stores are named {name}: one of {first} and one of {second}; give one of them another name"
    )]
    DuplicateStore {
        /// The name.
        name: String,
        /// The node that uses the first.
        first: String,
        /// The node that uses the second.
        second: String,
    },
    /// A store without a name.
    #[error(
        "a store has no name: name it, its changelog is named after it; only tables that read a topic take \
         `Materialized::generated()`"
    )]
    UnnamedStore,
    /// A policy for what fails, where nothing can.
    #[error("nothing can fail in {node}, so it has no policy: use {fallible_form}")]
    NothingFails {
        /// The node.
        node: String,
        /// The operator that hands errors to a policy.
        fallible_form: &'static str,
    },
    /// Two repartition topics would have the same name.
    #[error("two repartition topics are named {0}: give one of the groupings another name")]
    DuplicateRepartition(String),
    /// A repartition topic of no partitions.
    #[error("the repartition {name} asks for {partitions} partitions: at least 1")]
    BadPartitions {
        /// The repartition's name.
        name: String,
        /// What was asked for.
        partitions: i32,
    },
    /// A topic that two sources read; one handle may have several children.
    #[error(
        "topic {topic} is read by {first} and by {second}: read it once, and share the stream: `let orders = builder.stream(..)`, used by both"
    )]
    TopicReadTwice {
        /// The topic.
        topic: String,
        /// The first source.
        first: String,
        /// The second source.
        second: String,
    },
    /// A pattern of topics that is no regular expression.
    #[error("the pattern {pattern:?} of {node}: {reason}")]
    BadPattern {
        /// The source.
        node: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that matches what another source reads.
    #[error(
        "the pattern {pattern} of {node} matches {topic}, which {other} reads: each topic is read by one source"
    )]
    PatternsOverlap {
        /// The pattern.
        pattern: String,
        /// Its source.
        node: String,
        /// What is read twice.
        topic: String,
        /// The other source.
        other: String,
    },
    /// A table is made of one topic.
    #[error(
        "{0} cannot make a table of a pattern: name its topic, or read a stream and make a table of it with `to_table`"
    )]
    PatternOfTable(String),
    /// A node that must be named is not.
    #[error("{0} has no name of its own: name it, or allow generated names on the builder")]
    Unnamed(String),
    /// A name that cannot be used.
    #[error("{what} is named {name:?}: {reason}")]
    BadName {
        /// Node, store or topic.
        what: &'static str,
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Windows that make no sense.
    #[error("the windows of {node}: {reason}")]
    BadWindows {
        /// The node or store.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// A store that makes no sense.
    #[error("the store {store}: {reason}")]
    BadStore {
        /// The store.
        store: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A table that cannot be given a store any more.
    #[error(
        "the table {node} cannot be kept in {store}: it is kept already, or something was added below it before"
    )]
    KeptTooLate {
        /// The table's node.
        node: String,
        /// The store.
        store: String,
    },
    /// A table whose rows are needed below it, and that does not keep them.
    #[error(
        "the rows of {0} are needed below it: keep them, with `.materialized(\"name\")` right behind it"
    )]
    RowsNotKept(String),
    /// A global table that is to keep versions.
    #[error("the global table {0} cannot keep versions: use a table")]
    VersionedGlobal(String),
    /// Changes of a versioned table that are to be held back: a later one would hide an earlier one.
    #[error("{node} cannot hold changes back in {store}: the table above keeps versions")]
    VersionedSuppressed {
        /// The node that holds them back.
        node: String,
        /// Its store.
        store: String,
    },
    /// A join that waits for a table that cannot tell what it had then.
    #[error(
        "{node} waits {grace_ms} ms for its table, which needs a versioned store with a history of at least that: \
         `Materialized::versioned`"
    )]
    GraceWithoutHistory {
        /// The join.
        node: String,
        /// How long it waits.
        grace_ms: i64,
    },
    /// A source without a topic.
    #[error("{0} reads no topic")]
    NoTopic(String),
    /// Handles of two builders were mixed.
    #[error("{0} mixes streams of two builders")]
    OtherBuilder(String),
    /// A store that no node uses would never be opened.
    #[error("store {0} is used by no node")]
    UnusedStore(String),
    /// A topology of global tables alone: nothing would run.
    #[error("there are only global tables: a stream or a table must be read as well")]
    OnlyGlobal,
    /// A topology without any source.
    #[error("there is no source")]
    Empty,
}

/// All faults of a topology, in the order in which they were found.
///
/// ```
/// use millstream::{StreamsBuilder, TopologyFault};
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// clicks.count("clicks");
/// clicks.count("clicks");
/// clicks.count("a b");
/// let errors = builder.build().unwrap_err();
/// assert_eq!(errors.faults().len(), 2);
/// assert!(matches!(&errors.faults()[1], TopologyFault::DuplicateStore { name, .. } if name == "clicks"));
/// assert!(errors.to_string().contains("a b"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TopologyErrors(Vec<TopologyFault>);

impl TopologyErrors {
    pub(crate) fn new(faults: Vec<TopologyFault>) -> Self {
        Self(faults)
    }

    /// The faults, at least one.
    pub fn faults(&self) -> &[TopologyFault] {
        &self.0
    }
}

impl fmt::Display for TopologyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the topology cannot be built")?;
        for (i, fault) in self.0.iter().enumerate() {
            write!(f, "{} {fault}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// As it is displayed: this is what a `main` that returns an error prints.
impl fmt::Debug for TopologyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TopologyErrors {}

#[cfg(test)]
mod tests {
    use crate::topology::StreamsBuilder;

    #[test]
    fn the_end_of_a_main_says_what_to_do() {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("orders").to("a");
        builder.stream::<String, String>("orders").to("b");
        let errors = builder.build().unwrap_err();
        let said = format!("{:?}", Box::<dyn std::error::Error>::from(errors.clone()));
        assert_eq!(said, errors.to_string());
        assert!(
            said.starts_with("the topology cannot be built: topic orders is read by "),
            "{said}"
        );
        assert!(said.contains("read it once, and share the stream"), "{said}");
    }
}
