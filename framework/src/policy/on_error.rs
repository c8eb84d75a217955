//! What happens to a record that cannot be read, processed or written.

use std::borrow::Cow;

/// What to do with a record that cannot be read or processed. There is no silent choice: each
/// dropped record is counted by reason.
///
/// ```
/// use millstream::OnError;
/// # use millstream::{DropReason, StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let stream = builder.stream::<String, String>("in");
/// let number = |text: String| text.parse::<i64>();
/// stream.try_map_values(number).on_error(OnError::Skip).to("some");
/// stream.try_map_values(number).on_error(OnError::dead_letter("refused")).to("all");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "seven", 1))?;
/// assert_eq!(driver.dropped(DropReason::Failed), 2);
/// let refused = driver.read::<String, String>("refused")?;
/// assert_eq!(refused[0].value, "seven");
/// assert_eq!(refused[0].headers.last("__streams.errors.topic"), Some(&b"in"[..]));
/// # Ok::<(), millstream::BoxError>(())
/// ```
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
