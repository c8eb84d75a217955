//! `cogroup`: several grouped streams into one row for each key, or for each key and window, without a join.
//!
//! | | |
//! |---|---|
//! | emits | the change of the row: at each record of any stream, or with a record cache once per key and flush |
//! | drops | as `aggregate` of each stream: null keys (`NullKey`), null values (`NullValue`; over windows they are handed to the aggregation), late records (`Late`), rows that the store cannot write (`Failed`, by policy) |
//! | key | the group's, or `Windowed`; the streams must be partitioned alike |
//! | time | the later one of the record's and the row's |
//! | headers | of the record |
//! | state | one store, which all streams write: key-value with timestamps, or of windows |

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::operators::group::aggregate::{First, add_aggregate};
use crate::operators::group::grouped::KGroupedStream;
use crate::operators::stream::Pass;
use crate::operators::table::KTable;
use crate::operators::window::{add_windowed, closing, window_store};
use crate::record::{Change, Data, Shared, Timestamp, Windowed};
use crate::serde::{Serde, WindowedSerde};
use crate::store::{Materialized, StoreSupplier, TableSpec};
use crate::time::{Emit, WindowStarts, Windows};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, TableTraits, TopologyFault,
};

/// Streams that are aggregated together: each adds to the same rows in its own way.
pub struct CogroupedStream<K, A> {
    graph: SharedGraph,
    init: First<A>,
    members: Vec<Box<dyn Member<K, A>>>,
}

/// The same, by windows.
pub struct WindowedCogroup<K, A, W> {
    streams: CogroupedStream<K, A>,
    windows: W,
}

impl<K, A> fmt::Debug for CogroupedStream<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CogroupedStream").field("streams", &self.members.len()).finish()
    }
}

impl<K, A, W: fmt::Debug> fmt::Debug for WindowedCogroup<K, A, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowedCogroup")
            .field("streams", &self.streams)
            .field("windows", &self.windows)
            .finish()
    }
}

/// What makes the node of one stream.
type MakeNode = Box<dyn Fn(&mut Linker<'_>) -> Result<()> + Send + Sync>;

/// One of the streams: what differs by the type of its values.
trait Member<K, A> {
    /// The node to aggregate from: behind a repartition topic, if the stream was re-keyed.
    fn repartitioned(&self, graph: &mut Graph, store: &str) -> NodeId;

    fn rows(&self, store: StoreIndex, init: First<A>) -> MakeNode;

    fn windowed_rows(&self, store: StoreIndex, init: First<A>, windows: AnyWindows) -> MakeNode;
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

    fn rows(&self, store: StoreIndex, init: First<A>) -> MakeNode {
        let (f, serdes) = (Arc::clone(&self.f), self.grouped.serdes.clone());
        let first = Some(Arc::clone(&init));
        let add = Arc::new(move |key: &K, value, row: Option<A>| {
            let mut row = row.unwrap_or_else(|| init());
            f(key, value, &mut row);
            Some(row)
        });
        Box::new(move |linker| {
            add_aggregate(linker, store, (serdes.clone(), first.clone()), Arc::clone(&add))
        })
    }

    fn windowed_rows(&self, store: StoreIndex, init: First<A>, windows: AnyWindows) -> MakeNode {
        let (f, serdes) = (Arc::clone(&self.f), self.grouped.serdes.clone());
        let first = Some(Arc::clone(&init));
        let add = Arc::new(move |key: &K, value, row: Option<A>| {
            let mut row = row.unwrap_or_else(|| init());
            f(key, value, &mut row);
            row
        });
        Box::new(move |linker| {
            let (what, how) = ((serdes.clone(), first.clone()), (windows.clone(), Emit::OnUpdate));
            add_windowed(linker, store, what, how, Arc::clone(&add))
        })
    }
}

/// Windows of any kind.
#[derive(Clone)]
struct AnyWindows {
    starts: Arc<dyn Fn(Timestamp) -> WindowStarts + Send + Sync>,
    size_ms: i64,
    grace_ms: i64,
}

impl AnyWindows {
    fn of<W: Windows>(windows: &W) -> Self {
        let (size_ms, grace_ms, of) = (windows.size_ms(), windows.grace_ms(), windows.clone());
        Self { starts: Arc::new(move |at| of.windows_for(at)), size_ms, grace_ms }
    }
}

impl Windows for AnyWindows {
    fn windows_for(&self, at: Timestamp) -> WindowStarts {
        (self.starts)(at)
    }

    fn size_ms(&self) -> i64 {
        self.size_ms
    }

    fn grace_ms(&self) -> i64 {
        self.grace_ms
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
        let supplier = Arc::new(TableSpec::from(store));
        let init = self.init;
        let make = |member: &dyn Member<K, A>, store| member.rows(store, Arc::clone(&init));
        table(&self.graph, &self.members, (supplier, key), make)
    }

    /// Divides the records of each key into windows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, TimeWindows, WindowedCogroup, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let orders = builder.stream::<String, String>("orders").group_by_key();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let scores: WindowedCogroup<String, i64, TimeWindows> = clicks
    ///     .cogroup(|| 0_i64, |_, _, score| *score += 1)
    ///     .cogroup(&orders, |_, _, score| *score += 100)
    ///     .windowed_by(minute);
    /// scores.aggregate("scores");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("ada", "/", 1_000))?;
    /// driver.pipe("orders", &text("ada", "ink", 2_000))?;
    /// assert_eq!(driver.windowed_table::<String, i64>("scores")?[0].1, 101);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn windowed_by<W: Windows>(self, windows: W) -> WindowedCogroup<K, A, W> {
        WindowedCogroup { streams: self, windows }
    }
}

impl<K: Data, A: Data, W: Windows> WindowedCogroup<K, A, W> {
    /// The rows, one for each key and window. They are emitted at each change, as in Kafka Streams.
    pub fn aggregate(self, store: impl Into<Materialized<K, A>>) -> KTable<Windowed<K>, A> {
        let store = store.into();
        let CogroupedStream { graph, init, members } = self.streams;
        let size = Duration::from_millis(self.windows.size_ms().unsigned_abs());
        let key = Arc::new(WindowedSerde::around(Arc::clone(&store.serdes.key), size));
        let supplier = window_store(&graph, (&self.windows, Emit::OnUpdate), store);
        let windows = AnyWindows::of(&self.windows);
        let make = |member: &dyn Member<K, A>, store| {
            member.windowed_rows(store, Arc::clone(&init), windows.clone())
        };
        closing(table(&graph, &members, (supplier, key), make), &self.windows)
    }
}

/// Adds a node for each stream, and one in which their changes come together.
fn table<K: Data, A: Data, K2: Data>(
    shared: &SharedGraph,
    members: &[Box<dyn Member<K, A>>],
    (supplier, key): (Arc<dyn StoreSupplier>, Arc<dyn Serde<K2>>),
    make: impl Fn(&dyn Member<K, A>, StoreIndex) -> MakeNode,
) -> KTable<K2, A> {
    let mut graph = shared.borrow_mut();
    let parents: Vec<NodeId> =
        members.iter().map(|member| member.repartitioned(&mut graph, supplier.name())).collect();
    let store = graph.add_store(supplier);
    let mut writers = Vec::new();
    for (member, parent) in members.iter().zip(parents) {
        let name = graph.generate("COGROUPKSTREAM-AGGREGATE-");
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores: vec![store],
            make: make(&**member, store),
        });
        graph.set_table(node, TableTraits::kept());
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
    graph.set_table(node, TableTraits::written_by(writers, store));
    drop(graph);
    KTable::new(Rc::clone(shared), node, key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::record::{Record, Timestamp};
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
            assert_eq!(found.contains(&twice), !named, "{found:?}");
            assert_eq!(found.is_empty(), named, "{found:?}");
        }
    }

    #[test]
    fn windows_are_written_by_all() {
        let builder = StreamsBuilder::new();
        let (left, right) = (builder.stream("l"), builder.stream::<String, String>("r"));
        let windows = TimeWindows::of(Duration::from_millis(10)).no_grace();
        let both = left.group_by_key().cogroup(|| 0_i64, |_, _: String, n| *n += 1);
        let both = both.cogroup(&right.group_by_key(), |_, _, n| *n += 10);
        both.windowed_by(windows).aggregate("n").updates().map(|w, n| (w.key, n)).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (topic, at) in [("l", 1), ("r", 2), ("l", 12)] {
            driver.pipe(topic, &text("k", "v", at)).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [1, 11, 1]);
    }
}
