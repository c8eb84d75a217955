//! A restart between any two records, and an abort at any step of a commit, change no output.

use std::collections::BTreeMap;

use millstream::ProcessingGuarantee::{self, AtLeastOnce, ExactlyOnceV2};
use millstream::log::memory::{Fault, Operation};

use super::world::{Input, Line, World, every_store, inputs};

const RECORDS: usize = 36;

/// Where an instance that starts again finds its state.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    /// It does not start again.
    Kept,
    /// On the same disk.
    Same,
    /// On an empty one: from the changelogs' start.
    Empty,
}

type Outputs = BTreeMap<&'static str, Vec<Line>>;

fn run(guarantee: ProcessingGuarantee, records: &[Input], disk: Disk) -> Outputs {
    let world = World::new(1, guarantee);
    let topology = every_store();
    let mut dir = tempfile::tempdir().unwrap();
    let mut streams = world.start(&topology, &dir);
    for record in records {
        world.append(record);
        world.settle(&streams);
        if disk != Disk::Kept {
            streams.close().unwrap();
            if disk == Disk::Empty {
                dir = tempfile::tempdir().unwrap();
            }
            streams = world.start(&topology, &dir);
        }
    }
    streams.close().unwrap();
    world.all_lines()
}

/// All outputs have records, or nothing is shown by what they have.
fn assert_full(outputs: &Outputs) {
    let empty: Vec<_> = outputs.iter().filter(|(_, lines)| lines.is_empty()).collect();
    assert!(empty.is_empty(), "{empty:?}");
}

fn assert_same(expected: &Outputs, found: &Outputs, what: &str) {
    for (topic, lines) in expected {
        assert_eq!(&found[topic], lines, "{topic} {what}");
    }
}

#[test]
fn a_restart_between_any_two_records_changes_no_output() {
    let records = inputs(1, RECORDS);
    let expected = run(ExactlyOnceV2, &records, Disk::Kept);
    assert_full(&expected);
    for disk in [Disk::Same, Disk::Empty] {
        let found = run(ExactlyOnceV2, &records, disk);
        assert_same(&expected, &found, &format!("with {disk:?} disk"));
    }
}

#[test]
fn without_transactions_neither_does_one() {
    let records = inputs(2, RECORDS / 2);
    let expected = run(AtLeastOnce, &records, Disk::Kept);
    let found = run(AtLeastOnce, &records, Disk::Empty);
    assert_same(&expected, &found, "with an empty disk");
}

#[test]
fn an_abort_at_any_step_of_a_commit_changes_no_output() {
    let faults = [
        (Operation::Send, Fault::Aborted),
        (Operation::Flush, Fault::Unavailable),
        (Operation::SendOffsets, Fault::Aborted),
        (Operation::SendOffsets, Fault::LostAnswer),
        (Operation::Commit, Fault::Aborted),
        (Operation::Commit, Fault::Fenced),
        (Operation::Commit, Fault::LostAnswer),
    ];
    let records = inputs(3, 2 * faults.len() + 12);
    let expected = run(ExactlyOnceV2, &records, Disk::Kept);
    let world = World::new(1, ExactlyOnceV2);
    let dir = tempfile::tempdir().unwrap();
    let streams = world.start(&every_store(), &dir);
    for (record, (operation, fault)) in records.iter().zip(faults.iter().cycle()) {
        world.log.fail(*operation, *fault, 1);
        world.append(record);
        world.settle(&streams);
    }
    let metrics = streams.metrics();
    streams.close().unwrap();
    assert_same(&expected, &world.all_lines(), "with an abort at each record");
    let aborts = metrics.lines().find(|line| line.starts_with("millstream_aborts_total")).unwrap();
    let aborts: usize = aborts.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(aborts + 2 >= records.len(), "{aborts} aborts, {} records", records.len());
}
