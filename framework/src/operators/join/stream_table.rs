//! `join_table`, `left_join_table`: each record of a stream meets the row of its key.
//!
//! | | |
//! |---|---|
//! | emits | one record for each of the stream; `join_table`: only where the table has a row. A change of the table emits nothing |
//! | drops | null keys (`NullKey`), but `left_join_table` hands them on without a row; null values (`NullValue`), where `Joined` says what is null |
//! | key, time, headers | of the stream's record; stream and table must be partitioned alike |
//! | state | none; the table keeps its rows or computes them from kept ones |

use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::join::options::Joined;
use crate::operators::stream::{KStream, Placed, Placing};
use crate::operators::table::{KTable, Lookup};
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};
use crate::serde::Serde;
use crate::topology::{Linker, NodeDraft, NodeKind, TopologyFault};

impl<K: Data, V: Data, P: Placed> KStream<K, V, P> {
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
    ) -> KStream<K, VO> {
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
    ) -> KStream<K, VO> {
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
    ) -> KStream<K, VO> {
        let f = move |value, row: Option<&R>| Some(f(value, row?));
        let Joined { name, serdes } = how.into();
        let stream = self.meets("KSTREAM-JOIN-", table, Nulls::of(&serdes), f);
        stream.perhaps_named(name)
    }

    /// As [`Self::left_join_table`], under a name, and dropping null values.
    #[must_use]
    pub fn left_join_table_with<R: Data, VO: Data>(
        &self,
        how: impl Into<Joined<K, V>>,
        table: &KTable<K, R>,
        f: impl Fn(V, Option<&R>) -> VO + Shared,
    ) -> KStream<K, VO> {
        let f = move |value, row: Option<&R>| Some(f(value, row));
        let Joined { name, serdes } = how.into();
        let stream = self.meets("KSTREAM-LEFTJOIN-", table, Nulls::of(&serdes).left(), f);
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
        if !std::rc::Rc::ptr_eq(&self.graph, &table.graph) {
            self.graph.borrow_mut().fault(TopologyFault::OtherBuilder(name.clone()));
        }
        let view = table.view();
        let mut graph = self.graph.borrow_mut();
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: view.stores.clone(),
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
                let node = StreamTable {
                    f: Arc::clone(&f),
                    rows: view.open(linker)?,
                    nulls: nulls.clone(),
                    children: linker.children::<K, VO>()?,
                    faults: linker.faults()?,
                };
                linker.add::<K, V, _>(node);
                Ok(())
            }),
        });
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

/// What is null, and what becomes of it.
struct Nulls<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Option<Arc<dyn Serde<V>>>,
    /// Null keys go on, without a row.
    keys_pass: bool,
}

impl<K, V> Clone for Nulls<K, V> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: self.value.clone(), keys_pass: self.keys_pass }
    }
}

impl<K, V> Nulls<K, V> {
    fn of_table<R>(table: &KTable<K, R>) -> Self {
        Self { key: Arc::clone(&table.key), value: None, keys_pass: false }
    }

    fn of(serdes: &crate::store::Serdes<K, V>) -> Self {
        let (key, value) = (Arc::clone(&serdes.key), Some(Arc::clone(&serdes.value)));
        Self { key, value, keys_pass: false }
    }

    fn left(self) -> Self {
        Self { keys_pass: true, ..self }
    }
}

struct StreamTable<K, V, R, VO, F> {
    f: Arc<F>,
    rows: Box<dyn Lookup<K, R>>,
    nulls: Nulls<K, V>,
    children: Children<K, VO>,
    faults: Faults,
}

impl<K, V, R, VO, F> Node for StreamTable<K, V, R, VO, F> {}

impl<K, V, R, VO, F> Operator<K, V> for StreamTable<K, V, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(V, Option<&R>) -> Option<VO>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.nulls.value.as_ref().is_some_and(|serde| serde.is_null(&value)) {
            self.faults.dropped(DropReason::NullValue, ctx, format_args!("its value is null"));
            return Ok(());
        }
        let row = match self.nulls.key.is_null(&key) {
            false => self.rows.get(&key)?,
            true if self.nulls.keys_pass => None,
            true => {
                self.faults.dropped(DropReason::NullKey, ctx, format_args!("its key is null"));
                return Ok(());
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
