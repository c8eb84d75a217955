//! Reads a part of a column family.

use crate::chunk::Chunk;
use crate::range::Direction;
use rocksdb::{ColumnFamily, DB, Error, ReadOptions};

/// Keys and values, in order.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The entries of a chunk, in its direction.
pub(super) fn read_chunk(
    db: &DB,
    family: &ColumnFamily,
    chunk: Chunk<'_>,
) -> Result<Entries, Error> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(chunk.start);
    if let Some(end) = chunk.end {
        options.set_iterate_upper_bound(end);
    }
    let mut entries = Vec::new();
    let mut iterator = db.raw_iterator_cf_opt(family, options);
    match chunk.direction {
        Direction::Forward => iterator.seek_to_first(),
        Direction::Backward => iterator.seek_to_last(),
    }
    while let Some((key, value)) = iterator.item() {
        entries.push((key.to_vec(), value.to_vec()));
        if entries.len() == chunk.len {
            break;
        }
        match chunk.direction {
            Direction::Forward => iterator.next(),
            Direction::Backward => iterator.prev(),
        }
    }
    iterator.status().map(|()| entries)
}
