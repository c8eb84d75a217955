//! The timestamped and the versioned key-value store of processors, and rows that are read only.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rig, text_to_long};
use crate::record::Timestamp;
use crate::store::options::StoreOptions;
use crate::store::read_only::{ReadOnlyStore, RowIterator};
use crate::store::supplier::TaskStore;
use crate::store::table::{TableSpec, TableStore};
use crate::store::timestamped::TimestampedKeyValueStore;
use crate::store::versioned::{VersionPut, VersionedKeyValueStore, VersionedRecord};
use crate::store::{Direction, GlobalSpec, GlobalStores};

type Store = TimestampedKeyValueStore<String, i64>;
type Row = (String, i64, Timestamp);

fn spec(history_ms: Option<i64>) -> TableSpec<String, i64> {
    let options = StoreOptions::named("t");
    TableSpec { options, serdes: text_to_long(), cached: false, history_ms }
}

fn open(task: &TaskStore, rig: &Rig) -> Store {
    Store::of(task, &rig.time).unwrap()
}

fn collected(rows: RowIterator<String, i64>) -> Vec<Row> {
    rows.map(Result::unwrap).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Put(String, i64, i64),
    PutIfAbsent(String, i64, i64),
    Delete(String),
    Range(String, String),
    Commit,
    Rollback,
    Reopen,
}

fn steps() -> impl Strategy<Value = Step> {
    let (key, time) = (|| "[ab]{0,2}", || 0..999_i64);
    prop_oneof![
        6 => (key(), 0..99_i64, time()).prop_map(|(key, value, at)| Step::Put(key, value, at)),
        2 => (key(), 0..99_i64, time()).prop_map(|(key, value, at)| Step::PutIfAbsent(key, value, at)),
        3 => key().prop_map(Step::Delete),
        4 => (key(), key()).prop_map(|(from, to)| Step::Range(from, to)),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ]
}

fn ranges(store: &Store, rows: &[Row], from: &str, to: &str) -> Result<(), TestCaseError> {
    let of = |keep: &dyn Fn(&str) -> bool| -> Vec<Row> {
        rows.iter().filter(|row| keep(&row.0)).cloned().collect()
    };
    let reversed = |mut rows: Vec<Row>| {
        rows.reverse();
        rows
    };
    let within = of(&|key| from <= key && key < to);
    let keys = || from.to_owned()..to.to_owned();
    prop_assert_eq!(collected(store.range(keys()).unwrap()), within.clone());
    prop_assert_eq!(collected(store.reverse_range(keys()).unwrap()), reversed(within));
    prop_assert_eq!(collected(store.all().unwrap()), rows.to_vec());
    prop_assert_eq!(collected(store.reverse_all().unwrap()), reversed(rows.to_vec()));
    let beginning = of(&|key| key.starts_with(from));
    prop_assert_eq!(collected(store.prefix_scan(&from.to_owned()).unwrap()), beginning);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_timestamped_store_is_a_map(steps in proptest::collection::vec(steps(), 1..100)) {
        let rig = Rig::new(&spec(None), 1 << 16);
        let mut task = rig.reopened(&spec(None));
        let mut model: BTreeMap<String, (i64, Timestamp)> = BTreeMap::new();
        let (mut committed, mut aborted) = (model.clone(), false);
        for step in steps {
            let store = open(&task, &rig);
            match step {
                Step::Put(key, value, at) => {
                    store.put(key.clone(), value, Timestamp(at)).unwrap();
                    model.insert(key, (value, Timestamp(at)));
                }
                Step::PutIfAbsent(key, value, at) => {
                    let there = store.put_if_absent(key.clone(), value, Timestamp(at)).unwrap();
                    prop_assert_eq!(there, model.get(&key).copied());
                    model.entry(key).or_insert((value, Timestamp(at)));
                }
                Step::Delete(key) => prop_assert_eq!(store.delete(&key).unwrap(), model.remove(&key)),
                Step::Range(from, to) => {
                    let rows = model.iter().map(|(key, (value, at))| (key.clone(), *value, *at));
                    ranges(&store, &rows.collect::<Vec<_>>(), &from, &to)?;
                }
                Step::Commit | Step::Reopen => {
                    let mut batch = rig.place.stores.batch();
                    task.state().borrow_mut().drain(&mut batch);
                    rig.place.stores.write(batch).unwrap();
                    if matches!(step, Step::Reopen) {
                        task = rig.reopened(&spec(None));
                    }
                    committed.clone_from(&model);
                }
                Step::Rollback => {
                    task.state().borrow_mut().rollback();
                    model.clone_from(&committed);
                    aborted = true;
                }
            }
            for key in model.keys() {
                prop_assert_eq!(open(&task, &rig).get(key).unwrap(), model.get(key).copied());
            }
        }
        if !aborted {
            let restored = rig.restored(&spec(None));
            let rows = collected(open(&restored.store, &restored).all().unwrap());
            let rows: BTreeMap<_, _> = rows.into_iter().map(|(key, value, at)| (key, (value, at))).collect();
            prop_assert_eq!(rows, model);
        }
    }

    /// What `put` and `get_as_of` say of versions, against all of them.
    #[test]
    fn versions_say_when_they_end(
        puts in proptest::collection::vec((proptest::option::weighted(0.7, 0..99_i64), 0..20_i64), 1..40),
    ) {
        let rig = Rig::new(&spec(Some(1_000)), 0);
        let store = VersionedKeyValueStore::<String, i64>::of(&rig.store).unwrap();
        let mut model: BTreeMap<i64, Option<i64>> = BTreeMap::new();
        let key = "k".to_owned();
        let as_of = |model: &BTreeMap<i64, Option<i64>>, at: i64| {
            let (from, value) = model.range(..=at).next_back()?;
            let next = model.range(from + 1..).next().map(|(to, _)| Timestamp(*to));
            (*value).map(|value| VersionedRecord { value, timestamp: Timestamp(*from), valid_to: next })
        };
        for (value, at) in puts {
            let next = model.range(at + 1..).next().map(|(to, _)| *to);
            let expected = next.map_or(VersionPut::Latest, |to| VersionPut::ValidTo(Timestamp(to)));
            match value {
                Some(value) => {
                    let put = store.put(key.clone(), value, Timestamp(at)).unwrap();
                    prop_assert_eq!(put, expected);
                }
                None => {
                    let there = as_of(&model, at);
                    prop_assert_eq!(store.delete(&key, Timestamp(at)).unwrap(), there);
                }
            }
            model.insert(at, value);
            for at in -1..21 {
                let found = store.get_as_of(&key, Timestamp(at)).unwrap();
                prop_assert_eq!(found, as_of(&model, at), "as of {}", at);
            }
            prop_assert_eq!(store.get(&key).unwrap(), as_of(&model, 30));
        }
    }
}

#[test]
fn values_are_logged_with_their_own_time_and_deletions_with_that_of_the_record() {
    let rig = Rig::new(&spec(None), 0);
    let store = open(&rig.store, &rig);
    rig.at(900);
    store.put("a".to_owned(), 7, Timestamp(5)).unwrap();
    store.put("b".to_owned(), i64::MIN, Timestamp(6)).unwrap();
    store.delete(&"a".to_owned()).unwrap();
    assert_eq!(rig.logged_hex(), ["61=0000000000000007@5", "62=null@6", "61=null@900"]);
}

#[test]
fn a_version_before_the_history_is_not_put_and_not_deleted() {
    let rig = Rig::new(&spec(Some(1_000)), 0);
    let store = VersionedKeyValueStore::<String, i64>::of(&rig.store).unwrap();
    let (a, b) = ("a".to_owned(), "b".to_owned());
    store.put(a.clone(), 1, Timestamp(10)).unwrap();
    store.put(b, 2, Timestamp(5_000)).unwrap();
    assert_eq!(store.put(a.clone(), 3, Timestamp(3_999)).unwrap(), VersionPut::NotPut);
    assert_eq!(store.delete(&a, Timestamp(3_999)).unwrap(), None);
    assert_eq!(store.get(&a).unwrap().map(|latest| latest.value), Some(1));
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 2);
    assert_eq!(rig.logged().len(), 4, "Java logs what it drops");
}

/// Rows of a global table come from a store that another thread writes.
#[test]
fn rows_of_a_global_table_are_read_as_those_of_a_table() {
    let global = GlobalSpec { table: spec(None), topic: "topic".into() };
    let rig = Rig::new(&global, 0);
    let writer = open(&rig.store, &rig);
    for (key, value) in [("a", 1), ("ab", 2), ("b", 3)] {
        writer.put(key.to_owned(), value, Timestamp(value)).unwrap();
    }
    rig.commit();
    let shared = rig.place.stores.share(rig.place.id).unwrap();
    let globals = GlobalStores::from_iter([("t".to_owned(), shared)]);
    let rows = globals.rows(&"t".into(), &"topic".into(), &text_to_long()).unwrap();
    let global = ReadOnlyStore::<String, i64>::of_global(rows);
    let table = ReadOnlyStore::<String, i64>::of(&rig.store).unwrap();
    for rows in [table, global] {
        assert_eq!(rows.get(&"ab".to_owned()).unwrap(), Some((2, Timestamp(2))));
        assert_eq!(rows.get_as_of(&"x".to_owned(), Timestamp(9)).unwrap(), None);
        let keys = |found: RowIterator<String, i64>| {
            collected(found).into_iter().map(|(key, ..)| key).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(rows.all().unwrap()), "a ab b");
        assert_eq!(keys(rows.reverse_all().unwrap()), "b ab a");
        assert_eq!(keys(rows.range("ab".to_owned()..).unwrap()), "ab b");
        assert_eq!(keys(rows.reverse_range(..="ab".to_owned()).unwrap()), "ab a");
        assert_eq!(keys(rows.prefix_scan(&"a".to_owned()).unwrap()), "a ab");
    }
}

/// What the record cache holds back is there for processors too.
#[test]
fn rows_that_are_held_back_are_read_too() {
    let cached = TableSpec { cached: true, ..spec(None) };
    let rig = Rig::new(&cached, 1 << 16);
    let table = rig.store.typed::<TableStore<String, i64>>().unwrap();
    let headers = crate::record::Headers::default();
    let stamp = crate::store::Stamp { timestamp: Timestamp(4), headers: &headers };
    table.borrow_mut().put(&"a".to_owned(), Some(1), &stamp).unwrap();
    assert!(rig.logged().is_empty());
    let rows = ReadOnlyStore::<String, i64>::of(&rig.store).unwrap();
    assert_eq!(rows.get(&"a".to_owned()).unwrap(), Some((1, Timestamp(4))));
    assert_eq!(collected(rows.all().unwrap()).len(), 1);
    assert_eq!(table.borrow_mut().range(.., Direction::Forward).unwrap().count(), 1);
}
