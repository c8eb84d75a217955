//! The rows of a table, read by a processor that is not the table's own.
//!
//! | | rows of a table | rows of a global table |
//! |---|---|---|
//! | which | those of the task's partition | all |
//! | as of | now: the record cache and what is not committed yet included | as new as they got here |
//! | an iterator, within one call | shows the table as it was when it was made | may show what comes meanwhile |
//!
//! Nothing is written: that is the table's business.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeBounds;
use std::rc::Rc;

use millstream_state::Direction;

use crate::error::Result;
use crate::record::{Data, Session, Timestamp, Windowed};
use crate::store::global::{GlobalRows, GlobalScan};
use crate::store::supplier::TaskStore;
use crate::store::table::{TableRows, TableStore};

/// The rows of a table or of a global table, as processors read them: name the table where a processor names its
/// stores.
///
/// A handle is cheap to clone and never leaves its task. Each row comes with its time. Ranges go by the order of the
/// serialised keys. A table that computes its rows has none to be read: keep them, with
/// [`KTable::materialized`](crate::KTable::materialized).
///
/// ```
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder};
/// # use millstream::record::{Record, Timestamp};
/// # use millstream::testing::{TopologyDriver, text};
/// use millstream::ReadOnlyStore;
///
/// /// Hands on orders of what there is, at the price of the moment, in the currency of the country.
/// struct Priced { prices: ReadOnlyStore<String, i64>, currencies: ReadOnlyStore<String, String> }
///
/// impl Processor<String, String> for Priced {
///     type KOut = String;
///     type VOut = String;
///
///     fn process(&mut self, order: Record<String, String>, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         let Some((price, since)) = self.prices.get(&order.key)? else { return Ok(()) };
///         let currency = self.currencies.get(&order.value)?.map_or("EUR".to_owned(), |(currency, _)| currency);
///         let line = format!("{price} {currency} since {}, one of {}", since.0, self.prices.all()?.count());
///         ctx.forward(Record::new(order.key, line, order.timestamp));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let prices = builder.table::<String, i64>("prices", "prices");
/// let currencies = builder.global_table::<String, String>("currencies", "currencies");
/// let orders = builder.stream::<String, String>("orders");
/// orders.process("priced", (&prices, &currencies), |(prices, currencies)| Priced { prices, currencies }).to("lines");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("prices", &Record::new("pen".to_owned(), 2_i64, Timestamp(5)))?;
/// driver.pipe("currencies", &text("CH", "CHF", 6))?;
/// driver.pipe("orders", &text("pen", "CH", 7))?;
/// assert_eq!(driver.read::<String, String>("lines")?[0].value, "2 CHF since 5, one of 1");
/// # Ok::<(), BoxError>(())
/// ```
pub struct ReadOnlyStore<K, V>(Rows<K, V>);

enum Rows<K, V> {
    OfTable(Rc<RefCell<TableStore<K, V>>>),
    Global(Rc<RefCell<GlobalRows<K, V>>>),
}

impl<K, V> Clone for ReadOnlyStore<K, V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Rows::OfTable(rows) => Rows::OfTable(Rc::clone(rows)),
            Rows::Global(rows) => Rows::Global(Rc::clone(rows)),
        })
    }
}

impl<K, V> fmt::Debug for ReadOnlyStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match &self.0 {
            Rows::OfTable(_) => "a table",
            Rows::Global(_) => "a global table",
        };
        f.debug_tuple("ReadOnlyStore").field(&of).finish()
    }
}

impl<K: Data, V: Data> ReadOnlyStore<K, V> {
    /// The rows of a table of this task.
    pub(crate) fn of(store: &TaskStore) -> Result<Self> {
        Ok(Self(Rows::OfTable(store.typed()?)))
    }

    /// The rows of a global table.
    pub(crate) fn of_global(rows: GlobalRows<K, V>) -> Self {
        Self(Rows::Global(Rc::new(RefCell::new(rows))))
    }

    /// The row of a key, with its time.
    ///
    /// # Errors
    /// A key that its serde refuses (`BadRecord`), or a failure of the state.
    pub fn get(&self, key: &K) -> Result<Option<(V, Timestamp)>> {
        match &self.0 {
            Rows::OfTable(rows) => rows.borrow_mut().get(key),
            Rows::Global(rows) => rows.borrow_mut().get(key),
        }
    }

    /// The row of a key as of a time, where the table keeps versions; the latest one otherwise.
    ///
    /// ```
    /// use millstream::{BoxError, ReadOnlyStore, record::Timestamp};
    ///
    /// /// What a thing cost an hour ago.
    /// fn price_before(prices: &ReadOnlyStore<String, i64>, what: &String, now: Timestamp) -> Result<Option<i64>, BoxError> {
    ///     Ok(prices.get_as_of(what, Timestamp(now.0 - 3_600_000))?.map(|(price, _)| price))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_as_of(&self, key: &K, at: Timestamp) -> Result<Option<(V, Timestamp)>> {
        match &self.0 {
            Rows::OfTable(rows) => rows.borrow_mut().get_as_of(key, at),
            Rows::Global(rows) => rows.borrow_mut().get(key),
        }
    }

    /// The rows whose keys lie in a range, ascending; of windows and sessions those that have not expired, in the order
    /// of the store.
    ///
    /// ```
    /// use millstream::{BoxError, ReadOnlyStore};
    ///
    /// /// Names from `a` up to `n`, those that begin with `m`, the first and the last.
    /// fn names(users: &ReadOnlyStore<String, String>) -> Result<(usize, usize, Vec<String>), BoxError> {
    ///     let half = users.range(.."n".to_owned())?.count() + users.reverse_range("x".to_owned()..)?.count();
    ///     let of_m = users.prefix_scan(&"m".to_owned())?.count();
    ///     let ends = users.all()?.take(1).chain(users.reverse_all()?.take(1));
    ///     Ok((half, of_m, ends.map(|row| row.map(|(name, ..)| name)).collect::<Result<_, _>>()?))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<RowIterator<K, V>> {
        self.read(keys, Direction::Forward)
    }

    /// As [`Self::range`], descending.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<RowIterator<K, V>> {
        self.read(keys, Direction::Backward)
    }

    /// All rows, ascending.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn all(&self) -> Result<RowIterator<K, V>> {
        self.range(..)
    }

    /// All rows, descending.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn reverse_all(&self) -> Result<RowIterator<K, V>> {
        self.reverse_range(..)
    }

    /// The rows whose keys begin, as bytes, with the bytes of `prefix`, ascending.
    ///
    /// # Errors
    /// As [`Self::get`]; `Fatal` for windows and sessions.
    pub fn prefix_scan(&self, prefix: &K) -> Result<RowIterator<K, V>> {
        Ok(RowIterator(match &self.0 {
            Rows::OfTable(rows) => Found::Table(Box::new(rows.borrow().beginning_with(prefix)?)),
            Rows::Global(rows) => Found::Global(Box::new(rows.borrow().beginning_with(prefix)?)),
        }))
    }

    fn read(&self, keys: impl RangeBounds<K>, direction: Direction) -> Result<RowIterator<K, V>> {
        Ok(RowIterator(match &self.0 {
            Rows::OfTable(rows) => Found::Table(Box::new(rows.borrow().readable(keys, direction)?)),
            Rows::Global(rows) => Found::Global(Box::new(rows.borrow().range(keys, direction)?)),
        }))
    }
}

impl<K: Data, V: Data> ReadOnlyStore<Windowed<K>, V> {
    /// The windows of a key that start in `[from, to]`, by start.
    ///
    /// ```
    /// use millstream::{BoxError, ReadOnlyStore, record::{Timestamp, Windowed}};
    ///
    /// /// The sum of the last hour's windows of a key.
    /// fn of_the_hour(counts: &ReadOnlyStore<Windowed<String>, i64>, key: &String, now: Timestamp) -> Result<i64, BoxError> {
    ///     let windows = counts.fetch(key, Timestamp(now.0 - 3_600_000), now)?;
    ///     Ok(windows.map(|row| row.map(|(_, count, _)| count)).sum::<Result<i64, _>>()?)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<RowIterator<Windowed<K>, V>> {
        let Rows::OfTable(rows) = &self.0 else { return self.all() };
        let found = rows.borrow_mut().fetch(key, (from.0, to.0), Direction::Forward)?;
        Ok(RowIterator(Found::Table(Box::new(found))))
    }
}

impl<K: Data, V: Data> ReadOnlyStore<Session<K>, V> {
    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or before, by end and then
    /// by start.
    ///
    /// ```
    /// use millstream::{BoxError, ReadOnlyStore, record::{Session, Timestamp}};
    ///
    /// /// Whether somebody was there at a time.
    /// fn was_there(visits: &ReadOnlyStore<Session<String>, i64>, who: &String, at: Timestamp) -> Result<bool, BoxError> {
    ///     Ok(visits.find_sessions(who, at, at)?.next().transpose()?.is_some())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn find_sessions(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<RowIterator<Session<K>, V>> {
        let Rows::OfTable(rows) = &self.0 else { return self.all() };
        let found = rows.borrow_mut().sessions(key, earliest_end.0, latest_start.0)?;
        Ok(RowIterator(Found::Table(Box::new(found))))
    }
}

/// Rows with their times, in order; after an error it ends.
///
/// ```
/// use millstream::{BoxError, RowIterator};
///
/// /// When the latest of these rows was written.
/// fn latest(rows: RowIterator<String, i64>) -> Result<Option<i64>, BoxError> {
///     let times = rows.map(|row| row.map(|(_, _, time)| time.0)).collect::<Result<Vec<_>, _>>()?;
///     Ok(times.into_iter().max())
/// }
/// ```
pub struct RowIterator<K, V>(Found<K, V>);

enum Found<K, V> {
    Table(Box<TableRows<K, V>>),
    Global(Box<GlobalScan<K, V>>),
}

impl<K, V> fmt::Debug for RowIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowIterator").finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Iterator for RowIterator<K, V> {
    type Item = Result<(K, V, Timestamp)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Found::Table(rows) => rows.next(),
            Found::Global(rows) => rows.next(),
        }
    }
}
