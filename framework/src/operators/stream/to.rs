//! `to`: a sink in the drawing; what it does with a record is in [`crate::sink`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};
use crate::serde::HasSerde;
use crate::sink::{Destination, Encoding, Produced};
use crate::topology::{Graph, Linker, NodeDraft, NodeId, NodeKind, SinkTopicName, topic_in_log};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Writes the stream to a topic, which must exist.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(driver.read::<String, String>("out")?, [text("k", "v", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn to(&self, sink: impl Into<Produced<K, V>>) {
        let sink = sink.into();
        let policy = sink.policy.clone();
        let mut graph = self.graph.borrow_mut();
        let generated = graph.generate("KSTREAM-SINK-");
        if let Destination::Fixed(topic) = &sink.destination {
            graph.check_name("a topic", topic);
        }
        if let Some(name) = &sink.name {
            graph.check_name("a node", name);
        }
        let name = sink.name.clone().unwrap_or(generated);
        let draft = SinkDraft { name, internal: false, partitions: None, produced: sink };
        let node = draft.add_to(&mut graph, self.node);
        graph.set_policy(node, policy);
    }

    /// Writes each record to the topic that it chooses; all of them must exist.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// stream.to_topic_of(|record| if record.value.is_empty() { "empty".into() } else { "filled".into() });
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "", 1))?;
    /// driver.pipe("in", &text("k", "v", 2))?;
    /// assert_eq!(driver.read::<String, String>("filled")?, [text("k", "v", 2)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn to_topic_of(&self, topic: impl Fn(&Record<K, V>) -> Cow<'static, str> + Shared)
    where
        K: HasSerde,
        V: HasSerde,
    {
        self.to(Produced::to_topic_of(topic));
    }
}

/// A sink to be added to a graph.
pub(crate) struct SinkDraft<K, V> {
    pub(crate) name: String,
    pub(crate) internal: bool,
    pub(crate) partitions: Option<i32>,
    pub(crate) produced: Produced<K, V>,
}

impl<K: Data, V: Data> SinkDraft<K, V> {
    pub(crate) fn add_to(self, graph: &mut Graph, parent: NodeId) -> NodeId {
        self.add_below(graph, vec![parent])
    }

    pub(crate) fn add_below(self, graph: &mut Graph, parents: Vec<NodeId>) -> NodeId {
        let Self { name, internal, partitions, produced } = self;
        let topic = match &produced.destination {
            Destination::Fixed(topic) => SinkTopicName::Fixed(Arc::clone(topic)),
            Destination::PerRecord(_) => SinkTopicName::PerRecord,
        };
        let produced = Arc::new(produced);
        let make = move |linker: &mut Linker<'_>| {
            let fixed = match &produced.destination {
                Destination::Fixed(topic) => {
                    Some(topic_in_log(topic, internal, &linker.ctx().application_id))
                }
                Destination::PerRecord(_) => None,
            };
            if produced.partitioner.is_some() {
                linker.may_drop(&[DropReason::NoPartition])?;
            }
            let faults = linker.faults()?;
            linker.add(Encoding::new(fixed, Arc::clone(&produced), faults));
            Ok(())
        };
        graph.add(NodeDraft {
            name,
            kind: NodeKind::Sink { topic, internal, partitions },
            parents,
            stores: Vec::new(),
            make: Box::new(make),
        })
    }
}
