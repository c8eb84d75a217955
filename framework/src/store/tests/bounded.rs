//! The key-value store that keeps so many entries at most, against a list in the order of use.

use proptest::prelude::*;

use super::{Rig, text_to_long};
use crate::store::key_value::{KeyValueSpec, KeyValueStore};
use crate::store::options::StoreOptions;
use crate::store::supplier::{StoreSupplier, TaskStore};

const MAX: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Put(String, i64),
    Get(String),
    Delete(String),
    Commit,
    Rollback,
    Restore,
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || "[a-f]";
    prop_oneof![
        8 => (key(), 0..99_i64).prop_map(|(key, value)| Step::Put(key, value)),
        5 => key().prop_map(Step::Get),
        2 => key().prop_map(Step::Delete),
        2 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Restore),
    ]
}

fn spec(max: usize, logged: bool) -> KeyValueSpec<String, i64> {
    let options = StoreOptions { in_memory: true, logged, ..StoreOptions::named("lru") };
    KeyValueSpec { options, serdes: text_to_long(), entries_max: Some(max) }
}

fn open(store: &TaskStore, rig: &Rig) -> KeyValueStore<String, i64> {
    KeyValueStore::of(store, &rig.time).unwrap()
}

fn sorted(mut entries: Vec<(String, i64)>) -> Vec<(String, i64)> {
    entries.sort();
    entries
}

fn contents(rig: &Rig) -> Vec<(String, i64)> {
    open(&rig.store, rig).all().unwrap().map(Result::unwrap).collect()
}

/// The entries, the one that goes next first; and in the order of their last puts.
#[derive(Clone, Debug, Default)]
struct Model {
    used: Vec<(String, i64)>,
    put: Vec<String>,
}

impl Model {
    fn take(&mut self, key: &str) -> Option<(String, i64)> {
        let at = self.used.iter().position(|(known, _)| known == key)?;
        Some(self.used.remove(at))
    }

    fn get(&mut self, key: &str) -> Option<i64> {
        let entry = self.take(key)?;
        self.used.push(entry.clone());
        Some(entry.1)
    }

    fn put(&mut self, key: &str, value: i64) {
        self.take(key);
        self.used.push((key.to_owned(), value));
        if self.used.len() > MAX {
            self.used.remove(0);
        }
        self.put.retain(|known| known != key);
        self.put.push(key.to_owned());
    }

    /// A restore knows no reads.
    fn restored(&mut self) {
        self.used.sort_by_key(|(key, _)| self.put.iter().position(|known| known == key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_not_used_for_longest_goes(steps in proptest::collection::vec(steps(), 1..120)) {
        let mut rig = Rig::new(&spec(MAX, true), 0);
        let (mut model, mut committed) = (Model::default(), Model::default());
        // The log of a rig knows no aborts: after one, it has more than the store.
        let mut aborted = false;
        for step in steps {
            let store = open(&rig.store, &rig);
            match step {
                Step::Put(key, value) => {
                    store.put(key.clone(), value).unwrap();
                    model.put(&key, value);
                }
                Step::Get(key) => prop_assert_eq!(store.get(&key).unwrap(), model.get(&key)),
                Step::Delete(key) => {
                    let there = model.take(&key).map(|(_, value)| value);
                    prop_assert_eq!(store.delete(&key).unwrap(), there);
                }
                Step::Commit => {
                    rig.commit();
                    committed.clone_from(&model);
                }
                Step::Rollback => {
                    rig.rollback();
                    model.clone_from(&committed);
                    aborted = true;
                }
                Step::Restore if aborted => {}
                Step::Restore => {
                    rig = rig.restored(&spec(MAX, true));
                    model.restored();
                    committed.clone_from(&model);
                    aborted = true;
                }
            }
            prop_assert_eq!(contents(&rig), sorted(model.used.clone()));
        }
    }
}

fn logged(rig: &Rig) -> Vec<String> {
    let line = |record: &crate::log::memory::MemoryRecord| {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        format!("{key}{}", record.value.as_ref().map_or("-", |_| "+"))
    };
    rig.logged().iter().map(line).collect()
}

#[test]
fn what_goes_is_logged_before_what_comes_so_that_a_restore_holds_no_more() {
    let rig = Rig::new(&spec(2, true), 0);
    let store = open(&rig.store, &rig);
    rig.at(7);
    store.put("a".to_owned(), 1).unwrap();
    store.put("b".to_owned(), 2).unwrap();
    store.get(&"a".to_owned()).unwrap();
    store.put("c".to_owned(), 3).unwrap();
    assert_eq!(logged(&rig), ["a+", "b+", "b-", "c+"]);
    assert!(rig.logged().iter().all(|record| record.timestamp == 7));
    let restored = contents(&rig.restored(&spec(2, true)));
    assert_eq!(restored, [("a".to_owned(), 1), ("c".to_owned(), 3)]);
}

#[test]
fn a_lowered_bound_holds_from_the_next_put_on() {
    let rig = Rig::new(&spec(3, true), 0);
    for key in ["a", "b", "c"] {
        open(&rig.store, &rig).put(key.to_owned(), 1).unwrap();
    }
    let lower = rig.restored(&spec(1, true));
    assert_eq!(contents(&lower).len(), 3);
    open(&lower.store, &lower).put("c".to_owned(), 2).unwrap();
    assert_eq!(contents(&lower), [("c".to_owned(), 2)]);
    assert_eq!(logged(&lower), ["a-", "b-", "c+"]);
}

/// As after an abort: the bytes are still there, the order is not.
#[test]
fn a_store_that_is_made_anew_is_restored_or_takes_what_is_there() {
    let rig = Rig::new(&spec(2, true), 0);
    open(&rig.store, &rig).put("a".to_owned(), 1).unwrap();
    rig.commit();
    let anew = rig.reopened(&spec(2, true));
    assert_eq!(open(&anew, &rig).get(&"a".to_owned()).unwrap(), None);
    assert_eq!(rig.place.stores.offset(rig.place.id), None, "restore it from the start");

    let rig = Rig::new(&spec(2, false), 0);
    for key in ["a", "b"] {
        open(&rig.store, &rig).put(key.to_owned(), 1).unwrap();
    }
    rig.commit();
    let anew = rig.reopened(&spec(2, false));
    open(&anew, &rig).put("c".to_owned(), 1).unwrap();
    let keys: Vec<String> = open(&anew, &rig).all().unwrap().map(|it| it.unwrap().0).collect();
    assert_eq!(keys, ["b", "c"]);
}

#[test]
fn a_store_of_nothing_is_refused() {
    assert!(spec(0, true).refusal().is_some());
    assert!(spec(1, true).refusal().is_none());
}
