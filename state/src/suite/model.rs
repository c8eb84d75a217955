//! Random writes, reads, commits and rollbacks through the dirty layer and the stores, held against
//! a plain ordered map.

use super::{KEYS, on_each};
use crate::{Direction, Dirty, Found, KeyRange, Merged, TaskStores};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, u16),
    Delete(Vec<u8>),
    Get(Vec<u8>),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Commit,
    Rollback,
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// Few short keys of few bytes, so that steps meet each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        2 => key().prop_map(Bound::Included),
        2 => key().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => key().prop_map(Step::Delete),
        2 => key().prop_map(Step::Get),
        4 => (bound(), bound()).prop_map(|(lower, upper)| Step::Range(lower, upper)),
        2 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => (key(), key()).prop_map(|(from, to)| Step::DeleteRange(from, to)),
    ]
}

type Entries = BTreeMap<Vec<u8>, u16>;

fn decode(found: Found<u16>) -> u16 {
    match found {
        Found::Typed(value) => value,
        Found::Stored(bytes) => u16::from_be_bytes(bytes.try_into().unwrap()),
    }
}

fn read(
    stores: &TaskStores,
    dirty: &Dirty<u16>,
    range: KeyRange,
    direction: Direction,
) -> Vec<(Vec<u8>, u16)> {
    Merged::new(dirty, stores, KEYS, range, direction)
        .map(|entry| entry.map(|(key, found)| (key, decode(found))).unwrap())
        .collect()
}

fn commit(stores: &TaskStores, dirty: &mut Dirty<u16>) {
    let mut batch = stores.batch();
    dirty.drain_into(&mut batch, KEYS);
    stores.write(batch).unwrap();
}

fn check_range(stores: &TaskStores, dirty: &Dirty<u16>, model: &Entries, range: &KeyRange) {
    let mut expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| range.contains(key))
        .map(|(key, value)| (key.clone(), *value))
        .collect();
    assert_eq!(read(stores, dirty, range.clone(), Direction::Forward), expected, "{range:?}");
    expected.reverse();
    assert_eq!(read(stores, dirty, range.clone(), Direction::Backward), expected, "{range:?}");
}

fn run(stores: &TaskStores, steps: &[Step]) {
    stores.clear(KEYS).unwrap();
    let (mut dirty, mut model, mut committed) = (Dirty::new(), Entries::new(), Entries::new());
    for step in steps {
        match step {
            Step::Put(key, value) => {
                dirty.put(key, *value, &value.to_be_bytes());
                model.insert(key.clone(), *value);
            }
            Step::Delete(key) => {
                dirty.delete(key);
                model.remove(key);
            }
            Step::Get(key) => {
                let value = match dirty.get(key) {
                    Some(entry) => entry.value,
                    None => stores.get(KEYS, key).unwrap().map(Found::Stored).map(decode),
                };
                assert_eq!(value, model.get(key).copied(), "{key:?}");
            }
            Step::Range(lower, upper) => {
                let range = KeyRange { lower: lower.clone(), upper: upper.clone() };
                check_range(stores, &dirty, &model, &range);
            }
            Step::Commit => {
                commit(stores, &mut dirty);
                committed.clone_from(&model);
            }
            Step::Rollback => {
                dirty.clear();
                model.clone_from(&committed);
            }
            Step::DeleteRange(from, to) => {
                commit(stores, &mut dirty);
                let mut batch = stores.batch();
                batch.delete_range(KEYS, from, to);
                stores.write(batch).unwrap();
                model.retain(|key, _| !(from <= key && key < to));
                committed.clone_from(&model);
            }
        }
    }
    check_range(stores, &dirty, &model, &KeyRange::all());
    dirty.clear();
    assert_eq!(dirty.bytes(), 0);
    check_range(stores, &dirty, &committed, &KeyRange::all());
}

#[test]
fn every_store_behaves_as_an_ordered_map_with_commits_and_rollbacks() {
    on_each(|stores| {
        let config = ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() };
        proptest!(config, |(steps in prop::collection::vec(step(), 1..120))| {
            run(stores, &steps);
        });
    });
}
