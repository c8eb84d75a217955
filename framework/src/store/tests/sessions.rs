//! The session store of processors, against a map.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::{Rig, text_to_long, text_to_text};
use crate::record::{Session, Timestamp};
use crate::store::options::StoreOptions;
use crate::store::session::{SessionIterator, SessionSpec, SessionStore};
use crate::store::supplier::{StoreSupplier, TaskStore};

type Key = Session<String>;
type Model = BTreeMap<Key, i64>;

#[derive(Clone, Debug)]
enum Step {
    Put(Key, Option<i64>),
    Find(String, i64, i64),
    FindOf(Bound<String>, Bound<String>, i64, i64),
    Commit,
    Rollback,
    Reopen,
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("a\0".to_owned()),
        Just("ab".to_owned()),
        Just(String::new())
    ]
}

fn bounds() -> impl Strategy<Value = Bound<String>> {
    prop_oneof![
        keys().prop_map(Bound::Included),
        keys().prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn sessions() -> impl Strategy<Value = Key> {
    // Over several segments of a minute.
    let session = |(key, start, len): (String, i64, i64)| Session { key, start, end: start + len };
    (keys(), (0..40_i64).prop_map(|at| at * 5_000), 0..9_000_i64).prop_map(session)
}

fn steps() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.8, 0..99_i64);
    let time = || -1_000..220_000_i64;
    prop_oneof![
        8 => (sessions(), value).prop_map(|(session, value)| Step::Put(session, value)),
        4 => (keys(), time(), time()).prop_map(|(key, end, start)| Step::Find(key, end, start)),
        4 => (bounds(), bounds(), time(), time()).prop_map(|(a, b, end, start)| Step::FindOf(a, b, end, start)),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ]
}

fn spec() -> SessionSpec<String, i64> {
    // Segments of a minute would be those of any retention up to two; reads are not cut.
    SessionSpec {
        options: StoreOptions::named("s"),
        serdes: text_to_long(),
        retention_ms: 100_000_000,
    }
}

fn open(task: &TaskStore, rig: &Rig) -> SessionStore<String, i64> {
    SessionStore::of(task, &rig.time).unwrap()
}

fn collected(found: SessionIterator<String, i64>) -> Vec<(Key, i64)> {
    found.map(Result::unwrap).collect()
}

fn wanted(model: &Model, of: impl Fn(&Key) -> bool) -> Vec<(Key, i64)> {
    let all = model.iter().map(|(session, value)| (session.clone(), *value));
    all.filter(|(session, _)| of(session)).collect()
}

/// Both directions, against what is in the model in this order.
fn same(
    (forward, backward): (SessionIterator<String, i64>, SessionIterator<String, i64>),
    mut expected: Vec<(Key, i64)>,
    by: impl Fn(&Key) -> (String, i64, i64),
) -> Result<(), TestCaseError> {
    expected.sort_by_key(|(session, _)| by(session));
    prop_assert_eq!(collected(forward), expected.clone());
    expected.reverse();
    prop_assert_eq!(collected(backward), expected);
    Ok(())
}

/// In one segment, by the bytes of the key and of the times behind it.
fn local(session: &Key) -> (String, i64, i64) {
    let bytes = [session.key.as_bytes(), &session.end.to_be_bytes()].concat();
    (bytes.iter().map(|byte| format!("{byte:02x}")).collect(), session.end, session.start)
}

fn check(
    store: &SessionStore<String, i64>,
    model: &Model,
    step: &Step,
) -> Result<(), TestCaseError> {
    match step {
        Step::Find(key, end, start) => {
            let (earliest_end, latest_start) = (Timestamp(*end), Timestamp(*start));
            let forward = store.find_sessions(key, earliest_end, latest_start).unwrap();
            let backward = store.backward_find_sessions(key, earliest_end, latest_start).unwrap();
            let of = |s: &Key| s.key == *key && s.end >= *end && s.start <= *start;
            same((forward, backward), wanted(model, of), |s| (String::new(), s.end, s.start))?;
            let found = (store.fetch(key).unwrap(), store.backward_fetch(key).unwrap());
            let all = wanted(model, |s| s.key == *key);
            same(found, all, |s| (String::new(), s.end, s.start))
        }
        Step::FindOf(from, to, end, start) => {
            let keys = (from.clone(), to.clone());
            let (earliest_end, latest_start) = (Timestamp(*end), Timestamp(*start));
            let forward = store.find_sessions_of(keys.clone(), earliest_end, latest_start);
            let back = store.backward_find_sessions_of(keys.clone(), earliest_end, latest_start);
            let is_of = |s: &Key| std::ops::RangeBounds::contains(&keys, &s.key);
            let of = |s: &Key| is_of(s) && s.end >= *end && s.start <= *start;
            same((forward.unwrap(), back.unwrap()), wanted(model, of), local)?;
            let found = (store.fetch_keys(keys.clone()), store.backward_fetch_keys(keys.clone()));
            same((found.0.unwrap(), found.1.unwrap()), wanted(model, is_of), local)?;
            let ended = store.find_ended(Timestamp(*start), Timestamp(*end)).unwrap();
            let of = |s: &Key| *start <= s.end && s.end <= *end;
            prop_assert_eq!(collected(ended).len(), wanted(model, of).len());
            Ok(())
        }
        _ => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_session_store_is_a_map(steps in proptest::collection::vec(steps(), 1..80)) {
        let rig = Rig::new(&spec(), 0);
        let mut task = rig.reopened(&spec());
        let (mut model, mut committed) = (Model::new(), Model::new());
        let mut aborted = false;
        for step in steps {
            let store = open(&task, &rig);
            match &step {
                Step::Put(session, Some(value)) => {
                    store.put(session.clone(), *value).unwrap();
                    model.insert(session.clone(), *value);
                }
                Step::Put(session, None) => {
                    store.remove(session).unwrap();
                    model.remove(session);
                }
                Step::Find(..) | Step::FindOf(..) => check(&store, &model, &step)?,
                Step::Commit | Step::Reopen => {
                    let mut batch = rig.place.stores.batch();
                    task.state().borrow_mut().drain(&mut batch);
                    rig.place.stores.write(batch).unwrap();
                    task.state().borrow_mut().drop_expired().unwrap();
                    if matches!(step, Step::Reopen) {
                        task = rig.reopened(&spec());
                    }
                    committed.clone_from(&model);
                }
                Step::Rollback => {
                    task.state().borrow_mut().rollback();
                    model.clone_from(&committed);
                    aborted = true;
                }
            }
            for (session, value) in &model {
                prop_assert_eq!(open(&task, &rig).fetch_session(session).unwrap(), Some(*value));
            }
        }
        if !aborted {
            let restored = rig.restored(&spec());
            let found = collected(open(&restored.store, &restored).fetch_keys(..).unwrap());
            prop_assert_eq!(found.into_iter().collect::<Model>(), model);
        }
    }
}

/// The bytes of `session-store-changelog`.
#[test]
fn the_changelog_has_javas_keys_and_expired_sessions_are_dropped() {
    let spec = SessionSpec {
        options: StoreOptions::named("s"),
        serdes: text_to_text(),
        retention_ms: 60_000,
    };
    let rig = Rig::new(&spec, 0);
    let store = SessionStore::<String, String>::of(&rig.store, &rig.time).unwrap();
    let session = |start, end| Session { key: "b".to_owned(), start, end };
    rig.at(100_801);
    store.put(session(97_056, 100_801), "v".to_owned()).unwrap();
    rig.at(140_239);
    store.remove(&session(97_056, 100_801)).unwrap();
    let key = "6200000000000189c10000000000017b20";
    assert_eq!(rig.logged_hex(), [format!("{key}=76@100801"), format!("{key}=null@140239")]);

    store.put(session(199_000, 200_000), "new".to_owned()).unwrap();
    store.put(session(100, 119_999), "old".to_owned()).unwrap();
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 1);
    // Its segment lives, and it cannot be read any more.
    store.put(session(100, 140_000), "past".to_owned()).unwrap();
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 0);
    assert_eq!(store.fetch_session(&session(100, 140_000)).unwrap(), None);
    assert_eq!(store.fetch(&"b".to_owned()).unwrap().count(), 1);
    assert_eq!(rig.logged().len(), 5, "Java logs what it drops");
    let config = spec.changelog_config(super::DAY_MS).unwrap();
    assert!(config.contains(&("cleanup.policy".to_owned(), "compact,delete".to_owned())));
}
