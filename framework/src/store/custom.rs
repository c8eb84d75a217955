//! A store of the user's own: its content is the user's business, its changelog ours.
//!
//! | when | what happens |
//! |---|---|
//! | a task starts | the store is made, and each record of its changelog is handed to `restore`, in order |
//! | it changes | it logs what it needs to become the same again, through its [`StoreChangelog`] |
//! | a commit is confirmed | `commit`: what was logged stays |
//! | an abort | the store is dropped, a new one is made and restored: no undoing |
//! | the task ends | it is dropped |
//!
//! It lives in memory, and is restored from the changelog's start each time. Without a changelog it is empty after each of
//! these.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, StoreId, TaskStores};

use crate::error::{BoxError, Error, Result};
use crate::log::RawRecord;
use crate::record::{RecordTime, Shared, Timestamp};
use crate::store::changelog::Changelog;
use crate::store::described::{Described, short_name};
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::state_store::StateStore;
use crate::store::supplier::{StoreSupplier, TaskStore};

/// A store of one's own, for a structure that no kind of store has: declare it with [`Custom`](crate::Custom).
///
/// Processors get it as `Rc<RefCell<S>>`. It must log whatever it cannot do without: what [`Self::restore`] is given is
/// what was logged, the last record of each key at least (the changelog is compacted), in the order in which it was
/// logged. Borrow it only as long as needed: what a processor forwards may come to another one that borrows it.
///
/// ```
/// # use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder};
/// # use millstream::record::Record;
/// # use millstream::testing::{TopologyDriver, text};
/// use millstream::{ChangelogRecord, Custom, CustomStore, StoreChangelog};
///
/// /// The scores of players, in both orders.
/// struct Board { of: BTreeMap<String, i64>, ranks: BTreeMap<(i64, String), ()>, changelog: StoreChangelog }
///
/// impl Board {
///     fn set(&mut self, player: &str, score: i64) -> Result<(), BoxError> {
///         self.changelog.log(player.as_bytes(), Some(&score.to_be_bytes()))?;
///         self.keep(player.to_owned(), score);
///         Ok(())
///     }
///
///     fn keep(&mut self, player: String, score: i64) {
///         if let Some(before) = self.of.insert(player.clone(), score) {
///             self.ranks.remove(&(before, player.clone()));
///         }
///         self.ranks.insert((score, player), ());
///     }
/// }
///
/// impl CustomStore for Board {
///     fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
///         let player = String::from_utf8(record.key.to_vec())?;
///         let score = record.value.ok_or("no score is ever deleted")?;
///         self.keep(player, i64::from_be_bytes(score.try_into()?));
///         Ok(())
///     }
/// }
///
/// /// Hands on who leads.
/// struct Leads(Rc<RefCell<Board>>);
///
/// impl Processor<String, i64> for Leads {
///     type KOut = String;
///     type VOut = i64;
///
///     fn process(&mut self, scored: Record<String, i64>, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
///         self.0.borrow_mut().set(&scored.key, scored.value)?;
///         let first = self.0.borrow().ranks.last_key_value().map(|((score, player), ())| (player.clone(), *score));
///         if let Some((player, score)) = first {
///             ctx.forward(Record::new(player, score, scored.timestamp));
///         }
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let make = |changelog| Board { of: BTreeMap::new(), ranks: BTreeMap::new(), changelog };
/// let board = builder.store(Custom::named("board", make));
/// builder.stream("scores").process("leads", &board, Leads).to("leaders");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for (player, score) in [("ada", 3_i64), ("bob", 5), ("bob", 1)] {
///     driver.pipe("scores", &Record::new(player.to_owned(), score, millstream::record::Timestamp(1)))?;
/// }
/// let leaders: Vec<String> = driver.read::<String, i64>("leaders")?.into_iter().map(|it| it.key).collect();
/// assert_eq!(leaders, ["ada", "bob", "ada"]);
/// assert_eq!(driver.custom_store::<Board>("board")?.borrow().of.len(), 2);
/// # Ok::<(), BoxError>(())
/// ```
pub trait CustomStore: 'static {
    /// Takes over a record of the changelog, before the first record is processed.
    ///
    /// # Errors
    /// Stops the instance: a changelog that cannot be read is no store's.
    fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError>;

    /// What was logged since the last commit stays.
    fn commit(&mut self) {}
}

/// A record of the changelog of a [`CustomStore`].
///
/// ```
/// use millstream::ChangelogRecord;
///
/// fn is_deletion(record: &ChangelogRecord<'_>) -> bool {
///     record.value.is_none()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChangelogRecord<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value; none is a deletion.
    pub value: Option<&'a [u8]>,
    /// Its time.
    pub timestamp: Timestamp,
}

/// The changelog that a [`CustomStore`] is given: what is logged comes back when the store is restored. Without a
/// changelog topic it does nothing.
#[derive(Debug)]
pub struct StoreChangelog {
    changelog: RefCell<Option<Changelog>>,
    time: RecordTime,
}

impl StoreChangelog {
    /// Logs the value of a key (none: its deletion) at the time of the record in hand.
    ///
    /// # Errors
    /// When the producer refuses: hand it on.
    pub fn log(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.log_at(key, value, self.time.get())
    }

    /// As [`Self::log`], at another time.
    ///
    /// ```
    /// use millstream::{Result, StoreChangelog, record::Timestamp};
    ///
    /// fn opened(changelog: &StoreChangelog, door: &str, at: Timestamp) -> Result<()> {
    ///     changelog.log_at(door.as_bytes(), Some(b"open"), at)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::log`].
    pub fn log_at(&self, key: &[u8], value: Option<&[u8]>, at: Timestamp) -> Result<()> {
        match &mut *self.changelog.borrow_mut() {
            Some(changelog) => changelog.log(key, value, at),
            None => Ok(()),
        }
    }
}

/// Makes the store of one task.
type Make<S> = Arc<dyn Fn(StoreChangelog) -> S + Send + Sync>;

/// A store of the user's.
pub(crate) struct CustomSpec<S> {
    pub(crate) options: StoreOptions,
    make: Make<S>,
}

impl<S: CustomStore> CustomSpec<S> {
    pub(crate) fn new(name: &str, make: impl Fn(StoreChangelog) -> S + Shared) -> Self {
        let options = StoreOptions { in_memory: true, ..StoreOptions::named(name) };
        Self { options, make: Arc::new(make) }
    }
}

impl<S> fmt::Debug for CustomSpec<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomSpec").field(&self.options).finish()
    }
}

impl<S: CustomStore> StoreSupplier for CustomSpec<S> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (changelog, time) = (self.options.open_changelog(place)?, place.record_time.clone());
        // What an abort left is gone with the store that had it: it is restored from the changelog's start.
        place.stores.clear(place.id)?;
        let store = made(&self.make, changelog.as_ref(), &time);
        Ok(TaskStore::new(CustomState {
            name: Arc::clone(&self.options.name),
            id: place.id,
            stores: place.stores.clone(),
            changelog,
            time,
            make: Arc::clone(&self.make),
            store: Rc::new(RefCell::new(store)),
        }))
    }
}

fn made<S>(make: &Make<S>, changelog: Option<&Changelog>, time: &RecordTime) -> S {
    let changelog = RefCell::new(changelog.cloned());
    make(StoreChangelog { changelog, time: time.clone() })
}

/// The store of one task.
pub(crate) struct CustomState<S> {
    name: Arc<str>,
    id: StoreId,
    stores: TaskStores,
    changelog: Option<Changelog>,
    time: RecordTime,
    make: Make<S>,
    store: Rc<RefCell<S>>,
}

impl<S: CustomStore> CustomState<S> {
    /// The store as its processors see it.
    pub(crate) fn store(&self) -> Rc<RefCell<S>> {
        Rc::clone(&self.store)
    }
}

impl<S: CustomStore> StateStore for CustomState<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    fn restore(&mut self, _batch: &mut Batch, record: &RawRecord<'_>) -> Result<()> {
        let Some(key) = record.key else { return Ok(()) };
        let (value, timestamp) = (record.value, Timestamp(record.timestamp));
        let restored = self.store.borrow_mut().restore(ChangelogRecord { key, value, timestamp });
        restored.map_err(|error| Error::Fatal {
            what: format!("restoring store {}", self.name),
            reason: error.to_string(),
        })
    }

    fn clear(&mut self) -> Result<()> {
        // Handles on the old one see the new one.
        *self.store.borrow_mut() = made(&self.make, self.changelog.as_ref(), &self.time);
        Ok(self.stores.clear(self.id)?)
    }

    fn drain(&mut self, _batch: &mut Batch) {
        self.store.borrow_mut().commit();
    }

    fn rollback(&mut self) {
        // Nothing is undone: what is not known any more is restored. In memory, this cannot fail.
        let _ = self.clear();
    }

    fn committed(&self) -> Box<dyn Any> {
        Box::new(())
    }
}

impl<S> Described for CustomState<S> {
    fn described() -> String {
        format!("a custom store {}", short_name::<S>())
    }
}
