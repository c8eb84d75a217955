//! Random writes, reads, flushes, commits and rollbacks against a map.

use std::collections::BTreeMap;

use super::{Rig, text_to_long};
use crate::record::{Change, Headers, Timestamp};
use crate::store::Direction;
use crate::store::options::StoreOptions;
use crate::store::table::{Outcome, Stamp, TableSpec, TableStore};

type Rows = BTreeMap<String, (i64, i64)>;

/// A small generator with a seed, so that a failure names what it takes to see it again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What a consumer of the table has made of the changes so far.
#[derive(Clone, Default)]
struct Downstream(BTreeMap<String, i64>);

impl Downstream {
    fn takes(&mut self, key: &str, change: &Change<i64>, seed: u64) {
        assert_eq!(self.0.get(key).copied(), change.old, "old value of {key}, seed {seed}");
        match change.new {
            Some(new) => self.0.insert(key.to_owned(), new),
            None => self.0.remove(key),
        };
    }
}

#[test]
fn a_table_is_a_map_whatever_its_cache() {
    for seed in 1..=60 {
        for cache_bytes in [0, 600, 1 << 16] {
            run(seed, cache_bytes);
        }
    }
}

fn spec() -> TableSpec<String, i64> {
    let options = StoreOptions::named("t");
    TableSpec { options, serdes: text_to_long(), cached: true, history_ms: None }
}

fn run(seed: u64, cache_bytes: usize) {
    let rig = Rig::new(&spec(), cache_bytes);
    let store = rig.store.typed::<TableStore<String, i64>>().unwrap();
    store.borrow_mut().send_old_values();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut rows, mut down) = (Rows::new(), Downstream::default());
    let mut committed = (rows.clone(), down.clone());
    let mut committed_log = 0;
    let flush = |down: &mut Downstream| {
        while let Some(held) = { store.borrow_mut().next_held().unwrap() } {
            down.takes(&held.key, &held.change, seed);
        }
    };
    for _ in 0..400 {
        let key = format!("k{}", random.below(12));
        let (time, value) = (random.below(1_000) as i64, random.below(100) as i64);
        let headers = Headers::default();
        let stamp = Stamp { timestamp: Timestamp(time), headers: &headers };
        let outcome = match random.below(20) {
            0..8 => {
                let row = rows.entry(key.clone()).or_insert((0, time));
                *row = (row.0 + value, row.1.max(time));
                let add = |old: Option<i64>| Some(old.unwrap_or(0) + value);
                store.borrow_mut().update(&key, &stamp, add).unwrap()
            }
            8..11 => {
                rows.insert(key.clone(), (value, time));
                store.borrow_mut().put(&key, Some(value), &stamp).unwrap()
            }
            11..14 => {
                rows.remove(&key);
                store.borrow_mut().put(&key, None, &stamp).unwrap()
            }
            14..17 => {
                let found = store.borrow_mut().get(&key).unwrap().map(|(v, t)| (v, t.0));
                assert_eq!(found, rows.get(&key).copied(), "{key}, seed {seed}");
                Outcome::Held
            }
            17 => {
                let all = store.borrow_mut().range(.., Direction::Forward).unwrap();
                let all: Rows =
                    all.map(|row| row.unwrap()).map(|(k, v, t)| (k, (v, t.0))).collect();
                assert_eq!(all, rows, "seed {seed}");
                Outcome::Held
            }
            18 => {
                flush(&mut down);
                rig.commit();
                committed = (rows.clone(), down.clone());
                committed_log = rig.logged().len();
                Outcome::Held
            }
            _ => {
                rig.rollback();
                (rows, down) = committed.clone();
                Outcome::Held
            }
        };
        match outcome {
            Outcome::Forward { change, .. } => down.takes(&key, &change, seed),
            Outcome::Full => flush(&mut down),
            Outcome::Held => {}
            Outcome::Expired => unreachable!(),
        }
    }
    rig.rollback();
    assert!(committed_log > 0);
    let kept = TableStore::<String, i64>::contents(&rig);
    assert_eq!(kept, committed.0, "seed {seed}");
}

impl TableStore<String, i64> {
    fn contents(rig: &Rig) -> Rows {
        let store = rig.store.typed::<Self>().unwrap();
        let all = store.borrow_mut().range(.., Direction::Forward).unwrap();
        all.map(|row| row.unwrap()).map(|(k, v, t)| (k, (v, t.0))).collect()
    }
}

#[test]
fn a_changelog_restores_what_was_flushed() {
    for seed in 1..=30 {
        let spec = spec();
        let rig = Rig::new(&spec, if seed % 2 == 0 { 0 } else { 700 });
        let store = rig.store.typed::<TableStore<String, i64>>().unwrap();
        let mut random = Random(seed);
        for _ in 0..300 {
            let key = format!("k{}", random.below(20));
            let value = Some(random.below(50) as i64).filter(|value| *value > 10);
            let headers = Headers::default();
            let stamp = Stamp { timestamp: Timestamp(value.unwrap_or(3)), headers: &headers };
            if store.borrow_mut().put(&key, value, &stamp).unwrap() == Outcome::Full {
                store.borrow_mut().settle().unwrap();
            }
        }
        store.borrow_mut().settle().unwrap();
        let restored = TableStore::contents(&rig.restored(&spec));
        assert_eq!(restored, TableStore::contents(&rig), "seed {seed}");
        assert!(!restored.is_empty());
    }
}
