//! The session store of processors: values by key and session, which expire.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value of the key, start and end; one that its serde writes as null removes | value or null |
//! | `remove` | removes it | null |
//! | a put that has expired | dropped and counted | as above |
//! | reads | cut at observed time - retention, to the millisecond | none |
//!
//! A session's time is its end: the observed time is the largest end that was put, and a put is dropped once its
//! segment (half the retention, a minute at least) has left the retention as a whole. The changelog's keys are Java's:
//! `key ‖ end i64 ‖ start i64`, with the time of the record in hand. Sessions are not merged by the store: see the
//! example.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::Direction;

use crate::error::Result;
use crate::record::{Data, RecordTime, Session, Timestamp};
use crate::store::session::iterator::SessionIterator;
use crate::store::session::state::{Asked, SessionState};
use crate::store::supplier::TaskStore;

/// A session store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. Both ends of sessions and of ranges are included; keys are
/// compared as bytes. An iterator shows the store as it was when it was made: one may put, remove and forward while
/// iterating. That holds for one call of the processor: a commit may come before the next one, so an iterator is not kept.
/// Making one copies what of its range is not committed yet.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the processor's policy if
/// passed on), and a failure of the state, which stops or rebuilds the task.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{BoxError, Context, Processor, SessionStore, Sessions, StreamsBuilder};
/// # use millstream::record::{Record, Session, Timestamp};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Visits with at most ten seconds between two clicks, and their clicks.
/// struct Visits(SessionStore<String, i64>);
///
/// impl Processor<String, String> for Visits {
///     type KOut = String;
///     type VOut = i64;
///
///     fn process(&mut self, click: Record<String, String>, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         let (user, at) = (click.key, click.timestamp);
///         let mut visit = Session { key: user.clone(), start: at.0, end: at.0 };
///         let mut clicks = 1;
///         let (earliest_end, latest_start) = (Timestamp(at.0 - 10_000), Timestamp(at.0 + 10_000));
///         for near in self.0.find_sessions(&user, earliest_end, latest_start)? {
///             let (session, more) = near?;
///             visit = Session { start: visit.start.min(session.start), end: visit.end.max(session.end), ..visit };
///             clicks += more;
///             self.0.remove(&session)?;
///         }
///         self.0.put(visit, clicks)?;
///         ctx.forward(Record::new(user, clicks, at));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let hour = Duration::from_secs(3600);
/// let visits = builder.store(Sessions::<String, i64>::named("visits", hour));
/// builder.stream("clicks").process("visits-of-users", &visits, Visits).to("counts");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for (user, at) in [("ada", 0), ("ada", 8_000), ("bob", 9_000), ("ada", 30_000)] {
///     driver.pipe("clicks", &text(user, "/", at))?;
/// }
/// let store: SessionStore<String, i64> = driver.session_store("visits")?;
/// let ada = "ada".to_owned();
/// let first = Session { key: ada.clone(), start: 0, end: 8_000 };
/// assert_eq!(store.fetch_session(&first)?, Some(2));
/// assert_eq!(store.fetch(&ada)?.count(), 2);
/// assert_eq!(store.backward_fetch(&ada)?.next().transpose()?.map(|(session, _)| session.start), Some(30_000));
/// let (from, to) = (Timestamp(8_000), Timestamp(9_000));
/// assert_eq!(store.backward_find_sessions(&ada, from, to)?.count(), 1);
/// assert_eq!(store.fetch_keys("b".to_owned()..)?.count(), 1);
/// assert_eq!(store.backward_fetch_keys(..)?.count(), 3);
/// assert_eq!(store.find_sessions_of(..="bob".to_owned(), from, to)?.count(), 2);
/// assert_eq!(store.backward_find_sessions_of(.., from, to)?.count(), 2);
/// assert_eq!(store.find_ended(from, to)?.count(), 2);
/// # Ok::<(), BoxError>(())
/// ```
pub struct SessionStore<K, V> {
    state: Rc<RefCell<SessionState<K, V>>>,
    /// The time of the record in hand, at which writes are logged.
    time: RecordTime,
}

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        Self { state: Rc::clone(&self.state), time: self.time.clone() }
    }
}

impl<K, V> fmt::Debug for SessionStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionStore").field(self.state.borrow().logged.name()).finish()
    }
}

/// Sessions that end at `earliest_end` or later and start at `latest_start` or before.
fn overlapping(earliest_end: Timestamp, latest_start: Timestamp, direction: Direction) -> Asked {
    Asked { ends: (earliest_end.0, i64::MAX), latest_start: latest_start.0, direction }
}

/// All sessions.
fn any(direction: Direction) -> Asked {
    overlapping(Timestamp(0), Timestamp(i64::MAX), direction)
}

impl<K: Data, V: Data> SessionStore<K, V> {
    /// A handle on the store of a task, whose writes are logged at this time.
    pub(crate) fn of(store: &TaskStore, time: &RecordTime) -> Result<Self> {
        Ok(Self { state: store.typed()?, time: time.clone() })
    }

    /// Puts the value of a session.
    ///
    /// # Errors
    /// See [`SessionStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, session: Session<K>, value: V) -> Result<()> {
        self.state.borrow_mut().put(&session, Some(value), self.time.get())
    }

    /// Removes a session.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn remove(&self, session: &Session<K>) -> Result<()> {
        self.state.borrow_mut().put(session, None, self.time.get())
    }

    /// The value of exactly this session.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn fetch_session(&self, session: &Session<K>) -> Result<Option<V>> {
        self.state.borrow_mut().get(session)
    }

    /// The sessions of a key, by end and then by start.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn fetch(&self, key: &K) -> Result<SessionIterator<K, V>> {
        self.state.borrow().of_key(key, any(Direction::Forward))
    }

    /// As [`Self::fetch`], latest first.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn backward_fetch(&self, key: &K) -> Result<SessionIterator<K, V>> {
        self.state.borrow().of_key(key, any(Direction::Backward))
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or before, by end and then
    /// by start.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn find_sessions(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionIterator<K, V>> {
        let asked = overlapping(earliest_end, latest_start, Direction::Forward);
        self.state.borrow().of_key(key, asked)
    }

    /// As [`Self::find_sessions`], latest first.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn backward_find_sessions(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionIterator<K, V>> {
        let asked = overlapping(earliest_end, latest_start, Direction::Backward);
        self.state.borrow().of_key(key, asked)
    }

    /// The sessions of a range of keys: by segment, then by key, end and start.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn fetch_keys(&self, keys: impl RangeBounds<K>) -> Result<SessionIterator<K, V>> {
        self.state.borrow().of_keys(keys, any(Direction::Forward))
    }

    /// As [`Self::fetch_keys`], in the opposite order.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn backward_fetch_keys(&self, keys: impl RangeBounds<K>) -> Result<SessionIterator<K, V>> {
        self.state.borrow().of_keys(keys, any(Direction::Backward))
    }

    /// As [`Self::find_sessions`], of a range of keys, in the order of [`Self::fetch_keys`].
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn find_sessions_of(
        &self,
        keys: impl RangeBounds<K>,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionIterator<K, V>> {
        let asked = overlapping(earliest_end, latest_start, Direction::Forward);
        self.state.borrow().of_keys(keys, asked)
    }

    /// As [`Self::find_sessions_of`], in the opposite order.
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn backward_find_sessions_of(
        &self,
        keys: impl RangeBounds<K>,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionIterator<K, V>> {
        let asked = overlapping(earliest_end, latest_start, Direction::Backward);
        self.state.borrow().of_keys(keys, asked)
    }

    /// The sessions of all keys that end in `[from, to]`, in the order of [`Self::fetch_keys`].
    ///
    /// # Errors
    /// See [`SessionStore`].
    pub fn find_ended(&self, from: Timestamp, to: Timestamp) -> Result<SessionIterator<K, V>> {
        let (ends, latest_start) = ((from.0, to.0), i64::MAX);
        let asked = Asked { ends, latest_start, direction: Direction::Forward };
        self.state.borrow().of_keys(.., asked)
    }
}
