//! `global_table`: a topic as a table that each instance has as a whole.
//!
//! | | |
//! |---|---|
//! | emits | nothing: it is there to be looked up |
//! | drops | null keys (`NullKey`); unreadable records as a stream does |
//! | key, time, headers | key and time make the row; a null value deletes it |
//! | state | one key-value store of the instance with timestamps, and no changelog: that is the topic |

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::operators::table::source::RowsOfTopic;
use crate::record::Data;
use crate::source::Consumed;
use crate::store::{GlobalRows, GlobalSpec, Materialized, Serdes, TableSpec};
use crate::topology::{Linker, SharedGraph, StreamsBuilder, TableTraits, TopologyFault};

/// A table that each instance has as a whole, to be joined by any key: see
/// [`StreamsBuilder::global_table`] and [`KStream::join_global`](crate::KStream::join_global).
///
/// ```
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// use millstream::{GlobalKTable, KStream};
///
/// /// Amounts in cents by currency, in euros where the rate is known.
/// fn in_euros(
///     amounts: &KStream<String, i64>,
///     rates: &GlobalKTable<String, f64>,
/// ) -> KStream<String, i64> {
///     amounts.join_global(rates, |currency, _| currency.clone(), |cents, rate| (cents as f64 * rate) as i64)
/// }
///
/// let builder = StreamsBuilder::new();
/// let rates = builder.global_table("rates", "rates");
/// in_euros(&builder.stream("amounts"), &rates).to("euros");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Sub-topology: 0 for global store (will not generate tasks)"));
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct GlobalKTable<K, V> {
    pub(crate) graph: SharedGraph,
    store: Arc<str>,
    topic: Arc<str>,
    pub(crate) serdes: Serdes<K, V>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            store: Arc::clone(&self.store),
            topic: Arc::clone(&self.topic),
            serdes: self.serdes.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for GlobalKTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GlobalKTable").field(&self.store).finish()
    }
}

impl<K: Data, V: Data> GlobalKTable<K, V> {
    /// The table in this store, which is made of this topic.
    pub(crate) fn new(
        graph: &SharedGraph,
        store: Arc<str>,
        topic: Arc<str>,
        serdes: Serdes<K, V>,
    ) -> Self {
        Self { graph: Rc::clone(graph), store, topic, serdes, types: PhantomData }
    }

    /// How a node of a task looks rows up.
    pub(crate) fn rows(
        &self,
    ) -> impl Fn(&Linker<'_>) -> Result<GlobalRows<K, V>> + Send + Sync + use<K, V> {
        let (store, topic) = (Arc::clone(&self.store), Arc::clone(&self.topic));
        let serdes = self.serdes.clone();
        move |linker| linker.globals().rows(&store, &topic, &serdes)
    }
}

impl StreamsBuilder {
    /// A table of the latest value of each key of a topic, whole in each instance: a stream meets it by a key of
    /// any kind, without being partitioned alike. A null value deletes the row.
    ///
    /// At the start each instance reads the topic to its end before any task runs, and goes on from there: rows
    /// are as new as they get here, whatever the time of the stream. They are kept in `store`, on disk with the
    /// offsets that they have, so that a restart reads the tail only. The topic itself is the changelog, so it
    /// should be compacted; it is read from its start, whatever [`Consumed::reset`] says. Of transactions only
    /// what was committed is read. Bytes that cannot be read follow [`Consumed::on_error`].
    ///
    /// For a table that is small beside the streams; [`StreamsBuilder::table`] shares its rows out among
    /// the instances.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let countries = builder.global_table::<String, String>("countries", "countries");
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.join_global(&countries, |_, order| order[..2].to_owned(), |order, name| format!("{order} to {name}"))
    ///     .to("lines");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("countries", &text("IT", "Italy", 1))?;
    /// driver.pipe("orders", &text("7", "IT-pens", 2))?;
    /// assert_eq!(driver.read::<String, String>("lines")?, [text("7", "IT-pens to Italy", 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn global_table<K: Data, V: Data>(
        &self,
        source: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<K, V>>,
    ) -> GlobalKTable<K, V> {
        let mut graph = self.graph.borrow_mut();
        let (draft, store) = RowsOfTopic::draw(&mut graph, source.into(), store.into(), true);
        let Materialized { mut options, serdes, history, .. } = store;
        if history.is_some() {
            graph.fault(TopologyFault::VersionedGlobal(options.name.to_string()));
        }
        options.logged = false;
        let (name, topic) = (Arc::clone(&options.name), Arc::clone(&draft.topic));
        let table = TableSpec { options, serdes: serdes.clone(), cached: false, history_ms: None };
        let store = graph.add_store(Arc::new(GlobalSpec { table, topic: Arc::clone(&topic) }));
        let node = draft.add_to(&mut graph, vec![store]);
        graph.set_table(node, TableTraits::kept());
        drop(graph);
        GlobalKTable::new(&self.graph, name, topic, serdes)
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::policy::{DropReason, OnError};
    use crate::record::{Record, Timestamp};
    use crate::source::Consumed;
    use crate::store::Materialized;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::{StreamsBuilder, TopologyFault};

    #[test]
    fn it_is_a_sub_topology_without_tasks_that_takes_its_numbers() {
        let builder = StreamsBuilder::new().allow_generated_names();
        builder.stream::<String, String>("in").to("out");
        let named = Consumed::<String, String>::from("names").named("read-names");
        builder.global_table(named, Materialized::generated());
        let topology = builder.build().unwrap();
        let text = "\
Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [in])
      --> KSTREAM-SINK-0000000001
    Sink: KSTREAM-SINK-0000000001 (topic: out)
      <-- KSTREAM-SOURCE-0000000000

  Sub-topology: 1 for global store (will not generate tasks)
    Source: read-names (topics: [names])
      --> read-names-table-source
    Processor: read-names-table-source (stores: [names-STATE-STORE-0000000002])
      --> none
      <-- read-names
";
        assert_eq!(topology.describe(), text);
        assert_eq!(topology.sub_topologies().len(), 1);
        assert_eq!(topology.global_tables()[0].id, 1);
        assert!(topology.mermaid().contains("subgraph sub1"), "{}", topology.mermaid());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let builder = StreamsBuilder::new();
        builder.global_table::<String, String>("in", "names");
        assert_eq!(builder.build().unwrap_err().faults(), [TopologyFault::OnlyGlobal]);
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        builder.global_table::<String, String>("in", "names");
        builder.global_table(Consumed::<String, String>::from_topics(["a", "b"]), "names");
        let text = builder.build().unwrap_err().to_string();
        for part in ["topic in is read by", "two stores are named names", "reads no topic"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn null_keys_are_dropped_and_bytes_follow_the_policy_of_the_source() {
        let driver = |policy: OnError| {
            let builder = StreamsBuilder::new();
            builder.stream::<String, String>("in").to("out");
            builder.global_table(Consumed::<String, i64>::from("n").on_error(policy), "n");
            TopologyDriver::new(&builder.build().unwrap()).unwrap()
        };
        let mut skips = driver(OnError::Skip);
        skips.pipe("n", &text("k", "no number", 1)).unwrap();
        skips.pipe("n", &Record::new(None::<String>, 7_i64, Timestamp(6))).unwrap();
        assert_eq!(skips.dropped(DropReason::NullKey), 1);
        assert_eq!(skips.dropped(DropReason::BadBytes), 1);
        assert_eq!(skips.table::<String, i64>("n").unwrap(), []);
        let failed = driver(OnError::Fail).pipe("n", &text("k", "no number", 1));
        assert!(matches!(failed, Err(Error::BadRecord { .. })), "{failed:?}");
        // It has no changelog.
        assert!(skips.read_raw("app-n-changelog").is_err());
    }

    #[test]
    fn an_extractor_gives_rows_their_time() {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        let source = Consumed::<String, String>::from("n")
            .timestamp(|record, _| record.value.parse().ok().map(Timestamp));
        builder.global_table(source, "n");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("n", &text("k", "77", 1)).unwrap();
        let row = ("k".to_owned(), "77".to_owned(), Timestamp(77));
        assert_eq!(driver.table::<String, String>("n").unwrap(), [row]);
    }
}
