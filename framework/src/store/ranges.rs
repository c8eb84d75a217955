//! What is read together: ranges of keys, and the windows that are wanted of them.

use std::ops::{Bound, RangeBounds};

use millstream_state::{KeyRange, WindowLayout};

use crate::error::Result;

/// Which local keys of a range belong to what was asked for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    All,
    /// Windows of this key (none: of any) that start between these times.
    Windows {
        layout: WindowLayout,
        key: Option<Vec<u8>>,
        from: i64,
        to: i64,
    },
}

impl Wanted {
    pub(super) fn holds(&self, local: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Windows { layout, key, from, to } => {
                layout.holds(local, key.as_deref(), *from, *to)
            }
        }
    }
}

/// A range of keys as a range of their bytes.
pub(super) fn encoded_range<K>(
    bounds: impl RangeBounds<K>,
    encode: impl Fn(&K, &mut Vec<u8>) -> Result<()>,
) -> Result<KeyRange> {
    let encoded = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>> {
        let bytes = |key: &K| {
            let mut bytes = Vec::new();
            encode(key, &mut bytes).map(|()| bytes)
        };
        Ok(match bound {
            Bound::Included(key) => Bound::Included(bytes(key)?),
            Bound::Excluded(key) => Bound::Excluded(bytes(key)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    };
    Ok(KeyRange { lower: encoded(bounds.start_bound())?, upper: encoded(bounds.end_bound())? })
}
