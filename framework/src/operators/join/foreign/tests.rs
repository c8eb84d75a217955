//! Joins by foreign key over the driver.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::error::Error;
use crate::log::memory::MemoryRecord;
use crate::operators::join::options::TableJoined;
use crate::operators::table::KTable;
use crate::policy::{DropReason, OnError};
use crate::record::{Headers, Record, Timestamp};
use crate::store::Materialized;
use crate::testing::{DriverOptions, TopologyDriver, text};
use crate::topology::{StreamsBuilder, Topology, TopologyFault};

type Table = KTable<String, String>;
type How = TableJoined<String, String, String>;

/// What a left row names stands before the colon; a dash is nothing.
fn named(row: &str) -> Option<String> {
    row.split(':').next().filter(|key| *key != "-").map(str::to_owned)
}

fn pair(left: &str, right: Option<&String>) -> String {
    format!("{left} {right:?}")
}

fn joined(is_left: bool, how: How, left: &Table, right: &Table) -> Table {
    let key = |_: &String, row: &String| named(row);
    match is_left {
        true => left.left_join_foreign(how, right, key, |l, r| pair(l, r)),
        false => left.join_foreign(how, right, key, |l, r| pair(l, Some(r))),
    }
}

fn topology(is_left: bool, kept: bool, policy: OnError) -> Topology {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.table("l", "lt"), builder.table("r", "rt"));
    let result = joined(is_left, How::named("j").on_error(policy), &left, &right);
    let result = if kept { result.materialized("kept") } else { result };
    result.to_stream().to("out");
    builder.build().unwrap()
}

fn driver(is_left: bool, policy: OnError) -> TopologyDriver {
    TopologyDriver::new(&topology(is_left, true, policy)).unwrap()
}

fn deleted(key: &str, at: i64) -> Record<String, Option<String>> {
    Record::new(key.to_owned(), None, Timestamp(at))
}

/// What came out, as `key row`.
fn out(driver: &mut TopologyDriver) -> Vec<String> {
    let records = driver.read::<String, Option<String>>("out").unwrap();
    let line = |it: Record<String, Option<String>>| {
        format!("{} {}", it.key, it.value.unwrap_or_else(|| "gone".to_owned()))
    };
    records.into_iter().map(line).collect()
}

const REGISTRATION: &str = "app-j-subscription-registration-topic";
const RESPONSE: &str = "app-j-subscription-response-topic";

/// Instructions that were sent, by the key that they were sent to.
fn instructions(driver: &mut TopologyDriver) -> Vec<(Option<String>, u8)> {
    let of = |record: MemoryRecord| {
        let key = record.key.map(|key| String::from_utf8(key).unwrap());
        (key, record.value.unwrap()[1])
    };
    driver.read_raw(REGISTRATION).unwrap().into_iter().map(of).collect()
}

/// A write: on the left, key, row (left: what it names and a number), time.
type Write = (bool, u8, Option<(Option<u8>, u8)>, i64);

type Rows = BTreeMap<String, String>;

/// The join of what both tables hold at the end.
fn model(is_left: bool, left: &Rows, right: &Rows) -> Rows {
    let row = |(key, row): (&String, &String)| {
        let other = named(row).and_then(|key| right.get(&key));
        (is_left || other.is_some()).then(|| (key.clone(), pair(row, other)))
    };
    left.iter().filter_map(row).collect()
}

/// Runs batches of writes, each in a driver of its own if there are restarts between them.
fn run(is_left: bool, (kept, cache_bytes, restarts): (bool, usize, bool), batches: &[Vec<Write>]) {
    let topology = topology(is_left, kept, OnError::Fail);
    let dir = tempfile::tempdir().unwrap();
    let state_dir = restarts.then(|| dir.path().to_owned());
    let options = DriverOptions { cache_bytes, state_dir, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
    let (mut tables, mut results) = ([Rows::new(), Rows::new()], Rows::new());
    for batch in batches {
        if restarts {
            drop(driver);
            driver = TopologyDriver::with_options(&topology, &options).unwrap();
        }
        for of_left in [true, false] {
            let mut records = Vec::new();
            for (_, key, row, at) in batch.iter().filter(|write| write.0 == of_left) {
                let row = row.map(|(names, number)| match names.filter(|_| of_left) {
                    Some(names) => format!("{names}:{number}"),
                    None => format!("-:{number}"),
                });
                let table = &mut tables[usize::from(!of_left)];
                let key = key.to_string();
                match &row {
                    Some(row) => drop(table.insert(key.clone(), row.clone())),
                    None => drop(table.remove(&key)),
                }
                records.push(Record::new(key, row, Timestamp(*at)));
            }
            driver.pipe_together(if of_left { "l" } else { "r" }, records).unwrap();
        }
        for change in driver.read::<String, Option<String>>("out").unwrap() {
            match change.value {
                Some(row) => drop(results.insert(change.key, row)),
                None => drop(results.remove(&change.key)),
            }
        }
        let wanted = model(is_left, &tables[0], &tables[1]);
        assert_eq!(results, wanted, "left {is_left}, {tables:?}");
        if kept {
            let rows = driver.table::<String, String>("kept").unwrap().into_iter();
            assert_eq!(rows.map(|(key, row, _)| (key, row)).collect::<Rows>(), wanted);
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    let row = (proptest::option::of(0..4_u8), 0..3_u8);
    (any::<bool>(), 0..4_u8, proptest::option::weighted(0.8, row), 0..50_i64)
}

proptest! {
    #[test]
    fn the_result_is_what_both_tables_say(
        batches in proptest::collection::vec(proptest::collection::vec(write(), 1..8), 1..8),
        kept: bool,
        cached: bool,
    ) {
        for is_left in [false, true] {
            run(is_left, (kept, if cached { 1 << 20 } else { 0 }, false), &batches);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn restarts_change_nothing(
        batches in proptest::collection::vec(proptest::collection::vec(write(), 1..6), 2..5),
        cached: bool,
    ) {
        for is_left in [false, true] {
            run(is_left, (true, if cached { 1 << 20 } else { 0 }, true), &batches);
        }
    }
}

fn to(key: &str, instruction: u8) -> (Option<String>, u8) {
    (Some(key.to_owned()), instruction)
}

#[test]
fn a_row_that_names_another_one_follows_the_old_one_no_more() {
    for is_left in [false, true] {
        let mut driver = driver(is_left, OnError::Fail);
        driver.pipe("r", &text("a", "A", 1)).unwrap();
        driver.pipe("r", &text("b", "B", 2)).unwrap();
        driver.pipe("l", &text("1", "a:x", 3)).unwrap();
        driver.pipe("l", &text("1", "b:x", 4)).unwrap();
        let first = to("a", if is_left { 2 } else { 3 });
        assert_eq!(instructions(&mut driver), [first, to("a", 0), to("b", 2)]);
        assert_eq!(out(&mut driver), [r#"1 a:x Some("A")"#, r#"1 b:x Some("B")"#]);
        driver.pipe("r", &text("a", "AA", 5)).unwrap();
        assert_eq!(out(&mut driver), Vec::<String>::new(), "nobody follows a");
        driver.pipe("r", &text("b", "BB", 6)).unwrap();
        assert_eq!(out(&mut driver), [r#"1 b:x Some("BB")"#]);
        driver.pipe("l", &deleted("1", 7)).unwrap();
        let last = if is_left { vec![to("b", 0), (None, 2)] } else { vec![to("b", 1)] };
        assert_eq!(instructions(&mut driver), last);
        assert_eq!(out(&mut driver), ["1 gone"]);
    }
}

#[test]
fn an_inner_join_drops_rows_that_name_none_and_a_left_join_does_not() {
    let mut inner = driver(false, OnError::Fail);
    inner.pipe("r", &text("a", "A", 1)).unwrap();
    inner.pipe("l", &text("1", "-:x", 2)).unwrap();
    assert_eq!((out(&mut inner), inner.dropped(DropReason::NullKey)), (Vec::new(), 1));
    inner.pipe("l", &text("1", "a:x", 3)).unwrap();
    inner.pipe("l", &text("1", "-:y", 4)).unwrap();
    assert_eq!(out(&mut inner), [r#"1 a:x Some("A")"#, "1 gone"]);
    assert_eq!(inner.dropped(DropReason::NullKey), 2);
    assert_eq!(instructions(&mut inner), [to("a", 3), to("a", 1)]);
    inner.pipe("l", &deleted("1", 5)).unwrap();
    assert_eq!(inner.dropped(DropReason::NullKey), 2, "a deletion names none, and is no fault");

    let mut left = driver(true, OnError::Fail);
    left.pipe("r", &text("a", "A", 1)).unwrap();
    for (row, at) in [("-:x", 2), ("a:x", 3), ("-:y", 4)] {
        left.pipe("l", &text("1", row, at)).unwrap();
    }
    assert_eq!(out(&mut left), ["1 -:x None", r#"1 a:x Some("A")"#, "1 -:y None"]);
    assert_eq!(instructions(&mut left), [(None, 2), (Some("a".into()), 2), to("a", 0), (None, 2)]);
    assert_eq!(left.dropped(DropReason::NullKey), 0);
    left.pipe("l", &deleted("1", 5)).unwrap();
    left.pipe("l", &deleted("1", 6)).unwrap();
    assert_eq!(out(&mut left), ["1 gone"], "the second deletion deletes nothing");
}

#[test]
fn an_answer_to_a_row_that_has_changed_since_is_stale() {
    for is_left in [false, true] {
        let mut driver = driver(is_left, OnError::Fail);
        driver.pipe("r", &text("a", "A", 1)).unwrap();
        driver.pipe_together("l", [text("1", "a:x", 2), text("1", "a:y", 3)]).unwrap();
        assert_eq!(out(&mut driver), [r#"1 a:y Some("A")"#]);
        assert_eq!(driver.dropped(DropReason::Stale), 1);
    }
}

/// An answer without a right row, to a row of this hash (none: a deleted one).
fn answer_without_a_row(driver: &mut TopologyDriver, key: &str, hash: Option<[u8; 16]>) {
    let bytes = hash.map_or_else(|| vec![0x80], |hash| [&[0], &hash[..]].concat());
    let record = (Some(key.as_bytes()), Some(&*bytes));
    driver.pipe_raw(RESPONSE, record, Timestamp(20), &Headers::default()).unwrap();
}

/// The row has changed since it was asked for, and as it is now it may never have been answered.
#[test]
fn a_stale_deletion_of_an_inner_join_asks_once_more() {
    for hash in [None, Some([7; 16])] {
        let mut driver = driver(false, OnError::Fail);
        driver.pipe("r", &text("a", "A", 1)).unwrap();
        driver.pipe("l", &text("1", "a:x", 2)).unwrap();
        drop((instructions(&mut driver), out(&mut driver)));
        answer_without_a_row(&mut driver, "1", hash);
        assert_eq!(instructions(&mut driver), [to("a", 2)]);
        assert_eq!(out(&mut driver), [r#"1 a:x Some("A")"#]);
        assert_eq!(driver.dropped(DropReason::Stale), 1);
        driver.pipe("l", &text("2", "-:x", 3)).unwrap();
        for key in ["2", "3"] {
            answer_without_a_row(&mut driver, key, Some([7; 16]));
            assert_eq!(out(&mut driver), [format!("{key} gone")], "it names none, or is none");
        }
        assert_eq!(instructions(&mut driver), []);
    }
    // A left join is always answered.
    let mut driver = driver(true, OnError::Fail);
    driver.pipe("l", &text("1", "a:x", 2)).unwrap();
    drop((instructions(&mut driver), out(&mut driver)));
    answer_without_a_row(&mut driver, "1", None);
    assert_eq!((instructions(&mut driver), out(&mut driver)), (Vec::new(), Vec::new()));
}

/// Nothing is sent for the row that comes last: the answer to the deletion is stale, and deletes all the same.
#[test]
fn a_row_that_is_deleted_and_comes_again_without_a_result_keeps_none() {
    for again in ["-:x", "b:x"] {
        let mut driver = driver(false, OnError::Fail);
        driver.pipe("r", &text("a", "A", 1)).unwrap();
        driver.pipe("l", &text("1", "a:x", 2)).unwrap();
        let again = text("1", again, 4);
        let again = Record::new(again.key, Some(again.value), again.timestamp);
        driver.pipe_together("l", [deleted("1", 3), again]).unwrap();
        assert_eq!(out(&mut driver), [r#"1 a:x Some("A")"#, "1 gone"]);
    }
}

#[test]
fn results_have_the_time_and_the_headers_of_what_changed() {
    let mut driver = driver(false, OnError::Fail);
    let with = |key: &str, row: &str, at, header: &'static str| {
        let mut record = text(key, row, at);
        record.headers.push("from", Some(header.as_bytes().to_vec()));
        record
    };
    driver.pipe("r", &with("a", "A", 9, "right")).unwrap();
    driver.pipe("l", &with("1", "a:x", 5, "left")).unwrap();
    driver.pipe("r", &with("a", "B", 3, "right again")).unwrap();
    let told: Vec<_> = driver.read::<String, String>("out").unwrap();
    let told = told.iter().map(|it| (it.timestamp.0, it.headers.last("from").unwrap().to_vec()));
    let wanted = [(9, b"left".to_vec()), (3, b"right again".to_vec())];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_key_is_not_mistaken_for_the_beginning_of_another() {
    let mut driver = driver(false, OnError::Fail);
    for (key, row) in [("1", "a:x"), ("a1", ":x"), ("2", "aa:x")] {
        driver.pipe("l", &text(key, row, 1)).unwrap();
    }
    driver.pipe("r", &text("a", "A", 2)).unwrap();
    assert_eq!(out(&mut driver), [r#"1 a:x Some("A")"#]);
    driver.pipe("r", &text("", "E", 3)).unwrap();
    assert_eq!(out(&mut driver), [r#"a1 :x Some("E")"#]);
}

/// Bytes of version 0 do not say where the left row is: its key does.
#[test]
fn subscriptions_of_the_first_version_are_kept_as_they_are_and_answered() {
    let mut driver = driver(true, OnError::Fail);
    driver.pipe("l", &text("1", "-:x", 1)).unwrap();
    let of_now = driver.read_raw(REGISTRATION).unwrap().pop().unwrap().value.unwrap();
    let mut older = of_now[..of_now.len() - 4].to_vec();
    older[0] = 0;
    let none = Headers::default();
    driver.pipe_raw(REGISTRATION, (Some(b"a"), Some(&older)), Timestamp(2), &none).unwrap();
    let logged = driver.read_raw("app-j-subscription-store-changelog").unwrap().pop().unwrap();
    assert_eq!(logged.value.as_deref(), Some(&*older));
    out(&mut driver);
    driver.pipe("r", &text("a", "A", 3)).unwrap();
    assert_eq!(out(&mut driver), [r#"1 -:x Some("A")"#]);
}

/// Bytes that nobody here wrote, in both topics: no version, an instruction there is not, no partition; a partition
/// that is not there is found out when it is answered.
#[test]
fn bytes_that_cannot_be_read_follow_the_policy_of_the_join() {
    let none = Headers::default();
    let no_partition = [&[1, 3][..], &[7; 16], b"xy"].concat();
    let far = [&[1, 2][..], &[7; 16], b"key", &[0, 0, 1, 0]].concat();
    let bad: [(&str, &[u8]); 6] = [
        (REGISTRATION, b""),
        (REGISTRATION, &[1, 9]),
        (REGISTRATION, &no_partition),
        (REGISTRATION, &[3, 0]),
        (RESPONSE, &[0, 1, 2]),
        (RESPONSE, &[5]),
    ];
    for (topic, bytes) in bad {
        let mut fails = driver(true, OnError::Fail);
        let refused = fails.pipe_raw(topic, (Some(b"a"), Some(bytes)), Timestamp(1), &none);
        let text = refused.as_ref().unwrap_err().to_string();
        assert!(matches!(refused, Err(Error::BadRecord { .. })) && text.contains(topic), "{text}");
    }
    let mut skips = driver(true, OnError::Skip);
    for (topic, bytes) in bad {
        skips.pipe_raw(topic, (Some(b"a"), Some(bytes)), Timestamp(1), &none).unwrap();
    }
    assert_eq!(skips.dropped(DropReason::BadBytes), 6);
    skips.pipe_raw(REGISTRATION, (Some(b"a"), Some(&far)), Timestamp(1), &none).unwrap();
    assert_eq!(skips.dropped(DropReason::Failed), 1);
    // A null key is for those that follow nobody, and only they may ask without one.
    let asks = [&[1, 3][..], &[7; 16], b"key", &[0; 4]].concat();
    skips.pipe_raw(REGISTRATION, (None, Some(&asks)), Timestamp(1), &none).unwrap();
    assert_eq!(skips.dropped(DropReason::NullKey), 1);
    skips.pipe("r", &text("b", "B", 1)).unwrap();
    skips.pipe("l", &text("1", "b:x", 2)).unwrap();
    assert_eq!(out(&mut skips), [r#"1 b:x Some("B")"#]);
}

/// Who leads whom, in one table.
#[test]
fn a_table_meets_itself() {
    let builder = StreamsBuilder::new();
    let people = builder.table::<String, String>("people", "people");
    joined(false, How::named("leader"), &people, &people).to_stream().to("out");
    let topology = builder.build().unwrap();
    assert_eq!(topology.sub_topologies().len(), 1);
    let mut driver = TopologyDriver::new(&topology).unwrap();
    driver.pipe("people", &text("ada", "bob:1", 1)).unwrap();
    driver.pipe("people", &text("bob", "ada:1", 2)).unwrap();
    let both = [r#"ada bob:1 Some("ada:1")"#, r#"bob ada:1 Some("bob:1")"#];
    let mut told = out(&mut driver);
    told.sort();
    assert_eq!(told, both);
}

/// Names behind names, and a table that is computed on the right.
#[test]
fn a_kept_result_is_joined_again() {
    let builder = StreamsBuilder::new();
    let orders = builder.table::<String, String>("l", "lt");
    let right = builder.table::<String, String>("r", "rt").map_values(|row| row.to_lowercase());
    let first = joined(true, How::named("first"), &orders, &right).materialized("first");
    let second = joined(true, How::named("second"), &first, &right);
    second.to_stream().to("out");
    let topology = builder.build().unwrap();
    let mut driver = TopologyDriver::new(&topology).unwrap();
    driver.pipe("r", &text("a", "A", 1)).unwrap();
    driver.pipe("l", &text("1", "a:x", 2)).unwrap();
    assert_eq!(out(&mut driver), [r#"1 a:x Some("a") Some("a")"#]);
    driver.pipe("r", &text("a", "B", 3)).unwrap();
    assert_eq!(out(&mut driver).last().unwrap(), r#"1 a:x Some("b") Some("b")"#);
}

fn faults(draw: impl FnOnce(&StreamsBuilder, &Table, &Table)) -> Vec<TopologyFault> {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.table("l", "lt"), builder.table("r", "rt"));
    draw(&builder, &left, &right);
    builder.build().map_or_else(|faults| faults.faults().to_vec(), |_| Vec::new())
}

#[test]
fn rows_that_are_needed_below_must_be_kept() {
    let wanted = [TopologyFault::RowsNotKept("j-result".to_owned())];
    let grouped = faults(|_, left, right| {
        let result = joined(false, How::named("j"), left, right);
        result.group_by(|key, row| (row.clone(), key.clone())).count("n");
    });
    assert_eq!(grouped, wanted);
    let looked_up = faults(|builder, left, right| {
        let result = joined(false, How::named("j"), left, right).filter(|_, _| true);
        let third = builder.table::<String, String>("third", "third");
        third.join(&result, |_, row| row.clone()).to_stream().to("out");
        third.join(&result, |_, row| row.clone()).to_stream().to("out2");
    });
    assert_eq!(looked_up, wanted);
    let kept = faults(|_, left, right| {
        let result = joined(false, How::named("j"), left, right).materialized("kept");
        result.group_by(|key, row| (row.clone(), key.clone())).count("n");
    });
    assert_eq!(kept, []);
}

#[test]
fn names_are_checked_and_two_builders_do_not_meet() {
    let unnamed = faults(|_, left, right| {
        joined(false, How::generated(), left, right).to_stream().to("out");
    });
    assert!(matches!(unnamed.as_slice(), [TopologyFault::Unnamed(_)]), "{unnamed:?}");
    let bad = faults(|_, left, right| {
        joined(false, How::named("a b"), left, right).to_stream().to("out");
    });
    assert!(bad.iter().any(|fault| matches!(fault, TopologyFault::BadName { .. })), "{bad:?}");
    let other = StreamsBuilder::new();
    let stranger = other.table::<String, String>("s", "st");
    let mixed = faults(|_, left, _| {
        joined(false, How::named("j"), left, &stranger).to_stream().to("out");
    });
    assert_eq!(mixed, [TopologyFault::OtherBuilder("j-result".to_owned())]);
}

/// Java takes a number for the store of the results unless it is named.
#[test]
fn the_number_of_the_results_store_is_taken_only_if_the_user_gives_no_name() {
    for (name, next) in
        [(None, 18), (Some("kept"), 17), (Some("KTABLE-FK-JOIN-OUTPUT-STATE-STORE-0000000017"), 18)]
    {
        let builder = StreamsBuilder::new();
        let (left, right) = (builder.table("l", "lt"), builder.table("r", "rt"));
        let result: Table = joined(false, How::named("j"), &left, &right);
        let result = match name {
            Some(name) => result.materialized(Materialized::named(name)),
            None => result,
        };
        result.to_stream().to("out");
        let described = builder.build().unwrap().describe();
        assert!(described.contains(&format!("KTABLE-TOSTREAM-{next:010}")), "{described}");
    }
}
