//! An iterator over committed state that owns what it needs.
//!
//! It reads the range in chunks and seeks on from the last key: so it borrows nothing and may live
//! beside writes to the dirty layer. Committed state itself changes only at a commit or a clear,
//! neither of which happens within one record; across one, a scan sees each chunk as it is when read.

use crate::chunk::Chunk;
use crate::error::Result;
use crate::range::{Direction, KeyRange, successor};
use crate::shared::SharedStore;
use crate::spec::StoreId;
use crate::stores::TaskStores;
use std::vec;

/// Most ranges are short (the windows of one key), so the first chunk is; a long range soon pays a
/// seek per thousand entries only, and holds no more than that in memory.
const CHUNK_FIRST: usize = 32;
const CHUNK_MAX: usize = 1024;

/// Keys and values of a range, in order.
#[derive(Debug)]
pub struct Scan {
    origin: Origin,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    direction: Direction,
    chunk: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    chunk_len: usize,
    done: bool,
}

/// Whose entries they are.
#[derive(Debug)]
enum Origin {
    Task(TaskStores, StoreId),
    Shared(SharedStore),
}

impl SharedStore {
    /// The entries of a range in order, as [`TaskStores::scan`]. What its owner writes meanwhile is seen from the next
    /// chunk on.
    #[must_use]
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan {
        Scan::new(Origin::Shared(self.clone()), range, direction)
    }
}

impl TaskStores {
    /// The entries of a range in order. It reads as it goes, and owns what it needs.
    #[must_use]
    pub fn scan(&self, store: StoreId, range: KeyRange, direction: Direction) -> Scan {
        Scan::new(Origin::Task(self.clone(), store), range, direction)
    }
}

impl Scan {
    fn new(origin: Origin, range: KeyRange, direction: Direction) -> Self {
        let (start, end) = range.into_half_open();
        let done = end.as_ref().is_some_and(|end| *end <= start);
        let chunk = Vec::new().into_iter();
        Self { origin, start, end, direction, chunk, chunk_len: CHUNK_FIRST, done }
    }

    fn refill(&mut self) -> Result<()> {
        let chunk = Chunk {
            start: &self.start,
            end: self.end.as_deref(),
            direction: self.direction,
            len: self.chunk_len,
        };
        let entries = match &self.origin {
            Origin::Task(stores, store) => stores.read_chunk(*store, chunk)?,
            Origin::Shared(store) => store.read_chunk(chunk)?,
        };
        self.done = entries.len() < self.chunk_len;
        self.chunk_len = (self.chunk_len * 4).min(CHUNK_MAX);
        if let Some((key, _)) = entries.last() {
            match self.direction {
                Direction::Forward => self.start = successor(key.clone()),
                Direction::Backward => self.end = Some(key.clone()),
            }
        }
        self.chunk = entries.into_iter();
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.chunk.next() {
            return Some(Ok(entry));
        }
        if self.done {
            return None;
        }
        if let Err(error) = self.refill() {
            self.done = true;
            return Some(Err(error));
        }
        self.chunk.next().map(Ok)
    }
}
