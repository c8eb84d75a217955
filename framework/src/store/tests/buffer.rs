//! The store of changes that are held back, against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rig, text_to_long};
use crate::record::{Change, Headers, Record, Timestamp};
use crate::store::buffer::{BufferSpec, BufferStore, Held};
use crate::store::options::StoreOptions;

#[derive(Clone, Debug)]
enum Step {
    /// A change of a key, from this row to that one, to be given out then.
    Put(String, Option<i64>, Option<i64>, i64),
    Take,
    Commit,
    Rollback,
    Reopen,
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("ab".to_owned()), Just("b".to_owned())]
}

fn steps() -> impl Strategy<Value = Step> {
    let row = || proptest::option::of(0..9_i64);
    prop_oneof![
        6 => (keys(), row(), row(), 0..30_i64).prop_map(|(key, old, new, at)| Step::Put(key, old, new, at)),
        4 => Just(Step::Take),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ]
}

fn spec() -> BufferSpec<String, i64> {
    BufferSpec { options: StoreOptions::named("b"), serdes: text_to_long() }
}

/// By key: release, what was given out before, the latest row, its time.
type Model = BTreeMap<String, (i64, Option<i64>, Option<i64>, i64)>;
type Store = BufferStore<String, i64>;

fn first(model: &Model) -> Option<(i64, String)> {
    model.iter().map(|(key, (release, ..))| (*release, key.clone())).min()
}

fn check(store: &mut Store, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(store.first().unwrap(), first(model).map(|(release, _)| release));
    let held = store.held().unwrap();
    prop_assert_eq!(held.records, model.len() as u64);
    for key in ["a", "ab", "b"] {
        let prior = model.get(key).map(|(_, prior, ..)| *prior);
        prop_assert_eq!(store.prior(&key.to_owned()).unwrap(), prior);
    }
    Ok(())
}

fn take(store: &mut Store, model: &mut Model) -> Result<(), TestCaseError> {
    let taken = store.take().unwrap().map(|record| {
        let Change { new, old, .. } = record.value;
        (record.key, old, new, record.timestamp.0)
    });
    let expected = first(model).and_then(|(_, key)| model.remove_entry(&key));
    let expected = expected.map(|(key, (_, prior, new, at))| (key, prior, new, at));
    prop_assert_eq!(taken, expected);
    Ok(())
}

proptest! {
    #[test]
    fn changes_are_held_as_by_a_map(steps in proptest::collection::vec(steps(), 1..120)) {
        let rig = Rig::new(&spec(), 0);
        let mut task = rig.reopened(&spec());
        let (mut model, mut committed) = (Model::new(), Model::new());
        for (at, step) in (0..).zip(steps) {
            let store = task.typed::<Store>().unwrap();
            match step {
                Step::Put(key, old, new, release) => {
                    let change = Change::latest(new, old);
                    let headers = Headers::default();
                    let record = Record { key: key.clone(), value: change, timestamp: Timestamp(at), headers };
                    store.borrow_mut().put(release, &record, None).unwrap();
                    let entry = model.entry(key).or_insert((release, old, None, 0));
                    (entry.2, entry.3) = (new, at);
                }
                Step::Take => take(&mut store.borrow_mut(), &mut model)?,
                Step::Rollback => {
                    task.state().borrow_mut().rollback();
                    model.clone_from(&committed);
                }
                Step::Commit | Step::Reopen => {
                    store.borrow_mut().log_changes().unwrap();
                    let mut batch = rig.place.stores.batch();
                    task.state().borrow_mut().drain(&mut batch);
                    rig.place.stores.write(batch).unwrap();
                    if matches!(step, Step::Reopen) {
                        task = rig.reopened(&spec());
                    }
                    committed.clone_from(&model);
                }
            }
            check(&mut task.typed::<Store>().unwrap().borrow_mut(), &model)?;
        }
        task.state().borrow_mut().rollback();
        // What a task finds that has nothing but the changelog.
        let restored = rig.restored(&spec());
        let store = restored.store.typed::<Store>().unwrap();
        let mut store = store.borrow_mut();
        check(&mut store, &committed)?;
        while !committed.is_empty() {
            take(&mut store, &mut committed)?;
        }
        prop_assert!(store.take().unwrap().is_none());
        prop_assert_eq!(store.held().unwrap(), Held::default());
    }
}

#[test]
fn a_changelog_of_another_version_is_refused_by_name() {
    let rig = Rig::new(&spec(), 0);
    let mut headers = Headers::default();
    headers.push("v", Some(vec![1]));
    let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
    let mut record = crate::log::RawRecord { offset: 7, timestamp: 0, key, value, headers };
    let mut batch = rig.place.stores.batch();
    let error = rig.store.state().borrow_mut().restore(&mut batch, &record).unwrap_err();
    assert!(error.to_string().contains("offset 7"), "{error}");
    record.headers = Headers::default();
    record.headers.push("v", Some(vec![3]));
    let error = rig.store.state().borrow_mut().restore(&mut batch, &record).unwrap_err();
    assert!(error.to_string().contains("held back"), "{error}");
}
