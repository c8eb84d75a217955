//! Where partitions without a committed position begin, whatever happens before the first one is.

use super::{PATIENCE, config, log_with, put, values, wait_for, wait_until};
use crate::config::ProcessingGuarantee;
use crate::log::memory::{Fault, MemoryLog, Operation};
use crate::policy::Reset;
use crate::runtime::board::StreamsState;
use crate::runtime::streams::Streams;
use crate::source::Consumed;
use crate::topology::{StreamsBuilder, Topology};
use std::sync::Arc;

fn from_the_end() -> Topology {
    let builder = StreamsBuilder::new();
    let source = Consumed::<String, String>::from("in").reset(Reset::Latest);
    builder.stream(source).to("out");
    builder.build().unwrap()
}

fn start(log: &MemoryLog, dir: &tempfile::TempDir, guarantee: ProcessingGuarantee) -> Streams {
    let log = Arc::new(log.clone());
    let streams = Streams::with(from_the_end(), config(dir, guarantee)).log(log).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    streams
}

#[test]
fn a_source_that_began_at_the_end_loses_nothing_to_a_failed_first_commit() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    put(&log, 0, "k", "old");
    let dir = tempfile::tempdir().unwrap();
    // More tries than one, so that records come between them.
    log.fail(Operation::Commit, Fault::Aborted, 3);
    let streams = start(&log, &dir, ProcessingGuarantee::ExactlyOnceV2);
    put(&log, 0, "k", "one");
    wait_for(&log, "out", &["one"]);
    put(&log, 0, "k", "two");
    wait_for(&log, "out", &["one", "two"]);
    streams.close().unwrap();
}

/// Nothing was processed, and yet nothing is skipped by whoever comes next.
#[test]
fn where_a_source_began_is_committed_before_its_first_record() {
    for guarantee in [ProcessingGuarantee::AtLeastOnce, ProcessingGuarantee::ExactlyOnceV2] {
        let log = log_with(&[("in", 2), ("out", 1)]);
        put(&log, 0, "k", "old");
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let streams = start(&log, &first, guarantee);
        let offsets = || -> Vec<i64> {
            log.group_offsets("app").into_iter().map(|(_, committed)| committed.offset).collect()
        };
        wait_until(offsets, |offsets| offsets == &[1, 0]);
        streams.close().unwrap();
        put(&log, 0, "k", "one");
        put(&log, 1, "k", "two");
        let streams = start(&log, &second, guarantee);
        wait_for(&log, "out", &["one", "two"]);
        streams.close().unwrap();
        assert_eq!(values(&log, "out"), ["one", "two"]);
    }
}
