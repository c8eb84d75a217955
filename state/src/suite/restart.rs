//! What is there after a task was closed and opened again, by this version or another.

use super::{KEYS, TIMES, WINDOWS, keys, put, shared, spec, specs, windows};
use crate::{
    Direction, Error, KeyRange, StoreId, StoreKind, StoreSpec, TaskStores, WindowLayout,
    WindowOrder,
};
use std::path::Path;

fn open(dir: &Path, specs: &[StoreSpec]) -> TaskStores {
    TaskStores::open(dir, specs, &shared()).unwrap()
}

/// One entry and one offset in each store, and a note.
fn fill(stores: &TaskStores) {
    let mut batch = stores.batch();
    for (store, offset) in [(KEYS, 10), (WINDOWS, 20), (TIMES, 30)] {
        batch.put(store, &[0; 20], &[1]);
        batch.set_offset(store, offset);
        batch.set_observed(store, offset * 100);
        batch.set_fresh_at(store, offset * 1_000);
    }
    batch.set_meta(b"note", b"kept");
    stores.write(batch).unwrap();
}

#[test]
fn data_offsets_and_notes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    fill(&stores);
    stores.close().unwrap();
    let stores = open(dir.path(), &specs());
    for (store, offset) in [(KEYS, 10), (WINDOWS, 20), (TIMES, 30)] {
        assert_eq!(stores.get(store, &[0; 20]).unwrap(), Some(vec![1]));
        assert_eq!(stores.offset(store), Some(offset));
        assert_eq!(stores.observed(store), Some(offset * 100));
        assert_eq!(stores.fresh_at(store), Some(offset * 1_000));
    }
    assert_eq!(stores.meta(b"note").as_deref(), Some(&b"kept"[..]));
}

#[test]
fn stores_in_memory_come_back_empty_and_without_an_offset() {
    let dir = tempfile::tempdir().unwrap();
    let mut specs = specs();
    specs[0].in_memory = true;
    let stores = open(dir.path(), &specs);
    fill(&stores);
    assert_eq!(stores.offset(KEYS), Some(10));
    stores.close().unwrap();
    let stores = open(dir.path(), &specs);
    assert_eq!((stores.offset(KEYS), stores.observed(KEYS)), (None, None));
    assert_eq!(stores.fresh_at(KEYS), None);
    assert_eq!(stores.get(KEYS, &[0; 20]).unwrap(), None);
    assert_eq!(stores.offset(WINDOWS), Some(20));
}

#[test]
fn a_store_that_moves_into_memory_forgets_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    fill(&stores);
    stores.close().unwrap();
    let mut volatile = specs();
    volatile[0].in_memory = true;
    let stores = open(dir.path(), &volatile);
    assert_eq!(stores.offset(KEYS), None);
}

#[test]
fn a_store_no_longer_declared_keeps_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    fill(&stores);
    stores.close().unwrap();
    // Only the second store, now the first, and a new one.
    let fewer = [specs().remove(1), spec("new", StoreKind::KeyValue)];
    let stores = open(dir.path(), &fewer);
    assert_eq!((stores.offset(StoreId(0)), stores.offset(StoreId(1))), (Some(20), None));
    assert_eq!(stores.get(StoreId(0), &[0; 20]).unwrap(), Some(vec![1]));
    stores.close().unwrap();
    let stores = open(dir.path(), &specs());
    assert_eq!(stores.get(KEYS, &[0; 20]).unwrap(), Some(vec![1]));
    assert_eq!(stores.offset(KEYS), Some(10));
}

/// The segment is part of the key: with another interval no old key would be found.
#[test]
fn a_store_written_with_another_layout_is_emptied_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    fill(&stores);
    stores.close().unwrap();
    let mut changed = specs();
    let layout = windows(WindowOrder::KeyFirst).with_segment_interval(70);
    changed[1].kind = StoreKind::Window(layout);
    // A longer retention alone changes no key.
    changed[2].kind = StoreKind::Window(
        WindowLayout::new(WindowOrder::TimeFirst, 900).with_segment_interval(100),
    );
    let stores = open(dir.path(), &changed);
    assert_eq!((stores.offset(WINDOWS), stores.observed(WINDOWS)), (None, None));
    assert_eq!(stores.fresh_at(WINDOWS), None);
    assert!(keys(&stores, WINDOWS, KeyRange::all(), Direction::Forward).is_empty());
    assert_eq!((stores.offset(KEYS), stores.offset(TIMES)), (Some(10), Some(30)));
    fill(&stores);
    stores.close().unwrap();
    assert_eq!(open(dir.path(), &changed).offset(WINDOWS), Some(20), "emptied once only");
}

#[test]
fn a_cleared_store_stays_empty_and_expired_windows_stay_away() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    fill(&stores);
    let mut local = Vec::new();
    windows(WindowOrder::KeyFirst).encode(b"new", 1_000, 0, &mut local);
    put(&stores, WINDOWS, &[(&local, b"v")]);
    stores.clear(KEYS).unwrap();
    stores.drop_expired(WINDOWS, 1_000).unwrap();
    stores.close().unwrap();
    let stores = open(dir.path(), &specs());
    assert_eq!((stores.offset(KEYS), stores.get(KEYS, &[0; 20]).unwrap()), (None, None));
    assert_eq!(keys(&stores, WINDOWS, KeyRange::all(), Direction::Forward), [local]);
}

#[test]
fn closed_stores_refuse_and_give_their_directory_free() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    let second = TaskStores::open(dir.path(), &specs(), &shared());
    assert!(matches!(second, Err(Error::Directory { .. })), "{second:?}");
    let (other, mut batch) = (stores.clone(), stores.batch());
    let mut scan = stores.scan(KEYS, KeyRange::all(), Direction::Forward);
    stores.close().unwrap();
    stores.close().unwrap();
    assert!(matches!(other.get(KEYS, b"a"), Err(Error::Unavailable { .. })));
    assert!(matches!(scan.next(), Some(Err(Error::Unavailable { .. }))));
    batch.put(KEYS, b"a", b"1");
    assert!(matches!(other.write(batch), Err(Error::Unavailable { .. })));
    assert!(matches!(other.clear(KEYS), Err(Error::Unavailable { .. })));
    open(dir.path(), &specs());
}

#[test]
fn a_read_in_progress_refuses_to_be_closed_under() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path(), &specs());
    put(&stores, KEYS, &[(b"a", b"1")]);
    let closed = stores.get_with(KEYS, b"a", |_| (stores.close(), stores.clear(KEYS))).unwrap();
    let (close, clear) = closed.unwrap();
    assert!(matches!(close, Err(Error::Unavailable { .. })));
    assert!(matches!(clear, Err(Error::Unavailable { .. })));
}
