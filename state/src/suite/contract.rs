//! The contract of [`TaskStores`], one test for each promise, on each implementation.

use super::{
    BOTH, KEYS, SESSIONS, TIMES, WINDOWS, keys, on_each, put, sessions, shared as resources, specs,
    windows,
};
use crate::{
    Direction, Error, KeyRange, SessionKey, StoreId, TaskStores, WindowLayout, WindowOrder,
};
use std::ops::Bound;

#[test]
fn what_is_put_is_found_and_what_is_deleted_is_not() {
    on_each(|stores| {
        put(stores, KEYS, &[(b"a", b"1"), (b"b", b""), (b"", b"empty")]);
        assert_eq!(stores.get(KEYS, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(stores.get(KEYS, b"b").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(stores.get(KEYS, b"").unwrap().as_deref(), Some(&b"empty"[..]));
        assert_eq!(stores.get(KEYS, b"c").unwrap(), None);
        assert_eq!(stores.get(WINDOWS, b"a").unwrap(), None, "stores are apart");
        assert_eq!(stores.get_with(KEYS, b"a", <[u8]>::len).unwrap(), Some(1));
        let mut batch = stores.batch();
        batch.delete(KEYS, b"a");
        batch.delete(KEYS, b"never there");
        batch.put(KEYS, b"b", b"2");
        stores.write(batch).unwrap();
        assert_eq!(stores.get(KEYS, b"a").unwrap(), None);
        assert_eq!(stores.get(KEYS, b"b").unwrap().as_deref(), Some(&b"2"[..]));
    });
}

#[test]
fn the_last_write_of_a_batch_wins() {
    on_each(|stores| {
        let mut batch = stores.batch();
        batch.put(KEYS, b"a", b"1");
        batch.delete(KEYS, b"a");
        batch.put(KEYS, b"b", b"1");
        batch.delete_range(KEYS, b"b", b"c");
        batch.put(KEYS, b"b", b"2");
        batch.put(KEYS, b"c", b"3");
        batch.delete_range(KEYS, b"c", b"b");
        assert!(batch.len_bytes() > 0 && !batch.is_empty());
        assert_eq!(stores.get(KEYS, b"b").unwrap(), None, "nothing counts before the write");
        stores.write(batch).unwrap();
        assert_eq!(keys(stores, KEYS, KeyRange::all(), Direction::Forward), [b"b", b"c"]);
        assert_eq!(stores.get(KEYS, b"b").unwrap().as_deref(), Some(&b"2"[..]));
    });
}

#[test]
fn ranges_follow_their_bounds_in_both_directions() {
    on_each(|stores| {
        let all: [&[u8]; 5] = [b"", b"a", b"a\0", b"b", b"\xff\xff"];
        for key in all {
            put(stores, KEYS, &[(key, b"v")]);
        }
        let bound = |key: &[u8]| key.to_vec();
        let cases: [(KeyRange, &[&[u8]]); 7] = [
            (KeyRange::all(), &all),
            (KeyRange::inclusive(bound(b"a"), bound(b"b")), &all[1..4]),
            (KeyRange::half_open(bound(b"a"), bound(b"b")), &all[1..3]),
            (KeyRange { lower: Bound::Excluded(bound(b"a")), upper: Bound::Unbounded }, &all[2..]),
            (KeyRange::prefix(b"a"), &all[1..3]),
            (KeyRange::prefix(b"\xff"), &all[4..]),
            (KeyRange::inclusive(bound(b"b"), bound(b"a")), &[]),
        ];
        for (range, expected) in cases {
            let forward = keys(stores, KEYS, range.clone(), Direction::Forward);
            assert_eq!(forward, expected, "{range:?}");
            let mut backward = keys(stores, KEYS, range.clone(), Direction::Backward);
            backward.reverse();
            assert_eq!(backward, expected, "backward {range:?}");
            for key in all {
                assert_eq!(range.contains(key), expected.contains(&key), "{range:?} {key:?}");
            }
        }
    });
}

#[test]
fn a_range_longer_than_many_chunks_is_whole() {
    on_each(|stores| {
        let mut batch = stores.batch();
        for number in 0_u32..5_000 {
            batch.put(KEYS, &number.to_be_bytes(), &number.to_le_bytes());
        }
        stores.write(batch).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            let mut expected: Vec<u32> = (17..4_983).collect();
            if direction == Direction::Backward {
                expected.reverse();
            }
            let range = KeyRange::half_open(17_u32.to_be_bytes(), 4_983_u32.to_be_bytes());
            let read: Vec<u32> = stores
                .scan(KEYS, range, direction)
                .map(|entry| {
                    let (key, value) = entry.unwrap();
                    let number = u32::from_be_bytes(key.try_into().unwrap());
                    assert_eq!(value, number.to_le_bytes());
                    number
                })
                .collect();
            assert_eq!(read, expected);
        }
    });
}

#[test]
fn offsets_observed_times_and_notes_come_with_the_batch() {
    on_each(|stores| {
        assert_eq!((stores.offset(KEYS), stores.observed(WINDOWS)), (None, None));
        let mut batch = stores.batch();
        batch.set_offset(KEYS, 7);
        batch.set_observed(WINDOWS, -1);
        batch.set_meta(b"note", b"x");
        assert!(!batch.is_empty());
        assert_eq!(stores.offset(KEYS), None);
        stores.write(batch).unwrap();
        assert_eq!((stores.offset(KEYS), stores.offset(WINDOWS)), (Some(7), None));
        assert_eq!(stores.observed(WINDOWS), Some(-1));
        assert_eq!(stores.meta(b"note").as_deref(), Some(&b"x"[..]));
        assert_eq!(stores.meta(b"other"), None);
    });
}

#[test]
fn clearing_a_store_leaves_the_others_alone() {
    on_each(|stores| {
        put(stores, KEYS, &[(b"a", b"1"), (b"\xff\xff\xff", b"2")]);
        put(stores, WINDOWS, &[(b"a", b"1")]);
        let mut batch = stores.batch();
        for store in [KEYS, WINDOWS] {
            batch.set_offset(store, 3);
            batch.set_observed(store, 4);
        }
        stores.write(batch).unwrap();
        stores.clear(KEYS).unwrap();
        assert!(keys(stores, KEYS, KeyRange::all(), Direction::Forward).is_empty());
        assert_eq!((stores.offset(KEYS), stores.observed(KEYS)), (None, None));
        assert_eq!(stores.get(WINDOWS, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!((stores.offset(WINDOWS), stores.observed(WINDOWS)), (Some(3), Some(4)));
        put(stores, KEYS, &[(b"a", b"again")]);
        assert_eq!(stores.get(KEYS, b"a").unwrap().as_deref(), Some(&b"again"[..]));
    });
}

#[test]
fn expired_segments_go_and_nothing_else() {
    on_each(|stores| {
        for (store, order) in [(WINDOWS, WindowOrder::KeyFirst), (TIMES, WindowOrder::TimeFirst)] {
            let layout = windows(order);
            let mut local = Vec::new();
            for start in (0..600).step_by(50) {
                for key in [&b"a"[..], b"abc", b""] {
                    layout.encode(key, start, 0, &mut local);
                    put(stores, store, &[(&local, b"v")]);
                }
            }
            // Observed 550, retention 250: segment 3 (300..400) is the oldest that lives.
            for (observed, oldest) in [(250, 0), (349, 0), (449, 100), (550, 300), (500, 300)] {
                stores.drop_expired(store, observed).unwrap();
                let left = keys(stores, store, KeyRange::all(), Direction::Forward);
                let mut starts: Vec<i64> =
                    left.iter().map(|local| layout.decode(local).unwrap().start).collect();
                starts.sort_unstable();
                let expected: Vec<i64> =
                    (oldest..600).step_by(50).flat_map(|start| [start; 3]).collect();
                assert_eq!(starts, expected, "observed {observed}, {order:?}");
            }
        }
        expired_sessions_go(stores);
    });
}

#[test]
fn entries_by_time_go_with_their_rows() {
    on_each(|stores| {
        let layout = windows(WindowOrder::KeyFirstAndTime);
        let (mut local, mut entry) = (Vec::new(), Vec::new());
        for start in (0..600).step_by(50) {
            for key in [&b"a"[..], b"abc", b"\xff\xff"] {
                layout.encode(key, start, 0, &mut local);
                layout.entry(&local, &mut entry).unwrap();
                put(stores, BOTH, &[(&local, b"v"), (&entry, b"")]);
            }
        }
        stores.drop_expired(BOTH, 550).unwrap();
        let rows = keys(stores, BOTH, layout.fetch_all(0, i64::MAX), Direction::Forward);
        let entries = WindowLayout::entries(0, i64::MAX);
        let entries = keys(stores, BOTH, entries, Direction::Forward);
        let mut of_entries: Vec<Vec<u8>> = Vec::new();
        for entry in &entries {
            layout.local_from_entry(entry, &mut local).unwrap();
            of_entries.push(local.clone());
        }
        assert_eq!(rows.len(), 6 * 3, "the starts from 300 on");
        let starts = of_entries.iter().map(|local| layout.decode(local).unwrap().start);
        assert!(starts.is_sorted());
        of_entries.sort_unstable();
        assert_eq!(of_entries, rows);
        let all = keys(stores, BOTH, KeyRange::all(), Direction::Forward);
        assert_eq!(all.len(), rows.len() + entries.len());
        let some = keys(stores, BOTH, WindowLayout::entries(301, 400), Direction::Forward);
        assert_eq!(some.len(), 2 * 3);
    });
}

fn expired_sessions_go(stores: &TaskStores) {
    let layout = sessions();
    let mut local = Vec::new();
    for (start, end) in [(0, 299), (0, 300), (299, 299)] {
        layout.encode(SessionKey { key: b"k", start, end }, &mut local);
        put(stores, SESSIONS, &[(&local, b"v")]);
    }
    stores.drop_expired(SESSIONS, 550).unwrap();
    let left = keys(stores, SESSIONS, KeyRange::all(), Direction::Forward);
    assert_eq!(left.len(), 1);
    assert_eq!(layout.decode(&left[0]), Some(SessionKey { key: b"k", start: 0, end: 300 }));
}

#[test]
fn nothing_expires_from_a_store_of_keys() {
    on_each(|stores| {
        put(stores, KEYS, &[(b"", b"v")]);
        stores.drop_expired(KEYS, i64::MAX).unwrap();
        assert!(stores.get(KEYS, b"").unwrap().is_some());
    });
}

#[test]
fn after_a_clear_what_expires_is_dropped_anew() {
    on_each(|stores| {
        let mut local = Vec::new();
        windows(WindowOrder::KeyFirst).encode(b"k", 10, 0, &mut local);
        put(stores, WINDOWS, &[(&local, b"v")]);
        stores.drop_expired(WINDOWS, 1_000).unwrap();
        stores.clear(WINDOWS).unwrap();
        put(stores, WINDOWS, &[(&local, b"v")]);
        stores.drop_expired(WINDOWS, 900).unwrap();
        assert_eq!(stores.get(WINDOWS, &local).unwrap(), None);
    });
}

#[test]
fn sizes_grow_and_shrink_with_the_content() {
    on_each(|stores| {
        let (size, entries) = (stores.size_bytes(KEYS), stores.entries_estimate(KEYS));
        assert_eq!(entries, 0);
        for number in 0_u32..100 {
            put(stores, KEYS, &[(&number.to_be_bytes(), &[7; 1000])]);
        }
        assert!(stores.size_bytes(KEYS) >= size + 100_000, "{}", stores.size_bytes(KEYS));
        assert_eq!(stores.entries_estimate(KEYS), 100);
        stores.clear(KEYS).unwrap();
        assert_eq!(stores.entries_estimate(KEYS), 0);
        assert!(stores.size_bytes(KEYS) < 100_000, "{}", stores.size_bytes(KEYS));
    });
}

#[test]
fn a_store_the_task_does_not_have_is_an_error_and_its_batch_writes_nothing() {
    on_each(|stores| {
        let nobody = StoreId(9);
        assert!(matches!(stores.get(nobody, b"a"), Err(Error::UnknownStore { id: 9 })));
        let mut scan = stores.scan(nobody, KeyRange::all(), Direction::Forward);
        assert!(matches!(scan.next(), Some(Err(Error::UnknownStore { id: 9 }))));
        assert!(scan.next().is_none());
        let mut batch = stores.batch();
        batch.put(KEYS, b"a", b"1");
        batch.put(nobody, b"a", b"1");
        batch.set_offset(KEYS, 1);
        assert!(matches!(stores.write(batch), Err(Error::UnknownStore { id: 9 })));
        assert_eq!((stores.get(KEYS, b"a").unwrap(), stores.offset(KEYS)), (None, None));
        let mut batch = stores.batch();
        batch.set_offset(nobody, 1);
        assert!(stores.write(batch).is_err());
        assert_eq!((stores.id("times"), stores.id("none")), (Some(TIMES), None));
    });
}

#[test]
fn a_read_in_progress_refuses_to_be_emptied_under() {
    on_each(|stores| {
        put(stores, KEYS, &[(b"a", b"1")]);
        let cleared = stores.get_with(KEYS, b"a", |_| stores.clear(KEYS)).unwrap().unwrap();
        assert!(matches!(cleared, Err(Error::Unavailable { .. })), "{cleared:?}");
        assert!(stores.get(KEYS, b"a").unwrap().is_some());
    });
}

#[test]
fn what_is_shared_is_read_by_other_threads_batch_by_batch() {
    on_each(|stores| {
        put(stores, KEYS, &[(b"a", b"before")]);
        let shared = stores.share(KEYS).unwrap();
        let again = stores.share(KEYS).unwrap();
        let read = |key: &'static [u8]| {
            let (shared, again) = (shared.clone(), again.clone());
            let reader = std::thread::spawn(move || {
                let value = shared.get_with(key, <[u8]>::to_vec).unwrap();
                assert_eq!(again.get_with(key, <[u8]>::to_vec).unwrap(), value);
                value
            });
            reader.join().unwrap()
        };
        assert_eq!(read(b"a").as_deref(), Some(&b"before"[..]));
        let mut batch = stores.batch();
        batch.put(KEYS, b"a", b"after");
        batch.put(KEYS, b"b", b"new");
        assert_eq!(read(b"b"), None);
        stores.write(batch).unwrap();
        assert_eq!(read(b"a").as_deref(), Some(&b"after"[..]));
        assert_eq!(read(b"b").as_deref(), Some(&b"new"[..]));
        assert_eq!(stores.get(KEYS, b"b").unwrap().as_deref(), Some(&b"new"[..]));
        assert!(matches!(stores.share(StoreId(9)), Err(Error::UnknownStore { id: 9 })));
    });
}

#[test]
fn a_database_that_is_shared_is_not_cleared_and_closes_with_its_last_reader() {
    let dir = tempfile::tempdir().unwrap();
    let stores = TaskStores::open(dir.path(), &specs(), &resources()).unwrap();
    put(&stores, KEYS, &[(b"a", b"1")]);
    let shared = stores.share(KEYS).unwrap();
    assert!(stores.clear(KEYS).unwrap_err().to_string().ends_with("are shared"));
    stores.close().unwrap();
    assert!(stores.share(KEYS).unwrap_err().to_string().ends_with("are closed"));
    assert_eq!(shared.get_with(b"a", <[u8]>::len).unwrap(), Some(1));
    assert!(TaskStores::open(dir.path(), &specs(), &resources()).is_err(), "it is open still");
    drop(shared);
    let stores = TaskStores::open(dir.path(), &specs(), &resources()).unwrap();
    stores.clear(KEYS).unwrap();
    assert_eq!(stores.get(KEYS, b"a").unwrap(), None);
}
