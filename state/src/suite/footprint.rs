//! A task is cheap: what fifty tasks of three stores cost in memory and in time to open. Measured in
//! a process of its own, since the other tests' memory would count otherwise.
#![cfg(target_os = "linux")]

use super::{KEYS, TIMES, WINDOWS, child_dir, shared, spawn, specs};
use crate::TaskStores;
use std::io::Read;

const TASKS: usize = 50;
const PAGE: usize = 4096;

#[test]
fn fifty_tasks_of_three_stores_stay_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn("suite::footprint::open_and_measure", dir.path());
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    print!("{report}");
    assert!(child.wait().unwrap().success(), "{report}");
    assert!(report.contains("footprint: reopened"), "{report}");
}

/// The measuring side; in an ordinary run there is nothing for it to do.
#[test]
fn open_and_measure() {
    let Some(dir) = child_dir() else { return };
    let shared = shared();
    for name in ["new", "reopened"] {
        let before = resident();
        let start = now();
        let tasks: Vec<TaskStores> = (0..TASKS)
            .map(|task| {
                TaskStores::open(&dir.join(task.to_string()), &specs()[..3], &shared).unwrap()
            })
            .collect();
        let opened = start.elapsed();
        let open_growth = resident().saturating_sub(before);
        for stores in &tasks {
            for number in 0_u64..20 {
                let mut batch = stores.batch();
                for store in [KEYS, WINDOWS, TIMES] {
                    batch.put(store, &number.to_be_bytes(), &[7; 100]);
                    batch.set_offset(store, i64::try_from(number).unwrap());
                }
                stores.write(batch).unwrap();
            }
        }
        let growth = resident().saturating_sub(before);
        println!(
            "footprint: {name} {TASKS} tasks of 3 stores: {:.1} ms to open one, \
             {:.1} MiB resident after opening, {:.1} MiB after writing; write buffers {:.1} MiB",
            opened.as_secs_f64() * 1_000.0 / TASKS as f64,
            mib(open_growth),
            mib(growth),
            mib(shared.write_buffer_bytes()),
        );
        assert!(growth < 64 << 20, "{:.1} MiB", mib(growth));
        assert!(shared.write_buffer_bytes() < 8 << 20, "arenas of idle stores");
        for stores in tasks {
            stores.close().unwrap();
        }
    }
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

#[expect(clippy::disallowed_methods, reason = "measures how long the disk takes, not event time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
