//! The key-value store of processors.

use super::{DAY_MS, Rig, text_to_long, text_to_text};
use crate::store::key_value::{KeyValueSpec, KeyValueStore};
use crate::store::options::StoreOptions;
use crate::store::supplier::StoreSupplier;

fn counts() -> KeyValueSpec<String, i64> {
    KeyValueSpec { options: StoreOptions::named("seen"), serdes: text_to_long(), entries_max: None }
}

fn texts() -> KeyValueSpec<String, String> {
    KeyValueSpec { options: StoreOptions::named("kr"), serdes: text_to_text(), entries_max: None }
}

fn pairs<K: crate::record::Data, V: crate::record::Data>(
    iterator: crate::store::key_value::KeyValueIterator<K, V>,
) -> Vec<(K, V)> {
    iterator.collect::<crate::error::Result<_>>().unwrap()
}

/// The bytes of `process-punctuate`.
#[test]
fn each_put_is_logged_in_order_at_the_time_of_the_record() {
    let rig = Rig::new(&counts(), 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    rig.at(101_042);
    seen.put("b".to_owned(), 1).unwrap();
    seen.put("b".to_owned(), 2).unwrap();
    rig.at(99_633);
    assert_eq!(seen.delete(&"b".to_owned()).unwrap(), Some(2));
    assert_eq!(seen.delete(&"none".to_owned()).unwrap(), None);
    let logged = rig.logged_hex();
    assert_eq!(
        logged,
        [
            "62=0000000000000001@101042",
            "62=0000000000000002@101042",
            "62=null@99633",
            "6e6f6e65=null@99633"
        ]
    );
}

#[test]
fn a_value_that_its_serde_writes_as_null_deletes() {
    let rig = Rig::new(&counts(), 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    seen.put("b".to_owned(), 1).unwrap();
    seen.put("b".to_owned(), i64::MIN).unwrap();
    assert_eq!(seen.get(&"b".to_owned()).unwrap(), None);
    assert_eq!(rig.logged().last().unwrap().value, None);
}

#[test]
fn put_if_absent_returns_what_is_there() {
    let rig = Rig::new(&counts(), 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    assert_eq!(seen.put_if_absent("a".to_owned(), 1).unwrap(), None);
    assert_eq!(seen.put_if_absent("a".to_owned(), 2).unwrap(), Some(1));
    assert_eq!(seen.get(&"a".to_owned()).unwrap(), Some(1));
    assert_eq!(rig.logged().len(), 1);
}

#[test]
fn ranges_go_over_committed_and_uncommitted_entries() {
    let rig = Rig::new(&texts(), 0);
    let store = KeyValueStore::<String, String>::of(&rig.store, &rig.time).unwrap();
    for key in ["a2", "a4", "a7", "b2"] {
        store.put(key.to_owned(), format!("old {key}")).unwrap();
    }
    rig.commit();
    store.put("a3".to_owned(), "new a3".to_owned()).unwrap();
    store.put("a4".to_owned(), "new a4".to_owned()).unwrap();
    store.delete(&"a7".to_owned()).unwrap();
    let keys =
        |entries: Vec<(String, String)>| entries.into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    let (from, to) = ("a2".to_owned(), "a7".to_owned());
    let range = pairs(store.range(from.clone()..=to.clone()).unwrap());
    assert_eq!(range[1], ("a3".to_owned(), "new a3".to_owned()));
    assert_eq!(range[2], ("a4".to_owned(), "new a4".to_owned()));
    assert_eq!(keys(range), ["a2", "a3", "a4"]);
    assert_eq!(keys(pairs(store.reverse_range(from.clone()..=to).unwrap())), ["a4", "a3", "a2"]);
    assert_eq!(keys(pairs(store.prefix_scan(&"a".to_owned()).unwrap())), ["a2", "a3", "a4"]);
    assert_eq!(keys(pairs(store.range("b".to_owned()..from).unwrap())), Vec::<String>::new());
    assert_eq!(keys(pairs(store.reverse_all().unwrap())), ["b2", "a4", "a3", "a2"]);
    assert!(store.approximate_entries() >= 4);
}

#[test]
fn an_iterator_shows_the_store_as_it_was() {
    let rig = Rig::new(&texts(), 0);
    let store = KeyValueStore::<String, String>::of(&rig.store, &rig.time).unwrap();
    for i in 0..100 {
        store.put(format!("{i:03}"), "old".to_owned()).unwrap();
        if i == 49 {
            rig.commit();
        }
    }
    let mut seen = 0;
    for entry in store.all().unwrap() {
        let (key, value) = entry.unwrap();
        assert_eq!(value, "old");
        store.delete(&key).unwrap();
        store.put(format!("{key}'"), "new".to_owned()).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 100);
    assert_eq!(pairs(store.all().unwrap()).len(), 100);
}

#[test]
fn a_rollback_returns_to_the_last_commit() {
    let rig = Rig::new(&counts(), 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    seen.put("a".to_owned(), 1).unwrap();
    assert!(rig.place.uncommitted.get() > 0);
    rig.commit();
    assert_eq!(rig.place.uncommitted.get(), 0);
    seen.put("a".to_owned(), 2).unwrap();
    seen.put("b".to_owned(), 2).unwrap();
    rig.rollback();
    assert_eq!(pairs(seen.all().unwrap()), [("a".to_owned(), 1)]);
    let after = KeyValueStore::<String, i64>::of(&rig.reopened(&counts()), &rig.time).unwrap();
    assert_eq!(after.get(&"a".to_owned()).unwrap(), Some(1));
}

#[test]
fn the_changelog_restores_the_store() {
    let rig = Rig::new(&counts(), 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    for i in 0..50_i64 {
        seen.put(format!("{}", i % 7), i).unwrap();
        if i % 5 == 0 {
            seen.delete(&format!("{}", i % 4)).unwrap();
        }
    }
    let other = rig.restored(&counts());
    let restored = KeyValueStore::<String, i64>::of(&other.store, &other.time).unwrap();
    assert_eq!(pairs(restored.all().unwrap()), pairs(seen.all().unwrap()));
}

#[test]
fn its_changelog_is_compacted_unless_told_otherwise() {
    let mut spec = counts();
    let config = spec.changelog_config(DAY_MS).unwrap();
    assert!(config.contains(&("cleanup.policy".to_owned(), "compact".to_owned())));
    spec.options.topic_config.push(("cleanup.policy".to_owned(), "delete".to_owned()));
    let config = spec.changelog_config(DAY_MS).unwrap();
    assert!(config.contains(&("cleanup.policy".to_owned(), "delete".to_owned())));
    spec.options.logged = false;
    assert_eq!(spec.changelog_config(DAY_MS), None);
    let rig = Rig::new(&spec, 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    seen.put("a".to_owned(), 1).unwrap();
    assert!(rig.logged().is_empty());
    assert!(rig.store.state().borrow().changelog().is_none());
}
