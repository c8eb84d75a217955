//! `join`, `left_join`, `outer_join` of two tables: a row for each key of both, of the left one, of either.
//!
//! | | |
//! |---|---|
//! | emits | at each change of a row of either table the change of the result; a deletion where there is none any more. `join`: nothing while the other row is missing; `left_join`: nothing for a change on the right without a row on the left, nor for a deletion of what was not there; `outer_join`: the same on both sides |
//! | drops | nothing (null keys are dropped by the tables) |
//! | key | kept; both tables must be partitioned alike |
//! | time | the later one of the two rows |
//! | headers | of the record that changed a row |
//! | state | none, unless it is [`materialized`](crate::KTable::materialized); both tables keep their rows or compute them from kept ones |

use std::rc::Rc;
use std::sync::Arc;

use crate::operators::join::table_side::{Merge, TableSide};
use crate::operators::table::{KTable, View};
use crate::record::{Change, Data, Shared};
use crate::topology::{Linker, NodeDraft, NodeId, NodeKind, TableTraits, TopologyFault};

/// For which keys there is a result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Both,
    Left,
    Either,
}

impl<K: Data, V: Data> KTable<K, V> {
    /// A row for each key that both tables have.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let towns = builder.table::<String, String>("towns", "towns");
    /// names.join(&towns, |name, town| format!("{name} of {town}")).updates().to("people");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// driver.pipe("towns", &text("7", "London", 2))?;
    /// assert_eq!(driver.read::<String, String>("people")?, [text("7", "Ada of London", 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn join<R: Data, VO: Data>(
        &self,
        other: &KTable<K, R>,
        f: impl Fn(&V, &R) -> VO + Shared,
    ) -> KTable<K, VO> {
        self.joined(other, Kind::Both, move |left, right| Some(f(left?, right?)))
    }

    /// A row for each key of this table, with the row of the other one if there is one.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let towns = builder.table::<String, String>("towns", "towns");
    /// let people = names.left_join(&towns, |name, town| match town {
    ///     Some(town) => format!("{name} of {town}"),
    ///     None => name.clone(),
    /// });
    /// people.updates().to("people");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// assert_eq!(driver.read::<String, String>("people")?, [text("7", "Ada", 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_join<R: Data, VO: Data>(
        &self,
        other: &KTable<K, R>,
        f: impl Fn(&V, Option<&R>) -> VO + Shared,
    ) -> KTable<K, VO> {
        self.joined(other, Kind::Left, move |left, right| Some(f(left?, right)))
    }

    /// A row for each key that either table has.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let desk = builder.table::<String, String>("desk", "desk");
    /// let phone = builder.table::<String, String>("phone", "phone");
    /// let all = desk.outer_join(&phone, |desk, phone| format!("{desk:?} {phone:?}"));
    /// all.updates().to("reached");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("phone", &text("7", "ext. 4", 1))?;
    /// assert_eq!(driver.read::<String, String>("reached")?[0].value, "None Some(\"ext. 4\")");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn outer_join<R: Data, VO: Data>(
        &self,
        other: &KTable<K, R>,
        f: impl Fn(Option<&V>, Option<&R>) -> VO + Shared,
    ) -> KTable<K, VO> {
        self.joined(other, Kind::Either, move |left, right| {
            (left.is_some() || right.is_some()).then(|| f(left, right))
        })
    }

    fn joined<R: Data, VO: Data>(
        &self,
        other: &KTable<K, R>,
        kind: Kind,
        f: impl Fn(Option<&V>, Option<&R>) -> Option<VO> + Shared,
    ) -> KTable<K, VO> {
        let f = Arc::new(f);
        let merge = self.graph.borrow_mut().generate("KTABLE-MERGE-");
        if !Rc::ptr_eq(&self.graph, &other.graph) {
            let mut graph = self.graph.borrow_mut();
            graph.fault(TopologyFault::OtherBuilder(merge));
            // The fault was noted and `build` reports it. The caller needs a table all the same.
            return KTable::new(Rc::clone(&self.graph), self.node, Arc::clone(&self.key));
        }
        if kind != Kind::Both {
            self.graph.borrow_mut().want_old(self.node, true);
        }
        if kind == Kind::Either {
            self.graph.borrow_mut().want_old(other.node, true);
        }
        let (left, right) = (self.view(), other.view());
        let tables = [self.node, other.node];
        let this = {
            let f = Arc::clone(&f);
            let join = move |left: Option<&V>, right: Option<&R>| f(left, right);
            self.side::<R, VO>(("KTABLE-JOINTHIS-", tables), &right, kind == Kind::Both, join)
        };
        let that = {
            let f = Arc::clone(&f);
            let join = move |right: Option<&R>, left: Option<&V>| f(left, right);
            other.side::<V, VO>(("KTABLE-JOINOTHER-", tables), &left, kind != Kind::Either, join)
        };
        let mut graph = self.graph.borrow_mut();
        let node = graph.add(NodeDraft {
            name: merge,
            kind: NodeKind::Processor,
            parents: vec![this, that],
            stores: Vec::new(),
            make: Box::new(|linker: &mut Linker<'_>| {
                let rows = linker.rows::<K, VO>()?;
                linker.add::<K, Change<VO>, _>(Merge { rows });
                Ok(())
            }),
        });
        graph.drop_for(node, [this, that]);
        graph.set_table(node, TableTraits::joined([this, that]));
        drop(graph);
        let (left, right) = (self.clone(), other.clone());
        let table = KTable::new(Rc::clone(&self.graph), node, Arc::clone(&self.key));
        table.computed(move || {
            let f = Arc::clone(&f);
            left.view().meets(right.view(), move |left, right| f(left, right))
        })
    }

    /// Adds the node at which changes of this table meet the rows of the other.
    fn side<R: Data, VO: Data>(
        &self,
        (prefix, tables): (&str, [NodeId; 2]),
        other: &View<K, R>,
        needs_other: bool,
        join: impl Fn(Option<&V>, Option<&R>) -> Option<VO> + Shared,
    ) -> NodeId {
        let join = Arc::new(join);
        let view = other.clone();
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate(prefix);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: other.stores.clone(),
            make: Box::new(move |linker: &mut Linker<'_>| {
                let join = Arc::clone(&join);
                let node = TableSide {
                    other: view.open(linker)?,
                    join: move |here: Option<&V>, there: Option<&R>| join(here, there),
                    needs_other,
                    sends_old: linker.sends_old(),
                    children: linker.children::<K, Change<VO>>()?,
                    faults: linker.faults()?,
                };
                linker.add::<K, Change<V>, _>(node);
                Ok(())
            }),
        });
        graph.set_table(node, TableTraits::joined(tables));
        node
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::operators::KTable;
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver};
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    type Table = KTable<String, i64>;

    /// A write to one of the tables: on the left, key, row, time.
    type Write = (bool, u8, Option<i64>, i64);

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Join {
        Inner,
        Left,
        Outer,
    }

    /// As in Kafka Streams: what is not the latest goes into the history, and the join has seen what is.
    #[test]
    fn an_older_version_is_not_joined() {
        let builder = StreamsBuilder::new();
        let versions = Materialized::named("lt").versioned(std::time::Duration::from_secs(1));
        let left = builder.table::<String, i64>("l", versions).filter(|_, _| true);
        let right = builder.table::<String, i64>("r", "rt");
        left.join(&right, |l, r| text(Some(l), Some(r))).to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (topic, n, at) in [("r", 1_i64, 1), ("l", 2, 20), ("l", 3, 10), ("r", 4, 21)] {
            driver.pipe(topic, &Record::new("k".to_owned(), n, Timestamp(at))).unwrap();
        }
        let out = driver.read::<String, Option<String>>("out").unwrap();
        let out: Vec<_> = out.into_iter().flat_map(|record| record.value).collect();
        assert_eq!(out, [text(Some(&2), Some(&1)), text(Some(&2), Some(&4))]);
        assert_eq!(driver.dropped(DropReason::Stale), 1);
    }

    fn text(left: Option<&i64>, right: Option<&i64>) -> String {
        format!("{left:?} {right:?}")
    }

    fn joined(how: Join, left: &Table, right: &Table) -> KTable<String, String> {
        match how {
            Join::Inner => left.join(right, |l, r| text(Some(l), Some(r))),
            Join::Left => left.left_join(right, |l, r| text(Some(l), r)),
            Join::Outer => left.outer_join(right, text),
        }
    }

    /// Both tables hold even rows only, one of them kept as it comes and seen through a view.
    fn topology(how: Join, kept: bool) -> Topology {
        let builder = StreamsBuilder::new().allow_generated_names();
        let left = builder.table::<String, i64>("l", "lt").filter(|_, row| row % 2 == 0);
        let right = builder.table::<String, i64>("r", Materialized::generated());
        let right = right.map_values(|row| row * 10).filter(|_, row| row % 20 == 0);
        let result = joined(how, &left, &right);
        let result = if kept { result.materialized("j") } else { result };
        result.to_stream().to("out");
        // Behind a join that keeps nothing rows are looked up through it.
        let third = builder.table::<String, i64>("third", "third");
        let looked_up = third.left_join(&result, |_, row| format!("{row:?}"));
        looked_up.to_stream().to("looked-up");
        builder.build().unwrap()
    }

    fn of(how: Join, left: Option<i64>, right: Option<i64>) -> Option<String> {
        let there = match how {
            Join::Inner => left.is_some() && right.is_some(),
            Join::Left => left.is_some(),
            Join::Outer => left.is_some() || right.is_some(),
        };
        there.then(|| text(left.as_ref(), right.as_ref()))
    }

    fn even(row: Option<i64>) -> Option<i64> {
        row.filter(|row| row % 2 == 0)
    }

    fn run(how: Join, (kept, cache_bytes): (bool, usize), writes: &[Write]) {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(&topology(how, kept), &options).unwrap();
        let mut tables = [BTreeMap::new(), BTreeMap::new()];
        let mut last = BTreeMap::new();
        for (left, key, row, at) in writes {
            let topic = if *left { "l" } else { "r" };
            let record = Record::new(key.to_string(), *row, Timestamp(*at));
            driver.pipe(topic, &record).unwrap();
            tables[usize::from(!left)].insert(key.to_string(), even(*row));
            for change in driver.read::<String, Option<String>>("out").unwrap() {
                last.insert(change.key, change.value);
            }
        }
        for key in (0..3_u8).map(|key| key.to_string()) {
            let row = |table: &BTreeMap<String, Option<i64>>| table.get(&key).copied().flatten();
            let wanted = of(how, row(&tables[0]), row(&tables[1]).map(|row| row * 10));
            assert_eq!(last.get(&key).cloned().flatten(), wanted, "{how:?} {key}");
            driver.pipe("third", &Record::new(key.clone(), 1_i64, Timestamp(1))).unwrap();
            let found = driver.read::<String, Option<String>>("looked-up").unwrap();
            assert_eq!(found.last().unwrap().value, Some(format!("{:?}", wanted.as_ref())));
        }
    }

    proptest! {
        #[test]
        fn the_result_is_what_both_tables_say(
            writes in proptest::collection::vec(
                (any::<bool>(), 0..3_u8, proptest::option::of(0..6_i64), 0..50_i64), 1..40),
            kept: bool,
            cached: bool,
        ) {
            for how in [Join::Inner, Join::Left, Join::Outer] {
                run(how, (kept, if cached { 1 << 20 } else { 0 }), &writes);
            }
        }
    }

    #[test]
    fn tables_of_two_builders_do_not_meet() {
        let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
        let left = one.table::<String, i64>("l", "l");
        let right = other.table::<String, i64>("r", "r");
        left.join(&right, |left, right| left + right).to_stream().to("out");
        let faults = one.build().unwrap_err();
        let node = "KTABLE-MERGE-0000000002".to_owned();
        assert_eq!(faults.faults().first(), Some(&TopologyFault::OtherBuilder(node)));
    }

    #[test]
    fn both_tables_are_in_one_sub_topology_and_need_the_same_partitions() {
        let topology = topology(Join::Left, false);
        let subs = topology.sub_topologies();
        assert_eq!(subs.len(), 1);
        assert!(subs[0].copartitioned.iter().any(|group| group.len() == 3), "{subs:?}");
    }
}
