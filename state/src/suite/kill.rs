//! The story: a process writes batches, each with a value and that value as its changelog offset,
//! and says so after each; it is killed at any moment. What is found then must be one batch as a
//! whole, and none that was confirmed may be missing.

use super::{KEYS, TIMES, WINDOWS, child_dir, shared, spawn, specs};
use crate::TaskStores;
use std::io::{BufRead, BufReader, Write};

/// How many confirmed batches to wait for before each kill: right after the start, and after some
/// write buffers were flushed.
const KILLS_AFTER: [usize; 6] = [1, 2, 300, 40, 1_500, 7];

#[test]
fn a_killed_process_leaves_whole_batches_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for wait_for in KILLS_AFTER {
        let mut child = spawn("suite::kill::write_until_killed", dir.path());
        let output = BufReader::new(child.stdout.take().unwrap());
        let confirmed = output
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("confirmed ")?.parse::<i64>().ok())
            .take(wait_for)
            .last();
        child.kill().unwrap();
        child.wait().unwrap();
        let stores = TaskStores::open(dir.path(), &specs(), &shared()).unwrap();
        let offset = stores.offset(KEYS).unwrap();
        assert!(Some(offset) >= confirmed, "{offset} kept of {confirmed:?} confirmed");
        assert!(offset >= before + i64::try_from(wait_for).unwrap());
        for store in [KEYS, WINDOWS, TIMES] {
            let value = stores.get(store, b"value").unwrap().unwrap();
            assert_eq!(i64::from_be_bytes(value.try_into().unwrap()), offset);
            assert_eq!(stores.offset(store), Some(offset));
        }
        before = offset;
    }
}

/// The child's side; in an ordinary run there is nothing for it to do.
#[test]
fn write_until_killed() {
    let Some(dir) = child_dir() else { return };
    let stores = TaskStores::open(&dir, &specs(), &shared()).unwrap();
    let mut output = std::io::stdout().lock();
    for offset in stores.offset(KEYS).unwrap_or(0) + 1.. {
        let mut batch = stores.batch();
        for store in [KEYS, WINDOWS, TIMES] {
            batch.put(store, b"value", &offset.to_be_bytes());
            // Ballast, so that write buffers fill and files are written and merged.
            batch.put(store, &(offset % 997).to_be_bytes(), &[7; 1_000]);
            batch.set_offset(store, offset);
        }
        stores.write(batch).unwrap();
        writeln!(output, "confirmed {offset}").unwrap();
    }
}
