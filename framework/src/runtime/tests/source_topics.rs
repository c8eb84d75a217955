//! Tables that are restored from their own topic: `TopologyOptions::reuse_table_source_topics`.

use super::state::metric;
use super::{BOTH, PATIENCE, config, log_with, values, wait_for, wait_until};
use crate::config::ProcessingGuarantee;
use crate::log::Log;
use crate::log::memory::{Fault, MemoryLog, Operation};
use crate::policy::OnError;
use crate::record::{Headers, TopicPartition};
use crate::runtime::board::StreamsState;
use crate::runtime::streams::Streams;
use crate::serde::{Json, Plain};
use crate::source::Consumed;
use crate::store::Materialized;
use crate::topology::{StreamsBuilder, Topology, TopologyOptions};
use std::sync::Arc;

fn reuse() -> TopologyOptions {
    TopologyOptions::default().reuse_table_source_topics()
}

/// Numbers of the stream with names of the table, which has other bytes in its store than in its topic.
fn named(options: &TopologyOptions) -> Topology {
    let builder = StreamsBuilder::new();
    let names = Consumed::<String, i64>::with_values("names", Json).on_error(OnError::Skip);
    let names = builder.table(names, Materialized::<String, i64>::named("names"));
    let numbers = builder.stream::<String, String>("in");
    numbers.join_table(&names, |value: String, name: &i64| format!("{value}{name}")).to("out");
    builder.build_with(options).unwrap()
}

fn append(log: &MemoryLog, topic: &str, key: &str, value: Option<&str>) {
    let at = TopicPartition::new(topic, 0);
    let value = value.map(str::as_bytes);
    log.append(&at, Some(key.as_bytes()), value, 7, &Headers::default()).unwrap();
}

fn start(
    log: &MemoryLog,
    dir: &tempfile::TempDir,
    guarantee: ProcessingGuarantee,
    options: &TopologyOptions,
) -> Streams {
    let config = config(dir, guarantee).num_stream_threads(1);
    Streams::with(named(options), config).log(Arc::new(log.clone())).start().unwrap()
}

fn ends(log: &MemoryLog) -> i64 {
    ["names", "in"].iter().map(|topic| log.records(topic).len() as i64).sum()
}

/// Until all that is there is processed and committed.
fn until_committed(log: &MemoryLog) {
    wait_until(|| (super::committed(log), ends(log)), |(committed, ends)| committed == ends);
}

fn has_changelog(log: &MemoryLog) -> bool {
    let names = log.topics().unwrap();
    names.iter().any(|name| name.contains("names-changelog"))
}

/// A deletion and bytes that the source skips included; the rows are those that were processed, on a new machine and
/// on the same one.
#[test]
fn the_rows_come_from_the_topic_again() {
    for guarantee in BOTH {
        let log = log_with(&[("names", 1), ("in", 1), ("out", 1)]);
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let streams = start(&log, &dir, guarantee, &reuse());
        for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", Some("?")), ("b", None)] {
            append(&log, "names", key, value);
        }
        until_committed(&log);
        streams.close().unwrap();
        // Of the same machine nothing is missing; the other one reads the bytes that are skipped, too.
        for (dir, wanted, read) in [(&dir, &["x1"][..], 0.0), (&other, &["x1", "x1"], 4.0)] {
            let streams = start(&log, dir, guarantee, &reuse());
            append(&log, "in", "a", Some("x"));
            append(&log, "in", "b", Some("y"));
            until_committed(&log);
            assert_eq!(values(&log, "out"), wanted);
            // Both are told at the same time, and the commit comes after that.
            wait_until(|| metric(&streams, "millstream_store_entries"), |rows| *rows > 0.0);
            append(&log, "in", "b", Some("y"));
            until_committed(&log);
            assert_eq!(metric(&streams, "millstream_restored_records_total"), read);
            streams.close().unwrap();
        }
        assert!(!has_changelog(&log));
    }
}

/// What is in the topic and was not processed is no row yet: a join would see the future, and a change its own row.
#[test]
fn it_is_read_up_to_the_committed_position_only() {
    let log = log_with(&[("names", 1), ("in", 1), ("out", 1)]);
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let changes = || {
        let builder = StreamsBuilder::new();
        let names = builder.table::<String, String>("names", "names");
        let grouped = names.group_by(|_, name| ("all".to_owned(), name.clone()));
        let joined = |all: String, name: &str| all + name;
        grouped
            .aggregate(
                "all",
                String::new,
                move |_, name: String, all: &mut String| {
                    *all = joined(std::mem::take(all), &format!("+{name}"))
                },
                move |_, name: String, all: &mut String| {
                    *all = joined(std::mem::take(all), &format!("-{name}"))
                },
            )
            .updates()
            .to("out");
        builder.build_with(&reuse()).unwrap()
    };
    let run = |dir: &tempfile::TempDir, wanted: &str| {
        let config = config(dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1);
        let streams = Streams::with(changes(), config).log(Arc::new(log.clone())).start().unwrap();
        wait_until(
            || log.records("out").last().and_then(|record| record.value.clone()),
            |value| value.as_deref() == Some(wanted.as_bytes()),
        );
        streams.close().unwrap();
    };
    append(&log, "names", "k", Some("one"));
    run(&dir, "+one");
    append(&log, "names", "k", Some("two"));
    // It takes the first row out, not the one that it is about to process.
    run(&other, "+one-one+two");
}

/// A commit that fails leaves neither rows nor a position behind.
#[test]
fn an_aborted_commit_leaves_nothing_behind() {
    for fault in [Fault::Aborted, Fault::LostAnswer] {
        let log = log_with(&[("names", 1), ("in", 1), ("out", 1)]);
        let dir = tempfile::tempdir().unwrap();
        let streams = start(&log, &dir, ProcessingGuarantee::ExactlyOnceV2, &reuse());
        assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
        append(&log, "names", "a", Some("1"));
        until_committed(&log);
        log.fail(Operation::Commit, fault, 1);
        append(&log, "names", "a", Some("2"));
        until_committed(&log);
        append(&log, "in", "a", Some("x"));
        wait_for(&log, "out", &["x2"]);
        streams.close().unwrap();
    }
}

/// From a changelog to the topic, whose offsets have another meaning; back only with a reset.
#[test]
fn an_application_that_has_run_may_begin_and_not_end_with_it() {
    let log = log_with(&[("names", 1), ("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let guarantee = ProcessingGuarantee::ExactlyOnceV2;
    for options in [TopologyOptions::default(), reuse()] {
        let streams = start(&log, &dir, guarantee, &options);
        append(&log, "names", "a", Some("1"));
        append(&log, "names", "b", Some("2"));
        append(&log, "names", "b", Some("3"));
        until_committed(&log);
        append(&log, "in", "b", Some("x"));
        until_committed(&log);
        streams.close().unwrap();
    }
    assert_eq!(values(&log, "out"), ["x3", "x3"]);
    let streams = start(&log, &dir, guarantee, &TopologyOptions::default());
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let error = streams.close().unwrap_err().to_string();
    assert!(
        error.contains("store names") && error.contains("reuse_table_source_topics"),
        "{error}"
    );
}

#[test]
fn tables_with_other_times_or_another_beginning_or_versions_keep_their_changelogs() {
    use crate::policy::Reset;
    use crate::record::Timestamp;
    use std::time::Duration;
    let builder = StreamsBuilder::new();
    let of = |topic: &str| Consumed::<String, String>::from(topic);
    builder.table(of("timed").timestamp(|_, _| Some(Timestamp(1))), "timed");
    builder.table(of("late").reset(Reset::Latest), "late");
    builder
        .table(of("versions"), Materialized::named("versions").versioned(Duration::from_secs(1)));
    builder.table(of("given"), Materialized::with_serdes("given", Plain, Plain));
    builder.table(of("unlogged"), Materialized::named("unlogged").without_changelog());
    let topology = builder.build_with(&reuse()).unwrap();
    let stores = topology.sub_topologies().iter().flat_map(|sub| &sub.stores);
    let mut logged: Vec<&str> = stores
        .filter_map(|store| topology.store(*store))
        .filter(|store| store.changelog_config(0).is_some())
        .map(|store| store.name())
        .collect();
    logged.sort_unstable();
    assert_eq!(logged, ["late", "timed", "versions"]);
}
