//! The window store of processors: values by key and time, which expire.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value of the key and start; with duplicates: adds one | value |
//! | `delete` | deletes it; with duplicates: nothing | null |
//! | a put that has expired | dropped and counted | as above |
//! | reads | cut at observed time - retention, to the millisecond | none |
//!
//! The observed time is the largest start that was put; a put is dropped once its segment (half the
//! retention, a minute at least) has left the retention as a whole. The changelog's keys are Java's:
//! `key ‖ start i64 ‖ seq i32`; `seq` counts the puts of a store with duplicates. Unlike Java's it is
//! kept over restarts, so that a put after one does not replace what was put before.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::Direction;

use crate::error::Result;
use crate::record::{Data, RecordTime, Timestamp};
use crate::store::supplier::TaskStore;
use crate::store::window::iterators::{WindowIterator, WindowedIterator};
use crate::store::window::state::WindowState;

/// A window store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. Times are starts of windows, ranges of
/// them include both ends. An iterator shows the store as it was when it was made: one may put and
/// forward while iterating. That holds for one call of the processor: a commit may come before the next one, so an iterator
/// is not kept. Making one copies what of its range is not committed yet.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the
/// processor's policy if passed on), and a failure of the state, which stops or rebuilds the task.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder, Window, WindowStore};
/// # use millstream::record::{Record, Timestamp};
/// # use millstream::testing::TopologyDriver;
/// # struct Keep(WindowStore<String, i64>);
/// # impl Processor<String, i64> for Keep {
/// #     type KOut = String;
/// #     type VOut = i64;
/// #     fn process(&mut self, record: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
/// #         Ok(self.0.put(record.key, record.value, record.timestamp)?)
/// #     }
/// # }
/// # let builder = StreamsBuilder::new();
/// # let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
/// # let store = builder.store(Window::<String, i64>::named("per-minute", hour, minute));
/// # builder.stream("in").process("keep", &store, Keep).to("out");
/// # let driver = TopologyDriver::new(&builder.build()?)?;
/// // As a processor has it, and here a test.
/// let store: WindowStore<String, i64> = driver.window_store("per-minute")?;
/// let (ada, first, second) = ("ada".to_owned(), Timestamp(0), Timestamp(60_000));
/// store.put(ada.clone(), 3, first)?;
/// store.put(ada.clone(), 5, second)?;
/// assert_eq!(store.fetch(&ada, first)?, Some(3));
///
/// let values = |found: millstream::WindowIterator<String, i64>| {
///     found.map(|entry| entry.map(|(_, value)| value)).collect::<Result<Vec<_>, _>>()
/// };
/// assert_eq!(values(store.fetch_range(&ada, first, second)?)?, [3, 5]);
/// assert_eq!(values(store.backward_fetch(&ada, first, second)?)?, [5, 3]);
/// assert_eq!(store.fetch_all(first, second).count(), 2);
/// assert_eq!(store.backward_fetch_all(second, second).count(), 1);
/// store.put("bob".to_owned(), 7, first)?;
/// assert_eq!(store.fetch_keys("b".to_owned().., first, second)?.count(), 1);
/// assert_eq!(store.backward_fetch_keys(..="ada".to_owned(), first, second)?.count(), 2);
/// store.delete(&ada, first)?;
/// assert_eq!(store.all().count(), 2);
/// assert_eq!(store.backward_all().last().transpose()?.map(|(window, _)| window.key), Some("ada".to_owned()));
/// # Ok::<(), BoxError>(())
/// ```
pub struct WindowStore<K, V> {
    state: Rc<RefCell<WindowState<K, V>>>,
    /// The time of the record in hand, at which writes are logged.
    time: RecordTime,
}

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        Self { state: Rc::clone(&self.state), time: self.time.clone() }
    }
}

impl<K, V> fmt::Debug for WindowStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WindowStore").field(self.state.borrow().logged.name()).finish()
    }
}

impl<K: Data, V: Data> WindowStore<K, V> {
    /// A handle on the store of a task, whose writes are logged at this time.
    pub(crate) fn of(store: &TaskStore, time: &RecordTime) -> Result<Self> {
        Ok(Self { state: store.typed()?, time: time.clone() })
    }

    /// Puts the value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// See [`WindowStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V, start: Timestamp) -> Result<()> {
        self.state.borrow_mut().put(&key, Some(value), start, self.time.get()).map(drop)
    }

    /// Deletes the value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn delete(&self, key: &K, start: Timestamp) -> Result<()> {
        self.state.borrow_mut().put(key, None, start, self.time.get()).map(drop)
    }

    /// The value of a key in the window that starts at `start`; with duplicates the first one.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn fetch(&self, key: &K, start: Timestamp) -> Result<Option<V>> {
        self.state.borrow_mut().get(key, start)
    }

    /// The values of a key in windows that start in `[from, to]`, by start.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn fetch_range(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowIterator<K, V>> {
        self.state.borrow_mut().of_key(key, (from, to), Direction::Forward)
    }

    /// As [`Self::fetch_range`], latest first.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn backward_fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowIterator<K, V>> {
        self.state.borrow_mut().of_key(key, (from, to), Direction::Backward)
    }

    /// The values of all keys in windows that start in `[from, to]`: by segment, then by key, then
    /// by start.
    pub fn fetch_all(&self, from: Timestamp, to: Timestamp) -> WindowedIterator<K, V> {
        self.state.borrow().of_all((from, to), Direction::Forward)
    }

    /// As [`Self::fetch_all`], in the opposite order.
    pub fn backward_fetch_all(&self, from: Timestamp, to: Timestamp) -> WindowedIterator<K, V> {
        self.state.borrow().of_all((from, to), Direction::Backward)
    }

    /// The values of a range of keys in windows that start in `[from, to]`, in the order of
    /// [`Self::fetch_all`]. Keys are compared as bytes.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowedIterator<K, V>> {
        self.state.borrow().of_keys(keys, (from, to), Direction::Forward)
    }

    /// As [`Self::fetch_keys`], in the opposite order.
    ///
    /// # Errors
    /// See [`WindowStore`].
    pub fn backward_fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<WindowedIterator<K, V>> {
        self.state.borrow().of_keys(keys, (from, to), Direction::Backward)
    }

    /// All that has not expired, in the order of [`Self::fetch_all`].
    pub fn all(&self) -> WindowedIterator<K, V> {
        self.fetch_all(Timestamp(0), Timestamp(i64::MAX))
    }

    /// As [`Self::all`], in the opposite order.
    pub fn backward_all(&self) -> WindowedIterator<K, V> {
        self.backward_fetch_all(Timestamp(0), Timestamp(i64::MAX))
    }
}
