//! The key-value store of processors: no timestamps, no record cache, each put logged.
//!
//! | operation | state | changelog |
//! |---|---|---|
//! | `put` | replaces the value; a value that its serde writes as null deletes | value or null |
//! | `put_if_absent` | puts if there is none, returns what is there | value if put |
//! | `delete` | deletes, returns what was there | null, also if nothing was there |
//! | reads | of uncommitted writes and of committed state | none |

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::{Direction, KeyRange};

use crate::error::Result;
use crate::record::{Data, RecordTime};
use crate::store::key_value::iterator::KeyValueIterator;
use crate::store::key_value::state::KeyValueState;
use crate::store::supplier::TaskStore;

/// A key-value store of one task, as its processors see it.
///
/// A handle is cheap to clone and never leaves its task. Ranges go by the order of the serialised
/// keys. An iterator shows the store as it was when it was made: one may put, delete and forward
/// while iterating. That holds for one call of the processor: a commit may come before the next one, so an iterator is not
/// kept. Making one copies what of its range is not committed yet.
///
/// Errors are of two kinds: a key or value that its serde refuses (`BadRecord`, handled by the
/// processor's policy if passed on), and a failure of the state, which stops or rebuilds the task.
///
/// ```
/// # use millstream::{KeyValue, KeyValueIterator, KeyValueStore, StreamsBuilder, testing::TopologyDriver};
/// # use millstream::{BoxError, Context, Processor, record::Record};
/// # struct Keep(KeyValueStore<String, i64>);
/// # impl Processor<String, i64> for Keep {
/// #     type KOut = String;
/// #     type VOut = i64;
/// #     fn process(&mut self, record: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
/// #         Ok(self.0.put(record.key, record.value)?)
/// #     }
/// # }
/// # let builder = StreamsBuilder::new();
/// # let stock = builder.store(KeyValue::<String, i64>::named("stock"));
/// # builder.stream("in").process("keep", &stock, Keep).to("out");
/// # let driver = TopologyDriver::new(&builder.build()?)?;
/// // As a processor has it, and here a test.
/// let stock: KeyValueStore<String, i64> = driver.key_value_store("stock")?;
/// for (what, left) in [("ink", 2), ("paper", 9), ("pens", 5)] {
///     stock.put(what.to_owned(), left)?;
/// }
/// assert_eq!(stock.get(&"pens".to_owned())?, Some(5));
/// assert_eq!(stock.put_if_absent("pens".to_owned(), 7)?, Some(5));
/// assert_eq!(stock.delete(&"ink".to_owned())?, Some(2));
///
/// let names = |entries: KeyValueIterator<String, i64>| {
///     entries.map(|entry| entry.map(|(what, _)| what)).collect::<Result<Vec<_>, _>>()
/// };
/// assert_eq!(names(stock.all()?)?, ["paper", "pens"]);
/// assert_eq!(names(stock.reverse_all()?)?, ["pens", "paper"]);
/// assert_eq!(names(stock.range("pb".to_owned()..)?)?, ["pens"]);
/// assert_eq!(names(stock.reverse_range(.."pz".to_owned())?)?, ["pens", "paper"]);
/// assert_eq!(names(stock.prefix_scan(&"pa".to_owned())?)?, ["paper"]);
/// assert!(stock.approximate_entries() >= 2);
/// # Ok::<(), BoxError>(())
/// ```
pub struct KeyValueStore<K, V> {
    state: Rc<RefCell<KeyValueState<K, V>>>,
    /// The time of the record in hand, at which writes are logged.
    time: RecordTime,
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self { state: Rc::clone(&self.state), time: self.time.clone() }
    }
}

impl<K, V> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyValueStore").field(self.state.borrow().logged.name()).finish()
    }
}

impl<K: Data, V: Data> KeyValueStore<K, V> {
    /// A handle on the store of a task, whose writes are logged at this time.
    pub(crate) fn of(store: &TaskStore, time: &RecordTime) -> Result<Self> {
        Ok(Self { state: store.typed()?, time: time.clone() })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.state.borrow_mut().get(key)
    }

    /// Puts a value.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put(&self, key: K, value: V) -> Result<()> {
        self.state.borrow_mut().put(&key, Some(value), self.time.get())
    }

    /// Puts a value if the key has none; returns the value that is there already.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    #[expect(clippy::needless_pass_by_value, reason = "a put reads as in Kafka Streams")]
    pub fn put_if_absent(&self, key: K, value: V) -> Result<Option<V>> {
        let mut state = self.state.borrow_mut();
        let there = state.get(&key)?;
        if there.is_none() {
            state.put(&key, Some(value), self.time.get())?;
        }
        Ok(there)
    }

    /// Deletes a key; returns the value that was there.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn delete(&self, key: &K) -> Result<Option<V>> {
        let mut state = self.state.borrow_mut();
        let there = state.get(key)?;
        state.put(key, None, self.time.get())?;
        Ok(there)
    }

    /// The entries whose keys lie in a range, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>> {
        self.state.borrow().range(keys, Direction::Forward)
    }

    /// The entries whose keys lie in a range, descending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>> {
        self.state.borrow().range(keys, Direction::Backward)
    }

    /// The entries whose keys begin, as bytes, with the bytes of `prefix`, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn prefix_scan(&self, prefix: &K) -> Result<KeyValueIterator<K, V>> {
        let state = self.state.borrow();
        let mut bytes = Vec::new();
        state.keys.encode_key(prefix, &mut bytes)?;
        Ok(state.scan(KeyRange::prefix(&bytes), Direction::Forward))
    }

    /// All entries, ascending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn all(&self) -> Result<KeyValueIterator<K, V>> {
        self.range(..)
    }

    /// All entries, descending.
    ///
    /// # Errors
    /// See [`KeyValueStore`].
    pub fn reverse_all(&self) -> Result<KeyValueIterator<K, V>> {
        self.reverse_range(..)
    }

    /// About how many entries there are.
    pub fn approximate_entries(&self) -> u64 {
        self.state.borrow().logged.entries_estimate()
    }
}
