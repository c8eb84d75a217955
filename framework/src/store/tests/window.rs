//! The window store of processors.

use super::{DAY_MS, Rig, text_to_text};
use crate::record::{Timestamp, Windowed};
use crate::store::options::StoreOptions;
use crate::store::supplier::StoreSupplier;
use crate::store::window::{WindowSpec, WindowStore, WindowedIterator};

fn windows(duplicates: bool) -> WindowSpec<String, String> {
    WindowSpec {
        options: StoreOptions::named(if duplicates { "wd" } else { "ws" }),
        serdes: text_to_text(),
        retention_ms: 60_000,
        window_size_ms: 10_000,
        duplicates,
        kept_ms: None,
    }
}

fn open(rig: &Rig) -> WindowStore<String, String> {
    WindowStore::of(&rig.store, &rig.time).unwrap()
}

fn put(rig: &Rig, key: &str, value: &str, start: i64) {
    rig.at(start);
    open(rig).put(key.to_owned(), value.to_owned(), Timestamp(start)).unwrap();
}

fn fetched(store: &WindowStore<String, String>, key: &str, from: i64, to: i64) -> Vec<String> {
    let found = store.fetch_range(&key.to_owned(), Timestamp(from), Timestamp(to)).unwrap();
    found.map(|entry| entry.unwrap().1).collect()
}

fn everything(store: &WindowStore<String, String>) -> Vec<(Windowed<String>, String)> {
    store.all().map(Result::unwrap).collect()
}

/// The bytes of `window-store-range` and `window-store-duplicates`.
#[test]
fn the_changelog_has_javas_keys() {
    let rig = Rig::new(&windows(false), 0);
    put(&rig, "c", "i0", 100_801);
    assert_eq!(rig.logged_hex(), ["6300000000000189c100000000=6930@100801"]);

    let rig = Rig::new(&windows(true), 0);
    put(&rig, "b", "i0", 97_056);
    put(&rig, "a", "i1", 99_997);
    rig.at(140_239);
    open(&rig).delete(&"b".to_owned(), Timestamp(140_239)).unwrap();
    assert_eq!(
        rig.logged_hex(),
        [
            "620000000000017b2000000001=6930@97056",
            "61000000000001869d00000002=6931@99997",
            "6200000000000223cf00000003=null@140239"
        ]
    );
}

#[test]
fn one_key_is_read_over_time_in_both_directions() {
    let rig = Rig::new(&windows(false), 0);
    for (key, value, start) in [
        ("c", "i0", 100_801),
        ("c", "i1", 102_233),
        ("a", "i2", 98_884),
        ("a", "i3", 104_931),
        ("b", "i4", 106_093),
        ("a", "i5", 108_778),
    ] {
        put(&rig, key, value, start);
        if value == "i3" {
            rig.commit();
        }
    }
    let store = open(&rig);
    assert_eq!(fetched(&store, "a", 93_778, 123_778), ["i2", "i3", "i5"]);
    let key = "a".to_owned();
    let back = store.backward_fetch(&key, Timestamp(93_778), Timestamp(108_778)).unwrap();
    assert_eq!(back.map(|entry| entry.unwrap().1).collect::<Vec<_>>(), ["i5", "i3", "i2"]);
    assert_eq!(store.fetch_all(Timestamp(93_778), Timestamp(108_778)).count(), 6);
    assert_eq!(store.fetch(&key, Timestamp(104_931)).unwrap().as_deref(), Some("i3"));
    assert_eq!(store.fetch(&key, Timestamp(104_932)).unwrap(), None);
    let (first, _) = everything(&store).remove(0);
    assert_eq!(first, Windowed { key, start: 98_884, end: 108_884 });
}

#[test]
fn ranges_of_keys_are_read_over_segments_in_both_directions() {
    let rig = Rig::new(&windows(false), 0);
    for (key, value, start) in [
        ("a", "a1", 119_000),
        ("ab", "ab1", 119_500),
        ("c", "c1", 119_700),
        ("a", "a2", 121_000),
        ("b", "b2", 122_000),
        ("", "2", 123_000),
    ] {
        put(&rig, key, value, start);
        if value == "c1" {
            rig.commit();
        }
    }
    let store = open(&rig);
    let (from, to) = (Timestamp(119_200), Timestamp(123_000));
    let read = |found: WindowedIterator<String, String>| {
        found.map(|entry| entry.unwrap().1).collect::<Vec<_>>().join(" ")
    };
    let keys = || "a".to_owned()..="b".to_owned();
    assert_eq!(read(store.fetch_keys(keys(), from, to).unwrap()), "ab1 a2 b2");
    assert_eq!(read(store.backward_fetch_keys(keys(), from, to).unwrap()), "b2 a2 ab1");
    assert_eq!(read(store.fetch_keys(.."b".to_owned(), from, to).unwrap()), "ab1 2 a2");
    assert_eq!(read(store.fetch_keys("ab".to_owned().., from, to).unwrap()), "ab1 c1 b2");
    let crossed = "b".to_owned().."a".to_owned();
    assert_eq!(read(store.fetch_keys(crossed, from, to).unwrap()), "");
    assert_eq!(read(store.backward_all()), "b2 a2 2 c1 ab1 a1");
}

#[test]
fn keys_that_begin_alike_are_kept_apart() {
    let rig = Rig::new(&windows(false), 0);
    put(&rig, "a", "short", 1_000);
    put(&rig, "a\0\0\0\0\0\0\0\0", "long", 1_000);
    let store = open(&rig);
    assert_eq!(fetched(&store, "a", 0, 60_000), ["short"]);
    assert_eq!(fetched(&store, "a\0\0\0\0\0\0\0\0", 0, 60_000), ["long"]);
}

#[test]
fn duplicates_come_in_the_order_of_their_puts() {
    let rig = Rig::new(&windows(true), 0);
    put(&rig, "b", "i0", 100);
    put(&rig, "b", "i1", 100);
    rig.commit();
    put(&rig, "b", "i2", 100);
    open(&rig).delete(&"b".to_owned(), Timestamp(100)).unwrap();
    let store = open(&rig);
    assert_eq!(fetched(&store, "b", 0, 1_000), ["i0", "i1", "i2"]);
    assert_eq!(store.fetch(&"b".to_owned(), Timestamp(100)).unwrap().as_deref(), Some("i0"));
}

/// In Java the numbers begin anew, and a put after a restart replaces an older one.
#[test]
fn a_restart_does_not_replace_duplicates() {
    let spec = windows(true);
    let rig = Rig::new(&spec, 0);
    put(&rig, "b", "i0", 100);
    rig.commit();
    let store = WindowStore::of(&rig.reopened(&spec), &rig.time).unwrap();
    store.put("b".to_owned(), "i1".to_owned(), Timestamp(100)).unwrap();
    assert_eq!(fetched(&store, "b", 0, 1_000), ["i0", "i1"]);

    let other = rig.restored(&spec);
    put(&other, "b", "i2", 100);
    assert_eq!(fetched(&open(&other), "b", 0, 1_000), ["i0", "i1", "i2"]);
}

/// A restart after it finds the same windows, and the same ones late.
#[test]
fn a_rebuilt_store_knows_its_times() {
    let spec = windows(false);
    let rig = Rig::new(&spec, 0);
    put(&rig, "a", "old", 100);
    put(&rig, "b", "new", 200_000);
    rig.commit();
    rig.rebuild();
    assert_eq!(rig.place.stores.observed(rig.place.id), Some(200_000));
    let store = WindowStore::of(&rig.reopened(&spec), &rig.time).unwrap();
    assert_eq!(fetched(&store, "b", 0, 300_000), ["new"]);
    store.put("a".to_owned(), "late".to_owned(), Timestamp(100)).unwrap();
    assert_eq!(fetched(&store, "a", 0, 300_000), Vec::<String>::new());
}

/// With a changelog that begins anew, nothing of the former one counts: nothing is late.
#[test]
fn a_cleared_store_is_as_a_new_one() {
    let rig = Rig::new(&windows(false), 0);
    put(&rig, "a", "new", 200_000);
    rig.commit();
    rig.store.state().borrow_mut().clear().unwrap();
    put(&rig, "a", "early", 100);
    assert_eq!(fetched(&open(&rig), "a", 0, 300_000), ["early"]);
}

#[test]
fn a_put_whose_segment_has_expired_is_dropped_and_counted() {
    let rig = Rig::new(&windows(false), 0);
    put(&rig, "a", "kept", 60_000);
    put(&rig, "a", "later", 179_999);
    put(&rig, "a", "same segment", 61_000);
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 0);
    put(&rig, "a", "late", 59_999);
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 1);
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 0);
    // Reads are cut at 179 999 - 60 000 + 1 already.
    assert_eq!(fetched(&open(&rig), "a", 0, i64::MAX), ["later"]);
    assert_eq!(open(&rig).fetch(&"a".to_owned(), Timestamp(61_000)).unwrap(), None);
    assert_eq!(rig.logged().len(), 4, "Java logs what it drops");
}

#[test]
fn what_expired_leaves_the_store_at_a_commit() {
    let rig = Rig::new(&windows(false), 0);
    put(&rig, "a", "old", 1_000);
    rig.commit();
    assert_eq!(rig.place.stores.entries_estimate(rig.place.id), 1);
    put(&rig, "a", "new", 500_000);
    rig.commit();
    assert_eq!(rig.place.stores.entries_estimate(rig.place.id), 1);
    assert_eq!(fetched(&open(&rig), "a", 0, i64::MAX), ["new"]);
}

#[test]
fn lateness_survives_a_restart_and_a_rollback() {
    let spec = windows(false);
    let rig = Rig::new(&spec, 0);
    put(&rig, "a", "new", 500_000);
    rig.commit();
    put(&rig, "a", "newest", 900_000);
    rig.rollback();
    put(&rig, "a", "in time again", 450_000);
    assert_eq!(fetched(&open(&rig), "a", 0, i64::MAX), ["in time again", "new"]);
    rig.rollback();

    let after = WindowStore::of(&rig.reopened(&spec), &rig.time).unwrap();
    after.put("a".to_owned(), "late".to_owned(), Timestamp(1_000)).unwrap();
    assert_eq!(fetched(&after, "a", 0, i64::MAX), ["new"]);
}

#[test]
fn the_changelog_restores_the_store() {
    for duplicates in [false, true] {
        let spec = windows(duplicates);
        let rig = Rig::new(&spec, 0);
        for i in 0..200_i64 {
            put(&rig, &format!("k{}", i % 5), &format!("i{i}"), (i * 7_919) % 300_000 / 500 * 500);
            if i % 9 == 0 {
                open(&rig).delete(&format!("k{}", i % 3), Timestamp(i * 1_500)).unwrap();
            }
            if i == 120 {
                rig.commit();
            }
        }
        let found = everything(&open(&rig));
        assert!(found.len() > 10, "{found:?}");
        assert_eq!(everything(&open(&rig.restored(&spec))), found);
    }
}

#[test]
fn its_changelog_outlives_the_store_by_a_day() {
    let config = windows(false).changelog_config(DAY_MS).unwrap();
    assert!(config.contains(&("cleanup.policy".to_owned(), "compact,delete".to_owned())));
    assert!(config.contains(&("retention.ms".to_owned(), "86460000".to_owned())));
}
