//! What happens to a record that cannot be read, processed or written.

use std::borrow::Cow;

/// What to do with a record that cannot be read or processed. There is no silent choice: each
/// dropped record is counted by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Stop with an error that names the record: the default.
    #[default]
    Fail,
    /// Drop it, log it, count it.
    Skip,
    /// Send its original bytes to this topic, with Java's `__streams.errors.*` headers.
    DeadLetter(Cow<'static, str>),
}

impl OnError {
    /// To this topic.
    pub fn dead_letter(topic: impl Into<Cow<'static, str>>) -> Self {
        Self::DeadLetter(topic.into())
    }
}
