//! Dead letters: the original bytes with Java's headers (KIP-1034).

use crate::error::{BoxError, Result};
use crate::log::RawRecord;
use crate::sink::{Collector, Target};
use crate::task::Source;

/// A record that could not be processed.
#[derive(Debug)]
pub(crate) struct DeadLetter<'a> {
    pub(crate) raw: &'a RawRecord<'a>,
    pub(crate) source: Source<'a>,
    pub(crate) error: &'a BoxError,
}

impl Collector {
    /// Sends a dead letter: key, value, timestamp and headers as they came, and headers that say
    /// what failed and where. It is part of the commit like any other output.
    pub(crate) fn send_dead_letter(&mut self, topic: &str, letter: &DeadLetter<'_>) -> Result<()> {
        let mut headers = letter.raw.headers.clone();
        let mut add = |name: &str, value: String| headers.push(name, Some(value.into_bytes()));
        add("__streams.errors.exception", error_name(letter.error));
        add("__streams.errors.message", letter.error.to_string());
        add("__streams.errors.stacktrace", causes(letter.error));
        add("__streams.errors.topic", letter.source.topic.to_owned());
        add("__streams.errors.partition", letter.source.partition.to_string());
        add("__streams.errors.offset", letter.source.offset.to_string());
        let topic = self.topic(topic)?;
        let timestamp = Some(letter.raw.timestamp).filter(|at| *at >= 0);
        let target = letter.raw.key.map_or(Target::Any, Target::ByKey);
        self.send(topic, target, (letter.raw.key, letter.raw.value), timestamp, &headers)
    }
}

/// Rust errors carry no class name; their `Debug` text starts with the type's name.
fn error_name(error: &BoxError) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    match text.get(..end.unwrap_or(text.len())) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "Error".to_owned(),
    }
}

/// The error and what caused it, a line each: the nearest thing to Java's stack trace.
fn causes(error: &BoxError) -> String {
    let mut lines = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        lines.push_str("\ncaused by: ");
        lines.push_str(&next.to_string());
        cause = next.source();
    }
    lines
}
