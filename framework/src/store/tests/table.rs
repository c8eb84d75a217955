//! The store of tables, with and without the record cache.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Rig, text_to_long, text_to_text};
use crate::record::{Change, Headers, Timestamp, Windowed};
use crate::store::options::StoreOptions;
use crate::store::table::{Held, Outcome, Stamp, TableSpec, TableStore, WindowTableSpec};
use crate::store::{Direction, WindowOrder};

const CACHE: usize = 1 << 20;

fn counts(cached: bool) -> TableSpec<String, i64> {
    TableSpec {
        options: StoreOptions::named("counts"),
        serdes: text_to_long(),
        cached,
        history_ms: None,
    }
}

fn windowed(cached: bool, order: WindowOrder) -> WindowTableSpec<String, i64> {
    WindowTableSpec {
        options: StoreOptions::named("w"),
        serdes: text_to_long(),
        cached,
        retention_ms: 10_000,
        window_size_ms: 10_000,
        order,
        ranged: false,
    }
}

type Counts = Rc<RefCell<TableStore<String, i64>>>;

fn open(rig: &Rig) -> Counts {
    rig.store.typed().unwrap()
}

fn stamp(time: i64, headers: &Headers) -> Stamp<'_> {
    Stamp { timestamp: Timestamp(time), headers }
}

fn count(store: &Counts, key: &str, time: i64) -> Outcome<i64> {
    let headers = Headers::default();
    let more = |old: Option<i64>| Some(old.unwrap_or(0) + 1);
    store.borrow_mut().update(&key.to_owned(), &stamp(time, &headers), more).unwrap()
}

fn put(store: &Counts, key: &str, value: Option<i64>, time: i64) -> Outcome<i64> {
    let headers = Headers::default();
    store.borrow_mut().put(&key.to_owned(), value, &stamp(time, &headers)).unwrap()
}

fn get(store: &Counts, key: &str) -> Option<(i64, i64)> {
    store.borrow_mut().get(&key.to_owned()).unwrap().map(|(value, time)| (value, time.0))
}

fn flush(store: &Counts) -> Vec<Held<String, i64>> {
    std::iter::from_fn(|| store.borrow_mut().next_held().unwrap()).collect()
}

/// Flushed changes as `key:old>new@time`.
fn flushed(store: &Counts) -> Vec<String> {
    let text = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    flush(store)
        .into_iter()
        .map(|held| {
            let Change { new, old, .. } = held.change;
            format!("{}:{}>{}@{}", held.key, text(old), text(new), held.timestamp.0)
        })
        .collect()
}

fn forward(new: Option<i64>, old: Option<i64>, time: i64) -> Outcome<i64> {
    Outcome::Forward { change: Change::latest(new, old), timestamp: Timestamp(time) }
}

#[test]
fn without_cache_each_write_is_forwarded_and_logged() {
    let rig = Rig::new(&counts(true), 0);
    let store = open(&rig);
    assert!(!store.borrow().is_cached());
    store.borrow_mut().send_old_values();
    assert_eq!(count(&store, "a", 5), forward(Some(1), None, 5));
    assert_eq!(count(&store, "a", 3), forward(Some(2), Some(1), 5));
    assert_eq!(put(&store, "a", Some(7), 4), forward(Some(7), Some(2), 4));
    assert_eq!(put(&store, "a", None, 2), forward(None, Some(7), 2));
    assert_eq!(put(&store, "a", None, 9), forward(None, None, 9));
    assert_eq!(get(&store, "a"), None);
    assert_eq!(
        rig.logged_hex(),
        [
            "61=0000000000000001@5",
            "61=0000000000000002@5",
            "61=0000000000000007@4",
            "61=null@2",
            "61=null@9"
        ]
    );
}

#[test]
fn old_values_are_sent_only_where_asked_for() {
    let rig = Rig::new(&counts(false), 0);
    let store = open(&rig);
    count(&store, "a", 5);
    assert_eq!(count(&store, "a", 6), forward(Some(2), None, 6));

    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    count(&store, "a", 5);
    flush(&store);
    count(&store, "a", 6);
    assert_eq!(flushed(&store), ["a:->2@6"]);
}

#[test]
fn an_update_that_deletes_is_logged_at_the_time_of_its_record() {
    let rig = Rig::new(&counts(false), 0);
    let store = open(&rig);
    put(&store, "a", Some(1), 9);
    let headers = Headers::default();
    let gone = store.borrow_mut().update(&"a".to_owned(), &stamp(4, &headers), |_| None).unwrap();
    assert_eq!(gone, forward(None, None, 9));
    assert_eq!(rig.logged_hex(), ["61=0000000000000001@9", "61=null@4"]);
}

#[test]
fn a_value_that_its_serde_writes_as_null_is_a_deletion() {
    for cache in [0, CACHE] {
        let rig = Rig::new(&counts(true), cache);
        let store = open(&rig);
        put(&store, "a", Some(1), 1);
        flush(&store);
        let outcome = put(&store, "a", Some(i64::MIN), 2);
        if cache == 0 {
            assert_eq!(outcome, forward(None, None, 2));
        } else {
            assert_eq!(flushed(&store), ["a:->-@2"]);
        }
        assert_eq!(get(&store, "a"), None);
        assert_eq!(rig.logged_hex().last().unwrap(), "61=null@2");
    }
}

#[test]
fn a_hot_key_makes_one_change_and_one_changelog_record_per_flush() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    store.borrow_mut().send_old_values();
    for time in 0..1_000 {
        assert_eq!(count(&store, "hot", time), Outcome::Held);
    }
    assert_eq!(get(&store, "hot"), Some((1_000, 999)));
    assert!(rig.logged().is_empty());
    assert_eq!(flushed(&store), ["hot:->1000@999"]);
    assert_eq!(rig.logged_hex(), ["686f74=00000000000003e8@999"]);
    assert_eq!(flushed(&store), Vec::<String>::new());
    rig.commit();
    count(&store, "hot", 5);
    count(&store, "hot", 6);
    assert_eq!(flushed(&store), ["hot:1000>1002@999"]);
    assert_eq!(rig.logged().len(), 2);
}

#[test]
fn a_flush_hands_on_in_the_order_of_the_last_changes() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    for key in ["c", "a", "b", "a", "c"] {
        count(&store, key, 1);
    }
    assert_eq!(flushed(&store), ["b:->1@1", "a:->2@1", "c:->2@1"]);
    let keys: Vec<_> = rig.logged().into_iter().map(|record| record.key.unwrap()).collect();
    assert_eq!(keys, [b"b".to_vec(), b"a".to_vec(), b"c".to_vec()]);
}

#[test]
fn a_flushed_change_has_the_headers_of_its_last_record() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    count(&store, "a", 1);
    let mut headers = Headers::default();
    headers.push("trace", Some(b"2".to_vec()));
    let more = |old: Option<i64>| old.map(|old| old + 1);
    store.borrow_mut().update(&"a".to_owned(), &stamp(2, &headers), more).unwrap();
    assert_eq!(flush(&store)[0].headers, headers);
}

#[test]
fn deletions_of_what_was_never_there_are_not_flushed() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    put(&store, "never", None, 1);
    put(&store, "brief", Some(1), 1);
    put(&store, "brief", None, 2);
    assert_eq!(flushed(&store), Vec::<String>::new());
    assert!(rig.logged().is_empty());
    put(&store, "there", Some(1), 1);
    assert_eq!(flushed(&store), ["there:->1@1"]);
    rig.commit();
    // Also where only the stored bytes know of it.
    rig.rollback();
    put(&store, "there", None, 3);
    assert_eq!(flushed(&store), ["there:->-@3"]);
}

#[test]
fn the_cache_keeps_to_its_bound_and_flushes_when_a_dirty_entry_has_to_go() {
    let rig = Rig::new(&counts(true), 40 * 256);
    let store = open(&rig);
    let (mut full, mut held) = (0, 0);
    for i in 0..1_000 {
        if count(&store, &format!("key {i:04}"), i) == Outcome::Full {
            full += 1;
            held += flush(&store).len();
        }
        let bytes = store.borrow().cache.as_ref().unwrap().bytes();
        assert!(bytes <= 40 * 256 + 256, "{bytes} bytes after {i}");
    }
    held += flush(&store).len();
    assert_eq!(held, 1_000);
    assert!(full < 200, "flushed {full} times");
    for i in 0..1_000 {
        assert_eq!(get(&store, &format!("key {i:04}")), Some((1, i)), "{i}");
    }
}

#[test]
fn caches_share_what_the_worker_has() {
    let rig = Rig::new(&counts(true), 8_192);
    let fill = |store: &Counts| {
        for i in 0..500 {
            if count(store, &format!("key {i:04}"), i) == Outcome::Full {
                flush(store);
            }
        }
        flush(store);
    };
    let bytes = |store: &Counts| store.borrow().cache.as_ref().unwrap().bytes();
    let first = open(&rig);
    fill(&first);
    assert!(bytes(&first) > 7_500, "alone it may have all: {}", bytes(&first));
    let second: Counts = rig.reopened(&counts(true)).typed().unwrap();
    fill(&second);
    flush(&first);
    let (first, second) = (bytes(&first), bytes(&second));
    assert!(first + second <= 8_192 && first > 3_500 && second > 3_500, "{first} and {second}");
}

#[test]
fn a_growing_value_is_weighed_again() {
    let spec = TableSpec {
        options: StoreOptions::named("texts"),
        serdes: text_to_text(),
        cached: true,
        history_ms: None,
    };
    let rig = Rig::new(&spec, 64 * 1024);
    let store = rig.store.typed::<TableStore<String, String>>().unwrap();
    let headers = Headers::default();
    let mut full = false;
    for _ in 0..1_024 {
        let grow = |old: Option<String>| Some(old.unwrap_or_default() + &"x".repeat(100));
        let outcome = store.borrow_mut().update(&"a".to_owned(), &stamp(1, &headers), grow);
        full |= outcome.unwrap() == Outcome::Full;
    }
    assert!(full, "one entry of 100 kB went unnoticed in a cache of 64 kB");
}

#[test]
fn reads_fill_the_cache_without_making_it_dirty() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    count(&store, "a", 1);
    flush(&store);
    rig.commit();
    rig.rollback();
    assert_eq!(get(&store, "a"), Some((1, 1)));
    assert_eq!(get(&store, "b"), None);
    assert_eq!(flushed(&store), Vec::<String>::new());
    assert!(store.borrow().cache.as_ref().unwrap().bytes() > 0);
}

#[test]
fn a_rollback_drops_cache_and_dirty_layer() {
    for cache in [0, CACHE] {
        let rig = Rig::new(&counts(true), cache);
        let store = open(&rig);
        count(&store, "a", 1);
        flush(&store);
        rig.commit();
        count(&store, "a", 2);
        count(&store, "b", 2);
        flush(&store);
        count(&store, "a", 3);
        rig.rollback();
        assert_eq!((get(&store, "a"), get(&store, "b")), (Some((1, 1)), None));
        assert_eq!(flushed(&store), Vec::<String>::new());
    }
}

#[test]
fn ranges_show_what_the_cache_holds() {
    let rig = Rig::new(&counts(true), CACHE);
    let store = open(&rig);
    for key in ["a1", "a3", "b1"] {
        put(&store, key, Some(1), 1);
    }
    flush(&store);
    rig.commit();
    put(&store, "a2", Some(2), 2);
    flush(&store);
    put(&store, "a1", Some(3), 3);
    put(&store, "a3", None, 3);
    let prefixed = store.borrow_mut().prefix_scan(b"a");
    let found: Vec<_> = prefixed.map(|row| row.unwrap()).map(|(k, v, t)| (k, v, t.0)).collect();
    assert_eq!(found, [("a1".to_owned(), 3, 3), ("a2".to_owned(), 2, 2)]);
    let from = "a2".to_owned()..;
    let back = store.borrow_mut().range(from, Direction::Backward).unwrap();
    assert_eq!(back.map(|row| row.unwrap().0).collect::<Vec<_>>(), ["b1", "a2"]);
}

/// The bytes of `tumbling-count`; the time is the row's, not the record's.
#[test]
fn windows_are_logged_with_javas_keys() {
    for order in [WindowOrder::KeyFirst, WindowOrder::TimeFirst] {
        for cache in [0, CACHE] {
            let rig = Rig::new(&windowed(true, order), cache);
            let store = rig.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
            let headers = Headers::default();
            let window = Windowed { key: "c".to_owned(), start: 100_000, end: 110_000 };
            for time in [102_042, 101_000] {
                let more = |old: Option<i64>| Some(old.unwrap_or(0) + 1);
                store.borrow_mut().update(&window, &stamp(time, &headers), more).unwrap();
            }
            while let Some(held) = store.borrow_mut().next_held().unwrap() {
                assert_eq!(held.key, window);
            }
            let last = "6300000000000186a000000000=0000000000000002@102042";
            assert_eq!(rig.logged_hex().last().unwrap(), last);
            rig.commit();
            let row = store.borrow_mut().get(&window).unwrap();
            assert_eq!(row, Some((2, Timestamp(102_042))));
            let again = rig.reopened(&windowed(true, order));
            let again = again.typed::<TableStore<Windowed<String>, i64>>().unwrap();
            assert_eq!(again.borrow_mut().get(&window).unwrap(), row);
            let other = rig.restored(&windowed(true, order));
            let restored = other.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
            assert_eq!(restored.borrow_mut().get(&window).unwrap(), row);
        }
    }
}

/// Windows are not looked for below the cache if they start after all that went there.
#[test]
fn windows_that_left_the_cache_are_found_again() {
    let rig = Rig::new(&windowed(true, WindowOrder::KeyFirst), 2_048);
    let store = rig.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
    let headers = Headers::default();
    let mut full = 0;
    for round in 0..3_i64 {
        for i in 0..90_i64 {
            let start = i / 30 * 1_000;
            let window = Windowed { key: format!("key {i}"), start, end: start + 10_000 };
            let more = |old: Option<i64>| Some(old.unwrap_or(0) + 1);
            let outcome = store.borrow_mut().update(&window, &stamp(start, &headers), more);
            if outcome.unwrap() == Outcome::Full {
                full += 1;
                store.borrow_mut().settle().unwrap();
            }
            assert_eq!(store.borrow_mut().get(&window).unwrap().unwrap().0, round + 1, "{i}");
        }
        if round == 1 {
            store.borrow_mut().settle().unwrap();
            rig.commit();
        }
    }
    assert!(full > 3, "flushed {full} times");
}

fn windows_of(spec: &WindowTableSpec<String, i64>, cache: usize) -> (Rig, Vec<(String, i64)>) {
    let rig = Rig::new(spec, cache);
    let store = rig.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
    let headers = Headers::default();
    for (i, (key, start)) in [("b", 10_000), ("a", 0), ("a", 10_000), ("aa", 5_000), ("a", 5_000)]
        .into_iter()
        .enumerate()
    {
        let window = Windowed { key: key.to_owned(), start, end: start + 10_000 };
        let mut store = store.borrow_mut();
        store.put(&window, Some(i as i64), &stamp(start, &headers)).unwrap();
        if i == 2 {
            store.settle().unwrap();
            drop(store);
            rig.commit();
        }
    }
    let rows = by_time(&store, 0, 10_000);
    (rig, rows)
}

fn by_time(
    store: &Rc<RefCell<TableStore<Windowed<String>, i64>>>,
    from: i64,
    to: i64,
) -> Vec<(String, i64)> {
    let mut rows = store.borrow().by_time(from, to).unwrap();
    let mut found = Vec::new();
    while let Some((window, ..)) = store.borrow_mut().next_by_time(&mut rows).unwrap() {
        found.push((window.key, window.start));
    }
    let first = store.borrow().first_by_time(from).unwrap();
    assert!(found.is_empty() || first == found.iter().map(|(_, start)| *start).min());
    found
}

#[test]
fn windows_are_read_by_key_and_by_time() {
    for cache in [0, CACHE] {
        let spec = windowed(true, WindowOrder::TimeFirst);
        let (rig, by_time) = windows_of(&spec, cache);
        let expected = [("a", 0), ("a", 5_000), ("aa", 5_000), ("a", 10_000), ("b", 10_000)]
            .map(|(k, s)| (k.to_owned(), s));
        assert_eq!(by_time, expected);
        let store = rig.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
        let read = |direction| -> Vec<i64> {
            let rows = store.borrow_mut().fetch(&"a".to_owned(), (1, i64::MAX), direction).unwrap();
            rows.map(|row| row.unwrap().0.start).collect()
        };
        assert_eq!(read(Direction::Forward), [5_000, 10_000]);
        assert_eq!(read(Direction::Backward), [10_000, 5_000]);

        let spec = windowed(true, WindowOrder::KeyFirst);
        let (_, by_key) = windows_of(&spec, cache);
        assert_eq!(by_key.len(), 5);
    }
}

#[test]
fn windows_that_expired_can_still_be_emitted_until_they_are_dropped() {
    let rig = Rig::new(&windowed(false, WindowOrder::TimeFirst), 0);
    let store = rig.store.typed::<TableStore<Windowed<String>, i64>>().unwrap();
    let headers = Headers::default();
    let window = |start: i64| Windowed { key: "a".to_owned(), start, end: start + 10_000 };
    for start in [0, 1_000_000] {
        let outcome =
            store.borrow_mut().put(&window(start), Some(1), &stamp(start, &headers)).unwrap();
        assert!(matches!(outcome, Outcome::Forward { .. }));
    }
    let shown = store.borrow_mut().fetch_all((0, i64::MAX), Direction::Forward).unwrap();
    assert_eq!(shown.count(), 1);
    assert_eq!(by_time(&store, 0, 990_000).len(), 1);
    assert_eq!(store.borrow_mut().get(&window(0)).unwrap(), None);
    let late = store.borrow_mut().put(&window(10_000), Some(1), &stamp(10_000, &headers)).unwrap();
    assert_eq!(late, Outcome::Expired);
    assert_eq!(rig.store.state().borrow_mut().take_expired(), 1);
}

#[test]
fn a_store_of_another_type_is_refused() {
    let rig = Rig::new(&counts(false), 0);
    let wrong = rig.store.typed::<TableStore<String, String>>();
    let said = wrong.err().unwrap().to_string();
    assert!(
        said.contains("store counts") && said.ends_with("not a table of String to String"),
        "{said}"
    );
}
