//! What a task's database remembers beside its data, and the bytes of it.
//!
//! All of it is in the column family `default`, small enough to be read whole when the task opens:
//!
//! ```text
//!  format            u32 BE     the format of the directory, of every column family in it
//!  k/<store>         bytes      how the store's keys were laid out when it was written
//!  o/<store>         i64 BE     up to where the store has taken in its changelog
//!  t/<store>         i64 BE     the largest time put into the store
//!  f/<store>         i64 BE     when all that the store lacks was in its changelog
//!  m/<key>           bytes      notes of the task's own
//! ```
//!
//! A store's entries are in the column family `s/<store>`.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The format this version writes, and the only one it reads.
const FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"format";

pub(super) const LAYOUT: &[u8] = b"k/";
pub(super) const OFFSET: &[u8] = b"o/";
pub(super) const OBSERVED: &[u8] = b"t/";
pub(super) const FRESH_AT: &[u8] = b"f/";
/// What is counted of each store, and is gone with its entries.
pub(super) const NUMBERS: [&[u8]; 3] = [OFFSET, OBSERVED, FRESH_AT];
pub(super) const META: &[u8] = b"m/";

/// The notes of a task, as read when it opens.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) offsets: BTreeMap<String, i64>,
    pub(crate) observed: BTreeMap<String, i64>,
    pub(crate) fresh_at: BTreeMap<String, i64>,
    pub(crate) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) layouts: BTreeMap<String, Vec<u8>>,
    format: Option<u32>,
    is_empty: bool,
}

impl Notes {
    /// Reads the notes from the entries of their column family.
    pub(super) fn read(dir: &Path, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<Self> {
        let mut notes = Self { is_empty: entries.is_empty(), ..Self::default() };
        for (key, value) in entries {
            notes.read_one(key, value).ok_or_else(|| Error::Corrupt {
                store: dir.display().to_string(),
                reason: format!("note {}", key.escape_ascii()),
            })?;
        }
        Ok(notes)
    }

    /// Whether the directory is new and has no format yet.
    ///
    /// # Errors
    /// It has one that this version does not know, or content without one.
    pub(super) fn check_format(&self, dir: &Path) -> Result<bool> {
        match self.format {
            Some(FORMAT) => Ok(false),
            Some(found) => Err(Error::Format { dir: dir.to_owned(), found, known: FORMAT }),
            None if self.is_empty => Ok(true),
            None => Err(Error::Corrupt {
                store: dir.display().to_string(),
                reason: "notes without a format".to_owned(),
            }),
        }
    }

    /// Forgets what is counted of a store whose entries are not there.
    pub(super) fn forget(&mut self, store: &str) {
        for numbers in [&mut self.offsets, &mut self.observed, &mut self.fresh_at] {
            numbers.remove(store);
        }
    }

    fn read_one(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if key == FORMAT_KEY {
            self.format = Some(u32::from_be_bytes(value.try_into().ok()?));
        } else if let Some(store) = key.strip_prefix(OFFSET) {
            self.offsets.insert(name(store)?, number(value)?);
        } else if let Some(store) = key.strip_prefix(OBSERVED) {
            self.observed.insert(name(store)?, number(value)?);
        } else if let Some(store) = key.strip_prefix(FRESH_AT) {
            self.fresh_at.insert(name(store)?, number(value)?);
        } else if let Some(store) = key.strip_prefix(LAYOUT) {
            self.layouts.insert(name(store)?, value.to_vec());
        } else if let Some(key) = key.strip_prefix(META) {
            self.meta.insert(key.to_vec(), value.to_vec());
        }
        // Anything else is a later version's addition that kept the format.
        Some(())
    }
}

/// The entry that marks a directory with this version's format.
pub(super) fn format_entry() -> (&'static [u8], [u8; 4]) {
    (FORMAT_KEY, FORMAT.to_be_bytes())
}

/// A note's key.
pub(super) fn note_key(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    [prefix, name].concat()
}

/// The column family of a store.
pub(super) fn family(store: &str) -> String {
    format!("s/{store}")
}

fn name(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}
