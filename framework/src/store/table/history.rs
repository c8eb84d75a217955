//! The history of a table's rows: what a versioned store keeps below the latest version of each key.
//!
//! ```text
//!  0 ‖ key                          time i64 ‖ value          the latest version, as the row of any table
//!  1 ‖ segment ‖ key ‖ from i64     to i64 ‖ 1 ‖ value        a version that has ended; ‖ 0: a deletion that has
//!  2 ‖ key                          from i64                  the latest version is a deletion
//!  3 ‖ from i64 ‖ key                                         so that it can be forgotten when the history is over
//! ```
//!
//! | a version that comes | becomes | answered as |
//! |---|---|---|
//! | at the time of the latest one, or later | the latest; what it replaces ends with it | latest |
//! | before that | part of the history, until the next one begins; the one before it ends earlier | not the latest |
//! | before the history | nothing, though it is logged, as in Kafka Streams | not put |

use millstream_state::{Batch, Direction, Found, StoreId, VersionLayout};

use crate::error::{Error, Result};
use crate::store::logged::Logged;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;

/// Where a version went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Latest,
    /// Valid up to then.
    Past {
        until: i64,
    },
    /// It is older than the history.
    Not,
}

/// Versions that have ended, and latest ones that are deletions.
pub(super) struct History {
    layout: VersionLayout,
    past: Logged<Vec<u8>>,
    /// The largest time that was put; -1 before the first.
    observed: i64,
    /// What the stores know of it; a rollback returns to this.
    noted: i64,
    /// How many puts were older than the history.
    expired: u64,
}

/// A version that has ended, with the local key under which it stands.
pub(super) struct Past {
    local: Vec<u8>,
    pub(super) from: i64,
    pub(super) to: i64,
    /// `1 ‖ value`, or `0` for a deletion.
    pub(super) rest: Vec<u8>,
}

/// What stands for a deletion.
pub(super) const DELETION: &[u8] = &[0];
/// What stands before a value.
pub(super) const VALUE: u8 = 1;
const TIME: usize = size_of::<i64>();

impl History {
    pub(super) fn open(
        history_ms: i64,
        options: &StoreOptions,
        place: &StorePlace,
    ) -> Result<Self> {
        // What is past is logged when it comes, as the version that it is.
        let unlogged = StoreOptions { logged: false, ..options.clone() };
        let observed = place.stores.observed(place.id).unwrap_or(-1);
        Ok(Self {
            layout: VersionLayout::new(history_ms),
            past: Logged::open(&unlogged, None, place)?,
            observed,
            noted: observed,
            expired: 0,
        })
    }

    /// Takes note of a put; false, and counted, if it is older than the history.
    pub(super) fn admits(&mut self, from: i64) -> bool {
        let admitted = self.reaches(from);
        match admitted {
            true => self.observed = self.observed.max(from),
            false => self.expired += 1,
        }
        admitted
    }

    /// Whether the history goes back to a time.
    pub(super) fn reaches(&self, at: i64) -> bool {
        at >= self.observed.saturating_sub(self.layout.history_ms)
    }

    /// The last put that was dropped is counted by who made it.
    pub(super) fn told(&mut self) {
        self.expired = self.expired.saturating_sub(1);
    }

    pub(super) fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.expired)
    }

    pub(super) fn rollback(&mut self) {
        self.past.rollback();
        self.observed = self.noted;
    }

    pub(super) fn clear(&mut self) {
        self.past.rollback();
        (self.observed, self.noted) = (-1, -1);
    }

    /// Moves everything uncommitted into the batch.
    pub(super) fn drain(&mut self, batch: &mut Batch, id: StoreId) {
        self.past.drain(batch);
        if self.observed > self.noted {
            batch.set_observed(id, self.observed);
            self.noted = self.observed;
        }
    }

    /// Lets go of versions that ended before the history, and of deletions that are older: those with the next commit.
    pub(super) fn drop_expired(&mut self, id: StoreId) -> Result<()> {
        if let Some(range) = self.layout.forgotten(self.observed) {
            let entries = self.past.scan(vec![range], Direction::Forward);
            for entry in entries.collect::<std::result::Result<Vec<_>, _>>()? {
                if let Some((key, from)) = VersionLayout::key_of_entry(&entry.0)
                    && self.deleted_since(key)? == Some(from)
                {
                    self.past.delete(&VersionLayout::deleted(key));
                }
                self.past.delete(&entry.0);
            }
        }
        Ok(self.past.stores().drop_expired(id, self.observed)?)
    }

    /// Since when the latest version of a key is a deletion, if it is one.
    pub(super) fn deleted_since(&self, key: &[u8]) -> Result<Option<i64>> {
        let noted = self.past.find(&VersionLayout::deleted(key), |bytes| Ok(bytes.to_vec()))?;
        Ok(noted.and_then(|from| Some(i64::from_be_bytes(*from.first_chunk::<TIME>()?))))
    }

    pub(super) fn set_deleted(&mut self, key: &[u8], from: i64) {
        let since = from.to_be_bytes();
        self.past.put(&VersionLayout::deleted(key), since.to_vec(), &since);
        self.past.put(&VersionLayout::deleted_at(key, from), Vec::new(), &[]);
    }

    pub(super) fn put_past(&mut self, key: &[u8], (from, to): (i64, i64), rest: &[u8]) {
        let mut local = Vec::new();
        self.layout.past(key, from, to, &mut local);
        let bytes = [to.to_be_bytes().as_slice(), rest].concat();
        self.past.put(&local, bytes.clone(), &bytes);
    }

    /// The first version of a key that ended after a time.
    pub(super) fn ended_after(&self, key: &[u8], at: i64) -> Result<Option<Past>> {
        let ranges = self.layout.ended_after(key, at, self.observed);
        for row in self.past.scan(ranges, Direction::Forward) {
            let (local, Found::Typed(bytes) | Found::Stored(bytes)) = row?;
            let Some(from) = self.layout.from_of_past(&local, key) else { continue };
            let (to, rest) = bytes.split_first_chunk::<TIME>().ok_or_else(|| Error::Fatal {
                what: format!("reading store {}", self.past.name()),
                reason: "the end of a version is missing".to_owned(),
            })?;
            let to = i64::from_be_bytes(*to);
            if to > at {
                return Ok(Some(Past { local, from, to, rest: rest.to_vec() }));
            }
        }
        Ok(None)
    }

    /// Puts a version that begins before the latest one, which begins at `latest`. Returns when it ends.
    pub(super) fn put_into_past(
        &mut self,
        key: &[u8],
        from: i64,
        latest: i64,
        rest: &[u8],
    ) -> Result<i64> {
        let to = match self.ended_after(key, from)? {
            // It begins with this one: replaced.
            Some(at) if at.from == from => at.to,
            // This one ends it.
            Some(around) if around.from < from => {
                self.past.delete(&around.local);
                self.put_past(key, (around.from, from), &around.rest);
                around.to
            }
            Some(next) => next.from,
            None => latest,
        };
        self.put_past(key, (from, to), rest);
        Ok(to)
    }
}
