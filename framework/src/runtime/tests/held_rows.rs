//! A record that fails follows its policy, and the instance goes on: behind a cached table, and at a
//! serde that panics.

use std::sync::Arc;

use super::{PATIENCE, config, log_with, put, wait_for, wait_until};
use crate::config::ProcessingGuarantee;
use crate::error::BoxError;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::policy::{DropReason, OnError};
use crate::runtime::board::StreamsState;
use crate::runtime::streams::Streams;
use crate::serde::{Null, Place, Plain, Serde};
use crate::source::Consumed;
use crate::topology::StreamsBuilder;

const GUARANTEES: [ProcessingGuarantee; 2] =
    [ProcessingGuarantee::AtLeastOnce, ProcessingGuarantee::ExactlyOnceV2];

fn run(
    builder: StreamsBuilder,
    log: &MemoryLog,
    dir: &tempfile::TempDir,
    guarantee: ProcessingGuarantee,
) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, guarantee);
    Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap()
}

#[test]
fn a_dead_letter_behind_a_cached_table_keeps_the_instance_running() {
    for guarantee in GUARANTEES {
        let builder = StreamsBuilder::new();
        let not_one = |count: i64| match count {
            1 => Err("one is refused"),
            _ => Ok(count.to_string()),
        };
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .count("counts")
            .updates()
            .try_map_values(not_one)
            .on_error(OnError::DeadLetter("letters".into()))
            .to("out");
        let log = log_with(&[("in", 1), ("out", 1), ("letters", 1)]);
        let dir = tempfile::tempdir().unwrap();
        let streams = run(builder, &log, &dir, guarantee);
        put(&log, 0, "k", "x");
        let letters = wait_until(|| log.records("letters"), |letters| letters.len() == 1);
        assert_eq!(letters[0].key.as_deref(), Some(&b"k"[..]));
        assert_eq!(letters[0].value, Some(1_i64.to_be_bytes().to_vec()));
        let from = letters[0].headers.last("__streams.errors.topic");
        assert_eq!(from, Some(&b"app-counts-changelog"[..]));
        put(&log, 0, "k", "x");
        wait_for(&log, "out", &["2"]);
        assert_eq!(streams.state(), StreamsState::Running);
        wait_until(|| streams.drops().of(DropReason::Failed), |failed| *failed == 1);
        streams.close().unwrap();
    }
}

/// Text, but for what makes it panic.
struct Fragile;

impl Serde<String> for Fragile {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &String,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        assert_ne!(value, "unwritable");
        Plain.serialize(place, value, into)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<String, BoxError> {
        let text: String = Plain.deserialize(place, bytes)?;
        assert_ne!(text, "unreadable");
        Ok(text)
    }
}

#[test]
fn a_serde_that_panics_costs_one_record_and_no_task() {
    for guarantee in GUARANTEES {
        let builder = StreamsBuilder::new();
        let letters = || OnError::DeadLetter("letters".into());
        let source = Consumed::with_serdes("in", Plain, Fragile).on_error(letters());
        let sink = crate::sink::Produced::with_serdes("out", Plain, Fragile).on_error(letters());
        builder.stream::<String, String>(source).to(sink);
        let log = log_with(&[("in", 1), ("out", 1), ("letters", 1)]);
        let dir = tempfile::tempdir().unwrap();
        let streams = run(builder, &log, &dir, guarantee);
        for value in ["one", "unreadable", "two", "unwritable", "three"] {
            put(&log, 0, "k", value);
        }
        wait_for(&log, "out", &["one", "three", "two"]);
        wait_for(&log, "letters", &["unreadable", "unwritable"]);
        assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
        assert!(streams.metrics().contains("millstream_aborts_total{application=\"app\"} 0"));
        streams.close().unwrap();
    }
}
