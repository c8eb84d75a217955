//! Records that go no further, in a topic.

use super::*;
use crate::log::memory::{Fault, Operation};
use crate::policy::OnError;

/// The letters are part of the commit: what is done again after an abort shows once.
#[test]
fn dropped_records_are_in_the_topic_of_dead_letters_once() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<Option<String>, String>("in").group_by_key().count("counts");
    let counts = counts.on_drop(OnError::dead_letter("nobodys")).updates();
    counts.map_values(|count| count.to_string()).to("out");
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1), ("nobodys", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).cache_bytes_max(0);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    let put = |key: Option<&str>, value: &str| {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        let into = TopicPartition::new("in", 0);
        log.append(&into, key, value, 7, &Headers::default()).unwrap();
    };
    put(Some("k"), "first");
    wait_for(&log, "out", &["1"]);
    for (operation, value) in [(Operation::SendOffsets, "a"), (Operation::Commit, "b")] {
        log.fail(operation, Fault::Aborted, 1);
        put(None, value);
        put(Some("k"), "another");
        let is_last = |found: &Vec<String>| found.last().is_some_and(|last| last == value);
        wait_until(|| values(&log, "nobodys"), is_last);
    }
    wait_for(&log, "out", &["1", "2", "3"]);
    assert!(aborts(&streams) >= 2);
    streams.close().unwrap();
    assert_eq!(values(&log, "nobodys"), ["a", "b"]);
    let letter = log.records("nobodys").into_iter().next().unwrap();
    let header = |name: &str| letter.headers.last(&format!("__streams.errors.{name}"));
    assert_eq!(header("message"), Some(&b"null_key"[..]));
    assert_eq!(header("offset"), Some(&b"1"[..]));
}

/// It is found missing at the start, as those of errors.
#[test]
fn a_topic_of_dropped_records_must_be_there() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let _ = stream.count("counts").on_drop(OnError::dead_letter("nobody-made-it"));
    let log = log_with(&[("in", 1)]);
    let topology = builder.build().unwrap();
    let settings = crate::runtime::streams::settings(&StreamsConfig::new("app"));
    let error = crate::runtime::internal_topics::prepare(&log, &topology, "app", &settings);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("nobody-made-it"), "{text}");
}
