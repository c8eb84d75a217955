//! Outlets whose flush and whose commit fail, apart and together.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use super::futures::{numbered, put_all};
use super::*;
use crate::error::Error;
use crate::log::memory::{Fault, Operation};
use crate::operators::Outlet;
use crate::record::RecordMetadata;

/// A database with transactions: rows, and how far they go.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    rows: Vec<String>,
    positions: BTreeMap<TopicPartition, i64>,
    /// So many transactions fail, before or after they count.
    refuses: u32,
    loses_answers: u32,
}

impl Database {
    fn rows(&self) -> Vec<String> {
        let mut rows = self.0.lock().unwrap().rows.clone();
        rows.sort();
        rows
    }
}

struct Rows {
    database: Database,
    knows_positions: bool,
    rows: Vec<String>,
}

impl Outlet<String, String> for Rows {
    fn resume(&mut self, partition: &TopicPartition) -> Result<Option<i64>, BoxError> {
        let tables = self.database.0.lock().unwrap();
        Ok(tables.positions.get(partition).copied().filter(|_| self.knows_positions))
    }

    fn write(
        &mut self,
        record: Record<String, String>,
        _: Option<RecordMetadata<'_>>,
    ) -> Result<(), BoxError> {
        self.rows.push(record.value);
        Ok(())
    }

    fn flush(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
        let mut tables = self.database.0.lock().unwrap();
        if tables.refuses > 0 {
            tables.refuses -= 1;
            return Err("the database is away".into());
        }
        tables.rows.append(&mut self.rows);
        tables.positions.extend(positions.iter().cloned());
        if tables.loses_answers > 0 {
            tables.loses_answers -= 1;
            return Err("the answer was lost".into());
        }
        Ok(())
    }
}

fn stored(database: &Database, knows_positions: bool, fails_to_open: u32) -> Topology {
    let (database, left) = (database.clone(), AtomicU32::new(fails_to_open));
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").sink("rows", move || {
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if fails.is_ok() {
            return Err("no route to host");
        }
        Ok(Rows { database: database.clone(), knows_positions, rows: Vec::new() })
    });
    builder.build().unwrap()
}

fn started(topology: Topology, dir: &tempfile::TempDir, log: &MemoryLog) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, ProcessingGuarantee::ExactlyOnceV2);
    Streams::with(topology, config).log(shared).start().unwrap()
}

/// Whatever fails, between the database and the broker too: each row is there once.
#[test]
fn an_outlet_that_knows_its_positions_has_each_record_once() {
    let faults = [
        (Operation::Commit, Fault::Aborted),
        (Operation::Commit, Fault::Fenced),
        (Operation::Commit, Fault::LostAnswer),
        (Operation::SendOffsets, Fault::Aborted),
    ];
    for (operation, fault) in faults {
        let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("in", 2)]));
        let database = Database::default();
        let streams = started(stored(&database, true, 0), &dir, &log);
        put_all(&log, &numbered(0, 10));
        wait_until(|| committed(&log), |found| *found == 10);
        // The database has what follows, the broker does not know of it.
        log.fail(operation, fault, 1);
        put_all(&log, &numbered(10, 20));
        wait_until(|| committed(&log), |found| *found == 20);
        for refuses in [true, false] {
            let mut tables = database.0.lock().unwrap();
            let fails = if refuses { &mut tables.refuses } else { &mut tables.loses_answers };
            *fails = 2;
            drop(tables);
            let from = if refuses { 20 } else { 30 };
            put_all(&log, &numbered(from, from + 10));
            wait_until(|| committed(&log), |found| *found == from as i64 + 10);
        }
        streams.close().unwrap();
        assert_eq!(database.rows(), numbered(0, 40), "{operation:?} {fault:?}");
    }
}

/// The test above would see it: without positions the rows of a failed commit are there twice.
#[test]
fn an_outlet_that_does_not_know_has_them_at_least_once() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("in", 2)]));
    let database = Database::default();
    let streams = started(stored(&database, false, 0), &dir, &log);
    // The fault is to hit a commit with rows, and not that of where the sources begin.
    put_all(&log, &numbered(0, 4));
    wait_until(|| committed(&log), |found| *found == 4);
    log.fail(Operation::Commit, Fault::Aborted, 1);
    put_all(&log, &numbered(4, 8));
    wait_until(|| committed(&log), |found| *found == 8);
    streams.close().unwrap();
    let mut rows = database.rows();
    assert!(rows.len() > 8, "{rows:?}");
    rows.dedup();
    assert_eq!(rows, numbered(0, 8));
}

/// A database that is away at the start is waited for.
#[test]
fn an_outlet_that_cannot_be_opened_is_tried_again() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("in", 2)]));
    let database = Database::default();
    put_all(&log, &numbered(0, 4));
    let streams = started(stored(&database, true, 3), &dir, &log);
    wait_until(|| committed(&log), |found| *found == 4);
    assert_eq!(database.rows(), numbered(0, 4));
    streams.close().unwrap();
}

/// An outlet may say that nothing helps: the instance ends with its error.
#[test]
fn an_outlet_may_end_the_instance() {
    struct Full;
    impl Outlet<String, String> for Full {
        fn write(
            &mut self,
            _: Record<String, String>,
            _: Option<RecordMetadata<'_>>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        fn flush(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
            let (what, reason) = ("the lake".to_owned(), "its schema is another".to_owned());
            Err(Error::Fatal { what, reason }.into())
        }
    }
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").sink("lake", || Ok::<_, BoxError>(Full));
    let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("in", 1)]));
    let streams = started(builder.build().unwrap(), &dir, &log);
    put(&log, 0, "k", "v");
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    let error = streams.close().unwrap_err().to_string();
    assert!(error.contains("its schema is another"), "{error}");
    assert_eq!(committed(&log), 0);
}

/// Knows its positions; its first flush behind a record of `a` counts but says it does not, and a record of `b` that is
/// older comes at that moment.
struct Racing(Rows, MemoryLog);

impl Outlet<String, String> for Racing {
    fn resume(&mut self, partition: &TopicPartition) -> Result<Option<i64>, BoxError> {
        self.0.resume(partition)
    }

    fn write(
        &mut self,
        record: Record<String, String>,
        from: Option<RecordMetadata<'_>>,
    ) -> Result<(), BoxError> {
        self.0.write(record, from)
    }

    fn flush(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
        let first = !positions.iter().any(|(at, _)| {
            self.0.database.0.lock().unwrap().positions.get(at).is_some_and(|next| *next > 0)
        });
        self.0.flush(positions)?;
        if first && positions.iter().any(|(at, next)| &*at.topic == "a" && *next == 1) {
            append_to(&self.1, "b", 10);
            return Err("the answer was lost".into());
        }
        Ok(())
    }
}

fn append_to(log: &MemoryLog, topic: &str, time: i64) {
    let at = TopicPartition::new(topic, 0);
    log.append(&at, Some(b"k"), Some(topic.as_bytes()), time, &Headers::default()).unwrap();
}

/// What is in the outlet when both records are committed.
fn raced(
    draw: impl FnOnce(
        crate::operators::KStream<String, String>,
        crate::operators::KStream<String, String>,
    ) -> crate::operators::KStream<String, String>,
) -> Vec<String> {
    let (dir, log) = (tempfile::tempdir().unwrap(), log_with(&[("a", 1), ("b", 1)]));
    let (database, other) = (Database::default(), log.clone());
    let builder = StreamsBuilder::new();
    let connect = database.clone();
    draw(builder.stream("a"), builder.stream("b")).sink("rows", move || {
        let rows = Rows { database: connect.clone(), knows_positions: true, rows: Vec::new() };
        Ok::<_, BoxError>(Racing(rows, other.clone()))
    });
    append_to(&log, "a", 20);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2).cache_bytes_max(0);
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    wait_until(|| committed(&log), |found| *found == 2);
    streams.close().unwrap();
    database.0.lock().unwrap().rows.clone()
}

/// Both are merged without a state: the test itself is right.
#[test]
fn a_merge_is_there_once_though_inputs_come_in_another_order_again() {
    assert_eq!(raced(|a, b| a.merge(&b)), ["a", "b"]);
}

/// The pair is met by another of its records when the work is done again, and that one counts as written.
#[test]
fn a_pair_of_a_join_is_not_lost_when_inputs_come_in_another_order_again() {
    use crate::time::JoinWindows;
    let pairs = raced(|a, b| {
        let within = JoinWindows::within(Duration::from_secs(60)).no_grace();
        a.join("pairs", &b, within, |a: &String, b: &String| format!("{a}+{b}"))
    });
    assert_eq!(pairs, ["a+b"]);
}

/// The last count is that of a record that counts as written.
#[test]
fn the_last_count_is_not_lost_when_inputs_come_in_another_order_again() {
    let counts = raced(|a, b| {
        let counted = a.merge(&b).group_by_key().count("n").updates();
        counted.map_values(|count: i64| count.to_string())
    });
    assert_eq!(counts.last().map(String::as_str), Some("2"), "{counts:?}");
}
