//! What only RocksDB can get wrong: the marks in the directory, files against memory, shared limits.

use super::notes::{OFFSET, note_key};
use super::*;
use crate::suite::{KEYS, SESSIONS, TIMES, WINDOWS, shared, specs, windows};
use crate::window::WindowLayout;
use crate::{Batch, KeyRange, TaskStores, WindowOrder};

fn raw(dir: &Path) -> DB {
    open_database(dir, &specs(), &shared().options()).unwrap()
}

fn write_raw(dir: &Path, key: &[u8], value: &[u8]) {
    raw(dir).put(key, value).unwrap();
}

fn with_entry() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let stores = TaskStores::open(dir.path(), &specs(), &shared()).unwrap();
    let mut batch: Batch = stores.batch();
    batch.put(KEYS, b"k", b"v");
    batch.set_offset(KEYS, 0x0102);
    batch.set_observed(KEYS, -1);
    batch.set_meta(b"n", b"x");
    stores.write(batch).unwrap();
    stores.close().unwrap();
    dir
}

#[test]
fn notes_have_these_bytes() {
    let dir = with_entry();
    let db = raw(dir.path());
    let notes: Vec<_> = db
        .iterator(rocksdb::IteratorMode::Start)
        .map(|note| note.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
        .collect();
    let hundred = [0, 0, 0, 0, 0, 0, 0, 100];
    let expected: [(&[u8], Vec<u8>); 9] = [
        (b"format", vec![0, 0, 0, 1]),
        (b"k/both", [&[1, 2], &hundred[..]].concat()),
        (b"k/keys", vec![0]),
        (b"k/sessions", [&[2, 0], &hundred[..]].concat()),
        (b"k/times", vec![1, 1]),
        (b"k/windows", [&[1, 0], &hundred[..]].concat()),
        (b"m/n", b"x".to_vec()),
        (b"o/keys", vec![0, 0, 0, 0, 0, 0, 1, 2]),
        (b"t/keys", vec![255; 8]),
    ];
    assert_eq!(notes, expected.map(|(key, value)| (key.to_vec(), value)));
    assert_eq!(db.get_cf(db.cf_handle("s/keys").unwrap(), b"k").unwrap(), Some(b"v".to_vec()));
}

#[test]
fn a_format_of_another_version_is_refused_by_name() {
    let dir = with_entry();
    write_raw(dir.path(), b"format", &7_u32.to_be_bytes());
    let error = TaskStores::open(dir.path(), &specs(), &shared()).unwrap_err();
    assert!(matches!(error, Error::Format { found: 7, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("format 7"), "{error}");
}

#[test]
fn a_database_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_raw(dir.path(), b"somebody's", b"data");
    let error = TaskStores::open(dir.path(), &specs(), &shared()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn an_offset_that_is_none_is_refused() {
    let dir = with_entry();
    write_raw(dir.path(), &note_key(OFFSET, b"keys"), b"7");
    let error = TaskStores::open(dir.path(), &specs(), &shared()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

/// Expired segments lie in files on lower levels and in the write buffer; both kinds go, and the
/// space comes back without waiting for a compaction.
#[test]
fn expired_files_give_their_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let (rocks, _) = Rocks::open(dir.path(), &specs(), &shared()).unwrap();
    let layout: WindowLayout = windows(WindowOrder::KeyFirst);
    let mut local = Vec::new();
    for segment in 0..4 {
        let mut batch = RocksBatch::default();
        for number in 0_u32..200 {
            layout.encode(&number.to_be_bytes(), segment * 100 + 50, 0, &mut local);
            // Values that do not compress: each byte from a running product.
            let value: Vec<u8> = (1..500_u32)
                .map(|at| at.wrapping_mul(number + 7).wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            rocks.add(&mut batch, WINDOWS, Write::Put(&local, &value)).unwrap();
        }
        rocks.write(batch).unwrap();
        if segment < 3 {
            rocks.with_db(|db| flush_down(&rocks, db)).unwrap();
        }
    }
    let full = rocks.size_bytes(WINDOWS);
    let bound = layout.expired_before(450).unwrap();
    rocks.drop_range(WINDOWS, &[], &bound).unwrap();
    let left = rocks.size_bytes(WINDOWS);
    assert!(left < full * 3 / 4, "{left} left of {full}");
    let (start, end) = KeyRange::all().into_half_open();
    let chunk = Chunk {
        start: &start,
        end: end.as_deref(),
        direction: Direction::Forward,
        len: usize::MAX,
    };
    let entries = rocks.chunk(WINDOWS, chunk).unwrap();
    assert_eq!(entries.len(), 400);
    assert!(entries.iter().all(|(key, _)| layout.decode(key).unwrap().start >= 200));
}

/// Writes the buffer to a file below the first level, where files can be dropped.
fn flush_down(rocks: &Rocks, db: &DB) -> Result<()> {
    let family = rocks.family(db, WINDOWS)?;
    let mut options = rocksdb::CompactOptions::default();
    options.set_change_level(true);
    options.set_target_level(6);
    db.flush_cf(family).map_err(|error| rocks.refused(WINDOWS, error))?;
    db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
    Ok(())
}

/// Twelve stores could hold 2 MiB each by their own limit; together they stay near the shared one.
#[test]
fn write_buffers_of_all_tasks_stay_within_the_shared_limit() {
    let dir = tempfile::tempdir().unwrap();
    let shared = SharedResources::new(24 << 20).unwrap();
    let limit = 8 << 20;
    let tasks: Vec<TaskStores> = ["a", "b", "c"]
        .iter()
        .map(|task| TaskStores::open(&dir.path().join(task), &specs(), &shared).unwrap())
        .collect();
    let mut peak = 0;
    for number in 0_u64..400 {
        for stores in &tasks {
            let mut batch = stores.batch();
            for store in [KEYS, WINDOWS, TIMES, SESSIONS] {
                batch.put(store, &number.to_be_bytes(), &[7; 10_000]);
            }
            stores.write(batch).unwrap();
        }
        peak = peak.max(shared.write_buffer_bytes());
    }
    // 48 MB went through, as fast as one thread can, whatever else the machine does.
    assert!((limit / 2..limit * 2).contains(&peak), "{peak}");
    assert!(shared.cache_bytes() >= shared.write_buffer_bytes() / 2, "charged to the cache");
}
