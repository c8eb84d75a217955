//! The store of a table with a history, against a map of all versions.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rig, text_to_long};
use crate::record::{Headers, Timestamp};
use crate::store::options::StoreOptions;
use crate::store::table::{Outcome, Stamp, TableSpec, TableStore};

const HISTORY_MS: i64 = 20_000;
type Store = TableStore<String, i64>;

#[derive(Clone, Debug)]
enum Step {
    Put(String, Option<i64>, i64),
    AsOf(String, i64),
    Commit,
    Rollback,
    Reopen,
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("ab".to_owned()), Just(String::new())]
}

/// Times meet each other, and reach beyond the history and its segments.
fn times() -> impl Strategy<Value = i64> {
    (0..30_i64).prop_map(|step| step * 2_500)
}

fn steps() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.7, 0..99_i64);
    prop_oneof![
        8 => (keys(), value, times()).prop_map(|(key, value, at)| Step::Put(key, value, at)),
        6 => (keys(), times(), -1..2_i64).prop_map(|(key, at, off)| Step::AsOf(key, at + off)),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ]
}

fn spec() -> TableSpec<String, i64> {
    let options = StoreOptions::named("v");
    TableSpec { options, serdes: text_to_long(), cached: true, history_ms: Some(HISTORY_MS) }
}

#[derive(Clone, Debug)]
struct Model {
    versions: BTreeMap<String, BTreeMap<i64, Option<i64>>>,
    observed: i64,
}

impl Model {
    /// Whether it is the latest; none: it is older than the history.
    fn put(&mut self, key: &str, value: Option<i64>, at: i64) -> Option<bool> {
        if at < self.observed - HISTORY_MS {
            return None;
        }
        self.observed = self.observed.max(at);
        let versions = self.versions.entry(key.to_owned()).or_default();
        versions.insert(at, value);
        Some(versions.last_key_value().is_some_and(|(last, _)| *last == at))
    }

    fn latest(&self, key: &str) -> Option<(i64, i64)> {
        let (at, value) = self.versions.get(key)?.last_key_value()?;
        Some(((*value)?, *at))
    }

    fn as_of(&self, key: &str, at: i64) -> Option<(i64, i64)> {
        if let Some(latest) = self.latest(key).filter(|(_, from)| *from <= at) {
            return Some(latest);
        }
        if at < self.observed - HISTORY_MS {
            return None;
        }
        let (from, value) = self.versions.get(key)?.range(..=at).next_back()?;
        Some(((*value)?, *from))
    }
}

fn check(store: &mut Store, model: &Model) -> Result<(), TestCaseError> {
    for key in ["a", "ab", ""] {
        let found = store.get(&key.to_owned()).unwrap().map(|(value, at)| (value, at.0));
        prop_assert_eq!(found, model.latest(key), "latest of {}", key);
    }
    let rows = store.range(.., crate::store::Direction::Forward).unwrap();
    prop_assert_eq!(
        rows.count(),
        ["a", "ab", ""].iter().filter_map(|key| model.latest(key)).count()
    );
    Ok(())
}

fn as_of(store: &mut Store, model: &Model, key: &str, at: i64) -> Result<(), TestCaseError> {
    let found = store.get_as_of(&key.to_owned(), Timestamp(at)).unwrap();
    prop_assert_eq!(
        found.map(|(value, from)| (value, from.0)),
        model.as_of(key, at),
        "{} at {}",
        key,
        at
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_history_is_a_map_of_versions(steps in proptest::collection::vec(steps(), 1..150)) {
        let rig = Rig::new(&spec(), 1 << 16);
        let mut task = rig.reopened(&spec());
        let mut model = Model { versions: BTreeMap::new(), observed: -1 };
        let mut committed = model.clone();
        let headers = Headers::default();
        for step in steps {
            let store = task.typed::<Store>().unwrap();
            match step {
                Step::Put(key, value, at) => {
                    let stamp = Stamp { timestamp: Timestamp(at), headers: &headers };
                    let outcome = store.borrow_mut().put(&key, value, &stamp).unwrap();
                    let latest = match outcome {
                        Outcome::Forward { change, .. } => Some(change.latest),
                        Outcome::Expired => None,
                        other => return Err(TestCaseError::fail(format!("{other:?}"))),
                    };
                    prop_assert_eq!(latest, model.put(&key, value, at));
                }
                Step::AsOf(key, at) => as_of(&mut store.borrow_mut(), &model, &key, at)?,
                Step::Rollback => {
                    task.state().borrow_mut().rollback();
                    model.clone_from(&committed);
                }
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
            }
            check(&mut task.typed::<Store>().unwrap().borrow_mut(), &model)?;
        }
    }

    /// What a task finds that has nothing but the changelog.
    #[test]
    fn a_history_is_restored_from_its_changelog(
        puts in proptest::collection::vec(
            (keys(), proptest::option::weighted(0.7, 0..99_i64), times()), 1..60),
        asked in proptest::collection::vec((keys(), times()), 20),
    ) {
        let rig = Rig::new(&spec(), 0);
        let store = rig.store.typed::<Store>().unwrap();
        let mut model = Model { versions: BTreeMap::new(), observed: -1 };
        let headers = Headers::default();
        for (key, value, at) in puts {
            let stamp = Stamp { timestamp: Timestamp(at), headers: &headers };
            store.borrow_mut().put(&key, value, &stamp).unwrap();
            model.put(&key, value, at);
        }
        let restored = rig.restored(&spec());
        let store = restored.store.typed::<Store>().unwrap();
        check(&mut store.borrow_mut(), &model)?;
        for (key, at) in asked {
            as_of(&mut store.borrow_mut(), &model, &key, at)?;
        }
        drop(store);
        let reopened = restored.reopened(&spec());
        check(&mut reopened.typed::<Store>().unwrap().borrow_mut(), &model)?;
    }
}

#[test]
fn what_is_older_than_the_history_is_counted_and_deletions_are_forgotten() {
    let rig = Rig::new(&spec(), 0);
    let store = rig.store.typed::<Store>().unwrap();
    let headers = Headers::default();
    let put = |key: &str, value, at| {
        let stamp = Stamp { timestamp: Timestamp(at), headers: &headers };
        store.borrow_mut().put(&key.to_owned(), value, &stamp).unwrap()
    };
    put("k", Some(1), 1_000);
    put("k", None, 2_000);
    put("other", Some(1), 100_000);
    assert_eq!(put("k", Some(2), 79_999), Outcome::Expired);
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 1);
    rig.commit();
    rig.commit();
    assert_eq!(rig.place.stores.entries_estimate(rig.place.id), 1, "the other row is all there is");
}

/// It was counted when it came.
#[test]
fn a_restore_counts_nothing() {
    let rig = Rig::new(&spec(), 0);
    let store = rig.store.typed::<Store>().unwrap();
    let headers = Headers::default();
    for at in [100_000, 1_000] {
        let stamp = Stamp { timestamp: Timestamp(at), headers: &headers };
        store.borrow_mut().put(&"k".to_owned(), Some(at), &stamp).unwrap();
    }
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 1);
    let restored = rig.restored(&spec());
    assert_eq!(restored.store.state().borrow_mut().take_expired(), 0);
}
