//! What is read together: ranges of keys, and the windows that are wanted of them.

use std::ops::{Bound, RangeBounds};

use millstream_state::{KeyRange, SessionLayout, WindowLayout};

use crate::error::Result;
use crate::store::layout::Layout;

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
    /// As [`Self::Windows`], of a range of keys.
    WindowsOf {
        layout: WindowLayout,
        keys: KeyRange,
        from: i64,
        to: i64,
    },
    /// Sessions of this key (none: of any) that end between these times and start at the latest then.
    Sessions {
        layout: SessionLayout,
        key: Option<Vec<u8>>,
        ends: (i64, i64),
        latest_start: i64,
    },
    /// As [`Self::Sessions`], of a range of keys.
    SessionsOf {
        layout: SessionLayout,
        keys: KeyRange,
        ends: (i64, i64),
        latest_start: i64,
    },
}

impl Wanted {
    /// All of a store that can be read, by the times between which keys are in it.
    pub(super) fn of_all(
        layout: Option<Layout>,
        times: impl FnOnce() -> Option<(i64, i64)>,
    ) -> Option<Self> {
        Some(match layout {
            None => Self::All,
            Some(Layout::Window(layout)) => {
                let (from, to) = times()?;
                Self::Windows { layout, key: None, from, to }
            }
            Some(Layout::Session(layout)) => {
                Self::Sessions { layout, key: None, ends: times()?, latest_start: i64::MAX }
            }
        })
    }

    /// No row that is wanted has an earlier time.
    pub(super) fn earliest(&self) -> i64 {
        match self {
            Self::All => i64::MIN,
            Self::Windows { from, .. } | Self::WindowsOf { from, .. } => *from,
            Self::Sessions { ends, .. } | Self::SessionsOf { ends, .. } => ends.0,
        }
    }

    pub(super) fn holds(&self, local: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Windows { layout, key, from, to } => {
                layout.holds(local, key.as_deref(), *from, *to)
            }
            Self::WindowsOf { layout, keys, from, to } => {
                let key = layout.decode(local).map(|window| window.key);
                key.is_some_and(|key| keys.contains(key)) && layout.holds(local, None, *from, *to)
            }
            Self::Sessions { layout, key, ends, latest_start } => {
                layout.holds(local, key.as_deref(), *ends, *latest_start)
            }
            Self::SessionsOf { layout, keys, ends, latest_start } => {
                let key = layout.decode(local).map(|session| session.key);
                key.is_some_and(|key| keys.contains(key))
                    && layout.holds(local, None, *ends, *latest_start)
            }
        }
    }
}

/// A range of keys as a range of their bytes, within the range of all.
pub(super) fn encoded_range<K>(
    bounds: impl RangeBounds<K>,
    all: KeyRange,
    encode: impl Fn(&K, &mut Vec<u8>) -> Result<()>,
) -> Result<KeyRange> {
    let encoded = |bound: Bound<&K>, all: Bound<Vec<u8>>| -> Result<Bound<Vec<u8>>> {
        let bytes = |key: &K| {
            let mut bytes = Vec::new();
            encode(key, &mut bytes).map(|()| bytes)
        };
        Ok(match bound {
            Bound::Included(key) => Bound::Included(bytes(key)?),
            Bound::Excluded(key) => Bound::Excluded(bytes(key)?),
            Bound::Unbounded => all,
        })
    };
    let lower = encoded(bounds.start_bound(), all.lower)?;
    Ok(KeyRange { lower, upper: encoded(bounds.end_bound(), all.upper)? })
}
