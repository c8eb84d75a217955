//! Questions to the stores of a running instance, asked from any thread.
//!
//! A question travels to each task of the instance that has the store, and is answered there
//! between two records, on the task's own thread: no lock is taken, and no state is shared. It sees
//! **committed** state only: what an abort could take back is never shown. It sees the partitions
//! of this instance only; the others are where their tasks run. A global table, which each instance
//! has as a whole, is read by whoever asks.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use millstream_state::Direction;

use crate::error::{Error, Result};
use crate::record::{Data, Timestamp, Windowed};
use crate::store::{Committed, StoredEntry, short_name};

/// What is done with each store that is asked: its name, and what gives a `Committed` of its types.
pub(crate) type Question = Arc<dyn Fn(&str, &dyn Fn() -> Box<dyn Any>) + Send + Sync>;

/// The way from a question to the tasks.
pub(crate) trait Tasks: Send + Sync {
    /// Hands a question to every running task of this instance, without waiting, and asks its global tables. Each task
    /// calls it once per store, between two records, and drops it then; a task that cannot be reached drops it at
    /// once.
    ///
    /// # Errors
    /// When the instance does not run.
    fn ask(&self, question: Question) -> Result<()>;

    /// Refuses the name of a store that the topology does not have.
    ///
    /// # Errors
    /// When there is no such store, with the names of those that there are.
    fn check(&self, store: &str) -> Result<()>;
}

/// A store of a running instance, to be read from outside. `K` and `V` are the types of the store;
/// for window stores `K` is `Windowed` of the key.
///
/// Every read waits for the tasks to answer, up to a timeout. With several tasks on this instance,
/// entries come task by task, each in the order of its store.
///
/// ```
/// # use std::time::Duration;
/// use millstream::record::{Timestamp, Windowed};
/// use millstream::{BoxError, StoreQuery, Streams};
///
/// /// What the stores of a running instance have committed.
/// fn look(streams: &Streams) -> Result<(), BoxError> {
///     let counts: StoreQuery<String, i64> = streams.store("counts").timeout(Duration::from_secs(1));
///     if let Some(row) = counts.get(&"ada".to_owned())? {
///         println!("{} at {:?}", row.value, row.timestamp);
///     }
///     for row in counts.range("a".to_owned().."b".to_owned(), 100)? {
///         println!("{}: {}", row.key, row.value);
///     }
///     println!("{} and {}", counts.all(100)?.len(), counts.reverse_range(.., 100)?.len());
///     let windows: StoreQuery<Windowed<String>, i64> = streams.store("per-minute");
///     let (from, to) = (Timestamp(0), Timestamp(3_600_000));
///     let minutes = windows.fetch(&"ada".to_owned(), from, to, 60)?;
///     println!("{} windows", minutes.len());
///     Ok(())
/// }
/// ```
pub struct StoreQuery<K, V> {
    tasks: Arc<dyn Tasks>,
    store: Arc<str>,
    timeout: Duration,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for StoreQuery<K, V> {
    fn clone(&self) -> Self {
        Self {
            tasks: Arc::clone(&self.tasks),
            store: Arc::clone(&self.store),
            timeout: self.timeout,
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for StoreQuery<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreQuery")
            .field("store", &self.store)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A turn of a task takes milliseconds; one that does not answer within this is stuck, and the one who
/// asks should hear of it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

impl<K: Data + Sync, V: Data> StoreQuery<K, V> {
    pub(crate) fn new(tasks: Arc<dyn Tasks>, store: &str) -> Self {
        Self { tasks, store: store.into(), timeout: TIMEOUT_DEFAULT, types: PhantomData }
    }

    /// Waits no longer than this for an answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The entry of a key; none if it is not in a partition of this instance.
    ///
    /// # Errors
    /// `Unavailable` when no task of this instance has the store or a task does not answer,
    /// `Config` when the store is of other types, `Fatal` when the topology has none of this name.
    pub fn get(&self, key: &K) -> Result<Option<StoredEntry<K, V>>> {
        let key = key.clone();
        let found = self.ask(move |store| Ok(store.get(&key)?.into_iter().collect()))?;
        Ok(found.into_iter().next())
    }

    /// Up to `limit` entries whose keys lie in a range, ascending by the bytes of their keys within
    /// each task; windows in the order of their store.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn range(&self, keys: impl RangeBounds<K>, limit: usize) -> Result<Vec<StoredEntry<K, V>>> {
        self.read(keys, Direction::Forward, limit)
    }

    /// As [`Self::range`], descending.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn reverse_range(
        &self,
        keys: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<StoredEntry<K, V>>> {
        self.read(keys, Direction::Backward, limit)
    }

    /// Up to `limit` entries, in the order of [`Self::range`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn all(&self, limit: usize) -> Result<Vec<StoredEntry<K, V>>> {
        self.range(.., limit)
    }

    fn read(
        &self,
        keys: impl RangeBounds<K>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<StoredEntry<K, V>>> {
        let bounds = (keys.start_bound().cloned(), keys.end_bound().cloned());
        let mut found = self.ask(move |store| store.range(bounds.clone(), direction, limit))?;
        found.truncate(limit);
        Ok(found)
    }

    /// Asks all tasks and puts their answers together.
    fn ask(
        &self,
        read: impl Fn(&Committed<K, V>) -> Result<Vec<StoredEntry<K, V>>> + Send + Sync + 'static,
    ) -> Result<Vec<StoredEntry<K, V>>> {
        self.tasks.check(&self.store)?;
        let (answer, answers) = channel();
        self.tasks.ask(question(&self.store, read, answer))?;
        let mut all = Vec::new();
        let mut answered = false;
        // The channel ends when the last task has dropped the question.
        loop {
            match answers.recv_timeout(self.timeout) {
                Ok(found) => {
                    all.append(&mut found?);
                    answered = true;
                }
                Err(RecvTimeoutError::Disconnected) if answered => return Ok(all),
                Err(RecvTimeoutError::Disconnected) => return Err(self.unanswered("has no task")),
                Err(RecvTimeoutError::Timeout) => return Err(self.unanswered("did not answer")),
            }
        }
    }

    fn unanswered(&self, what: &str) -> Error {
        Error::Unavailable {
            what: format!("asking store {}", self.store),
            reason: format!("it {what} on this instance"),
        }
    }
}

impl<K: Data + Sync, V: Data> StoreQuery<Windowed<K>, V> {
    /// Up to `limit` windows of a key that start in `[from, to]`, by start.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredEntry<Windowed<K>, V>>> {
        let key = key.clone();
        let mut found =
            self.ask(move |store| store.fetch(&key, (from, to), Direction::Forward, limit))?;
        found.truncate(limit);
        Ok(found)
    }
}

type Answer<K, V> = Result<Vec<StoredEntry<K, V>>>;

/// What each task runs on each of its stores.
fn question<K: Data, V: Data>(
    name: &Arc<str>,
    read: impl Fn(&Committed<K, V>) -> Answer<K, V> + Send + Sync + 'static,
    answer: Sender<Answer<K, V>>,
) -> Question {
    let name = Arc::clone(name);
    Arc::new(move |store, committed| {
        if store != &*name {
            return;
        }
        let found = match committed().downcast::<Committed<K, V>>() {
            Ok(committed) => read(&committed),
            Err(_) => Err(Error::Config(format!(
                "store {name} does not hold {} by {}",
                short_name::<V>(),
                short_name::<K>(),
            ))),
        };
        // Whoever asked may have given up.
        let _ = answer.send(found);
    })
}

#[cfg(test)]
mod tests;
