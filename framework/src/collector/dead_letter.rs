//! Dead letters: the original bytes with Java's headers (KIP-1034).
//!
//! A letter must get through, or one bad record would stop everything after all: texts in it are
//! bounded, and what its topic refuses is cut, the value first, with a header that says so.

use std::fmt;

use crate::collector::collector::{Collector, SinkTopic, Target};
use crate::error::{BoxError, Chain, Error, Result, excerpt};
use crate::log::RawRecord;
use crate::policy::RecordDropped;
use crate::record::{Headers, RecordMetadata, RefusalKind};

/// Says what of a letter was cut off.
const TRUNCATED: &str = "__millstream.errors.truncated";
/// The timestamp of a letter whose topic refuses it.
const TIMESTAMP: &str = "__millstream.errors.timestamp";

/// A record that could not be processed.
#[derive(Debug)]
pub(crate) struct DeadLetter<'a> {
    pub(crate) raw: &'a RawRecord<'a>,
    /// Where it was read; nowhere (an empty topic) if the record is an output of ours.
    pub(crate) source: RecordMetadata<'a>,
    pub(crate) error: &'a BoxError,
}

impl Collector {
    /// Sends a dead letter: key, value, timestamp and headers as they came, and headers that say
    /// what failed and where. It is part of the commit like any other output.
    pub(crate) fn send_dead_letter(&mut self, topic: &str, letter: &DeadLetter<'_>) -> Result<()> {
        let topic = self.topic(topic)?;
        let (key, value) = (letter.raw.key, letter.raw.value);
        let timestamp = Some(letter.raw.timestamp).filter(|at| *at >= 0);
        let headers = letter.headers(&letter.raw.headers);
        let whole = Letter { key, value, timestamp, headers };
        let rest = match self.send_letter(topic, &whole) {
            Err(Error::Refused { kind: RefusalKind::BadTimestamp, .. }) => {
                whole.without_timestamp()
            }
            Err(Error::Refused { .. }) => whole,
            sent => return sent,
        };
        let before = self.ask_about_all(topic, true)?;
        let sent = self.send_cut(topic, letter, rest);
        self.ask_about_all(topic, before)?;
        sent
    }

    /// Sends a letter that was refused, with less and less in it.
    #[cold]
    fn send_cut(
        &mut self,
        topic: SinkTopic,
        letter: &DeadLetter<'_>,
        mut left: Letter<'_>,
    ) -> Result<()> {
        if left.timestamp.is_none() {
            match self.send_letter(topic, &left) {
                Err(Error::Refused { .. }) => {}
                sent => return sent,
            }
        }
        let whole = left.value.map_or(0, <[u8]>::len);
        let mut kept = whole;
        while kept > 0 {
            kept /= 2;
            let value = left.value.and_then(|value| value.get(..kept));
            let mut headers = left.headers.clone();
            mark(&mut headers, TRUNCATED, format!("value: {kept} of {whole} bytes"));
            let cut = Letter { value, headers, ..left };
            match self.send_letter(topic, &cut) {
                Err(Error::Refused { .. }) => {}
                sent => return sent,
            }
        }
        left.headers = letter.headers(&Headers::default());
        if left.key.is_some() {
            // A compacted topic wants the key, and takes a null value for its deletion.
            let mut headers = left.headers.clone();
            mark(&mut headers, TRUNCATED, "value and headers".to_owned());
            match self.send_letter(topic, &Letter { value: Some(&[]), headers, ..left }) {
                Err(Error::Refused { .. }) => {}
                sent => return sent,
            }
        }
        mark(&mut left.headers, TRUNCATED, "key, value and headers".to_owned());
        self.send_letter(topic, &Letter { key: None, value: None, ..left })
    }

    fn send_letter(&mut self, topic: SinkTopic, letter: &Letter<'_>) -> Result<()> {
        let target = letter.key.map_or(Target::Any, Target::ByKey);
        self.send(topic, target, (letter.key, letter.value), letter.timestamp, &letter.headers)
    }
}

/// What is sent of a dead letter.
struct Letter<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    timestamp: Option<i64>,
    headers: Headers,
}

impl Letter<'_> {
    /// At the time of sending, with its own in a header.
    fn without_timestamp(mut self) -> Self {
        if let Some(at) = self.timestamp.take() {
            mark(&mut self.headers, TIMESTAMP, at.to_string());
        }
        self
    }
}

impl DeadLetter<'_> {
    /// These headers and those that say what failed and where.
    fn headers(&self, before: &Headers) -> Headers {
        let mut headers = before.clone();
        let mut add = |name: &str, value: String| mark(&mut headers, name, value);
        add("__streams.errors.exception", error_name(self.error));
        add("__streams.errors.message", message(self.error));
        add("__streams.errors.stacktrace", excerpt(&Causes(self.error)));
        if !self.source.topic.is_empty() {
            add("__streams.errors.topic", self.source.topic.to_owned());
            add("__streams.errors.partition", self.source.partition.to_string());
            add("__streams.errors.offset", self.source.offset.to_string());
        }
        headers
    }
}

fn mark(headers: &mut Headers, name: &str, value: String) {
    headers.push(name, Some(value.into_bytes()));
}

/// The error and what caused it; of a record that was only dropped the reason alone, by which letters are told apart.
fn message(error: &BoxError) -> String {
    match error.downcast_ref::<RecordDropped>() {
        Some(dropped) => dropped.to_string(),
        None => excerpt(&Chain(&**error)),
    }
}

/// Rust errors carry no class name; their `Debug` text starts with the type's name.
fn error_name(error: &BoxError) -> String {
    let text = excerpt(&format_args!("{error:?}"));
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    match text.get(..end.unwrap_or(text.len())) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "Error".to_owned(),
    }
}

/// The error and what caused it, a line each: the nearest thing to Java's stack trace.
struct Causes<'a>(&'a BoxError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(next) = cause {
            write!(f, "\ncaused by: {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::log::memory::MemoryRecord;
    use crate::policy::OnError;
    use crate::record::{Headers, Timestamp};
    use crate::source::Consumed;
    use crate::testing::TopologyDriver;
    use crate::topology::StreamsBuilder;

    /// The letter about a record that no i64 is, with this value and a header of this size.
    fn letter(value: &[u8], header_bytes: usize) -> MemoryRecord {
        letter_of(b"k", value, header_bytes)
    }

    fn letter_of(key: &[u8], value: &[u8], header_bytes: usize) -> MemoryRecord {
        let builder = StreamsBuilder::new();
        let source = Consumed::<String, i64>::from("in").on_error(OnError::dead_letter("letters"));
        builder.stream(source).for_each(|_, _| {});
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let mut headers = Headers::default();
        headers.push("mine", Some(vec![7; header_bytes]));
        driver.pipe_raw("in", (Some(key), Some(value)), Timestamp(1), &headers).unwrap();
        let mut letters = driver.read_raw("letters").unwrap();
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.remove(0)
    }

    fn header(letter: &MemoryRecord, name: &str) -> Option<String> {
        letter.headers.last(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    /// How large a value may be so that the letter just fits.
    fn largest() -> usize {
        // The reason counts the bytes, so it must be as long.
        let small = letter(&[0; 1_000_000], 0);
        let headers = small.headers.iter().map(|h| h.name.len() + h.value.as_ref().unwrap().len());
        let lengths: usize =
            small.headers.iter().map(|h| 1 + varint(h.value.as_ref().unwrap())).sum();
        1_048_588 - (61 + 3 + 3 + 2 + 3 + 1) - lengths - headers.sum::<usize>()
    }

    fn varint(value: &[u8]) -> usize {
        if value.len() < 64 { 1 } else { 2 }
    }

    #[test]
    fn a_letter_that_is_too_large_is_cut_and_says_so() {
        let largest = largest();
        let whole = letter(&vec![1; largest], 0);
        assert_eq!(whole.value.as_ref().map(Vec::len), Some(largest));
        assert_eq!(header(&whole, "__millstream.errors.truncated"), None);

        let cut = letter(&vec![1; largest + 1], 0);
        let kept = largest.div_ceil(2);
        assert_eq!(cut.value, Some(vec![1; kept]));
        let said = header(&cut, "__millstream.errors.truncated");
        assert_eq!(said, Some(format!("value: {kept} of {} bytes", largest + 1)));
        assert_eq!(
            (cut.key.as_deref(), header(&cut, "__streams.errors.offset")),
            (Some(&b"k"[..]), Some("0".to_owned()))
        );
    }

    #[test]
    fn headers_go_after_the_value_and_the_key_last() {
        let cut = letter(b"none", 1_048_400);
        let kept = (cut.key.as_deref(), cut.value.as_deref(), cut.headers.last("mine"));
        assert_eq!(kept, (Some(&b"k"[..]), Some(&b""[..]), None));
        let said = header(&cut, "__millstream.errors.truncated");
        assert_eq!(said.as_deref(), Some("value and headers"));

        let cut = letter_of(&vec![b'k'; 1_048_400], b"none", 0);
        assert_eq!((&cut.key, &cut.value), (&None, &None));
        let said = header(&cut, "__millstream.errors.truncated");
        assert_eq!(said.as_deref(), Some("key, value and headers"));
    }

    #[test]
    fn a_reason_as_large_as_the_record_is_cut() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream
            .try_map_values(|value: String| Err::<String, _>(format!("not this: {value}")))
            .on_error(OnError::dead_letter("letters"))
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let value = "y".repeat(1_000_000);
        driver.pipe("in", &crate::testing::text("k", &value, 1)).unwrap();
        let letters = driver.read_raw("letters").unwrap();
        assert_eq!(letters[0].value.as_deref(), Some(value.as_bytes()));
        for name in ["exception", "message", "stacktrace"] {
            let text = header(&letters[0], &format!("__streams.errors.{name}")).unwrap();
            assert!(text.len() <= 1024, "{name}: {} bytes", text.len());
        }
        let message = header(&letters[0], "__streams.errors.message").unwrap();
        assert!(message.starts_with("not this: y") && message.ends_with('…'), "{message}");
    }
}
