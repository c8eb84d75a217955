//! `cogroup`: several grouped streams into one row for each key, without a join. By windows: `window/cogroup.rs`.
//!
//! | | |
//! |---|---|
//! | emits | the change of the row: at each record of any stream, or with a record cache once per key and flush |
//! | drops | as `aggregate` of each stream: null keys (`NullKey`), null values (`NullValue`), rows that the store cannot write (`Failed`, by policy) |
//! | key | the group's; the streams must be partitioned alike |
//! | time | the later one of the record's and the row's |
//! | headers | of the record |
//! | state | one key-value store with timestamps, which all streams write |

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::operators::group::aggregate::{First, add_aggregate};
use crate::operators::group::grouped::KGroupedStream;
use crate::operators::stream::Pass;
use crate::operators::table::KTable;
use crate::operators::window::{
    Merge, SessionRows, add_sessions, add_sliding, add_windowed, adding,
};
use crate::record::{Change, Data, Shared};
use crate::serde::Serde;
use crate::store::{Materialized, StoreSupplier, TableSpec};
use crate::time::{AnyWindows, Emit, SessionWindows, SlidingWindows};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, TableTraits, TopologyFault,
};

/// Streams that are aggregated together: each adds to the same rows in its own way.
pub struct CogroupedStream<K, A> {
    pub(crate) graph: SharedGraph,
    init: First<A>,
    members: Vec<Box<dyn Member<K, A>>>,
}

impl<K, A> fmt::Debug for CogroupedStream<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CogroupedStream").field("streams", &self.members.len()).finish()
    }
}

/// What the rows are of.
pub(crate) enum RowsOf<K, A> {
    Keys,
    Windows(AnyWindows, Emit),
    Sliding(SlidingWindows, Emit),
    Sessions(SessionWindows, Emit, Merge<K, A>),
}

/// What makes the node of one stream.
type MakeNode = Box<dyn Fn(&mut Linker<'_>) -> Result<()> + Send + Sync>;

/// One of the streams: what differs by the type of its values.
trait Member<K, A> {
    /// The node to aggregate from: behind a repartition topic, if the stream was re-keyed.
    fn repartitioned(&self, graph: &mut Graph, store: &str) -> NodeId;

    /// Makes the node that writes this store; the first one that does is named if it is another.
    fn writer(
        &self,
        store: (StoreIndex, Option<NodeId>),
        init: &First<A>,
        rows: &RowsOf<K, A>,
    ) -> MakeNode;
}

/// A stream, and how a value of it is added.
struct Stream<K, V, F> {
    grouped: KGroupedStream<K, V>,
    f: Arc<F>,
}

impl<K: Data, V: Data, A: Data, F: Fn(&K, V, &mut A) + Shared> Member<K, A> for Stream<K, V, F> {
    fn repartitioned(&self, graph: &mut Graph, store: &str) -> NodeId {
        self.grouped.repartitioned(graph, store)
    }

    fn writer(
        &self,
        (store, first): (StoreIndex, Option<NodeId>),
        init: &First<A>,
        rows: &RowsOf<K, A>,
    ) -> MakeNode {
        let f = Arc::clone(&self.f);
        let add = adding(Arc::clone(init), move |key: &K, value, row: &mut A| f(key, value, row));
        let what = (self.grouped.serdes.clone(), Some(Arc::clone(init)));
        match rows {
            RowsOf::Keys => {
                let add = Arc::new(move |key: &K, value, row| Some(add(key, value, row)));
                Box::new(move |linker| add_aggregate(linker, store, what.clone(), Arc::clone(&add)))
            }
            RowsOf::Windows(windows, emit) => {
                let (how, add) = ((windows.clone(), *emit), Arc::new(add));
                Box::new(move |linker| {
                    add_windowed(
                        linker,
                        (store, first),
                        what.clone(),
                        how.clone(),
                        Arc::clone(&add),
                    )
                })
            }
            RowsOf::Sliding(windows, emit) => {
                let (how, add) = ((*windows, *emit), Arc::new(add));
                Box::new(move |linker| {
                    add_sliding(linker, first, what.clone(), how, Arc::clone(&add))
                })
            }
            RowsOf::Sessions(windows, emit, merge) => {
                let (how, add, merge) = ((*windows, *emit), Arc::new(add), Arc::clone(merge));
                Box::new(move |linker| {
                    let (serdes, init) = what.clone();
                    let (merge, add) = (Arc::clone(&merge), Arc::clone(&add));
                    let rows = SessionRows { init, merge, add };
                    add_sessions(linker, first, serdes, how, rows)
                })
            }
        }
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Begins rows to which several streams add, each in its own way; `f` is that of this stream.
    ///
    /// ```
    /// # use millstream::{CogroupedStream, StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let orders = builder.stream::<String, String>("orders").group_by_key();
    /// let profiles: CogroupedStream<String, String> = clicks
    ///     .cogroup(String::new, |_, page, profile: &mut String| *profile += &format!(" saw {page}"))
    ///     .cogroup(&orders, |_, item, profile| *profile += &format!(" bought {item}"));
    /// profiles.aggregate("profiles");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("ada", "pens", 1))?;
    /// driver.pipe("orders", &text("ada", "ink", 2))?;
    /// assert_eq!(driver.table::<String, String>("profiles")?[0].1, " saw pens bought ink");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn cogroup<A: Data>(
        &self,
        init: impl Fn() -> A + Shared,
        f: impl Fn(&K, V, &mut A) + Shared,
    ) -> CogroupedStream<K, A> {
        let graph = Rc::clone(&self.graph);
        CogroupedStream { graph, init: Arc::new(init), members: Vec::new() }.cogroup(self, f)
    }
}

impl<K: Data, A: Data> CogroupedStream<K, A> {
    /// Another stream that adds to the rows. One that was re-keyed goes through a repartition topic named after the
    /// store; of several such streams all but one need a name of their own ([`KGroupedStream::named`]).
    #[must_use]
    pub fn cogroup<V: Data>(
        mut self,
        other: &KGroupedStream<K, V>,
        f: impl Fn(&K, V, &mut A) + Shared,
    ) -> Self {
        if !Rc::ptr_eq(&self.graph, &other.graph) {
            let fault = TopologyFault::OtherBuilder("a stream of a cogroup".to_owned());
            self.graph.borrow_mut().fault(fault);
            return self;
        }
        self.members.push(Box::new(Stream { grouped: other.clone(), f: Arc::new(f) }));
        self
    }

    /// The rows, one for each key.
    pub fn aggregate(self, store: impl Into<Materialized<K, A>>) -> KTable<K, A> {
        let store = store.into();
        let key = Arc::clone(&store.serdes.key);
        self.table(Arc::new(TableSpec::from(store)), key, &RowsOf::Keys)
    }

    /// Adds a node for each stream, and one in which their changes come together.
    pub(crate) fn table<K2: Data>(
        self,
        supplier: Arc<dyn StoreSupplier>,
        key: Arc<dyn Serde<K2>>,
        rows: &RowsOf<K, A>,
    ) -> KTable<K2, A> {
        let Self { graph: shared, init, members } = self;
        let mut graph = shared.borrow_mut();
        let parents: Vec<NodeId> =
            members.iter().map(|of| of.repartitioned(&mut graph, supplier.name())).collect();
        let store = graph.add_store(supplier);
        let mut writers = Vec::new();
        for (member, parent) in members.iter().zip(parents) {
            let name = graph.generate("COGROUPKSTREAM-AGGREGATE-");
            let node = graph.add(NodeDraft {
                name,
                kind: NodeKind::Processor,
                parents: vec![parent],
                stores: vec![store],
                make: member.writer((store, writers.first().copied()), &init, rows),
            });
            graph.set_table(node, TableTraits::kept());
            let repartition = graph.repartition_above(node);
            graph.drop_for(node, repartition);
            writers.push(node);
        }
        let name = graph.generate("COGROUPKSTREAM-MERGE-");
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: writers.clone(),
            stores: Vec::new(),
            make: Box::new(|linker: &mut Linker<'_>| {
                let children = linker.children::<K2, Change<A>>()?;
                linker.add(Pass { children });
                Ok(())
            }),
        });
        graph.drop_for(node, writers.clone());
        graph.set_table(node, TableTraits::written_by(writers, store));
        drop(graph);
        KTable::new(shared, node, key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::policy::{DropReason, OnError};
    use crate::record::{Record, Timestamp};
    use crate::serde::{Json, Plain};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::TimeWindows;
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    /// Rows of letters; a filter below asks for old values, and a stream looks rows up.
    fn topology() -> Topology {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("l").group_by_key();
        let right = builder.stream::<String, i64>("r").group_by_key();
        let rows = left
            .cogroup(String::new, |_, value, row: &mut String| row.push_str(&value))
            .cogroup(&right, |_, value, row| row.push_str(&value.to_string()))
            .aggregate("rows");
        rows.filter(|_, row| row.len() < 3).to_stream().to("short");
        let asked = builder.stream::<String, String>("asked");
        asked.join_table(&rows, |_, row| row.clone()).to("found");
        builder.build().unwrap()
    }

    #[test]
    fn streams_of_different_types_make_one_row() {
        for cache_bytes in [0, 1 << 20] {
            let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
            let mut driver = TopologyDriver::with_options(&topology(), &options).unwrap();
            driver.pipe("l", &text("k", "a", 1)).unwrap();
            driver.pipe("r", &Record::new("k".to_owned(), 7_i64, Timestamp(2))).unwrap();
            driver.pipe("l", &text("k", "b", 3)).unwrap();
            driver.pipe("l", &text("k", "c", 4)).unwrap();
            assert_eq!(driver.table::<String, String>("rows").unwrap()[0].1, "a7bc");
            let short = driver.read::<String, Option<String>>("short").unwrap();
            let short: Vec<_> = short.iter().map(|record| record.value.as_deref()).collect();
            // The last change is none that passes and was none before: the old row says so.
            assert_eq!(short, [Some("a"), Some("a7"), None], "{cache_bytes}");
            driver.pipe("asked", &text("k", "", 5)).unwrap();
            assert_eq!(driver.read::<String, String>("found").unwrap()[0].value, "a7bc");
        }
    }

    #[test]
    fn one_stream_that_was_rekeyed_needs_no_name_and_two_do() {
        for named in [true, false] {
            let builder = StreamsBuilder::new();
            let by_value = |topic| {
                let stream = builder.stream::<String, String>(topic);
                stream.group_by(|_, value: &String| value.clone())
            };
            let (left, right) = (by_value("l"), by_value("r"));
            let right = if named { right.named("right") } else { right };
            let windows = TimeWindows::of(Duration::from_secs(1)).no_grace();
            let both = left.cogroup(|| 0_i64, |_, _, n| *n += 1);
            both.cogroup(&right, |_, _, n| *n += 10).windowed_by(windows).aggregate("n");
            let found = builder.build().map_or_else(|errors| errors.faults().to_vec(), |_| vec![]);
            let twice = TopologyFault::DuplicateRepartition("n-repartition".to_owned());
            // The names of its nodes are made of the topic's: that they are there twice is nothing of its own.
            assert_eq!(found, if named { vec![] } else { vec![twice] });
        }
    }

    #[test]
    fn a_row_that_cannot_be_written_follows_the_policy_of_the_table() {
        let builder = StreamsBuilder::new();
        let stream = |topic| builder.stream::<String, f64>(topic).group_by_key();
        let sums = stream("l").cogroup(|| 0.0, |_, value, sum| *sum += value);
        let sums = sums.cogroup(&stream("r"), |_, value, sum| *sum += value);
        // JSON knows no infinity.
        let store = Materialized::with_serdes("sums", Plain, Json);
        sums.aggregate(store).on_error(OnError::Skip).updates().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (topic, value) in [("l", 1.5), ("l", f64::INFINITY), ("r", f64::NAN), ("r", 2.0)] {
            driver.pipe(topic, &Record::new("k".to_owned(), value, Timestamp(1))).unwrap();
        }
        let out = driver.read::<String, f64>("out").unwrap();
        assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [1.5, 3.5]);
        assert_eq!(driver.dropped(DropReason::Failed), 2);
    }
}
