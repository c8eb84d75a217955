//! The store of tables of sessions against a map, with and without the record cache.

use std::collections::BTreeMap;

use millstream_state::WindowOrder;
use proptest::prelude::*;

use super::{Rig, text_to_long};
use crate::record::{Headers, Session, Timestamp};
use crate::store::options::StoreOptions;
use crate::store::table::{SessionTableSpec, Stamp, TableStore};

type Key = Session<String>;

#[derive(Clone, Debug)]
enum Step {
    Put(Key, Option<i64>),
    /// The sessions of a key that end at the first time or later and start at the second or before.
    Find(String, i64, i64),
    /// The sessions of all keys that end between these times.
    ByTime(i64, i64),
    Flush,
    Commit,
    Reopen,
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("ab".to_owned()), Just(String::new())]
}

fn steps() -> impl Strategy<Value = Step> {
    let session = (keys(), 0..40_i64, 0..10_i64).prop_map(|(key, start, len)| Session {
        key,
        start,
        end: start + len,
    });
    prop_oneof![
        6 => (session, proptest::option::weighted(0.7, 0..99_i64)).prop_map(|(s, v)| Step::Put(s, v)),
        4 => (keys(), -5..50_i64, -5..50_i64).prop_map(|(k, a, b)| Step::Find(k, a, b)),
        3 => (0..60_i64, 0..60_i64).prop_map(|(from, to)| Step::ByTime(from, to)),
        1 => Just(Step::Flush),
        1 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

fn spec(order: WindowOrder) -> SessionTableSpec<String, i64> {
    let options = StoreOptions::named("s");
    SessionTableSpec { options, serdes: text_to_long(), cached: true, retention_ms: 1 << 40, order }
}

fn rows(store: &mut TableStore<Key, i64>) -> BTreeMap<Key, i64> {
    let all: Vec<_> = store.all_sessions().unwrap().map(Result::unwrap).collect();
    let rows: BTreeMap<_, _> = all.iter().map(|(key, value, _)| (key.clone(), *value)).collect();
    assert_eq!(rows.len(), all.len(), "a row twice: {all:?}");
    rows
}

proptest! {
    #[test]
    fn a_table_of_sessions_is_a_map_whatever_its_cache(
        steps in proptest::collection::vec(steps(), 1..120),
        (order, cache_bytes) in prop_oneof![
            Just((WindowOrder::KeyFirst, 0_usize)),
            Just((WindowOrder::KeyFirst, 600)),
            Just((WindowOrder::KeyFirst, 1 << 16)),
            Just((WindowOrder::KeyFirstAndTime, 0)),
        ],
    ) {
        let rig = Rig::new(&spec(order), cache_bytes);
        let mut task = rig.reopened(&spec(order));
        let headers = Headers::default();
        let mut model: BTreeMap<Key, i64> = BTreeMap::new();
        for (at, step) in (0..).zip(steps) {
            let store = task.typed::<TableStore<Key, i64>>().unwrap();
            let mut table = store.borrow_mut();
            match step {
                Step::Put(key, value) => {
                    table.put(&key, value, &Stamp { timestamp: Timestamp(at), headers: &headers }).unwrap();
                    match value {
                        Some(value) => drop(model.insert(key, value)),
                        None => drop(model.remove(&key)),
                    }
                }
                Step::Find(key, earliest_end, latest_start) => {
                    let found = table.sessions(&key, earliest_end, latest_start).unwrap();
                    let found: Vec<_> = found.map(Result::unwrap).map(|(key, value, _)| (key, value)).collect();
                    let mut expected: Vec<_> = model
                        .iter()
                        .map(|(key, value)| (key.clone(), *value))
                        .filter(|(s, _)| s.key == key && s.end >= earliest_end && s.start <= latest_start)
                        .collect();
                    expected.sort_by_key(|(session, _)| (session.end, session.start));
                    prop_assert_eq!(found, expected);
                }
                Step::ByTime(..) if order == WindowOrder::KeyFirst => {}
                Step::ByTime(from, to) => {
                    let mut rows = table.by_time(from, to).unwrap();
                    let mut found = Vec::new();
                    while let Some((key, value, time)) = table.next_by_time(&mut rows).unwrap() {
                        prop_assert_eq!(time.0, key.end);
                        found.push((key, value));
                    }
                    let of_model = model.iter().map(|(key, value)| (key.clone(), *value));
                    let mut expected: Vec<_> = of_model.filter(|(s, _)| from <= s.end && s.end <= to).collect();
                    expected.sort_by_key(|(s, _)| (s.end, s.start, s.key.clone()));
                    let first = model.keys().map(|s| s.end).filter(|end| from <= *end).min();
                    prop_assert_eq!((found, table.first_by_time(from).unwrap()), (expected, first));
                }
                Step::Flush => table.settle().unwrap(),
                Step::Commit | Step::Reopen => {
                    table.settle().unwrap();
                    drop(table);
                    let mut batch = rig.place.stores.batch();
                    task.state().borrow_mut().drain(&mut batch);
                    rig.place.stores.write(batch).unwrap();
                    task.state().borrow_mut().drop_expired().unwrap();
                    if matches!(step, Step::Reopen) {
                        task = rig.reopened(&spec(order));
                    }
                }
            }
        }
        let store = task.typed::<TableStore<Key, i64>>().unwrap();
        prop_assert_eq!(&rows(&mut store.borrow_mut()), &model);
        store.borrow_mut().settle().unwrap();
        let restored = rig.restored(&spec(order));
        let store = restored.store.typed::<TableStore<Key, i64>>().unwrap();
        prop_assert_eq!(&rows(&mut store.borrow_mut()), &model);
    }
}
