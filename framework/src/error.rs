//! One error type, grouped by what the caller does about it.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::record::{RecordAt, RefusalKind, TaskId, TopicPartition};

/// Any error of a closure, a serde or a processor that the user wrote.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with where it went wrong.
///
/// `Display` says what this error adds to its cause, which is its [`source`](std::error::Error::source).
/// `Debug` is the whole chain in one line, with long texts of others cut: that is what the end of a `main`
/// prints, and what is logged.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker does not answer or asks to come again; nothing is lost by trying again.
    #[error("{what} is not possible now: {reason}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// What the client said.
        reason: String,
    },
    /// A record that cannot be read or processed; the source's or operator's policy decides.
    #[error("bad record at {at} in {node}")]
    BadRecord {
        /// Where it is.
        at: RecordAt,
        /// The operator, or the client, that refused it.
        node: String,
        /// Why.
        #[source]
        cause: BoxError,
        /// Where the policy for such records is said, if there is one: `Debug` then ends with how to go on over them.
        policy_at: Option<PolicyAt>,
    },
    /// A key or value that the serde of a store cannot write; the policy of the node that wrote it decides.
    #[error("store {store} cannot take a {part}")]
    Unwritable {
        /// The store.
        store: String,
        /// `key` or `value`.
        part: &'static str,
        /// Why.
        #[source]
        cause: BoxError,
    },
    /// The transaction or the commit did not happen, or nobody knows whether it did: everything
    /// since the last commit must be dropped and done again.
    #[error("{what} did not happen: {reason}")]
    Aborted {
        /// What was being done.
        what: String,
        /// What the client said.
        reason: String,
    },
    /// This producer or member was replaced by a newer one.
    #[error("{what} was fenced: {reason}")]
    Fenced {
        /// What was being done.
        what: String,
        /// What the client said.
        reason: String,
    },
    /// A closure or processor of the user panicked.
    #[error("task {task} panicked: {reason}")]
    Panicked {
        /// The task.
        task: TaskId,
        /// The panic's text.
        reason: String,
    },
    /// A position that the log no longer has, or does not have yet.
    #[error("offset {offset} of {partition} is out of range")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position asked for.
        offset: i64,
    },
    /// A topic that does not fit the topology.
    #[error("topic {topic}: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// What does not fit.
        reason: String,
    },
    /// A record that a topic refuses for good: sending it again changes nothing. The policy of the
    /// sink that wrote it decides; a record of a changelog or repartition topic ends the instance.
    #[error("{partition} refuses a record: {reason}; {}", kind.advice())]
    Refused {
        /// Where it should have gone.
        partition: TopicPartition,
        /// What is wrong with it.
        kind: RefusalKind,
        /// What the log said, and about which record.
        reason: String,
    },
    /// A topic that the user must create does not exist.
    #[error(
        "topic {topic} does not exist: topics of sources, sinks and dead letters are yours to create"
    )]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// A group that has members, where it must have none.
    #[error(
        "group {group} has members: stop all instances of the application first (one that died counts until its session is over)"
    )]
    GroupInUse {
        /// The group.
        group: String,
    },
    /// A setting that cannot be used.
    #[error("configuration: {0}")]
    Config(String),
    /// A directory below `state_dir` that somebody has already.
    #[error("{dir} is in use by {}", holder(*by_this_program))]
    StateLocked {
        /// The directory.
        dir: PathBuf,
        /// Whether this very program has it, and not another process.
        by_this_program: bool,
    },
    /// The local state failed.
    #[error("the local state failed: its changelog still has it")]
    State(#[from] millstream_state::Error),
    /// Anything that makes going on pointless.
    #[error("{what} failed for good: {reason}")]
    Fatal {
        /// What was being done.
        what: String,
        /// Why it cannot go on.
        reason: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Chain(self), f)?;
        match self {
            Self::BadRecord { policy_at: Some(place), .. } => {
                write!(f, "; to go on, skip such records or keep them as dead letters: {place}")
            }
            _ => Ok(()),
        }
    }
}

/// Where the policy for bad records is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyAt {
    /// With the options of the source.
    Source,
    /// With the options of the sink.
    Sink,
    /// Behind the operator.
    Operator,
}

impl fmt::Display for PolicyAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "`Consumed::on_error(..)`",
            Self::Sink => "`Produced::on_error(..)`",
            Self::Operator => "`.on_error(..)` behind it",
        })
    }
}

/// Who has a directory, and what to do about it.
fn holder(this_program: bool) -> &'static str {
    if this_program {
        "this program already: hand a log that it has opened on with `Streams::with(topology, config).log(log)`, \
         and give a second instance a state_dir of its own"
    } else {
        "another process: end that one, or give this one a state_dir of its own"
    }
}

/// An error and what caused it, in one line; each text is cut if it is long.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", excerpt(self.0))?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {}", excerpt(error))?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What the caller of a failed operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Try again, with back-off.
    Retry,
    /// Treat the record by the policy of its source or operator.
    Skip,
    /// Drop everything since the last commit, build the tasks anew and go on.
    Rebuild,
    /// Stop this instance.
    Stop,
}

impl Error {
    /// The kinds by which errors are counted.
    pub(crate) const KINDS: [&str; 8] = [
        "unavailable",
        "aborted",
        "fenced",
        "offset_out_of_range",
        "panicked",
        "topic",
        "state",
        "other",
    ];

    /// Its kind, one of [`Error::KINDS`].
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Aborted { .. } => "aborted",
            Self::Fenced { .. } => "fenced",
            Self::OffsetOutOfRange { .. } => "offset_out_of_range",
            Self::Panicked { .. } => "panicked",
            Self::Topic { .. } | Self::MissingTopic { .. } => "topic",
            Self::State(_) | Self::StateLocked { .. } => "state",
            Self::BadRecord { .. }
            | Self::Unwritable { .. }
            | Self::Refused { .. }
            | Self::GroupInUse { .. }
            | Self::Config(_)
            | Self::Fatal { .. } => "other",
        }
    }

    /// About a store that a topology does not have, but these.
    pub(crate) fn no_such_store(what: &str, names: &[&str]) -> Self {
        let reason = match names {
            [] => "this topology has no stores".to_owned(),
            names => format!("there is no such store, only {}", names.join(", ")),
        };
        Self::Fatal { what: what.to_owned(), reason }
    }

    /// What the caller does about it.
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Unavailable { .. } => Reaction::Retry,
            Self::BadRecord { .. } | Self::Unwritable { .. } => Reaction::Skip,
            Self::Aborted { .. } | Self::Fenced { .. } | Self::OffsetOutOfRange { .. } => {
                Reaction::Rebuild
            }
            Self::Topic { .. }
            | Self::MissingTopic { .. }
            | Self::Refused { .. }
            | Self::GroupInUse { .. }
            | Self::Config(_)
            | Self::StateLocked { .. }
            | Self::State(_)
            | Self::Panicked { .. }
            | Self::Fatal { .. } => Reaction::Stop,
        }
    }
}

/// Runs a serde or another piece of the user's at a source or sink: a panic there is about one
/// record, and follows its policy like an error.
///
/// # Errors
/// What it returns, or the text of its panic.
#[inline]
pub(crate) fn caught<R>(run: impl FnOnce() -> Result<R, BoxError>) -> Result<R, BoxError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic)).into()))
}

/// The text of a panic.
#[cold]
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(excerpt);
    text.or_else(|| panic.downcast_ref::<String>().map(excerpt))
        .unwrap_or_else(|| "a panic without text".to_owned())
}

/// Texts of others in errors, headers and log lines are cut to so many bytes: one of them can quote a
/// whole record, and must not become larger than it.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// Ends a text that was cut.
const CUT_MARK: char = '…';

/// A text of others, cut if it is long.
pub(crate) fn excerpt(text: &(impl fmt::Display + ?Sized)) -> String {
    let mut bounded = Bounded { text: String::new(), cut: false };
    // It fails when it is full, and if the text itself fails there is no more to be had.
    let _ = write!(bounded, "{text}");
    if bounded.cut {
        let room = TEXT_BYTES_MAX - CUT_MARK.len_utf8();
        bounded.text.truncate(bounded.text.floor_char_boundary(room));
        bounded.text.push(CUT_MARK);
    }
    bounded.text
}

/// Takes in no more than there is room for.
struct Bounded {
    text: String,
    cut: bool,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX - self.text.len();
        self.cut |= more.len() > room;
        self.text.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_char_and_says_so() {
        let whole = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(excerpt(&whole), whole);
        let cut = excerpt(&format!("{whole}x"));
        assert_eq!(cut, format!("{}…", "x".repeat(TEXT_BYTES_MAX - 3)));
        let wide = excerpt(&"ä".repeat(TEXT_BYTES_MAX));
        assert_eq!((wide.len(), wide.chars().last()), (TEXT_BYTES_MAX - 1, Some('…')));
        // In pieces, as error texts come.
        let pieces = excerpt(&format_args!("{}{}{}", "a".repeat(1000), "b".repeat(24), "c"));
        assert!(pieces.ends_with("b…") && pieces.len() == TEXT_BYTES_MAX, "{pieces}");
    }

    #[test]
    fn the_end_of_a_main_prints_a_sentence() {
        let error = Error::MissingTopic { topic: "orders".to_owned() };
        assert_eq!(format!("{error:?}"), error.to_string());
        assert!(error.to_string().starts_with("topic orders does not exist"), "{error}");
        let (store, reason) = ("totals".to_owned(), "disk full".to_owned());
        let error = Error::State(millstream_state::Error::Store { store, reason });
        let chain = "the local state failed: its changelog still has it: store totals: disk full";
        assert_eq!(format!("{error:?}"), chain);
    }

    #[test]
    fn a_chain_is_told_once_and_each_text_of_others_is_cut() {
        let cause: BoxError = "x".repeat(TEXT_BYTES_MAX + 1).into();
        let error = Error::BadRecord {
            at: RecordAt::Punctuation,
            node: "n".to_owned(),
            cause,
            policy_at: None,
        };
        assert_eq!(error.to_string(), "bad record at a punctuation in n");
        let chain = format!("{error:?}");
        assert!(chain.starts_with("bad record at a punctuation in n: xxx") && chain.ends_with('…'));
        assert_eq!(chain.len(), error.to_string().len() + 2 + TEXT_BYTES_MAX);
    }
}
