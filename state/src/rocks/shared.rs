//! One store of a database, as threads read it that do not own the task.

use super::DB;
use super::reading::read_chunk;
use crate::chunk::Chunk;
use crate::error::{Error, Result};
use rocksdb::ColumnFamily;
use std::fmt;
use std::sync::Arc;

/// A column family that any thread may read. The database closes when the last handle is gone.
#[derive(Clone)]
pub(crate) struct SharedFamily {
    db: Arc<DB>,
    store: Arc<str>,
    family: Arc<str>,
}

impl SharedFamily {
    pub(super) fn new(db: Arc<DB>, store: &str, family: &str) -> Self {
        Self { db, store: store.into(), family: family.into() }
    }

    /// As [`crate::SharedStore::get_with`].
    pub(crate) fn get_with<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        let found = self.db.get_pinned_cf(self.family()?, key);
        let found = found.map_err(|error| self.refused(error.into_string()))?;
        Ok(found.map(|value| read(&value)))
    }

    /// The entries of a chunk, in its direction.
    pub(crate) fn chunk(&self, chunk: Chunk<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = read_chunk(&self.db, self.family()?, chunk);
        entries.map_err(|error| self.refused(error.into_string()))
    }

    fn family(&self) -> Result<&ColumnFamily> {
        self.db.cf_handle(&self.family).ok_or_else(|| self.refused("it is gone".to_owned()))
    }

    fn refused(&self, reason: String) -> Error {
        Error::Store { store: self.store.to_string(), reason }
    }
}

impl fmt::Debug for SharedFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFamily").field("store", &self.store).finish_non_exhaustive()
    }
}
