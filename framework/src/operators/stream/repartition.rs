//! `repartition`, and the repartition topics that appear before operators that need records of one
//! key in one place.
//!
//! ```text
//!  ─► filter ─► sink ─► <application>-<name>-repartition ─► source ─►
//! ```
//!
//! | | |
//! |---|---|
//! | emits | every record, in the partition of its key, or in those that a partitioner chooses |
//! | drops | null keys (`NullKey`), as Kafka Streams does; what a partitioner sends nowhere (`NoPartition`) |
//! | key, time, headers | kept |
//! | state | none; the topic is internal: created, purged and prefixed by the runtime |

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::KStream;
use crate::operators::stream::merge::Pass;
use crate::operators::stream::placed::Placing;
use crate::operators::stream::source::SourceDraft;
use crate::operators::stream::to::SinkDraft;
use crate::policy::{DropReason, Reset};
use crate::record::{Data, Record, Shared};
use crate::serde::{HasSerde, Serde};
use crate::sink::{Partitioner, Partitions, Produced};
use crate::source::Reading;
use crate::store::Serdes;
use crate::topology::{Graph, Linker, NodeDraft, NodeId, NodeKind, Repartition, TopologyFault};

/// How to repartition: a name is enough.
///
/// ```
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// use millstream::Repartitioned;
///
/// # let builder = StreamsBuilder::new();
/// let by_value = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
/// by_value.repartition(Repartitioned::named("by-value").partitions(12)).to("out");
/// // All of one letter in one place.
/// let by_letter = Repartitioned::named("by-letter")
///     .partitioner(|_topic, key: &String, _value, partitions| key.bytes().next().map(|byte| i32::from(byte) % partitions));
/// by_value.repartition(by_letter).to("letters");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "v", 1))?;
/// assert_eq!(driver.read_raw("app-by-value-repartition")?.len(), 1);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Repartitioned<K, V> {
    name: String,
    partitions: Option<i32>,
    partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> fmt::Debug for Repartitioned<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repartitioned")
            .field("name", &self.name)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl<K, V> From<&str> for Repartitioned<K, V> {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), partitions: None, partitioner: None }
    }
}

impl<K, V> Repartitioned<K, V> {
    /// The topic is `<application>-<name>-repartition`.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }

    /// Gives the topic this number of partitions instead of that of the topics before it.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Chooses the partition, as [`Produced::partitioner`] does: told the topic, the record and the number of partitions.
    /// What is joined with the stream must then be partitioned by the same rule.
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&str, &K, &V, i32) -> P + Shared,
    ) -> Self {
        self.partitioner = Some(Arc::new(move |topic, key, value, partitions| {
            choose(topic, key, value, partitions).into()
        }));
        self
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Sends the stream through a topic of its own, so that records of one key are in one place.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let by_value = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
    /// by_value.repartition("by-value").to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(driver.read_raw("app-by-value-repartition")?.len(), 1);
    /// assert_eq!(driver.read::<String, String>("out")?, [text("v", "v", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn repartition(&self, how: impl Into<Repartitioned<K, V>>) -> KStream<K, V>
    where
        K: HasSerde,
        V: HasSerde,
    {
        self.through(&how.into(), &Serdes::default())
    }

    /// As [`Self::repartition`], in bytes of these serdes.
    ///
    /// ```
    /// use millstream::serde::{Json, Plain};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let lists = builder.stream::<String, String>("in").map(|key, value| (value, vec![key]));
    /// // In JSON, not in the bytes that Java gives its lists.
    /// lists.repartition_with("lists", Plain, Json).for_each(|_, _| {});
    /// # builder.build()?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn repartition_with(
        &self,
        how: impl Into<Repartitioned<K, V>>,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> KStream<K, V> {
        self.through(&how.into(), &Serdes::given(Arc::new(key), Arc::new(value)))
    }

    fn through(&self, how: &Repartitioned<K, V>, serdes: &Serdes<K, V>) -> KStream<K, V> {
        let mut graph = self.graph.borrow_mut();
        graph.check_name("a repartition topic", &how.name);
        let node = through_topic::<K, V, P>(&mut graph, self.node, how, serdes);
        drop(graph);
        KStream::new(Rc::clone(&self.graph), node)
    }
}

/// Adds filter, sink and source; returns the source. Three numbers are taken whatever the names.
pub(crate) fn through_topic<K: Data, V: Data, P: Placing>(
    graph: &mut Graph,
    parent: NodeId,
    how: &Repartitioned<K, V>,
    serdes: &Serdes<K, V>,
) -> NodeId {
    if let Some(partitions) = how.partitions.filter(|partitions| *partitions < 1) {
        graph.fault(TopologyFault::BadPartitions { name: how.name.clone(), partitions });
    }
    for prefix in ["KSTREAM-SINK-", "KSTREAM-FILTER-", "KSTREAM-SOURCE-"] {
        graph.generate(prefix);
    }
    let topic: Arc<str> = format!("{}-repartition", how.name).into();
    let both = serdes.clone();
    let filter = graph.add(NodeDraft {
        name: format!("{topic}-filter"),
        kind: NodeKind::Processor,
        parents: vec![parent],
        stores: Vec::new(),
        make: Box::new(move |linker: &mut Linker<'_>| {
            let children = linker.children::<K, V>()?;
            if linker.passes_null_keys() {
                linker.add(Pass { children });
                return Ok(());
            }
            let faults = linker.faults()?;
            linker.may_drop(&[DropReason::NullKey])?;
            linker.add(DropNullKeys { serdes: both.clone(), children, faults });
            Ok(())
        }),
    });
    let (key, value) = (Arc::clone(&serdes.key), Arc::clone(&serdes.value));
    let sink = SinkDraft {
        name: format!("{topic}-sink"),
        internal: true,
        partitions: how.partitions,
        produced: Produced {
            partitioner: how.partitioner.clone(),
            ..Produced::to_fixed(Arc::clone(&topic), Arc::clone(&key), Arc::clone(&value))
        },
    }
    .add_to(graph, filter);
    let source = SourceDraft {
        name: format!("{topic}-source"),
        topics: vec![topic],
        pattern: None,
        internal: true,
        partitions: how.partitions,
        reset: Reset::Earliest,
        global: false,
        reading: Reading { key, value, timestamp: None },
    }
    .add_to(graph);
    graph.drop_for(source, [filter]);
    let may_merge = P::REKEYED && serdes.are_of_types() && how.partitioner.is_none();
    graph.add_repartition(Repartition { filter, sink, source, may_merge });
    source
}

struct DropNullKeys<K, V> {
    serdes: Serdes<K, V>,
    children: Children<K, V>,
    faults: Faults,
}

impl<K, V> Node for DropNullKeys<K, V> {}

impl<K: Data, V: Data> Operator<K, V> for DropNullKeys<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        if self.serdes.key.is_null(&record.key) {
            let why = format_args!("its key is null");
            let written = || self.serdes.written(&record);
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        self.children.forward(record, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::operators::stream::repartition::Repartitioned;
    use crate::policy::{DropReason, OnError};
    use crate::record::{Headers, Record, Timestamp};
    use crate::serde::{Json, Plain};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn null_keys_do_not_get_into_the_topic() {
        let builder = StreamsBuilder::new();
        builder.stream::<Option<String>, String>("in").repartition("by-name").to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &Record::new(None::<String>, "x".to_owned(), Timestamp(1))).unwrap();
        driver.pipe("in", &text("k", "y", 2)).unwrap();
        assert_eq!(driver.read_raw("app-by-name-repartition").unwrap().len(), 1);
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("k", "y", 2)]);
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
    }

    #[test]
    fn a_topic_has_at_least_one_partition() {
        for (partitions, faults) in [(0, 1), (1, 0)] {
            let builder = StreamsBuilder::new();
            let how = Repartitioned::named("few").partitions(partitions);
            builder.stream::<String, String>("in").repartition(how).to("out");
            let found = builder.build().map_or_else(|faults| faults.faults().to_vec(), |_| vec![]);
            assert_eq!(found.len(), faults, "{found:?}");
            for fault in found {
                let text = fault.to_string();
                assert!(text.contains("few") && text.contains("0 partitions"), "{text}");
            }
        }
    }

    #[test]
    fn a_named_grouping_shares_its_topic() {
        let builder = StreamsBuilder::new();
        let grouped =
            builder.stream::<String, String>("in").group_by(|_, value| value.clone()).named("g");
        grouped.count("counts").updates().to("a");
        grouped.reduce("all", |all, value| all + &value).updates().to("b");
        let topology = builder.build().unwrap();
        assert_eq!(topology.sub_topologies().len(), 2);
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("in", &text("k", "x", 1)).unwrap();
        assert_eq!(driver.read_raw("app-g-repartition").unwrap().len(), 1);
        assert_eq!(driver.read::<String, i64>("a").unwrap().len(), 1);
        assert_eq!(driver.read::<String, String>("b").unwrap(), [text("x", "x", 1)]);
    }

    #[test]
    fn a_policy_behind_it_is_for_both_ends_of_the_topic() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, f64>("in")
            .repartition_with("r", Plain, Json)
            .on_error(OnError::DeadLetter("bad".into()))
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let float = |value: f64| Record::new("k".to_owned(), value, Timestamp(1));
        for value in [0.5, f64::NAN] {
            driver.pipe("in", &float(value)).unwrap();
        }
        let none = Headers::default();
        driver
            .pipe_raw("app-r-repartition", (Some(b"k"), Some(b"?")), Timestamp(1), &none)
            .unwrap();
        assert_eq!(driver.read::<String, f64>("out").unwrap(), [float(0.5)]);
        let topics: Vec<_> = driver
            .read_raw("bad")
            .unwrap()
            .iter()
            .map(|letter| letter.headers.last("__streams.errors.topic").unwrap().to_vec())
            .collect();
        assert_eq!(topics, [b"in".to_vec(), b"app-r-repartition".to_vec()]);
    }
}
