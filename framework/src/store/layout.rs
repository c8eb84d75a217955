//! How local keys that expire are laid out: by windows, or by sessions.

use millstream_state::{KeyRange, Segments, SessionKey, SessionLayout, WindowKey, WindowLayout};

/// The layout of a store whose keys expire by a time in them: the start of a window, the end of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    Window(WindowLayout),
    Session(SessionLayout),
}

impl Layout {
    pub(super) fn segments(&self) -> Segments {
        match self {
            Self::Window(layout) => layout.segments(),
            Self::Session(layout) => layout.segments(),
        }
    }

    /// The time by which a local key expires; its changelog key goes into `into`.
    #[inline]
    pub(super) fn changelog_key(&self, local: &[u8], into: &mut Vec<u8>) -> Option<i64> {
        match self {
            Self::Window(layout) => {
                let window = layout.decode(local)?;
                window.to_changelog(into);
                Some(window.start)
            }
            Self::Session(layout) => {
                let session = layout.decode(local)?;
                session.to_changelog(into);
                Some(session.end)
            }
        }
    }

    /// Whether an entry by time stands beside each local key.
    pub(super) fn has_entries(&self) -> bool {
        match self {
            Self::Window(layout) => layout.order.has_entries(),
            Self::Session(layout) => layout.order.has_entries(),
        }
    }

    /// The entry by time of a local key; none where there are no entries.
    pub(super) fn entry(&self, local: &[u8], into: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Window(layout) => layout.entry(local, into),
            Self::Session(layout) => layout.entry(local, into),
        }
    }

    /// The local key of an entry by time, and its time.
    pub(super) fn local_from_entry(&self, entry: &[u8], into: &mut Vec<u8>) -> Option<i64> {
        match self {
            Self::Window(layout) => {
                layout.local_from_entry(entry, into)?;
                layout.decode(into).map(|window| window.start)
            }
            Self::Session(layout) => {
                layout.local_from_entry(entry, into)?;
                layout.decode(into).map(|session| session.end)
            }
        }
    }

    /// The range of the entries whose times lie in `[from, to]`.
    pub(super) fn entries(from: i64, to: i64) -> KeyRange {
        WindowLayout::entries(from, to)
    }

    /// The time by which a changelog key expires; its local key goes into `into`. None if it is too short.
    pub(super) fn local_key(&self, key: &[u8], into: &mut Vec<u8>) -> Option<i64> {
        match self {
            Self::Window(layout) => {
                let WindowKey { key, start, seq } = WindowKey::from_changelog(key)?;
                layout.encode(key, start, seq, into);
                Some(start)
            }
            Self::Session(layout) => {
                let session = SessionKey::from_changelog(key)?;
                layout.encode(session, into);
                Some(session.end)
            }
        }
    }
}
