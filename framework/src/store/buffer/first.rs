//! Which entry of a buffer comes first, found by a seek and then known as entries come and go.

use millstream_state::{Direction, KeyRange};

use crate::error::Result;
use crate::store::logged::Logged;

/// What is known about the first entry.
enum Known {
    Nothing,
    None,
    Entry(Vec<u8>),
}

/// The first of the entries whose keys begin with one byte.
pub(super) struct First {
    prefix: u8,
    known: Known,
    /// No entry is before this one: what was taken out before need not be passed over again.
    from: Vec<u8>,
}

impl First {
    /// Of entries that begin with this.
    pub(super) fn of(prefix: u8) -> Self {
        Self { prefix, known: Known::Nothing, from: vec![prefix] }
    }

    /// Takes note of an entry that was put.
    pub(super) fn put(&mut self, entry: &[u8]) {
        if *entry < *self.from {
            self.from = entry.to_vec();
        }
        match &self.known {
            Known::Nothing => {}
            Known::Entry(first) if **first <= *entry => {}
            Known::Entry(_) | Known::None => self.known = Known::Entry(entry.to_vec()),
        }
    }

    /// The first entry. Those for which `is_there` is false are deleted.
    pub(super) fn get<V>(
        &mut self,
        entries: &mut Logged<V>,
        is_there: impl Fn(&[u8]) -> Result<bool>,
    ) -> Result<Option<&[u8]>> {
        while matches!(self.known, Known::Nothing) {
            let range = KeyRange::half_open(self.from.clone(), [self.prefix + 1]);
            let Some(entry) = entries.edge(&range, Direction::Forward)? else {
                self.known = Known::None;
                break;
            };
            self.from.clone_from(&entry);
            if is_there(&entry)? {
                self.known = Known::Entry(entry);
            } else {
                entries.delete(&entry);
            }
        }
        Ok(match &self.known {
            Known::Entry(entry) => Some(entry),
            Known::Nothing | Known::None => None,
        })
    }

    /// The first entry, which the caller takes out.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.known, Known::Nothing) {
            Known::Entry(entry) => {
                self.from.clone_from(&entry);
                Some(entry)
            }
            Known::Nothing | Known::None => None,
        }
    }

    /// Knows nothing any more.
    pub(super) fn forget(&mut self) {
        *self = Self::of(self.prefix);
    }
}
