//! The versioned key-value store of processors: values that are valid from a time until they are replaced.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | a version from its time on, until the next one of its key begins | value, with the version's time |
//! | `delete` | the same of a deletion; returns what was valid then | null, with that time |
//! | a version older than the history | dropped and counted (`Expired`) | as above |
//! | `get` | the latest version | none |
//! | `get_as_of` | the version that was valid at a time within the history, or the latest one | none |

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::error::Result;
use crate::record::{Data, Timestamp};
use crate::store::supplier::TaskStore;
use crate::store::table::{Placed, TableStore};

/// A version of a value.
///
/// ```
/// use millstream::{VersionedRecord, record::Timestamp};
///
/// /// For how long something was valid; none: it still is.
/// fn ms<V>(version: &VersionedRecord<V>) -> Option<i64> {
///     version.valid_to.map(|end| end.0 - version.timestamp.0)
/// }
/// let version = VersionedRecord { value: 3, timestamp: Timestamp(5), valid_to: Some(Timestamp(12)) };
/// assert_eq!(ms(&version), Some(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when it is valid.
    pub timestamp: Timestamp,
    /// Up to when, this time excluded; none: it is the latest version.
    pub valid_to: Option<Timestamp>,
}

/// What became of a version that was put.
///
/// ```
/// use millstream::VersionPut;
///
/// /// What to tell whoever sent it.
/// fn told(put: VersionPut) -> String {
///     match put {
///         VersionPut::Latest => "it holds from now on".to_owned(),
///         VersionPut::ValidTo(end) => format!("it held until {}", end.0),
///         VersionPut::NotPut => "too late".to_owned(),
///     }
/// }
/// assert_eq!(told(VersionPut::Latest), "it holds from now on");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionPut {
    /// It is the latest version of its key.
    Latest,
    /// It went into the history: a later version begins then.
    ValidTo(Timestamp),
    /// It is older than the history: it was dropped and counted (`Expired`).
    NotPut,
}

/// A versioned key-value store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. How long versions are kept after they were replaced is said
/// where the store is declared, in the time of what was put.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the processor's policy if
/// passed on), and a failure of the state, which stops or rebuilds the task.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder, Versioned, VersionedKeyValueStore};
/// # use millstream::record::{Record, Timestamp};
/// # use millstream::testing::TopologyDriver;
/// # struct Keep(VersionedKeyValueStore<String, i64>);
/// # impl Processor<String, i64> for Keep {
/// #     type KOut = String;
/// #     type VOut = i64;
/// #     fn process(&mut self, record: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
/// #         self.0.put(record.key, record.value, record.timestamp)?;
/// #         Ok(())
/// #     }
/// # }
/// use millstream::{VersionPut, VersionedRecord};
///
/// # let builder = StreamsBuilder::new();
/// # let prices = builder.store(Versioned::<String, i64>::named("prices", Duration::from_secs(3600)));
/// # builder.stream("in").process("keep", &prices, Keep).to("out");
/// # let driver = TopologyDriver::new(&builder.build()?)?;
/// // As a processor has it, and here a test.
/// let prices: VersionedKeyValueStore<String, i64> = driver.versioned_store("prices")?;
/// let pen = "pen".to_owned();
/// assert_eq!(prices.put(pen.clone(), 2, Timestamp(1_000))?, VersionPut::Latest);
/// assert_eq!(prices.put(pen.clone(), 5, Timestamp(9_000))?, VersionPut::Latest);
/// // One that comes late: it held for a while.
/// assert_eq!(prices.put(pen.clone(), 3, Timestamp(4_000))?, VersionPut::ValidTo(Timestamp(9_000)));
/// let then = prices.get_as_of(&pen, Timestamp(5_000))?;
/// assert_eq!(then, Some(VersionedRecord { value: 3, timestamp: Timestamp(4_000), valid_to: Some(Timestamp(9_000)) }));
/// assert_eq!(prices.get(&pen)?.map(|latest| latest.value), Some(5));
/// assert_eq!(prices.delete(&pen, Timestamp(10_000))?.map(|latest| latest.value), Some(5));
/// assert_eq!(prices.get(&pen)?, None);
/// # Ok::<(), BoxError>(())
/// ```
pub struct VersionedKeyValueStore<K, V>(Rc<RefCell<TableStore<K, V>>>);

impl<K, V> Clone for VersionedKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for VersionedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedKeyValueStore").finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> VersionedKeyValueStore<K, V> {
    /// A handle on the store of a task.
    pub(crate) fn of(store: &TaskStore) -> Result<Self> {
        Ok(Self(store.typed()?))
    }

    /// The latest version of a key.
    ///
    /// # Errors
    /// See [`VersionedKeyValueStore`].
    pub fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>> {
        let latest = self.0.borrow_mut().get(key)?;
        let record = |(value, timestamp)| VersionedRecord { value, timestamp, valid_to: None };
        Ok(latest.map(record))
    }

    /// The version of a key that was valid at a time; none if there was none, or the history does not reach so far.
    ///
    /// # Errors
    /// See [`VersionedKeyValueStore`].
    pub fn get_as_of(&self, key: &K, at: Timestamp) -> Result<Option<VersionedRecord<V>>> {
        let found = self.0.borrow_mut().version_as_of(key, at)?;
        Ok(found.map(|((value, timestamp), to)| {
            let valid_to = to.map(Timestamp);
            VersionedRecord { value, timestamp, valid_to }
        }))
    }

    /// Puts a version that is valid from a time on.
    ///
    /// # Errors
    /// See [`VersionedKeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V, from: Timestamp) -> Result<VersionPut> {
        self.write(&key, Some(value), from)
    }

    /// Says that there is nothing under a key from a time on; returns what was valid then. A deletion that is older than
    /// the history is dropped, and returns nothing.
    ///
    /// # Errors
    /// See [`VersionedKeyValueStore`].
    pub fn delete(&self, key: &K, from: Timestamp) -> Result<Option<VersionedRecord<V>>> {
        let there = self.get_as_of(key, from)?;
        Ok(match self.write(key, None, from)? {
            VersionPut::NotPut => None,
            VersionPut::Latest | VersionPut::ValidTo(_) => there,
        })
    }

    fn write(&self, key: &K, value: Option<V>, from: Timestamp) -> Result<VersionPut> {
        Ok(match self.0.borrow_mut().put_version(key, value, from)? {
            Placed::Latest => VersionPut::Latest,
            Placed::Past { until } => VersionPut::ValidTo(Timestamp(until)),
            Placed::Not => VersionPut::NotPut,
        })
    }
}
