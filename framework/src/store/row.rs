//! A row of a table, and the keys of windows, as bytes.
//!
//! ```text
//!  local value       timestamp i64 ‖ value
//! ```

use millstream_state::{Found, WindowKey};

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp};
use crate::store::codec::Codec;

/// A row: the value and the time it is valid from.
pub(crate) type Row<V> = (V, Timestamp);

/// Bytes of the timestamp in front of a value.
pub(super) const TIME: usize = size_of::<i64>();

/// Reads a stored row.
pub(crate) fn decode_row<V: Data>(values: &Codec<V>, bytes: &[u8]) -> Result<Row<V>> {
    let (time, value) = bytes.split_first_chunk::<TIME>().ok_or_else(|| Error::Fatal {
        what: "reading a row of a table".to_owned(),
        reason: "its timestamp is missing".to_owned(),
    })?;
    Ok((values.decode(value)?, Timestamp(i64::from_be_bytes(*time))))
}

/// A decoded row of a merged read.
pub(crate) fn found_row<V: Data>(values: &Codec<V>, found: Found<Row<V>>) -> Result<Row<V>> {
    match found {
        Found::Typed(row) => Ok(row),
        Found::Stored(bytes) => decode_row(values, &bytes),
    }
}

/// Takes a key of a window store's changelog apart.
pub(crate) fn window_key<'k>(store: &str, changelog_key: &'k [u8]) -> Result<WindowKey<'k>> {
    WindowKey::from_changelog(changelog_key).ok_or_else(|| too_short(store))
}

/// What is said of a changelog's key that no store of windows or sessions wrote.
pub(crate) fn too_short(store: &str) -> Error {
    Error::Fatal {
        what: format!("restoring store {store}"),
        reason: "a key of its changelog is too short to be a window's".to_owned(),
    }
}
