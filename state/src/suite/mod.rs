//! What every store has to do, whatever holds it: one list of tests that runs on RocksDB, on stores
//! in memory beside it, and on a task that is in memory as a whole.

mod contract;
mod model;
mod restart;
mod kill;
mod footprint;

use crate::{
    Direction, KeyRange, SessionLayout, SharedResources, StoreId, StoreKind, StoreSpec, TaskStores,
    WindowLayout, WindowOrder,
};
use std::process::{Child, Command, Stdio};

pub(crate) const KEYS: StoreId = StoreId(0);
pub(crate) const WINDOWS: StoreId = StoreId(1);
pub(crate) const TIMES: StoreId = StoreId(2);
pub(crate) const SESSIONS: StoreId = StoreId(3);
pub(crate) const BOTH: StoreId = StoreId(4);

/// Retention and segments in round numbers: a segment is 100 ms.
pub(crate) fn windows(order: WindowOrder) -> WindowLayout {
    WindowLayout::new(order, 250).with_segment_interval(100)
}

pub(crate) fn sessions() -> SessionLayout {
    SessionLayout::new(WindowOrder::KeyFirst, 250).with_segment_interval(100)
}

pub(crate) fn spec(name: &str, kind: StoreKind) -> StoreSpec {
    StoreSpec { name: name.to_owned(), kind, in_memory: false }
}

pub(crate) fn specs() -> Vec<StoreSpec> {
    vec![
        spec("keys", StoreKind::KeyValue),
        spec("windows", StoreKind::Window(windows(WindowOrder::KeyFirst))),
        spec("times", StoreKind::Window(windows(WindowOrder::TimeFirst))),
        spec("sessions", StoreKind::Session(sessions())),
        spec("both", StoreKind::Window(windows(WindowOrder::KeyFirstAndTime))),
    ]
}

pub(crate) fn shared() -> SharedResources {
    SharedResources::new(16 << 20).unwrap()
}

/// Runs a test on each implementation, with a hint which one failed.
pub(crate) fn on_each(test: impl Fn(&TaskStores)) {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = TaskStores::open(&dir.path().join("disk"), &specs(), &shared()).unwrap();
    let mut volatile = specs();
    for spec in &mut volatile {
        spec.in_memory = true;
    }
    let beside = TaskStores::open(&dir.path().join("beside"), &volatile, &shared()).unwrap();
    let in_memory = TaskStores::in_memory(&specs());
    let implementations =
        [("on disk", on_disk), ("in memory beside a disk", beside), ("in memory", in_memory)];
    for (name, stores) in &implementations {
        println!("implementation: {name}");
        test(stores);
    }
}

pub(crate) fn put(stores: &TaskStores, store: StoreId, entries: &[(&[u8], &[u8])]) {
    let mut batch = stores.batch();
    for (key, value) in entries {
        batch.put(store, key, value);
    }
    stores.write(batch).unwrap();
}

pub(crate) fn keys(
    stores: &TaskStores,
    store: StoreId,
    range: KeyRange,
    direction: Direction,
) -> Vec<Vec<u8>> {
    stores.scan(store, range, direction).map(|entry| entry.unwrap().0).collect()
}

/// Runs one of this binary's tests as a process of its own, with a directory to work in.
pub(crate) fn spawn(test: &str, dir: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The directory for a test that runs as a process of its own; none in an ordinary run.
pub(crate) fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD_DIR).map(Into::into)
}

const CHILD_DIR: &str = "MILLSTREAM_STATE_TEST_DIR";
