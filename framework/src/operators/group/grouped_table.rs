//! `group_by` of tables, and `count`, `reduce`, `aggregate` of the groups: a row is added to its group, and taken
//! from it again when it changes or goes.
//!
//! | | |
//! |---|---|
//! | emits | the change of the group's row, at each change of a row in it; a row that stays in its group is taken from it and added to it in one step |
//! | drops | rows whose group has a null key (`NullKey`) or that have a null value there (`NullValue`) |
//! | key | the group's; always through a repartition topic, named after the store that follows, or by `named` |
//! | time | the later one of the record's and the group's row |
//! | headers | of the record that changed the row |
//! | state | a key-value store with timestamps; the table that is grouped keeps its rows from now on. A group from which everything was taken keeps its row, as in Kafka Streams |

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::stream::{SinkDraft, SourceDraft};
use crate::operators::table::{KTable, Kept, OLDER, Rows};
use crate::policy::{DropReason, Reset};
use crate::record::{Change, Data, Headers, Record, Shared, Timestamp};
use crate::serde::{ChangeSerde, HasSerde, Serde};
use crate::sink::Produced;
use crate::source::Reading;
use crate::store::{Materialized, Serdes, TableSpec};
use crate::topology::{Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, TableTraits};

/// The rows of a table, brought together by what they belong to.
///
/// ```
/// # use millstream::StreamsBuilder;
/// # let builder = StreamsBuilder::new();
/// let towns = builder.table::<String, String>("towns", "towns");
/// let by_town = towns.group_by(|person, town| (town.clone(), person.clone())).named("by-town");
/// by_town.count("people");
/// by_town.reduce("last-in", |_, last| last, |all, _| all);
/// assert!(builder.build()?.describe().contains("by-town-repartition"));
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct KGroupedTable<K, V> {
    graph: SharedGraph,
    /// The node that finds the group of a row.
    node: NodeId,
    serdes: Serdes<K, V>,
    /// The name of the repartition topic, if the user gave one.
    name: Option<String>,
    /// Where the changes come out of the topic of that name, once they do.
    shared: Rc<Cell<Option<NodeId>>>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            node: self.node,
            serdes: self.serdes.clone(),
            name: self.name.clone(),
            shared: Rc::clone(&self.shared),
        }
    }
}

impl<K, V> fmt::Debug for KGroupedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KGroupedTable").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Groups the rows: `f` names the group of a row, and what of it counts there.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<String, i64>("orders", "orders"); // cents, by `customer/number`
    /// let by_customer = orders.group_by(|id, cents| {
    ///     (id.split('/').next().unwrap_or_default().to_owned(), *cents)
    /// });
    /// let spent = by_customer.aggregate("spent", || 0, |_, cents, sum| *sum += cents, |_, cents, sum| *sum -= cents);
    /// spent.updates().to("spent");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for (id, cents, at) in [("ada/1", 500_i64, 1), ("ada/2", 200, 2), ("ada/1", 300, 3)] {
    ///     driver.pipe("orders", &Record::new(id.to_owned(), cents, Timestamp(at)))?;
    /// }
    /// let spent = driver.read::<String, i64>("spent")?;
    /// assert_eq!(spent.iter().map(|row| row.value).collect::<Vec<_>>(), [500, 700, 500]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by<K2: HasSerde + PartialEq, V2: HasSerde>(
        &self,
        f: impl Fn(&K, &V) -> (K2, V2) + Shared,
    ) -> KGroupedTable<K2, V2> {
        self.group_by_with(K2::Serde::default(), V2::Serde::default(), f)
    }

    /// As [`Self::group_by`], in bytes of these serdes.
    ///
    /// ```
    /// use millstream::serde::{Json, Plain};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let towns = builder.table::<String, String>("towns", "towns");
    /// // Pairs have no serde of their own here.
    /// let by_town = towns.group_by_with(Plain, Json, |person, town| (town.clone(), (person.clone(), 1_i64)));
    /// by_town.count("people");
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn group_by_with<K2: Data + PartialEq, V2: Data>(
        &self,
        key: impl Serde<K2>,
        value: impl Serde<V2>,
        f: impl Fn(&K, &V) -> (K2, V2) + Shared,
    ) -> KGroupedTable<K2, V2> {
        let serdes = Serdes::given(Arc::new(key), Arc::new(value));
        let f = Arc::new(f);
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate("KTABLE-SELECT-");
        graph.want_old(self.node, true);
        let of_rows: Serdes<K2, V2> = serdes.clone();
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
                let (children, faults) = (linker.children::<K2, Change<V2>>()?, linker.faults()?);
                let (f, serdes) = (Arc::clone(&f), of_rows.clone());
                linker.add::<K, Change<V>, _>(Select { f, serdes, children, faults });
                Ok(())
            }),
        });
        drop(graph);
        let shared = Rc::default();
        KGroupedTable { graph: Rc::clone(&self.graph), node, serdes, name: None, shared }
    }
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// Names the repartition topic: `<application>-<name>-repartition`. Without this it is named after the store
    /// that follows.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.graph.borrow_mut().check_name("a repartition topic", name);
        self.name = Some(name.to_owned());
        self
    }

    /// How many rows there are in each group.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let towns = builder.table::<String, String>("towns", "towns");
    /// towns.group_by(|_, town| (town.clone(), true)).count("people").updates().to("people");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("towns", &text("ada", "London", 1))?;
    /// driver.pipe("towns", &text("ada", "Paris", 2))?;
    /// let people = driver.read::<String, i64>("people")?;
    /// let people: Vec<_> = people.iter().map(|row| (row.key.as_str(), row.value)).collect();
    /// assert_eq!(people, [("London", 1), ("London", 0), ("Paris", 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, store: impl Into<Materialized<K, i64>>) -> KTable<K, i64> {
        self.aggregate(store, || 0, |_, _, count| *count += 1, |_, _, count| *count -= 1)
    }

    /// Combines the rows of each group: `add` puts a row to the result so far, `subtract` takes one from it.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", "stock");
    /// let all = stock.group_by(|_, left| ("all".to_owned(), *left));
    /// all.reduce("sum", |sum, left| sum + left, |sum, left| sum - left).updates().to("sum");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for (what, left, at) in [("pens", 5_i64, 1), ("ink", 2, 2), ("pens", 4, 3)] {
    ///     driver.pipe("stock", &Record::new(what.to_owned(), left, Timestamp(at)))?;
    /// }
    /// let sums = driver.read::<String, i64>("sum")?;
    /// assert_eq!(sums.iter().map(|row| row.value).collect::<Vec<_>>(), [5, 7, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reduce(
        &self,
        store: impl Into<Materialized<K, V>>,
        add: impl Fn(V, V) -> V + Shared,
        subtract: impl Fn(V, V) -> V + Shared,
    ) -> KTable<K, V> {
        self.rows("KTABLE-REDUCE-", store.into(), move |_, change, row| {
            let rest = match (change.old, row) {
                (Some(old), Some(row)) => Some(subtract(row, old)),
                (_, row) => row,
            };
            match (change.new, rest) {
                (Some(new), Some(rest)) => Some(add(rest, new)),
                (new, rest) => new.or(rest),
            }
        })
    }

    /// Adds the rows of each group up into something else, in place, beginning with what `init` makes; `subtract`
    /// takes a row out again.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", "stock");
    /// let all = stock.group_by(|_, left| ("all".to_owned(), *left));
    /// let scarce = all.aggregate(
    ///     "scarce",
    ///     || 0,
    ///     |_, left, scarce: &mut i64| *scarce += i64::from(left < 3),
    ///     |_, left, scarce| *scarce -= i64::from(left < 3),
    /// );
    /// scarce.updates().to("scarce");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for (what, left, at) in [("pens", 2_i64, 1), ("ink", 1, 2), ("pens", 9, 3)] {
    ///     driver.pipe("stock", &Record::new(what.to_owned(), left, Timestamp(at)))?;
    /// }
    /// let scarce = driver.read::<String, i64>("scarce")?;
    /// assert_eq!(scarce.iter().map(|row| row.value).collect::<Vec<_>>(), [1, 2, 1]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        store: impl Into<Materialized<K, A>>,
        init: impl Fn() -> A + Shared,
        add: impl Fn(&K, V, &mut A) + Shared,
        subtract: impl Fn(&K, V, &mut A) + Shared,
    ) -> KTable<K, A> {
        self.rows("KTABLE-AGGREGATE-", store.into(), move |key, change, row| {
            let mut row = row;
            if let (Some(old), Some(row)) = (change.old, &mut row) {
                subtract(key, old, row);
            }
            if let Some(new) = change.new {
                add(key, new, row.get_or_insert_with(&init));
            }
            row
        })
    }

    fn rows<A: Data>(
        &self,
        prefix: &str,
        store: Materialized<K, A>,
        f: impl Fn(&K, Change<V>, Option<A>) -> Option<A> + Shared,
    ) -> KTable<K, A> {
        let f = Arc::new(f);
        let key = Arc::clone(&store.serdes.key);
        let mut graph = self.graph.borrow_mut();
        let (sink, source) = (graph.generate("KSTREAM-SINK-"), graph.generate("KSTREAM-SOURCE-"));
        let name = graph.generate(prefix);
        let topic = self.name.as_deref().unwrap_or(&store.options.name);
        let parent = match self.shared.get().filter(|_| self.name.is_some()) {
            Some(node) => node,
            None => self.through_topic(&mut graph, topic, (sink, source)),
        };
        self.shared.set(Some(parent));
        let store = graph.add_store(Arc::new(TableSpec::from(store)));
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores: vec![store],
            make: Box::new(move |linker: &mut Linker<'_>| {
                if let Rows::Kept(kept) = linker.rows::<K, A>()? {
                    linker.add::<K, Change<V>, _>(Aggregate { f: Arc::clone(&f), kept });
                }
                Ok(())
            }),
        });
        graph.drop_for(node, [self.node, parent]);
        graph.set_table(node, TableTraits::kept());
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node, key)
    }

    /// Adds sink and source; returns the source.
    fn through_topic(
        &self,
        graph: &mut Graph,
        name: &str,
        (sink, source): (String, String),
    ) -> NodeId {
        let topic: Arc<str> = format!("{name}-repartition").into();
        let key = Arc::clone(&self.serdes.key);
        let value: Arc<dyn Serde<Change<V>>> =
            Arc::new(ChangeSerde(Arc::clone(&self.serdes.value)));
        SinkDraft {
            name: sink,
            internal: true,
            partitions: None,
            produced: Produced::to_fixed(Arc::clone(&topic), Arc::clone(&key), Arc::clone(&value)),
        }
        .add_to(graph, self.node);
        SourceDraft {
            name: source,
            topics: vec![topic],
            pattern: None,
            internal: true,
            partitions: None,
            reset: Reset::Earliest,
            global: false,
            reading: Reading { key, value, timestamp: None },
        }
        .add_to(graph)
    }
}

/// Finds the groups that a row leaves and joins.
struct Select<K, V, F> {
    f: Arc<F>,
    serdes: Serdes<K, V>,
    children: Children<K, Change<V>>,
    faults: Faults,
}

impl<K, V, F> Node for Select<K, V, F> {}

impl<K: Data, V: Data, F> Select<K, V, F> {
    /// The group and the row in it, if neither is null.
    fn unless_null(
        &self,
        group: Option<(K, V)>,
        about: (Timestamp, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<Option<(K, V)>> {
        let Some((key, value)) = group else { return Ok(None) };
        let (reason, what) =
            match (self.serdes.key.is_null(&key), self.serdes.value.is_null(&value)) {
                (true, _) => (DropReason::NullKey, "the key of its group is null"),
                (false, true) => (DropReason::NullValue, "its value in the group is null"),
                (false, false) => return Ok(Some((key, value))),
            };
        let written = || Written::new(self.serdes.bytes(&key, &value), about.0, about.1);
        let why = format_args!("{what}");
        self.faults.dropped_record(reason, ctx, why, &written).map(|()| None)
    }
}

impl<K0, V0, K, V, F> Operator<K0, Change<V0>> for Select<K, V, F>
where
    K0: Data,
    V0: Data,
    K: Data + PartialEq,
    V: Data,
    F: Fn(&K0, &V0) -> (K, V),
{
    #[inline]
    fn process(&mut self, record: Record<K0, Change<V0>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: Change { new, old, latest }, timestamp, headers } = record;
        if !latest {
            // What is newer was grouped already.
            return self.faults.dropped(DropReason::Stale, ctx, OLDER);
        }
        let about = (timestamp, &headers);
        let old = self.unless_null(old.map(|row| (self.f)(&key, &row)), about, ctx)?;
        let new = self.unless_null(new.map(|row| (self.f)(&key, &row)), about, ctx)?;
        let change = |new, old| Change { new, old, latest };
        match (old, new) {
            (Some((left, old)), Some((joined, new))) if left == joined => {
                let value = change(Some(new), Some(old));
                self.children.forward(Record { key: joined, value, timestamp, headers }, ctx)
            }
            (old, new) => {
                if let Some((key, old)) = old {
                    let (value, headers) = (change(None, Some(old)), headers.clone());
                    self.children.forward(Record { key, value, timestamp, headers }, ctx)?;
                }
                if let Some((key, new)) = new {
                    let value = change(Some(new), None);
                    self.children.forward(Record { key, value, timestamp, headers }, ctx)?;
                }
                Ok(())
            }
        }
    }
}

/// The row of each group.
struct Aggregate<K, A, F> {
    f: Arc<F>,
    kept: Kept<K, A>,
}

impl<K: Data, A: Data, F> Node for Aggregate<K, A, F> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.kept.flush(ctx)
    }
}

impl<K, V, A, F> Operator<K, Change<V>> for Aggregate<K, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, Change<V>, Option<A>) -> Option<A>,
{
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let adds = value.new.is_some();
        let f = &self.f;
        self.kept.change(key, (timestamp, headers), ctx, |key, row| {
            let (row, at) = match row {
                // A row that is neither added to nor taken from has the time of the record.
                Some((row, at)) => (
                    Some(row),
                    if adds || value.old.is_some() { at.max(timestamp) } else { timestamp },
                ),
                None => (None, timestamp),
            };
            (f(key, value, row), at)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::{DriverOptions, TopologyDriver};
    use crate::topology::{StreamsBuilder, Topology};

    /// Sums and counts of rows by their last digit.
    fn by_digit() -> Topology {
        let builder = StreamsBuilder::new();
        let rows = builder.table::<String, i64>("in", "t");
        let grouped = rows.group_by(|_, row| (row % 3, *row)).named("g");
        let add = |_: &i64, row, sum: &mut i64| *sum += row;
        let subtract = |_: &i64, row, sum: &mut i64| *sum -= row;
        grouped.aggregate("sums", || 0, add, subtract).to_stream().to("sums");
        grouped.count("counts").to_stream().to("counts");
        builder.build().unwrap()
    }

    proptest! {
        #[test]
        fn a_group_has_what_its_rows_say(
            writes in proptest::collection::vec((0..4_u8, proptest::option::of(0..30_i64)), 1..40),
            cached: bool,
        ) {
            let cache_bytes = if cached { 1 << 20 } else { 0 };
            let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
            let mut driver = TopologyDriver::with_options(&by_digit(), &options).unwrap();
            let mut rows = BTreeMap::new();
            for (at, (key, row)) in (1..).zip(&writes) {
                let record = Record::new(key.to_string(), *row, Timestamp(at));
                driver.pipe("in", &record).unwrap();
                rows.insert(*key, *row);
            }
            for group in 0..3_i64 {
                let there: Vec<i64> =
                    rows.values().flatten().copied().filter(|row| row % 3 == group).collect();
                let kept = |store: &str, driver: &mut TopologyDriver| {
                    let all = driver.table::<i64, i64>(store).unwrap();
                    all.into_iter().find(|(key, _, _)| *key == group).map_or(0, |(_, row, _)| row)
                };
                prop_assert_eq!(kept("sums", &mut driver), there.iter().sum::<i64>());
                prop_assert_eq!(kept("counts", &mut driver), there.len() as i64);
            }
        }
    }

    #[test]
    fn a_named_grouping_shares_its_topic() {
        let topology = by_digit();
        assert_eq!(topology.sub_topologies().len(), 2);
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("in", &Record::new("k".to_owned(), 4_i64, Timestamp(1))).unwrap();
        assert_eq!(driver.read_raw("app-g-repartition").unwrap().len(), 1);
    }

    #[test]
    fn a_row_that_stays_in_its_group_goes_there_in_one_step() {
        let mut driver = TopologyDriver::new(&by_digit()).unwrap();
        for (row, at) in [(Some(4_i64), 10), (Some(7), 5), (Some(8), 6), (None, 7)] {
            driver.pipe("in", &Record::new("k".to_owned(), row, Timestamp(at))).unwrap();
        }
        let sums = driver.read::<i64, Option<i64>>("sums").unwrap();
        let sums: Vec<_> = sums.iter().map(|row| (row.key, row.value, row.timestamp.0)).collect();
        // The later time of the record's and the group's.
        let all = [
            (1, Some(4), 10),
            (1, Some(7), 10),
            (1, Some(0), 10),
            (2, Some(8), 6),
            (2, Some(0), 7),
        ];
        assert_eq!(sums, all);
    }

    #[test]
    fn a_group_or_a_row_in_it_that_is_null_is_dropped_and_counted() {
        let builder = StreamsBuilder::new();
        let rows = builder.table::<String, String>("in", "t");
        let grouped = rows.group_by(|_, row| match row.as_str() {
            "no group" => (None, Some(1_i64)),
            "no row" => (Some(row.clone()), None),
            _ => (Some(row.clone()), Some(1)),
        });
        grouped.count("counts").to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for row in ["no group", "no row", "a"] {
            driver.pipe("in", &crate::testing::text("k", row, 1)).unwrap();
        }
        let out = driver.read::<Option<String>, Option<i64>>("out").unwrap();
        assert_eq!(out.len(), 1);
        // Each once as a new row, and once as an old one.
        assert_eq!(driver.dropped(DropReason::NullKey), 2);
        assert_eq!(driver.dropped(DropReason::NullValue), 2);
    }
}
