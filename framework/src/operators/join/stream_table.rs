//! `join_table`, `left_join_table`: each record of a stream meets the row of its key.
//!
//! | | |
//! |---|---|
//! | emits | one record for each of the stream; `join_table`: only where the table has a row. A change of the table emits nothing |
//! | drops | null keys (`NullKey`), but `left_join_table` hands them on without a row; null values (`NullValue`), where `Joined` says what is null |
//! | row | the one that the table has now; of a versioned table, the one that it had at the time of the record |
//! | key, time, headers | of the stream's record; stream and table must be partitioned alike |
//! | state | none; the table keeps its rows or computes them from kept ones |

use std::sync::Arc;

use crate::error::Result;
use crate::operators::join::options::Joined;
use crate::operators::join::stream_row::{Nulls, StreamTable};
use crate::operators::join::stream_table_grace::StreamTableGrace;
use crate::operators::stream::{KStream, Placed, Placing};
use crate::operators::table::{KTable, View};
use crate::record::{Data, Shared};
use crate::store::{StoreOptions, WaitingSpec};
use crate::time::millis;
use crate::topology::{Linker, NodeDraft, NodeKind, StoreIndex, TopologyFault};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Each record with the row of its key; records without one go no further. A re-keyed stream goes
    /// through [`repartition`](Self::repartition) first.
    ///
    /// A value that is null (`V` is an `Option`) is passed to the closure. [`Self::join_table_with`]
    /// drops it, as Kafka Streams does.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.join_table(&names, |order, name| format!("{name}: {order}")).to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// driver.pipe("orders", &text("7", "pens", 2))?;
    /// driver.pipe("orders", &text("8", "ink", 3))?;
    /// assert_eq!(driver.read::<String, String>("lines")?, [text("7", "Ada: pens", 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn join_table<R: Data, VO: Data>(
        &self,
        table: &KTable<K, R>,
        f: impl Fn(V, &R) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let f = move |value, row: Option<&R>| Some(f(value, row?));
        self.meets("KSTREAM-JOIN-", table, Nulls::of_table(table), f)
    }

    /// Each record with the row of its key, if there is one. A null key has none.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, String>("orders");
    /// let lines = orders.left_join_table(&names, |order, name| {
    ///     format!("{}: {order}", name.map_or("somebody", String::as_str))
    /// });
    /// lines.to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("8", "ink", 3))?;
    /// assert_eq!(driver.read::<String, String>("lines")?, [text("8", "somebody: ink", 3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_join_table<R: Data, VO: Data>(
        &self,
        table: &KTable<K, R>,
        f: impl Fn(V, Option<&R>) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let f = move |value, row: Option<&R>| Some(f(value, row));
        self.meets("KSTREAM-LEFTJOIN-", table, Nulls::of_table(table).left(), f)
    }

    /// As [`Self::join_table`], under a name, and dropping null values.
    ///
    /// ```
    /// # use millstream::{DropReason, StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, Option<String>>("orders");
    /// orders.join_table_with("named", &names, |order, name| format!("{name}: {order:?}")).to("lines");
    /// orders.left_join_table_with("all", &names, |order, _| order).to("all");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &Record::new("7".to_owned(), None::<String>, Timestamp(1)))?;
    /// assert_eq!(driver.dropped(DropReason::NullValue), 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn join_table_with<R: Data, VO: Data>(
        &self,
        how: impl Into<Joined<K, V>>,
        table: &KTable<K, R>,
        f: impl Fn(V, &R) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let f = move |value, row: Option<&R>| Some(f(value, row?));
        self.meets_as("KSTREAM-JOIN-", how.into(), table, (false, f))
    }

    /// As [`Self::left_join_table`], under a name, and dropping null values.
    #[must_use]
    pub fn left_join_table_with<R: Data, VO: Data>(
        &self,
        how: impl Into<Joined<K, V>>,
        table: &KTable<K, R>,
        f: impl Fn(V, Option<&R>) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let f = move |value, row: Option<&R>| Some(f(value, row));
        self.meets_as("KSTREAM-LEFTJOIN-", how.into(), table, (true, f))
    }

    fn meets_as<R: Data, VO: Data>(
        &self,
        prefix: &str,
        Joined { name, serdes, grace }: Joined<K, V>,
        table: &KTable<K, R>,
        (is_left, f): (bool, impl Fn(V, Option<&R>) -> Option<VO> + Shared),
    ) -> KStream<K, VO> {
        let nulls = Nulls::of(&serdes);
        let nulls = if is_left { nulls.left() } else { nulls };
        let Some(grace) = grace else {
            return self.meets(prefix, table, nulls, f).perhaps_named(name);
        };
        let grace_ms = millis(grace);
        let mut graph = self.graph.borrow_mut();
        let generated = graph.generate(prefix);
        let node = name.as_deref().unwrap_or(&generated).to_owned();
        if graph.history_ms(table.node).is_none_or(|history| history < grace_ms) {
            graph.fault(TopologyFault::GraceWithoutHistory { node: node.clone(), grace_ms });
        }
        let options = StoreOptions::named(format!("{node}-Buffer"));
        let waiting = graph.add_store(Arc::new(WaitingSpec { options, serdes }));
        drop(graph);
        let f = Arc::new(f);
        let keys_pass = nulls.keys_pass();
        let stream =
            self.meeting((generated, keys_pass), table, Some(waiting), move |linker, view| {
                let join = StreamTable::make(linker, view, &nulls, &f)?;
                let waiting = linker.store(waiting)?.typed()?;
                linker.add::<K, V, _>(StreamTableGrace { join, waiting, grace_ms, observed: -1 });
                Ok(())
            });
        stream.perhaps_named(name)
    }

    fn meets<R: Data, VO: Data>(
        &self,
        prefix: &str,
        table: &KTable<K, R>,
        nulls: Nulls<K, V>,
        f: impl Fn(V, Option<&R>) -> Option<VO> + Shared,
    ) -> KStream<K, VO> {
        let f = Arc::new(f);
        let name = self.graph.borrow_mut().generate(prefix);
        let keys_pass = nulls.keys_pass();
        self.meeting((name, keys_pass), table, None, move |linker, view| {
            let node = StreamTable::make(linker, view, &nulls, &f)?;
            linker.add::<K, V, _>(node);
            Ok(())
        })
    }

    /// Adds the node, with a store of its own before those of the table.
    fn meeting<R: Data, VO: Data>(
        &self,
        (name, keys_pass): (String, bool),
        table: &KTable<K, R>,
        own: Option<StoreIndex>,
        make: impl Fn(&mut Linker<'_>, &View<K, R>) -> Result<()> + Shared,
    ) -> KStream<K, VO> {
        if !std::rc::Rc::ptr_eq(&self.graph, &table.graph) {
            self.graph.borrow_mut().fault(TopologyFault::OtherBuilder(name.clone()));
        }
        let view = table.view();
        let mut graph = self.graph.borrow_mut();
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: own.into_iter().chain(view.stores.iter().copied()).collect(),
            make: Box::new(move |linker: &mut Linker<'_>| make(linker, &view)),
        });
        if keys_pass {
            graph.take_null_keys(node);
        }
        drop(graph);
        KStream::new(std::rc::Rc::clone(&self.graph), node)
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// With this name, if there is one.
    pub(super) fn perhaps_named(self, name: Option<String>) -> Self {
        match name {
            Some(name) => self.named(&name),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::operators::Joined;
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::{StreamsBuilder, TopologyFault};

    fn nullable(key: Option<&str>, value: Option<&str>) -> Record<Option<String>, Option<String>> {
        Record::new(key.map(str::to_owned), value.map(str::to_owned), Timestamp(5))
    }

    #[test]
    fn a_row_is_looked_up_as_the_table_shows_it() {
        let builder = StreamsBuilder::new();
        let towns = builder.table::<String, String>("towns", "towns");
        let large = towns.filter(|_, town| town.len() > 3).map_values(|town| town.to_uppercase());
        let stream = builder.stream::<String, String>("in");
        stream.join_table(&large, |value, town| format!("{value} {town}")).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (town, wanted) in [("Rome", 1), ("Ulm", 1), ("Paris", 2)] {
            driver.pipe("towns", &text("k", town, 9)).unwrap();
            driver.pipe("in", &text("k", "in", 3)).unwrap();
            let out = driver.read::<String, String>("out").unwrap();
            assert_eq!(out.len(), usize::from(wanted > 0 && town != "Ulm"), "{town}");
            // At the time of the stream's record, whatever the row's.
            assert!(out.iter().all(|record| record.timestamp == Timestamp(3)));
        }
    }

    #[test]
    fn nulls_are_dropped_and_counted_or_go_on_without_a_row() {
        for (left, keys_dropped, wanted) in [(false, 1, 0), (true, 0, 2)] {
            let builder = StreamsBuilder::new();
            let table = builder.table::<Option<String>, String>("t", "t");
            let stream = builder.stream::<Option<String>, Option<String>>("in");
            if left {
                let f = |_, row: Option<&String>| format!("{row:?}");
                stream.left_join_table_with(Joined::default(), &table, f).to("out");
            } else {
                let f = |_, row: &String| row.clone();
                stream.join_table_with("named", &table, f).to("out");
            }
            let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
            for (key, value) in [(None, Some("v")), (Some("k"), None), (Some("k"), Some("v"))] {
                driver.pipe("in", &nullable(key, value)).unwrap();
            }
            assert_eq!(driver.dropped(DropReason::NullKey), keys_dropped, "left: {left}");
            assert_eq!(driver.dropped(DropReason::NullValue), 1, "left: {left}");
            let out = driver.read::<Option<String>, String>("out").unwrap();
            assert_eq!(out.len(), wanted, "left: {left}");
        }
    }

    #[test]
    fn without_serdes_a_null_value_is_the_closures_to_see() {
        let builder = StreamsBuilder::new();
        let table = builder.table::<Option<String>, String>("t", "t");
        let stream = builder.stream::<Option<String>, Option<String>>("in");
        stream.join_table(&table, |value, row| format!("{value:?} {row}")).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("t", &text("k", "row", 1)).unwrap();
        driver.pipe("in", &nullable(Some("k"), None)).unwrap();
        assert_eq!(driver.read::<String, String>("out").unwrap()[0].value, "None row");
    }

    #[test]
    fn a_table_of_another_builder_is_refused() {
        let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
        let table = other.table::<String, String>("t", "t");
        let stream = one.stream::<String, String>("in");
        stream.join_table(&table, |value, _| value).to("out");
        let faults = one.build().unwrap_err();
        let node = "KSTREAM-JOIN-0000000001".to_owned();
        assert_eq!(faults.faults(), [TopologyFault::OtherBuilder(node)]);
    }
}
