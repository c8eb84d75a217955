//! `count`, `reduce`, `aggregate`, `aggregate_retain`: one row per key.
//!
//! | | |
//! |---|---|
//! | emits | the change of the row: at each record, or with a record cache once per key and flush |
//! | drops | null keys (`NullKey`) and null values (`NullValue`); rows that the store cannot write (`Failed`, by policy) |
//! | key | the group's |
//! | time | the later one of the record's and the row's |
//! | headers | of the record |
//! | state | a key-value store with timestamps; `aggregate_retain`: `false` deletes the row and emits the deletion |

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::group::grouped::KGroupedStream;
use crate::operators::table::{KTable, expired, forward_held};
use crate::policy::DropReason;
use crate::record::{Change, Data, Record, Shared};
use crate::store::{Materialized, Outcome, Serdes, Stamp, TableSpec, TableStore};
use crate::topology::{Linker, StoreIndex};

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// How many records there are per key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words").group_by(|_, word| word.clone());
    /// words.count("counts").updates().to("counts");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in 1..=3 {
    ///     driver.pipe("words", &text("", "be", at))?;
    /// }
    /// let counts = driver.read::<String, i64>("counts")?;
    /// assert_eq!(counts.iter().map(|row| row.value).collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn count(&self, store: impl Into<Materialized<K, i64>>) -> KTable<K, i64> {
        self.rows("KSTREAM-AGGREGATE-", store.into(), Some(Arc::new(|| 0)), |_, _, count| {
            Some(count.unwrap_or(0) + 1)
        })
    }

    /// Combines the values of each key: the first is the result so far, each later one is combined
    /// with it.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines").group_by_key();
    /// lines.reduce("longest", |a, b| if a.len() >= b.len() { a } else { b }).updates().to("longest");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("lines", &text("k", "ab", 1))?;
    /// driver.pipe("lines", &text("k", "a", 2))?;
    /// assert_eq!(driver.table::<String, String>("longest")?[0].1, "ab");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn reduce(
        &self,
        store: impl Into<Materialized<K, V>>,
        f: impl Fn(V, V) -> V + Shared,
    ) -> KTable<K, V> {
        self.rows("KSTREAM-REDUCE-", store.into(), None, move |_, value, so_far| {
            Some(match so_far {
                Some(so_far) => f(so_far, value),
                None => value,
            })
        })
    }

    /// Adds the values of each key up into something else, in place, beginning with what `init` makes.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, serde::Json, Materialized};
    /// # let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("lines").group_by_key().aggregate(
    ///     Materialized::with_values("words", Json),
    ///     Vec::new,
    ///     |_, line, words: &mut Vec<String>| words.extend(line.split(' ').map(str::to_owned)),
    /// );
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        store: impl Into<Materialized<K, A>>,
        init: impl Fn() -> A + Shared,
        f: impl Fn(&K, V, &mut A) + Shared,
    ) -> KTable<K, A> {
        self.aggregate_retain(store, init, move |key, value, row| {
            f(key, value, row);
            true
        })
    }

    /// As [`Self::aggregate`]; `false` deletes the row, and the next record begins with `init` again, as
    /// `Vec::retain_mut` does.
    ///
    /// ```
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let open = builder.stream::<String, i64>("payments").group_by_key().aggregate_retain(
    ///     "open",
    ///     || 0,
    ///     |_, cents, open| {
    ///         *open += cents;
    ///         *open != 0
    ///     },
    /// );
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate_retain<A: Data>(
        &self,
        store: impl Into<Materialized<K, A>>,
        init: impl Fn() -> A + Shared,
        f: impl Fn(&K, V, &mut A) -> bool + Shared,
    ) -> KTable<K, A> {
        let init: First<A> = Arc::new(init);
        let first = Some(Arc::clone(&init));
        self.rows("KSTREAM-AGGREGATE-", store.into(), first, move |key, value, so_far| {
            let mut row = so_far.unwrap_or_else(|| init());
            f(key, value, &mut row).then_some(row)
        })
    }

    fn rows<A: Data>(
        &self,
        prefix: &str,
        store: Materialized<K, A>,
        first: Option<First<A>>,
        f: impl Fn(&K, V, Option<A>) -> Option<A> + Shared,
    ) -> KTable<K, A> {
        let key = Arc::clone(&store.serdes.key);
        let supplier = Arc::new(TableSpec::from(store));
        let f = Arc::new(f);
        let serdes = self.serdes.clone();
        self.aggregated(prefix, supplier, key, |index| {
            move |linker: &mut Linker<'_>| {
                add_aggregate(linker, index, (serdes.clone(), first.clone()), Arc::clone(&f))
            }
        })
    }
}

/// Makes a row that is not there yet.
pub(crate) type First<A> = Arc<dyn Fn() -> A + Send + Sync>;

/// Adds each record to the row of its key.
struct Aggregate<K, V, A, F> {
    f: Arc<F>,
    /// What a row is before its first change, if somebody asks for old rows.
    first: Option<First<A>>,
    serdes: Serdes<K, V>,
    store: Rc<RefCell<TableStore<K, A>>>,
    children: Children<K, Change<A>>,
    faults: Faults,
}

/// Makes the node that adds records to the rows of a store; `first` makes a row that is not there yet.
pub(crate) fn add_aggregate<K: Data, V: Data, A: Data>(
    linker: &mut Linker<'_>,
    index: StoreIndex,
    (serdes, first): (Serdes<K, V>, Option<First<A>>),
    f: Arc<impl Fn(&K, V, Option<A>) -> Option<A> + 'static>,
) -> Result<()> {
    let store = linker.store(index)?.typed::<TableStore<K, A>>()?;
    let first = first.filter(|_| linker.sends_old());
    if linker.sends_old() {
        store.borrow_mut().send_old_values();
    }
    let children = linker.children::<K, Change<A>>()?;
    linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
    let faults = linker.faults()?;
    linker.add::<K, V, _>(Aggregate { f, first, serdes, store, children, faults });
    Ok(())
}

impl<K: Data, V: Data, A: Data, F> Node for Aggregate<K, V, A, F> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        forward_held(&self.store, &self.children, &self.faults, ctx)
    }
}

impl<K, V, A, F> Operator<K, V> for Aggregate<K, V, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, V, Option<A>) -> Option<A>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.serdes.key.is_null(&key) {
            let written = || Written::new(self.serdes.bytes(&key, &value), timestamp, &headers);
            let why = format_args!("its key is null");
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        if self.serdes.value.is_null(&value) {
            let written = || Written::new(self.serdes.bytes(&key, &value), timestamp, &headers);
            let why = format_args!("its value is null");
            return self.faults.dropped_record(DropReason::NullValue, ctx, why, &written);
        }
        let stamp = Stamp { timestamp, headers: &headers };
        let mut is_new = false;
        let make = |so_far: Option<A>| {
            is_new = so_far.is_none();
            (self.f)(&key, value, so_far)
        };
        // Let go of the store before forwarding: operators downstream may read it.
        let outcome = self.store.borrow_mut().update(&key, &stamp, make);
        match outcome {
            Ok(Outcome::Forward { mut change, timestamp }) => {
                change.old = change.old.or_else(|| Some(self.first.as_ref().filter(|_| is_new)?()));
                self.children.forward(Record { key, value: change, timestamp, headers }, ctx)
            }
            Ok(Outcome::Held) => Ok(()),
            Ok(Outcome::Expired) => expired(&self.store, &self.faults, ctx),
            Ok(Outcome::Full) => self.flush(ctx),
            Err(error) => self.faults.apply_to_row(error, ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::{DropReason, OnError};
    use crate::record::{Record, Timestamp};
    use crate::serde::{Json, Plain};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::{StreamsBuilder, Topology};

    fn sums() -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, i64>("in")
            .group_by_key()
            .aggregate_retain(
                "sums",
                || 0,
                |_, value, sum| {
                    *sum += value;
                    *sum != 0
                },
            )
            .to_stream()
            .to("out");
        builder.build().unwrap()
    }

    /// Sums of floats that JSON cannot always write.
    fn float_sums(policy: OnError) -> StreamsBuilder {
        let builder = StreamsBuilder::new();
        let sums = Materialized::with_serdes("sums", Plain, Json);
        builder
            .stream::<String, f64>("in")
            .group_by_key()
            .aggregate(sums, || 0.0, |_, value, sum| *sum += value)
            .on_error(policy)
            .updates()
            .to("out");
        builder
    }

    fn float(value: f64) -> Record<String, f64> {
        Record::new("k".to_owned(), value, Timestamp(1))
    }

    #[test]
    fn a_row_that_cannot_be_written_follows_the_policy_and_stays_as_it_was() {
        for cache_bytes in [0, 1 << 20] {
            let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
            let letters = OnError::DeadLetter("letters".into());
            let topology = float_sums(letters).build().unwrap();
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            for value in [1.5, f64::NAN, 2.0] {
                driver.pipe("in", &float(value)).unwrap();
            }
            let out = driver.read::<String, f64>("out").unwrap();
            assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [1.5, 3.5]);
            let letter = driver.read_raw("letters").unwrap().pop().unwrap();
            assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
            // The record, or the row, of which there are no bytes.
            let value = (cache_bytes == 0).then(|| f64::NAN.to_be_bytes().to_vec());
            assert_eq!(letter.value, value);
            let reason = letter.headers.last("__streams.errors.message").unwrap();
            assert_eq!(
                String::from_utf8_lossy(reason),
                "store sums cannot take a value: NaN is no number of JSON, it would be read as null"
            );
            assert_eq!(driver.dropped(DropReason::Failed), 1);
        }
    }

    #[test]
    fn without_a_policy_a_row_that_cannot_be_written_stops() {
        for cache_bytes in [0, 1 << 20] {
            let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
            let topology = float_sums(OnError::Fail).build().unwrap();
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            let error = driver.pipe("in", &float(f64::INFINITY)).unwrap_err();
            let error = format!("{error:?}");
            assert!(error.contains("store sums") && error.contains("inf is no"), "{error}");
        }
    }

    fn number(value: i64, at: i64) -> Record<String, i64> {
        Record::new("k".to_owned(), value, Timestamp(at))
    }

    #[test]
    fn a_row_that_becomes_nothing_is_deleted_and_begins_anew() {
        let mut driver = TopologyDriver::new(&sums()).unwrap();
        for (value, at) in [(1, 10), (-1, 5), (7, 6)] {
            driver.pipe("in", &number(value, at)).unwrap();
        }
        let out = driver.read::<String, Option<i64>>("out").unwrap();
        let out: Vec<(Option<i64>, i64)> = out.iter().map(|r| (r.value, r.timestamp.0)).collect();
        assert_eq!(out, [(Some(1), 10), (None, 10), (Some(7), 6)]);
    }

    #[test]
    fn the_record_cache_emits_once_per_commit_and_the_last_state() {
        let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(&sums(), &options).unwrap();
        driver.pipe("in", &number(1, 10)).unwrap();
        driver.pipe("in", &number(2, 11)).unwrap();
        let out = driver.read::<String, Option<i64>>("out").unwrap();
        assert_eq!(out.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(1), Some(3)]);
        let rows = driver.table::<String, i64>("sums").unwrap();
        assert_eq!(rows, [("k".to_owned(), 3, Timestamp(11))]);
    }

    #[test]
    fn null_keys_and_values_are_dropped_and_counted() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<Option<String>, Option<String>>("in")
            .group_by_key()
            .count("counts")
            .updates()
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &Record::new(None::<String>, "v".to_owned(), Timestamp(1))).unwrap();
        driver.pipe("in", &Record::new("k".to_owned(), None::<String>, Timestamp(1))).unwrap();
        driver.pipe("in", &text("k", "v", 1)).unwrap();
        assert_eq!(driver.read::<String, i64>("out").unwrap(), [number(1, 1)]);
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        assert_eq!(driver.dropped(DropReason::NullValue), 1);
    }

    #[test]
    fn a_store_without_cache_or_changelog_has_none() {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, i64>("in").group_by_key();
        grouped.count(Materialized::named("each").without_cache()).updates().to("each");
        grouped.count(Materialized::named("last").without_changelog()).updates().to("last");
        let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
        let topology = builder.build().unwrap();
        let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
        driver.pipe_together("in", [number(5, 1), number(6, 2)]).unwrap();
        assert_eq!(driver.read::<String, i64>("each").unwrap(), [number(1, 1), number(2, 2)]);
        assert_eq!(driver.read::<String, i64>("last").unwrap(), [number(2, 2)]);
        let mut topics = driver.topic_names();
        topics.retain(|name| name.ends_with("-changelog"));
        assert_eq!(topics, ["app-each-changelog"]);
    }
}
