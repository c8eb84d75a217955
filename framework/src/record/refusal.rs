//! Why a topic does not take a record.

/// Why a topic refuses a record for good.
///
/// ```
/// use millstream::{Error, RefusalKind};
///
/// /// Whether sending a smaller record may help.
/// fn is_too_large(error: &Error) -> bool {
///     matches!(error, Error::Refused { kind: RefusalKind::TooLarge, .. })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// It is larger than the topic or the client allows.
    TooLarge,
    /// Its timestamp is further from now than the topic allows.
    BadTimestamp,
    /// It is otherwise not what the topic takes: no key in a compacted one, for example.
    Invalid,
}

impl RefusalKind {
    /// What can be done about it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "raise max.message.bytes of the topic, write smaller records, or give the sink a policy"
            }
            Self::BadTimestamp => {
                "raise message.timestamp.after.max.ms (or before) of the topic, refuse such times at the source, or give the sink a policy"
            }
            Self::Invalid => {
                "write what the topic takes (a compacted one takes no record without a key), or give the sink a policy"
            }
        }
    }
}
