//! What a task declares about its stores.

use crate::range::KeyRange;
use crate::session::SessionLayout;
use crate::versioned::VersionLayout;
use crate::window::WindowLayout;

/// A store of a task: its place in the list of specs the task was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u16);

/// One store of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Its name, unique within the task; on disk it names the store's column family.
    pub name: String,
    /// How its keys are laid out.
    pub kind: StoreKind,
    /// Kept in memory only: empty after each open, to be restored from the changelog's start.
    pub in_memory: bool,
}

/// How a store's keys are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Keys as they are.
    KeyValue,
    /// Keys of windows; old ones expire.
    Window(WindowLayout),
    /// Keys of sessions; old ones expire.
    Session(SessionLayout),
    /// Keys with a history; old versions expire.
    Versioned(VersionLayout),
}

impl StoreKind {
    /// What of the layout decides about the bytes of local keys. It is kept beside the data: a
    /// store that was written under another signature is emptied when it is opened, since its keys
    /// would not be found. The retention alone is no part of it.
    pub(crate) fn signature(&self) -> Vec<u8> {
        match self {
            Self::KeyValue => vec![0],
            Self::Window(layout) => layout.signature(),
            Self::Session(layout) => layout.signature(),
            Self::Versioned(layout) => layout.signature(),
        }
    }

    /// The ranges of local keys that have expired at an observed time, from a start up to an end.
    pub(crate) fn expired(&self, observed: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (rows, entries) = match self {
            Self::KeyValue => (None, None),
            Self::Window(layout) => {
                (layout.expired_before(observed), layout.expired_entries(observed))
            }
            Self::Session(layout) => {
                (layout.expired_before(observed), layout.expired_entries(observed))
            }
            Self::Versioned(layout) => (None, layout.expired(observed)),
        };
        let entries = entries.map(KeyRange::into_half_open);
        let rows = rows.map(|bound| (Vec::new(), bound));
        rows.into_iter().chain(entries.and_then(|(start, end)| Some((start, end?)))).collect()
    }

    /// How many entries there are to a row.
    pub(crate) fn entries_per_row(&self) -> u64 {
        let order = match self {
            Self::KeyValue | Self::Versioned(_) => return 1,
            Self::Window(layout) => layout.order,
            Self::Session(layout) => layout.order,
        };
        if order.has_entries() { 2 } else { 1 }
    }
}
