//! Records of a left or outer join of two streams that have met nobody yet.
//!
//! ```text
//!  key    time i64 ‖ side (1 left, 0 right) ‖ key
//!  value  1 ‖ count i32 ‖ { length i32 ‖ side ‖ value }, in the order in which they came
//! ```
//!
//! Local bytes and changelog bytes are the same, and Java's. Each write logs the whole list.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, Direction, Found, KeyRange, Merged, StoreId};

use crate::collector::{HandsOnRows, RowInHand};
use crate::error::{Error, Result};
use crate::log::RawRecord;
use crate::record::{Data, Headers, Timestamp};
use crate::serde::{Null, Part, Serde};
use crate::store::changelog::Changelog;
use crate::store::changelog::changelog_topic;
use crate::store::codec::Codec;
use crate::store::committed::Committed;
use crate::store::described::{self, Described};
use crate::store::keys::{PlainKeys, RowKeys};
use crate::store::logged::Logged;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};

/// A record of one of two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Either<L, R> {
    Left(L),
    Right(R),
}

/// The store of a join's records that have met nobody yet.
pub(crate) struct UnmatchedSpec<K, L, R> {
    pub(crate) options: StoreOptions,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) left: Arc<dyn Serde<L>>,
    pub(crate) right: Arc<dyn Serde<R>>,
}

impl<K, L, R> std::fmt::Debug for UnmatchedSpec<K, L, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UnmatchedSpec").field(&self.options).finish()
    }
}

impl<K: Data, L: Data, R: Data> StoreSupplier for UnmatchedSpec<K, L, R> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let topic: Arc<str> = changelog_topic(&place.application_id, name).into();
        let codec = |part| (part, Arc::clone(name), Arc::clone(&topic));
        let ((key, k_name, k_topic), (value, v_name, v_topic)) =
            (codec(Part::Key), codec(Part::Value));
        Ok(TaskStore::new(Unmatched {
            keys: Codec::new(Arc::clone(&self.key), key, k_name, k_topic),
            left: Codec::new(
                Arc::clone(&self.left),
                value,
                Arc::clone(&v_name),
                Arc::clone(&v_topic),
            ),
            right: Codec::new(Arc::clone(&self.right), value, v_name, v_topic),
            logged: Logged::open(&self.options, None, place)?,
            key: Vec::new(),
            local: Vec::new(),
            in_hand: None,
        }))
    }
}

/// The store itself.
pub(crate) struct Unmatched<K, L, R> {
    keys: Codec<K>,
    left: Codec<L>,
    right: Codec<R>,
    /// Values are lists as they are stored.
    logged: Logged<Vec<u8>>,
    key: Vec<u8>,
    /// The local key of what is written or looked up.
    local: Vec<u8>,
    /// The record that is being handed on: local key and value.
    in_hand: Option<(Vec<u8>, Vec<u8>)>,
}

/// Records of one key, side and time.
pub(crate) struct Group<K, L, R> {
    pub(crate) at: Timestamp,
    pub(crate) key: K,
    pub(crate) values: Vec<Either<L, R>>,
    local: Vec<u8>,
    /// The bytes of the values.
    bytes: Vec<Vec<u8>>,
}

const LEFT: u8 = 1;
const RIGHT: u8 = 0;
const TIME: usize = 8;

impl<K: Data, L: Data, R: Data> Unmatched<K, L, R> {
    /// Adds a record to those of its key, side and time; logged at its time.
    pub(crate) fn add(&mut self, key: &K, at: Timestamp, value: &Either<&L, &R>) -> Result<()> {
        self.encode(key, at, matches!(value, Either::Left(_)))?;
        let mut list = self.logged.find(&self.local, |bytes| Ok(bytes.to_vec()))?;
        let list = list.get_or_insert_with(|| vec![1, 0, 0, 0, 0]);
        let begins = list.len();
        list.extend_from_slice(&[0; 4]);
        let null = match value {
            Either::Left(value) => {
                list.push(LEFT);
                self.left.encode(value, list)?
            }
            Either::Right(value) => {
                list.push(RIGHT);
                self.right.encode(value, list)?
            }
        };
        if null == Null::Yes {
            return Err(self.damaged("a null value cannot wait for a match"));
        }
        let length = list.len() - begins - 4;
        set_i32(list, begins, length);
        let count = take_i32(list.get(1..).unwrap_or_default()).map_or(0, |(count, _)| count);
        set_i32(list, 1, count + 1);
        self.logged.log(&self.local, Some(list), at)?;
        self.logged.put(&self.local, list.clone(), list);
        Ok(())
    }

    /// Lets go of the records of a key, side and time, if there are any: they have met one that came at `now`.
    pub(crate) fn matched(
        &mut self,
        key: &K,
        (at, left): (Timestamp, bool),
        now: Timestamp,
    ) -> Result<()> {
        self.encode(key, at, left)?;
        if self.logged.has(&self.local)? {
            self.logged.log(&self.local, None, now)?;
            self.logged.delete(&self.local);
        }
        Ok(())
    }

    /// Takes note of the record of a group that is being handed on.
    pub(crate) fn hands_on(&mut self, group: &Group<K, L, R>, place: usize) {
        let bytes = group.bytes.get(place).cloned();
        self.in_hand = bytes.map(|bytes| (group.local.clone(), bytes));
    }

    /// Lets go of a group that was given out.
    pub(crate) fn given_out(&mut self, group: &Group<K, L, R>, now: Timestamp) -> Result<()> {
        self.logged.log(&group.local, None, now)?;
        self.logged.delete(&group.local);
        Ok(())
    }

    /// The groups from one time up to another, the latter excluded, by time, side (right first) and key.
    pub(crate) fn scan(&self, from: Timestamp, to: Timestamp) -> Groups<K, L, R> {
        let bytes = |at: Timestamp| at.0.max(0).to_be_bytes();
        let range = KeyRange::half_open(bytes(from), bytes(to));
        Groups {
            merged: self.logged.scan(vec![range], Direction::Forward),
            keys: self.keys.clone(),
            left: self.left.clone(),
            right: self.right.clone(),
        }
    }

    /// Time and side of the first group from a time on, or of the one after a place that was returned before.
    pub(crate) fn first(&self, after: &Position) -> Result<Option<Position>> {
        let range = match after {
            Position::Time(at) => {
                let all = KeyRange::all();
                let from = at.0.max(0).to_be_bytes().to_vec();
                KeyRange { lower: std::ops::Bound::Included(from), ..all }
            }
            Position::Group { local, .. } => {
                KeyRange { lower: std::ops::Bound::Excluded(local.clone()), ..KeyRange::all() }
            }
        };
        self.edge(&range, Direction::Forward)
    }

    /// Time and side of the last group.
    pub(crate) fn last(&self) -> Result<Option<Position>> {
        self.edge(&KeyRange::all(), Direction::Backward)
    }

    fn edge(&self, range: &KeyRange, direction: Direction) -> Result<Option<Position>> {
        let Some(local) = self.logged.edge(range, direction)? else { return Ok(None) };
        let (at, left, _) = decoded(&local).ok_or_else(|| self.damaged("a key is too short"))?;
        Ok(Some(Position::Group { at, left, local }))
    }

    fn encode(&mut self, key: &K, at: Timestamp, left: bool) -> Result<()> {
        self.keys.encode_key(key, &mut self.key)?;
        self.local.clear();
        self.local.extend_from_slice(&at.0.to_be_bytes());
        self.local.push(if left { LEFT } else { RIGHT });
        self.local.extend_from_slice(&self.key);
        Ok(())
    }

    fn damaged(&self, reason: &str) -> Error {
        let what = format!("store {}", self.logged.name());
        Error::Fatal { what, reason: reason.to_owned() }
    }
}

/// A place in the order of groups.
pub(crate) enum Position {
    /// Before all of this time.
    Time(Timestamp),
    Group {
        at: Timestamp,
        left: bool,
        local: Vec<u8>,
    },
}

/// Groups in order; it shows the store as it was when it was made.
pub(crate) struct Groups<K, L, R> {
    merged: Merged<Vec<u8>>,
    keys: Codec<K>,
    left: Codec<L>,
    right: Codec<R>,
}

impl<K: Data, L: Data, R: Data> Iterator for Groups<K, L, R> {
    type Item = Result<Group<K, L, R>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.merged.next()? {
            Ok((local, Found::Typed(list) | Found::Stored(list))) => self.group(local, &list),
            Err(error) => Err(error.into()),
        })
    }
}

impl<K: Data, L: Data, R: Data> Groups<K, L, R> {
    fn group(&self, local: Vec<u8>, list: &[u8]) -> Result<Group<K, L, R>> {
        let damaged = || Error::Fatal {
            what: format!("reading {}", self.keys.topic()),
            reason: "its bytes are not those of records that wait for a match".to_owned(),
        };
        let (at, _, key) = decoded(&local).ok_or_else(damaged)?;
        let key = self.keys.decode(key)?;
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        let mut rest = list.get(5..).ok_or_else(damaged)?;
        while !rest.is_empty() {
            let (length, after) = take_i32(rest).ok_or_else(damaged)?;
            let (value, after) = after.split_at_checked(length).ok_or_else(damaged)?;
            values.push(match value.split_first() {
                Some((&LEFT, value)) => Either::Left(self.left.decode(value)?),
                Some((_, value)) => Either::Right(self.right.decode(value)?),
                None => return Err(damaged()),
            });
            bytes.push(value.get(1..).unwrap_or_default().to_vec());
            rest = after;
        }
        Ok(Group { at, key, values, local, bytes })
    }
}

/// Time, whether it is of the left side, and key.
fn decoded(local: &[u8]) -> Option<(Timestamp, bool, &[u8])> {
    let (at, rest) = local.split_first_chunk::<TIME>()?;
    let (side, key) = rest.split_first()?;
    Some((Timestamp(i64::from_be_bytes(*at)), *side == LEFT, key))
}

fn take_i32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(i32::from_be_bytes(*number)).ok()?, rest))
}

fn set_i32(bytes: &mut [u8], place: usize, number: usize) {
    let number = i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes();
    if let Some(four) = bytes.get_mut(place..place + 4) {
        four.copy_from_slice(&number);
    }
}

impl<K: Data, L: Data, R: Data> Described for Unmatched<K, L, R> {
    fn described() -> String {
        described::of::<K, (L, R)>("what a join has not matched yet, a store")
    }
}

impl<K: Data, L: Data, R: Data> StateStore for Unmatched<K, L, R> {
    fn name(&self) -> &str {
        self.logged.name()
    }

    fn id(&self) -> StoreId {
        self.logged.id()
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.logged.changelog()
    }

    fn restore(&mut self, batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        record.key.map_or(Ok(()), |key| self.logged.restore(batch, key, record.value))
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.logged.drain(batch);
    }

    fn rollback(&mut self) {
        self.logged.rollback();
        self.in_hand = None;
    }

    fn clear(&mut self) -> Result<()> {
        self.logged.clear()
    }

    fn committed(&self) -> Box<dyn Any> {
        let keys: Rc<dyn RowKeys<K>> = Rc::new(PlainKeys(self.keys.clone()));
        let place = (self.logged.stores().clone(), self.logged.id());
        Box::new(Committed::new(place, keys, self.left.clone(), false, None))
    }
}

impl<K: Data, L: Data, R: Data> HandsOnRows for Unmatched<K, L, R> {
    fn changelog_name(&self) -> &Arc<str> {
        self.left.topic()
    }

    fn row_in_hand(&self) -> Result<RowInHand> {
        let nothing = || self.damaged("none of its records is being handed on");
        let (local, value) = self.in_hand.as_ref().ok_or_else(nothing)?;
        let (timestamp, _, key) = decoded(local).ok_or_else(nothing)?;
        let (key, value) = (key.to_vec(), Some(value.clone()));
        Ok(RowInHand { key, value, timestamp, headers: Headers::default() })
    }
}
