//! To which log local state belongs: offsets say nothing across clusters.
//!
//! Beside the offset up to which a store has taken in its topic stands the identity of the log that the offset is of. State
//! of another one is built anew, whatever its offset. State without that note is of the log that it is opened with.

use millstream_state::TaskStores;

use crate::error::Result;

/// Why such state is built anew.
pub(crate) const OF_ANOTHER_LOG: &str =
    "it belongs to another cluster or log: give each a state_dir of its own";

/// The note's key.
fn key(store: &str) -> Vec<u8> {
    [b"log/", store.as_bytes()].concat()
}

/// The log that the state of a store belongs to, if it is another one than this.
pub(crate) fn of_another_log(disk: &TaskStores, store: &str, log: Option<&str>) -> Option<String> {
    let noted = String::from_utf8(disk.meta(&key(store))?).ok()?;
    (log? != noted).then_some(noted)
}

/// Notes that what is put into a store from here on is of this log. What is there of another one must be gone.
pub(crate) fn note_log(disk: &TaskStores, store: &str, log: Option<&str>) -> Result<()> {
    let Some(log) = log else { return Ok(()) };
    if disk.meta(&key(store)).as_deref() != Some(log.as_bytes()) {
        let mut batch = disk.batch();
        batch.set_meta(&key(store), log.as_bytes());
        disk.write(batch)?;
    }
    Ok(())
}
