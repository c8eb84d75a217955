//! The timestamped key-value store of processors: what tables keep, without a record cache.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces value and time; a value that its serde writes as null deletes | value, with the time that was put |
//! | `put_if_absent` | puts if there is none, returns what is there | value if put |
//! | `delete` | deletes, returns what was there | null, with the time of the record in hand |
//! | reads | of uncommitted writes and of committed state | none |

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use crate::error::Result;
use crate::record::{Data, Headers, RecordTime, Timestamp};
use crate::store::read_only::{ReadOnlyStore, RowIterator};
use crate::store::supplier::TaskStore;
use crate::store::table::{Stamp, TableStore};

/// A key-value store of one task that keeps a time with each value, as its processors see it. Its bytes are those of a
/// table.
///
/// A handle is cheap to clone and never leaves its task. Ranges go by the order of the serialised keys. An iterator
/// shows the store as it was when it was made: one may put, delete and forward while iterating. That holds for one call of
/// the processor: a commit may come before the next one, so an iterator is not kept. Making one copies what of its range is
/// not committed yet.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the processor's policy if
/// passed on), and a failure of the state, which stops or rebuilds the task.
///
/// ```
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder, Timestamped, TimestampedKeyValueStore};
/// # use millstream::record::{Record, Timestamp};
/// # use millstream::testing::TopologyDriver;
/// /// The newest reading of each meter, whatever the order in which they come.
/// struct Newest(TimestampedKeyValueStore<String, i64>);
///
/// impl Processor<String, i64> for Newest {
///     type KOut = String;
///     type VOut = i64;
///
///     fn process(&mut self, reading: Record<String, i64>, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         let newest = self.0.get(&reading.key)?;
///         if newest.is_none_or(|(_, at)| at < reading.timestamp) {
///             self.0.put(reading.key.clone(), reading.value, reading.timestamp)?;
///             ctx.forward(reading);
///         }
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let newest = builder.store(Timestamped::<String, i64>::named("newest"));
/// builder.stream("readings").process("newest-only", &newest, Newest).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for (meter, value, at) in [("a", 1_i64, 10), ("a", 2, 5), ("b", 3, 7)] {
///     driver.pipe("readings", &Record::new(meter.to_owned(), value, Timestamp(at)))?;
/// }
/// assert_eq!(driver.read::<String, i64>("out")?.len(), 2);
///
/// let store: TimestampedKeyValueStore<String, i64> = driver.timestamped_store("newest")?;
/// let a = "a".to_owned();
/// assert_eq!(store.get(&a)?, Some((1, Timestamp(10))));
/// assert_eq!(store.range("b".to_owned()..)?.count(), 1);
/// assert_eq!(store.reverse_range(..)?.next().transpose()?.map(|(meter, ..)| meter), Some("b".to_owned()));
/// assert_eq!((store.all()?.count(), store.reverse_all()?.count(), store.prefix_scan(&a)?.count()), (2, 2, 1));
/// assert_eq!(store.put_if_absent(a.clone(), 9, Timestamp(11))?, Some((1, Timestamp(10))));
/// assert_eq!(store.delete(&a)?, Some((1, Timestamp(10))));
/// # Ok::<(), BoxError>(())
/// ```
pub struct TimestampedKeyValueStore<K, V> {
    table: Rc<RefCell<TableStore<K, V>>>,
    rows: ReadOnlyStore<K, V>,
    /// The time of the record in hand, at which deletions are logged.
    time: RecordTime,
}

impl<K, V> Clone for TimestampedKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self { table: Rc::clone(&self.table), rows: self.rows.clone(), time: self.time.clone() }
    }
}

impl<K, V> fmt::Debug for TimestampedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimestampedKeyValueStore").finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> TimestampedKeyValueStore<K, V> {
    /// A handle on the store of a task, whose deletions are logged at this time.
    pub(crate) fn of(store: &TaskStore, time: &RecordTime) -> Result<Self> {
        let rows = ReadOnlyStore::of(store)?;
        Ok(Self { table: store.typed()?, rows, time: time.clone() })
    }

    /// The value of a key, with its time.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn get(&self, key: &K) -> Result<Option<(V, Timestamp)>> {
        self.rows.get(key)
    }

    /// Puts a value with its time.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V, timestamp: Timestamp) -> Result<()> {
        self.write(&key, Some(value), timestamp)
    }

    /// Puts a value if the key has none; returns what is there already.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn put_if_absent(
        &self,
        key: K,
        value: V,
        timestamp: Timestamp,
    ) -> Result<Option<(V, Timestamp)>> {
        let there = self.get(&key)?;
        if there.is_none() {
            self.put(key, value, timestamp)?;
        }
        Ok(there)
    }

    /// Deletes a key; returns what was there.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn delete(&self, key: &K) -> Result<Option<(V, Timestamp)>> {
        let there = self.get(key)?;
        self.write(key, None, self.time.get())?;
        Ok(there)
    }

    /// The entries whose keys lie in a range, ascending.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<RowIterator<K, V>> {
        self.rows.range(keys)
    }

    /// The entries whose keys lie in a range, descending.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<RowIterator<K, V>> {
        self.rows.reverse_range(keys)
    }

    /// All entries, ascending.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn all(&self) -> Result<RowIterator<K, V>> {
        self.rows.all()
    }

    /// All entries, descending.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn reverse_all(&self) -> Result<RowIterator<K, V>> {
        self.rows.reverse_all()
    }

    /// The entries whose keys begin, as bytes, with the bytes of `prefix`, ascending.
    ///
    /// # Errors
    /// See [`TimestampedKeyValueStore`].
    pub fn prefix_scan(&self, prefix: &K) -> Result<RowIterator<K, V>> {
        self.rows.prefix_scan(prefix)
    }

    fn write(&self, key: &K, value: Option<V>, timestamp: Timestamp) -> Result<()> {
        let headers = Headers::default();
        self.table.borrow_mut().put(key, value, &Stamp { timestamp, headers: &headers }).map(drop)
    }
}
