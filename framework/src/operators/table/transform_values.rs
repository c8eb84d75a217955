//! `transform_values` of tables: rows made of others by a transformer of the user's, with stores of its own.
//!
//! | | |
//! |---|---|
//! | emits | each change, with its rows transformed; for a deletion the transformer is asked too, and may make a row of it |
//! | drops | a change for which the transformer returns an error, by policy (`Failed`); a failure of a store or of the log stops the task |
//! | key, time, headers | kept |
//! | state | the stores that are named; the rows themselves only where it is [`materialized`](crate::KTable::materialized) |
//!
//! As in Kafka Streams: without rows of its own it asks the transformer again for whatever is needed, for the old row of
//! a change (after the new one) and, with a transformer made for it, for each row that a join below looks up. Kept rows
//! are transformed once.

use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Error, Result, excerpt};
use crate::operators::process::{Connection, Stores};
use crate::operators::table::handle::KTable;
use crate::operators::table::kept::Rows;
use crate::operators::table::view::{Lookup, View};
use crate::record::{Change, Data, Record, RecordMetadata, RecordTime, Shared, TaskId, Timestamp};
use crate::topology::{Linker, NodeName};

/// Makes rows of a table out of those of another, for [`KTable::transform_values`]: one per task, on one worker at a time.
///
/// ```
/// # use millstream::{BoxError, KeyValue, KeyValueStore, StreamsBuilder, TransformContext, ValueTransformer};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Puts before each row how often its key has changed.
/// struct Changes(KeyValueStore<String, i64>);
///
/// impl ValueTransformer<String, String> for Changes {
///     type VOut = String;
///
///     fn transform(&mut self, key: &String, row: Option<&String>, _: &TransformContext<'_>) -> Result<Option<String>, BoxError> {
///         let changes = self.0.get(key)?.unwrap_or(0) + 1;
///         self.0.put(key.clone(), changes)?;
///         Ok(row.map(|row| format!("{changes} {row}")))
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let changes = builder.store(KeyValue::<String, i64>::named("changes"));
/// let names = builder.table::<String, String>("names", "names");
/// // Kept, so that each change is counted once, whatever is added below.
/// let counted = names.transform_values("count-changes", &changes, Changes).materialized("counted");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("names", &text("7", "Ada", 1))?;
/// driver.pipe("names", &text("7", "Ada King", 2))?;
/// assert_eq!(driver.table::<String, String>("counted")?[0].1, "2 Ada King");
/// # Ok::<(), BoxError>(())
/// ```
pub trait ValueTransformer<K, V>: 'static {
    /// The type of the rows it makes.
    type VOut: Data;

    /// Makes the row of a key; none: there is no row. `row` is none where the row above was deleted or, for a lookup,
    /// where there is none.
    ///
    /// # Errors
    /// The change then follows the policy of the table ([`KTable::on_error`]), and its row stays as it was. Where a row
    /// is looked up the task stops: what it would be joined with is unknown.
    fn transform(
        &mut self,
        key: &K,
        row: Option<&V>,
        ctx: &TransformContext<'_>,
    ) -> Result<Option<Self::VOut>, BoxError>;
}

/// What a transformer may know of the row in hand.
///
/// ```
/// # use millstream::{BoxError, StreamsBuilder, TransformContext, ValueTransformer};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Puts the time and the origin behind each row.
/// struct Label;
///
/// impl ValueTransformer<String, String> for Label {
///     type VOut = String;
///
///     fn transform(&mut self, _: &String, row: Option<&String>, ctx: &TransformContext<'_>) -> Result<Option<String>, BoxError> {
///         let from = ctx.record_metadata().map(|from| from.to_string()).unwrap_or_default();
///         Ok(row.map(|row| format!("{row} at {} ({from}, {})", ctx.timestamp().0, ctx.task_id())))
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let names = builder.table::<String, String>("names", "names");
/// names.transform_values("label", (), |()| Label).updates().to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("names", &text("7", "Ada", 1))?;
/// assert_eq!(driver.read::<String, String>("out")?[0].value, "Ada at 1 (names-0@0, 0_0)");
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug)]
pub struct TransformContext<'a> {
    time: Timestamp,
    from: Option<RecordMetadata<'a>>,
    task: TaskId,
}

impl TransformContext<'_> {
    /// The time of the change; where a row is looked up that of the row above, -1 if there is none.
    pub fn timestamp(&self) -> Timestamp {
        self.time
    }

    /// Where the record in hand came from; `None` where a row is looked up.
    pub fn record_metadata(&self) -> Option<&RecordMetadata<'_>> {
        self.from.as_ref()
    }

    /// Which task this is.
    pub fn task_id(&self) -> TaskId {
        self.task
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Makes something else of each row, with a transformer that may have stores. `stores` are connected by being named
    /// here; `make` runs once per task, and once for each operator that looks rows up unless they are
    /// [`materialized`](Self::materialized), and gets their handles. Schedules has [`crate::KStream::process_values`].
    ///
    /// A transformer whose answer depends on how often it is asked belongs to a table that is kept: otherwise it is also
    /// asked for old rows and for lookups.
    ///
    /// ```
    /// # use millstream::{BoxError, StreamsBuilder, TransformContext, ValueTransformer};
    /// # use millstream::testing::{TopologyDriver, text};
    /// # struct Short(usize);
    /// # impl ValueTransformer<String, String> for Short {
    /// #     type VOut = String;
    /// #     fn transform(
    /// #         &mut self,
    /// #         _: &String,
    /// #         row: Option<&String>,
    /// #         _: &TransformContext<'_>,
    /// #     ) -> Result<Option<String>, BoxError> {
    /// #         Ok(row.map(|row| row.chars().take(self.0).collect()))
    /// #     }
    /// # }
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// // `Short` is a `ValueTransformer` that cuts rows to a length. It uses no store.
    /// let short = names.transform_values("short", (), |()| Short(3));
    /// builder.stream::<String, String>("orders").join_table(&short, |order, name| format!("{order}: {name}")).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada King", 1))?;
    /// driver.pipe("orders", &text("7", "pens", 2))?;
    /// assert_eq!(driver.read::<String, String>("out")?[0].value, "pens: Ada");
    /// # Ok::<(), BoxError>(())
    /// ```
    #[must_use]
    pub fn transform_values<S: Stores, X: ValueTransformer<K, V>>(
        &self,
        name: impl Into<NodeName>,
        stores: S,
        make: impl Fn(S::Handles) -> X + Shared,
    ) -> KTable<K, X::VOut> {
        let name = self.graph.borrow_mut().named("KTABLE-TRANSFORMVALUES-", name.into());
        let stores = Arc::new(stores.connect());
        let indices = stores.stores.clone();
        let maker = Maker { node: name.as_str().into(), stores, make: Arc::new(make) };
        let for_view = maker.clone();
        let view = move |above: View<K, V>| for_view.view::<K, V, X>(above);
        self.derived_as((name, indices), view, move |linker| {
            let node = TransformValues {
                transformer: maker.make(linker)?,
                sends_old: linker.sends_old(),
                faults: linker.faults()?,
                rows: linker.rows::<K, X::VOut>()?,
            };
            linker.add::<K, Change<V>, _>(node);
            Ok(())
        })
    }
}

/// What makes transformers: for the node and for each view.
struct Maker<H, F> {
    node: Arc<str>,
    stores: Arc<Connection<H>>,
    make: Arc<F>,
}

impl<H, F> Clone for Maker<H, F> {
    fn clone(&self) -> Self {
        Self {
            node: Arc::clone(&self.node),
            stores: Arc::clone(&self.stores),
            make: Arc::clone(&self.make),
        }
    }
}

impl<H: 'static, F> Maker<H, F> {
    fn make<X>(&self, linker: &Linker<'_>) -> Result<X>
    where
        F: Fn(H) -> X,
    {
        Ok((self.make)(self.stores.open(linker)?))
    }

    /// Rows that are transformed when they are looked up, by a transformer of each who looks.
    fn view<K: Data, V: Data, X: ValueTransformer<K, V>>(
        &self,
        above: View<K, V>,
    ) -> View<K, X::VOut>
    where
        F: Fn(H) -> X + Shared,
    {
        let maker = self.clone();
        // Unlike in Kafka Streams, whoever looks is connected to the stores of the transformer as well.
        let mut stores = above.stores.clone();
        stores.extend(self.stores.stores.iter().filter(|store| !above.stores.contains(store)));
        View::new(stores, move |linker| {
            Ok(Box::new(Transformed {
                above: above.open(linker)?,
                transformer: maker.make(linker)?,
                node: Arc::clone(&maker.node),
                task: linker.task(),
                record_time: linker.record_time().clone(),
            }) as Box<dyn Lookup<K, X::VOut>>)
        })
    }
}

struct TransformValues<K, V2, X> {
    transformer: X,
    sends_old: bool,
    faults: Faults,
    rows: Rows<K, V2>,
}

impl<K: Data, V2: Data, X: 'static> Node for TransformValues<K, V2, X> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K, V, X> Operator<K, Change<V>> for TransformValues<K, X::VOut, X>
where
    K: Data,
    V: Data,
    X: ValueTransformer<K, V>,
{
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: Change { new, old, latest }, timestamp, headers } = record;
        let before = ctx.record_time.replace(timestamp);
        let at = TransformContext { time: timestamp, from: ctx.record_metadata(), task: ctx.task };
        // What is kept has its old row in the store.
        let asks_old = self.sends_old && matches!(self.rows, Rows::Passed(_));
        let made = self.transformer.transform(&key, new.as_ref(), &at).and_then(|new| {
            let old =
                if asks_old { self.transformer.transform(&key, old.as_ref(), &at)? } else { None };
            Ok(Change { new, old, latest })
        });
        ctx.record_time.replace(before);
        match made {
            Ok(value) => self.rows.hand_on(Record { key, value, timestamp, headers }, ctx),
            Err(error) => self.faults.apply_or_pass(error, ctx),
        }
    }
}

/// Rows that are transformed when they are looked up.
struct Transformed<K, V, X> {
    above: Box<dyn Lookup<K, V>>,
    transformer: X,
    node: Arc<str>,
    task: TaskId,
    record_time: RecordTime,
}

impl<K, V, X: ValueTransformer<K, V>> Transformed<K, V, X> {
    fn transformed(
        &mut self,
        key: &K,
        row: Option<&(V, Timestamp)>,
    ) -> Result<Option<(X::VOut, Timestamp)>> {
        let time = row.map_or(Timestamp(-1), |(_, at)| *at);
        let ctx = TransformContext { time, from: None, task: self.task };
        // What the transformer writes has the time of the row.
        let before = self.record_time.replace(time);
        let made = self.transformer.transform(key, row.map(|(row, _)| row), &ctx);
        self.record_time.replace(before);
        match made {
            Ok(made) => Ok(made.map(|made| (made, time))),
            Err(error) => Err(failed(&self.node, error)),
        }
    }
}

impl<K, V, X: ValueTransformer<K, V>> Lookup<K, X::VOut> for Transformed<K, V, X> {
    fn get(&mut self, key: &K) -> Result<Option<(X::VOut, Timestamp)>> {
        let row = self.above.get(key)?;
        self.transformed(key, row.as_ref())
    }

    fn get_as_of(&mut self, key: &K, at: Timestamp) -> Result<Option<(X::VOut, Timestamp)>> {
        let row = self.above.get_as_of(key, at)?;
        self.transformed(key, row.as_ref())
    }
}

/// A failure of a transformer for a lookup; one of the state or of the log goes on up as it is.
#[cold]
fn failed(node: &str, error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(theirs) => Error::Fatal {
            what: format!("transforming a row of {node} for a lookup"),
            reason: excerpt(&theirs),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::KeyValue;
    use crate::policy::{DropReason, OnError};
    use crate::store::{KeyValueStore, Materialized};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    /// Numbers its calls, and so shows how often it is asked. It makes a row of a deletion, none of "none", and fails at
    /// "bad".
    struct Numbering(KeyValueStore<String, i64>);

    impl ValueTransformer<String, String> for Numbering {
        type VOut = String;

        fn transform(
            &mut self,
            key: &String,
            row: Option<&String>,
            ctx: &TransformContext<'_>,
        ) -> Result<Option<String>, BoxError> {
            let n = self.0.get(key)?.unwrap_or(0) + 1;
            self.0.put(key.clone(), n)?;
            let from = ctx.record_metadata().map_or(-1, |from| from.offset);
            match row.map(String::as_str) {
                Some("bad") => Err("a bad row".into()),
                Some("none") => Ok(None),
                row => Ok(Some(format!("{n} {row:?} at {} from {from}", ctx.timestamp().0))),
            }
        }
    }

    fn numbered(builder: &StreamsBuilder) -> KTable<String, String> {
        let calls = builder.store(KeyValue::<String, i64>::named("calls"));
        let table = builder.table::<String, String>("in", "t");
        table.transform_values("number", &calls, Numbering)
    }

    fn row(value: Option<&str>, at: i64) -> Record<String, Option<String>> {
        Record::new("k".to_owned(), value.map(str::to_owned), Timestamp(at))
    }

    fn driver(builder: StreamsBuilder, cache_bytes: usize) -> TopologyDriver {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        TopologyDriver::with_options(&builder.build().unwrap(), &options).unwrap()
    }

    fn out(driver: &mut TopologyDriver) -> Vec<(Option<String>, i64)> {
        let out = driver.read::<String, Option<String>>("out").unwrap();
        out.into_iter().map(|record| (record.value, record.timestamp.0)).collect()
    }

    /// How often a transformer was asked for a key.
    fn calls(driver: &TopologyDriver, key: &str) -> Option<i64> {
        let calls = driver.key_value_store::<String, i64>("calls").unwrap();
        calls.get(&key.to_owned()).unwrap()
    }

    fn made(made: &str, at: i64) -> (Option<String>, i64) {
        (Some(made.to_owned()), at)
    }

    #[test]
    fn a_deletion_is_transformed_too_and_no_row_is_a_deletion() {
        let builder = StreamsBuilder::new();
        numbered(&builder).to_stream().to("out");
        let mut driver = driver(builder, 0);
        for (value, at) in [(Some("a"), 1), (Some("none"), 2), (None, 3)] {
            driver.pipe("in", &row(value, at)).unwrap();
        }
        let wanted =
            [made("1 Some(\"a\") at 1 from 0", 1), (None, 2), made("3 None at 3 from 2", 3)];
        assert_eq!(out(&mut driver), wanted);
        // Its store has the times of the changes.
        assert_eq!(calls(&driver, "k"), Some(3));
        let log = driver.read_raw("app-calls-changelog").unwrap();
        assert_eq!(log.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [1, 2, 3]);
    }

    /// Not kept: new row, then old one, by one transformer. Kept: the old row is that of the store.
    #[test]
    fn old_rows_are_asked_for_where_they_are_not_kept() {
        for (kept, cache_bytes) in [(false, 0), (true, 0), (true, 1 << 16)] {
            let builder = StreamsBuilder::new();
            let rows = numbered(&builder);
            let rows = if kept { rows.materialized("rows") } else { rows };
            let groups = rows.group_by(|key, row| (key.clone(), row.clone()));
            let join =
                |all: &mut String, row: &String, sign: &str| *all += &format!("{sign}{row};");
            let all = groups.aggregate(
                "all",
                String::new,
                move |_, row, all| join(all, &row, "+"),
                move |_, row, all| join(all, &row, "-"),
            );
            all.to_stream().to("out");
            let mut driver = driver(builder, cache_bytes);
            driver.pipe("in", &row(Some("a"), 1)).unwrap();
            driver.pipe("in", &row(Some("b"), 2)).unwrap();
            let all = &driver.table::<String, String>("all").unwrap()[0].1;
            // A row that a cache has held back comes from its changelog.
            let (from_a, from_b) = if cache_bytes == 0 { (0, 1) } else { (-1, -1) };
            let a = format!(r#"1 Some("a") at 1 from {from_a}"#);
            let b = format!(r#" Some("b") at 2 from {from_b}"#);
            // The second call was for the old row of the first change: one is made of none, and there is no sum to take
            // it from.
            let wanted = match kept {
                true => format!("+{a};-{a};+2{b};"),
                false => format!(r#"+{a};-4 Some("a") at 2 from 1;+3{b};"#),
            };
            assert_eq!(*all, wanted, "{kept} {cache_bytes}");
        }
    }

    #[test]
    fn a_join_asks_a_transformer_of_its_own_unless_rows_are_kept() {
        for kept in [false, true] {
            let builder = StreamsBuilder::new();
            let rows = numbered(&builder);
            let rows = if kept { rows.materialized("rows") } else { rows };
            let asked = builder.stream::<String, String>("asked");
            asked.left_join_table(&rows, |_, row| row.cloned()).to("out");
            let mut driver = driver(builder, 0);
            driver.pipe("in", &row(Some("a"), 1)).unwrap();
            driver.pipe("asked", &text("k", "", 5)).unwrap();
            driver.pipe("asked", &text("other", "", 6)).unwrap();
            let calls = (calls(&driver, "k"), calls(&driver, "other"));
            let log = driver.read_raw("app-calls-changelog").unwrap();
            let times: Vec<_> = log.iter().map(|record| record.timestamp).collect();
            if kept {
                assert_eq!(out(&mut driver), [made("1 Some(\"a\") at 1 from 0", 5), (None, 6)]);
                assert_eq!(calls, (Some(1), None));
                assert_eq!(times, [1]);
            } else {
                // Of no row a row is made, too; its time is unknown.
                let of_none = made("1 None at -1 from -1", 6);
                assert_eq!(out(&mut driver), [made("2 Some(\"a\") at 1 from -1", 5), of_none]);
                assert_eq!(calls, (Some(2), Some(1)));
                assert_eq!(times, [1, 1, 0]);
            }
        }
    }

    #[test]
    fn an_error_follows_the_policy_and_the_row_stays() {
        for kept in [false, true] {
            let builder = StreamsBuilder::new();
            let rows = numbered(&builder).on_error(OnError::Skip);
            let rows = if kept { rows.materialized("rows") } else { rows };
            rows.to_stream().to("out");
            let mut driver = driver(builder, 0);
            for (value, at) in [("a", 1), ("bad", 2)] {
                driver.pipe("in", &row(Some(value), at)).unwrap();
            }
            assert_eq!(out(&mut driver), [made("1 Some(\"a\") at 1 from 0", 1)]);
            assert_eq!(driver.dropped(DropReason::Failed), 1);
            if kept {
                let rows = driver.table::<String, String>("rows").unwrap();
                assert_eq!((rows.len(), rows[0].2), (1, Timestamp(1)));
            }
        }
    }

    #[test]
    fn an_error_in_a_lookup_stops_the_task() {
        let builder = StreamsBuilder::new();
        let rows = numbered(&builder).on_error(OnError::Skip);
        let asked = builder.stream::<String, String>("asked").on_error(OnError::Skip);
        asked.join_table(&rows, |_, row| row.clone()).on_error(OnError::Skip).to("out");
        let mut driver = driver(builder, 0);
        driver.pipe("in", &row(Some("bad"), 1)).unwrap();
        let said = driver.pipe("asked", &text("k", "", 2)).unwrap_err();
        let wanted = "transforming a row of number for a lookup";
        assert!(format!("{said:?}").contains(wanted), "{said:?}");
        assert!(format!("{said:?}").contains("a bad row"), "{said:?}");
    }

    #[test]
    fn the_node_is_kafka_streams() {
        let builder = StreamsBuilder::new().allow_generated_names();
        let table = builder.table::<String, String>("in", Materialized::generated());
        let calls = builder.store(KeyValue::<String, i64>::named("calls"));
        let rows = table.transform_values(NodeName::generated(), &calls, Numbering);
        rows.materialized("rows").to_stream().to("out");
        let described = builder.build().unwrap().describe();
        let line = "Processor: KTABLE-TRANSFORMVALUES-0000000003 (stores: [calls, rows])\n";
        assert!(described.contains(line), "{described}");
    }
}
