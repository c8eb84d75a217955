//! To which log and topic local state belongs: offsets say nothing across clusters, or across topics.
//!
//! Beside the offset up to which a store has taken in its topic stands the identity of the log that the offset is of. State
//! of another one is built anew, whatever its offset. State without that note is of the log that it is opened with. Where the
//! offset is not of a changelog but of the topic that a table is made of, that topic stands there too.

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
    note(disk, &key(store), log)
}

/// Why a store may not be restored from its changelog.
pub(crate) const NOT_IN_ITS_CHANGELOG: &str = "it was restored from its source topic until now, and its changelog lacks what came meanwhile: build the topology with `TopologyOptions::reuse_table_source_topics` again, or reset the application";

fn source_key(store: &str) -> Vec<u8> {
    [b"source/", store.as_bytes()].concat()
}

/// True if the state of a store, if there is any, comes from this topic; none: from a changelog.
pub(crate) fn is_of_source(disk: &TaskStores, store: &str, source: Option<&str>) -> bool {
    disk.meta(&source_key(store)).as_deref() == source.map(str::as_bytes)
}

/// Notes that what is put into a store from here on is of this topic.
pub(crate) fn note_source(disk: &TaskStores, store: &str, source: Option<&str>) -> Result<()> {
    note(disk, &source_key(store), source)
}

/// Writes a note down, unless it stands there already.
fn note(disk: &TaskStores, key: &[u8], what: Option<&str>) -> Result<()> {
    let Some(what) = what.filter(|what| disk.meta(key).as_deref() != Some(what.as_bytes())) else {
        return Ok(());
    };
    let mut batch = disk.batch();
    batch.set_meta(key, what.as_bytes());
    Ok(disk.write(batch)?)
}
