//! `join_global`, `left_join_global`: each record of a stream meets the row of a global table that it names.
//!
//! | | |
//! |---|---|
//! | emits | one record for each of the stream; `join_global`: only where the table has a row. A change of the table emits nothing |
//! | drops | records without a key for the table (`NullKey`), but `left_join_global` hands them on without a row; `_with`: null values (`NullValue`), and of a left join those without a key for the table whose own key is not null (`NullKey`) |
//! | key, time, headers | of the stream's record; stream and table need not be partitioned alike |
//! | state | none; the rows are the instance's, as new as they are here |

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::join::options::Joined;
use crate::operators::stream::{KStream, Placing};
use crate::operators::table::GlobalKTable;
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};
use crate::serde::Serde;
use crate::store::{GlobalRows, Serdes};
use crate::time::millis;
use crate::topology::{Linker, NodeDraft, NodeKind, TopologyFault};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Each record with the row of the key that `key` makes of it; records without one go no further.
    ///
    /// `key` gives a key of the table or an `Option` of one. A value that is null (`V` is an `Option`) is passed
    /// to both closures; [`Self::join_global_with`] drops it, as Kafka Streams does.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let countries = builder.global_table::<String, String>("countries", "countries");
    /// let orders = builder.stream::<String, String>("orders");
    /// let country = |_: &String, order: &String| order.get(..2).map(str::to_owned);
    /// orders.join_global(&countries, country, |order, name| format!("{order} to {name}")).to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("countries", &text("IT", "Italy", 1))?;
    /// driver.pipe("orders", &text("7", "IT-pens", 2))?;
    /// driver.pipe("orders", &text("8", "XX-ink", 3))?;
    /// assert_eq!(driver.read::<String, String>("lines")?, [text("7", "IT-pens to Italy", 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn join_global<GK: Data, G: Data, M: Into<Option<GK>>, VO: Data>(
        &self,
        table: &GlobalKTable<GK, G>,
        key: impl Fn(&K, &V) -> M + Shared,
        f: impl Fn(V, &G) -> VO + Shared,
    ) -> KStream<K, VO, P> {
        let f = move |value, row: Option<&G>| Some(f(value, row?));
        self.meets_global(table, key, f, Nulls::of(table, None))
    }

    /// Each record with the row of the key that `key` makes of it, if there is one. A key that is `None`, or
    /// null, has no row.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let countries = builder.global_table::<String, String>("countries", "countries");
    /// let orders = builder.stream::<String, String>("orders");
    /// let country = |_: &String, order: &String| order.get(..2).map(str::to_owned);
    /// let lines = orders.left_join_global(&countries, country, |order, name| {
    ///     format!("{order} to {}", name.map_or("somewhere", String::as_str))
    /// });
    /// lines.to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("8", "XX-ink", 3))?;
    /// assert_eq!(driver.read::<String, String>("lines")?, [text("8", "XX-ink to somewhere", 3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_join_global<GK: Data, G: Data, M: Into<Option<GK>>, VO: Data>(
        &self,
        table: &GlobalKTable<GK, G>,
        key: impl Fn(&K, &V) -> M + Shared,
        f: impl Fn(V, Option<&G>) -> VO + Shared,
    ) -> KStream<K, VO, P> {
        let f = move |value, row: Option<&G>| Some(f(value, row));
        self.meets_global(table, key, f, Nulls::of(table, None).left())
    }

    /// As [`Self::join_global`], under a name, and dropping null values.
    ///
    /// ```
    /// # use millstream::{DropReason, Joined, StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let names = builder.global_table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, Option<String>>("orders");
    /// let own = |id: &String, _: &Option<String>| id.clone();
    /// orders.join_global_with("named", &names, own, |order, name| format!("{name}: {order:?}")).to("lines");
    /// orders.left_join_global_with(Joined::default(), &names, own, |order, _| order).to("all");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &Record::new("7".to_owned(), None::<String>, Timestamp(1)))?;
    /// assert_eq!(driver.dropped(DropReason::NullValue), 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn join_global_with<GK: Data, G: Data, M: Into<Option<GK>>, VO: Data>(
        &self,
        how: impl Into<Joined<K, V>>,
        table: &GlobalKTable<GK, G>,
        key: impl Fn(&K, &V) -> M + Shared,
        f: impl Fn(V, &G) -> VO + Shared,
    ) -> KStream<K, VO, P> {
        let f = move |value, row: Option<&G>| Some(f(value, row?));
        let Joined { name, serdes, grace } = how.into();
        let joined = self.meets_global(table, key, f, Nulls::of(table, Some(serdes)));
        joined.perhaps_named(name).without(grace)
    }

    /// As [`Self::left_join_global`], under a name, and with the nulls of Kafka Streams: null values are dropped,
    /// and a record without a key for the table goes on only if its own key is null.
    #[must_use]
    pub fn left_join_global_with<GK: Data, G: Data, M: Into<Option<GK>>, VO: Data>(
        &self,
        how: impl Into<Joined<K, V>>,
        table: &GlobalKTable<GK, G>,
        key: impl Fn(&K, &V) -> M + Shared,
        f: impl Fn(V, Option<&G>) -> VO + Shared,
    ) -> KStream<K, VO, P> {
        let f = move |value, row: Option<&G>| Some(f(value, row));
        let Joined { name, serdes, grace } = how.into();
        let nulls = Nulls::of(table, Some(serdes)).left();
        self.meets_global(table, key, f, nulls).perhaps_named(name).without(grace)
    }

    /// A global table keeps no versions, so nothing can wait for one.
    fn without(self, grace: Option<Duration>) -> Self {
        if let Some(grace) = grace {
            let mut graph = self.graph.borrow_mut();
            let (node, grace_ms) = (graph.name_of(self.node).to_owned(), millis(grace));
            graph.fault(TopologyFault::GraceWithoutHistory { node, grace_ms });
        }
        self
    }

    fn meets_global<GK: Data, G: Data, M: Into<Option<GK>>, VO: Data>(
        &self,
        table: &GlobalKTable<GK, G>,
        key: impl Fn(&K, &V) -> M + Shared,
        f: impl Fn(V, Option<&G>) -> Option<VO> + Shared,
        nulls: Nulls<K, V, GK>,
    ) -> KStream<K, VO, P> {
        let key = Arc::new(move |k: &K, v: &V| key(k, v).into());
        let (f, rows, is_left) = (Arc::new(f), table.rows(), nulls.left);
        let mut graph = self.graph.borrow_mut();
        // Of both, as Java names them.
        let name = graph.generate("KSTREAM-LEFTJOIN-");
        if !Rc::ptr_eq(&self.graph, &table.graph) {
            graph.fault(TopologyFault::OtherBuilder(name.clone()));
        }
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
                let node = StreamGlobal {
                    key: Arc::clone(&key),
                    f: Arc::clone(&f),
                    rows: rows(linker)?,
                    nulls: nulls.clone(),
                    children: linker.children::<K, VO>()?,
                    faults: linker.faults()?,
                };
                linker.add::<K, V, _>(node);
                Ok(())
            }),
        });
        if is_left {
            graph.take_null_keys(node);
        }
        drop(graph);
        KStream::new(Rc::clone(&self.graph), node)
    }
}

/// What is null, and what becomes of it.
struct Nulls<K, V, GK> {
    /// Of the keys of the table.
    mapped: Arc<dyn Serde<GK>>,
    /// Of the stream, where its nulls are looked at.
    own: Option<Serdes<K, V>>,
    /// Records without a key for the table go on, without a row.
    left: bool,
}

impl<K, V, GK> Clone for Nulls<K, V, GK> {
    fn clone(&self) -> Self {
        Self { mapped: Arc::clone(&self.mapped), own: self.own.clone(), left: self.left }
    }
}

impl<K: Data, V, GK> Nulls<K, V, GK> {
    fn of<G>(table: &GlobalKTable<GK, G>, own: Option<Serdes<K, V>>) -> Self {
        Self { mapped: Arc::clone(&table.serdes.key), own, left: false }
    }

    fn left(self) -> Self {
        Self { left: true, ..self }
    }

    /// True if a record without a key for the table goes on.
    fn passes(&self, key: &K) -> bool {
        self.left && self.own.as_ref().is_none_or(|own| own.key.is_null(key))
    }
}

struct StreamGlobal<K, V, GK, G, VO, M, F> {
    key: Arc<M>,
    f: Arc<F>,
    rows: GlobalRows<GK, G>,
    nulls: Nulls<K, V, GK>,
    children: Children<K, VO>,
    faults: Faults,
}

impl<K, V, GK, G, VO, M, F> Node for StreamGlobal<K, V, GK, G, VO, M, F> {}

impl<K, V, GK, G, VO, M, F> Operator<K, V> for StreamGlobal<K, V, GK, G, VO, M, F>
where
    K: Data,
    V: Data,
    GK: Data,
    G: Data,
    VO: Data,
    M: Fn(&K, &V) -> Option<GK>,
    F: Fn(V, Option<&G>) -> Option<VO>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.nulls.own.as_ref().is_some_and(|own| own.value.is_null(&value)) {
            return self.faults.dropped(
                DropReason::NullValue,
                ctx,
                format_args!("its value is null"),
            );
        }
        let mapped = (self.key)(&key, &value).filter(|mapped| !self.nulls.mapped.is_null(mapped));
        let row = match mapped {
            Some(mapped) => match self.rows.get(&mapped) {
                Ok(row) => row,
                Err(error) => return self.faults.apply_to_row(error, ctx),
            },
            None if self.nulls.passes(&key) => None,
            None => {
                let why = format_args!("it has no key for the global table");
                return self.faults.dropped(DropReason::NullKey, ctx, why);
            }
        };
        match (self.f)(value, row.as_ref().map(|(row, _)| row)) {
            Some(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::operators::{Joined, KStream};
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::serde::Plain;
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::{StreamsBuilder, TopologyFault};

    type Nullable = Option<String>;

    fn nullable(key: Option<&str>, value: Option<&str>) -> Record<Nullable, Nullable> {
        Record::new(key.map(str::to_owned), value.map(str::to_owned), Timestamp(5))
    }

    #[test]
    fn any_key_of_the_stream_meets_the_row_as_it_is_now() {
        for state_dir in [None, Some(tempfile::tempdir().unwrap())] {
            let builder = StreamsBuilder::new();
            let towns = builder.global_table::<i64, String>("towns", "towns");
            let stream =
                builder.stream::<String, String>("in").select_key(|_, value| value.clone());
            let joined = stream.join_global(
                &towns,
                |key, _| key.parse::<i64>().ok(),
                |value, town| format!("{value} {town}"),
            );
            joined.named("with-town").to("out");
            let topology = builder.build().unwrap();
            assert!(topology.describe().contains("Processor: with-town (stores: [])"));
            let options = DriverOptions {
                state_dir: state_dir.as_ref().map(|dir| dir.path().to_owned()),
                ..DriverOptions::default()
            };
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            let town =
                |name: Option<&str>, at| Record::new(7_i64, name.map(str::to_owned), Timestamp(at));
            for (row, wanted) in
                [(None, None), (Some("Rome"), Some("7 Rome")), (Some("Ulm"), Some("7 Ulm"))]
            {
                driver.pipe("towns", &town(row, 9)).unwrap();
                driver.pipe("in", &text("k", "7", 3)).unwrap();
                let out = driver.read::<String, String>("out").unwrap();
                let wanted: Vec<_> = wanted.iter().map(|value| text("7", value, 3)).collect();
                assert_eq!(out, wanted, "{row:?}");
            }
            // A row that is older than the one that is there replaces it, and a null value deletes it.
            driver.pipe("towns", &town(Some("Bonn"), 1)).unwrap();
            let row = (7, "Bonn".to_owned(), Timestamp(1));
            assert_eq!(driver.table::<i64, String>("towns").unwrap(), [row]);
            driver.pipe("towns", &town(None, 2)).unwrap();
            driver.pipe("in", &text("k", "7", 3)).unwrap();
            driver.pipe("in", &text("k", "seven", 3)).unwrap();
            assert_eq!(driver.read::<String, String>("out").unwrap(), []);
            assert_eq!(driver.dropped(DropReason::NullKey), 1, "only where there is no key");
        }
    }

    type Names = crate::operators::GlobalKTable<Nullable, String>;
    type Joins = fn(&KStream<Nullable, Nullable>, &Names) -> KStream<Nullable, String>;

    /// What follows a plus in the value; none for others.
    fn after_plus(_: &Nullable, value: &Nullable) -> Nullable {
        value.as_ref().and_then(|value| value.strip_prefix('+')).map(str::to_owned)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a joiner is given the value")]
    fn shown(value: Nullable, row: Option<&String>) -> String {
        format!("{value:?} {row:?}")
    }

    /// Of each join the drops (of null keys, of null values) and the outputs for records without a key for the
    /// table, with and without a key of their own, and for a null value.
    #[test]
    fn nulls_are_dropped_and_counted_or_go_on_without_a_row() {
        let inner: Joins = |s, t| s.join_global(t, after_plus, |v, row| shown(v, Some(row)));
        let left: Joins = |s, t| s.left_join_global(t, after_plus, shown);
        let inner_with: Joins = |s, t| {
            s.join_global_with(Joined::default(), t, after_plus, |v, row| shown(v, Some(row)))
        };
        let left_with: Joins = |s, t| s.left_join_global_with("left", t, after_plus, shown);
        let wanted: [(Joins, (u64, u64), &[&str]); 4] = [
            (inner, (3, 0), &["Some(\"+a\") Some(\"Ada\")"]),
            (
                left,
                (0, 0),
                &[
                    "Some(\"-\") None",
                    "Some(\"-\") None",
                    "None None",
                    "Some(\"+a\") Some(\"Ada\")",
                ],
            ),
            (inner_with, (2, 1), &["Some(\"+a\") Some(\"Ada\")"]),
            (left_with, (1, 1), &["Some(\"-\") None", "Some(\"+a\") Some(\"Ada\")"]),
        ];
        for (index, (join, (null_keys, null_values), outputs)) in wanted.into_iter().enumerate() {
            let builder = StreamsBuilder::new();
            let names = builder.global_table::<Nullable, String>("names", "names");
            join(&builder.stream("in"), &names).to("out");
            let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
            driver.pipe("names", &text("a", "Ada", 1)).unwrap();
            let records =
                [(None, Some("-")), (Some("k"), Some("-")), (Some("k"), None), (None, Some("+a"))];
            for (key, value) in records {
                driver.pipe("in", &nullable(key, value)).unwrap();
            }
            assert_eq!(driver.dropped(DropReason::NullKey), null_keys, "{index}");
            assert_eq!(driver.dropped(DropReason::NullValue), null_values, "{index}");
            let out = driver.read::<Nullable, String>("out").unwrap();
            let out: Vec<String> = out.into_iter().map(|record| record.value).collect();
            assert_eq!(out, outputs, "{index}");
        }
    }

    #[test]
    fn a_stream_meets_several_tables() {
        let builder = StreamsBuilder::new();
        let names = builder.global_table::<String, String>("names", "names");
        let others = builder.global_table::<String, String>("others", "others");
        let stream = builder.stream::<String, String>("in");
        stream
            .join_global(&names, |key, _| key.clone(), |value, name| format!("{value} {name}"))
            .left_join_global(
                &others,
                |key, _| key.clone(),
                |value, row| format!("{value} {row:?}"),
            )
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe_together("names", [text("k", "Ada", 1)]).unwrap();
        driver.pipe_together("in", [text("k", "pens", 1)]).unwrap();
        assert_eq!(driver.read::<String, String>("out").unwrap()[0].value, "pens Ada None");
    }

    /// The store's serdes write and read its rows; those of the source only read the topic.
    #[test]
    fn rows_are_found_by_the_bytes_of_the_store() {
        use crate::serde::Json;
        use crate::source::Consumed;
        let builder = StreamsBuilder::new();
        let source = Consumed::<String, Vec<i64>>::with_serdes("lists", Json, Json);
        let lists = builder.global_table(source, Materialized::with_serdes("lists", Plain, Json));
        let stream = builder.stream::<String, String>("in");
        let sum = |_: String, list: &Vec<i64>| list.iter().sum::<i64>();
        stream.join_global(&lists, |key, _| key.clone(), sum).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("lists", &text(" \"k\" ", "[3, 4]", 1)).unwrap();
        driver.pipe("in", &text("k", "", 1)).unwrap();
        assert_eq!(driver.read::<String, i64>("out").unwrap()[0].value, 7);
    }

    #[test]
    fn a_table_of_another_builder_is_refused() {
        let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
        let table = other.global_table::<String, String>("t", "t");
        let stream = one.stream::<String, String>("in");
        stream.join_global(&table, |key, _| key.clone(), |value, _| value).to("out");
        let faults = one.build().unwrap_err();
        let node = "KSTREAM-LEFTJOIN-0000000001".to_owned();
        assert_eq!(faults.faults(), [TopologyFault::OtherBuilder(node)]);
    }
}
