//! Writes of new keys, for who reads them elsewhere until they are committed.
//!
//! Bytes behind bytes: a put costs two copies, and nothing is allocated, ordered or searched for it. At the commit they go
//! to the store in the order of their keys, which its table in memory takes in faster.

use crate::batch::Batch;
use crate::spec::StoreId;

/// The uncommitted writes of new keys of one store.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// Where one row is: key, then value.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: usize,
    key_len: u32,
    value_len: u32,
}

/// What is reserved beyond this and twice of what was used is given back.
const RESERVED: usize = 64 * 1024;

impl Appended {
    /// Without writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under a key that was never put, or deleted long ago.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.rows.push(Row { at, key_len: len(key), value_len: len(value) });
    }

    /// Moves the writes into a batch and leaves nothing: the commit.
    pub fn drain_into(&mut self, batch: &mut Batch, store: StoreId) {
        let Self { bytes, rows } = self;
        let part = |at: usize, len: u32| bytes.get(at..at + len as usize).unwrap_or_default();
        // Of one key that is there twice the later one counts.
        rows.sort_unstable_by(|a, b| {
            part(a.at, a.key_len).cmp(part(b.at, b.key_len)).then(a.at.cmp(&b.at))
        });
        for row in rows.iter() {
            let value = part(row.at + row.key_len as usize, row.value_len);
            batch.put(store, part(row.at, row.key_len), value);
        }
        self.clear();
    }

    /// Forgets all writes: the rollback.
    pub fn clear(&mut self) {
        let (bytes, rows) = (self.bytes.len().max(RESERVED), self.rows.len());
        self.bytes.clear();
        self.rows.clear();
        if self.bytes.capacity() > 2 * bytes {
            self.bytes.shrink_to(bytes);
            self.rows.shrink_to(rows);
        }
    }

    /// How much memory the writes take, for the bound on uncommitted bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<Row>()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::{Direction, KeyRange};
    use crate::spec::{StoreKind, StoreSpec};
    use crate::stores::TaskStores;

    const STORE: StoreId = StoreId(0);

    fn stores() -> TaskStores {
        let spec = StoreSpec { name: "s".to_owned(), kind: StoreKind::KeyValue, in_memory: true };
        TaskStores::in_memory(&[spec])
    }

    #[test]
    fn a_commit_writes_all_and_leaves_nothing() {
        let (stores, mut appended) = (stores(), Appended::new());
        for (key, value) in [("b", "1"), ("", "none"), ("a", ""), ("b", "2")] {
            appended.push(key.as_bytes(), value.as_bytes());
        }
        assert_eq!((appended.len(), appended.is_empty()), (4, false));
        let mut batch = stores.batch();
        appended.drain_into(&mut batch, STORE);
        stores.write(batch).unwrap();
        let all: Vec<_> =
            stores.scan(STORE, KeyRange::all(), Direction::Forward).map(Result::unwrap).collect();
        let row = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(all, [row("", "none"), row("a", ""), row("b", "2")]);
        assert_eq!((appended.bytes(), appended.is_empty()), (0, true));
    }

    #[test]
    fn a_rollback_forgets_them_and_what_a_burst_reserved_is_given_back() {
        let (stores, mut appended) = (stores(), Appended::new());
        appended.push(b"key", &vec![7; 10 * RESERVED]);
        assert!(appended.bytes() > 10 * RESERVED);
        appended.clear();
        appended.clear();
        assert!(appended.bytes.capacity() <= 2 * RESERVED, "{}", appended.bytes.capacity());
        let mut batch = stores.batch();
        appended.drain_into(&mut batch, STORE);
        stores.write(batch).unwrap();
        assert!(stores.scan(STORE, KeyRange::all(), Direction::Forward).next().is_none());
    }
}
