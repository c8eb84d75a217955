//! A topic in the place of a changelog: rows of a table that are restored from where they came.
//!
//! A changelog has the bytes of the store; such a topic has those of whoever writes it. Its records are read as the source
//! of the table reads them, and those that it would drop are none of the table's.

use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, caught};
use crate::log::RawRecord;
use crate::record::{Data, Shared};
use crate::serde::Null;
use crate::store::serdes::Serdes;

/// A row in the bytes of its store: key and value; no value is a deletion.
pub(crate) type StoredRow = (Vec<u8>, Option<Vec<u8>>);

type Read = Arc<dyn Fn(&RawRecord<'_>) -> Option<StoredRow> + Send + Sync>;

/// The topic that a table is made of.
#[derive(Clone)]
pub(crate) struct SourceTopic {
    name: Arc<str>,
    read: Read,
}

impl fmt::Debug for SourceTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceTopic").field(&self.name).finish()
    }
}

impl SourceTopic {
    /// The topic as its source reads it, for a store with these serdes.
    pub(crate) fn new<K: Data, V: Data>(
        name: &Arc<str>,
        decode: impl Fn(&RawRecord<'_>) -> Result<(Option<K>, Option<V>), BoxError> + Shared,
        stored: &Serdes<K, V>,
    ) -> Self {
        let (keys, values) = stored.codecs_of(name, name);
        let read = move |raw: &RawRecord<'_>| {
            // As when it was processed, what a serde refuses, with an error or a panic, is no row.
            let row = caught(|| {
                let (key, value) = decode(raw)?;
                let Some(key) = key.filter(|_| raw.timestamp >= 0) else { return Ok(None) };
                let (mut row, mut bytes) = ((Vec::new(), None), Vec::new());
                keys.encode_key(&key, &mut row.0)?;
                if let Some(value) = value
                    && values.encode(&value, &mut bytes)? == Null::No
                {
                    row.1 = Some(bytes);
                }
                Ok(Some(row))
            });
            row.ok().flatten()
        };
        Self { name: Arc::clone(name), read: Arc::new(read) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a record of it means to the store; none if its source drops it.
    pub(crate) fn row(&self, raw: &RawRecord<'_>) -> Option<StoredRow> {
        (self.read)(raw)
    }
}
