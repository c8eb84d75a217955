//! How the key of a table becomes the key of a row: as it is, or as a window's.

use std::cell::RefCell;

use millstream_state::{KeyRange, SessionKey, SessionLayout, WindowLayout};

use crate::error::{Error, Result};
use crate::record::{Data, Session, Timestamp, Windowed};
use crate::store::codec::Codec;

/// Keys of a table's rows, as they stand in the local store.
pub(crate) trait RowKeys<K> {
    /// Writes the local key, in place of what was in `into`.
    fn encode(&self, key: &K, into: &mut Vec<u8>) -> Result<()>;

    /// Reads a local key.
    fn decode(&self, local: &[u8]) -> Result<K>;

    /// When the window starts (the session ends), if it is one: by this it expires.
    fn start(&self, key: &K) -> i64;

    /// Where all rows are.
    fn all(&self) -> KeyRange {
        KeyRange::all()
    }

    /// The time at which a change of the row is forwarded, given the time of the row. Asked only of stores that say
    /// so: for all others it is the time of the row.
    fn told_at(&self, _key: &K, time: Timestamp) -> Timestamp {
        time
    }
}

/// Keys with a byte before them: other entries of the store have another one.
pub(crate) struct PrefixedKeys<K> {
    pub(crate) inner: Codec<K>,
    pub(crate) prefix: u8,
}

impl<K: Data> RowKeys<K> for PrefixedKeys<K> {
    fn encode(&self, key: &K, into: &mut Vec<u8>) -> Result<()> {
        self.inner.encode_key(key, into)?;
        into.insert(0, self.prefix);
        Ok(())
    }

    fn decode(&self, local: &[u8]) -> Result<K> {
        self.inner.decode(local.get(1..).unwrap_or_default())
    }

    fn start(&self, _key: &K) -> i64 {
        0
    }

    fn all(&self) -> KeyRange {
        KeyRange::prefix(&[self.prefix])
    }
}

/// Keys as their serde writes them.
pub(crate) struct PlainKeys<K>(pub(crate) Codec<K>);

impl<K: Data> RowKeys<K> for PlainKeys<K> {
    fn encode(&self, key: &K, into: &mut Vec<u8>) -> Result<()> {
        self.0.encode_key(key, into)
    }

    fn decode(&self, local: &[u8]) -> Result<K> {
        self.0.decode(local)
    }

    fn start(&self, _key: &K) -> i64 {
        0
    }
}

/// Keys of windows of one size, laid out so that they can expire.
pub(crate) struct WindowKeys<K> {
    inner: Codec<K>,
    layout: WindowLayout,
    /// From the start of a window to its end.
    size_ms: i64,
    /// The inner key in hand: the layout puts bytes before it, and its length is known only once
    /// it is written.
    written: RefCell<Vec<u8>>,
}

impl<K> WindowKeys<K> {
    pub(crate) fn new(inner: Codec<K>, layout: WindowLayout, size_ms: i64) -> Self {
        Self { inner, layout, size_ms, written: RefCell::default() }
    }

    /// The window of a key that starts at a time.
    fn window(&self, key: K, start: i64) -> Windowed<K> {
        Windowed { key, start, end: start.saturating_add(self.size_ms) }
    }
}

impl<K: Data> RowKeys<Windowed<K>> for WindowKeys<K> {
    fn encode(&self, key: &Windowed<K>, into: &mut Vec<u8>) -> Result<()> {
        let mut written = self.written.borrow_mut();
        self.inner.encode_key(&key.key, &mut written)?;
        self.layout.encode(&written, key.start, 0, into);
        Ok(())
    }

    fn decode(&self, local: &[u8]) -> Result<Windowed<K>> {
        let window = self.layout.decode(local).ok_or_else(|| Error::Fatal {
            what: "reading the key of a window".to_owned(),
            reason: "it is too short".to_owned(),
        })?;
        Ok(self.window(self.inner.decode(window.key)?, window.start))
    }

    fn start(&self, key: &Windowed<K>) -> i64 {
        key.start
    }
}

/// Keys of sessions, laid out so that they can expire.
pub(crate) struct SessionKeys<K> {
    inner: Codec<K>,
    layout: SessionLayout,
    /// The inner key in hand: the layout puts bytes before it, and its length is known only once it is written.
    written: RefCell<Vec<u8>>,
}

impl<K> SessionKeys<K> {
    pub(crate) fn new(inner: Codec<K>, layout: SessionLayout) -> Self {
        Self { inner, layout, written: RefCell::default() }
    }
}

impl<K: Data> RowKeys<Session<K>> for SessionKeys<K> {
    fn encode(&self, key: &Session<K>, into: &mut Vec<u8>) -> Result<()> {
        let mut written = self.written.borrow_mut();
        self.inner.encode_key(&key.key, &mut written)?;
        let (start, end) = (key.start, key.end);
        self.layout.encode(SessionKey { key: &written, start, end }, into);
        Ok(())
    }

    fn decode(&self, local: &[u8]) -> Result<Session<K>> {
        let session = self.layout.decode(local).ok_or_else(|| Error::Fatal {
            what: "reading the key of a session".to_owned(),
            reason: "it is too short".to_owned(),
        })?;
        let (start, end) = (session.start, session.end);
        Ok(Session { key: self.inner.decode(session.key)?, start, end })
    }

    fn start(&self, key: &Session<K>) -> i64 {
        key.end
    }

    fn told_at(&self, key: &Session<K>, _: Timestamp) -> Timestamp {
        Timestamp(key.end)
    }
}
