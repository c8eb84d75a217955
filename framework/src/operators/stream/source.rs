//! `stream`: a source in the drawing; what it does with a record is in [`crate::source`].

use std::rc::Rc;
use std::sync::Arc;

use crate::chain::SourceNode;
use crate::operators::stream::handle::KStream;
use crate::policy::{DropReason, Reset};
use crate::record::Data;
use crate::source::{Consumed, Decoding, Reading};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, StreamsBuilder, TopicPattern, TopologyFault,
    topic_in_log,
};

impl StreamsBuilder {
    /// A stream of the records of one or several topics.
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
    pub fn stream<K: Data, V: Data>(&self, source: impl Into<Consumed<K, V>>) -> KStream<K, V> {
        let source = source.into();
        let mut graph = self.graph.borrow_mut();
        let generated = graph.generate("KSTREAM-SOURCE-");
        if source.topics.is_empty() && source.pattern.is_none() {
            graph.fault(TopologyFault::NoTopic(generated.clone()));
        }
        for topic in &source.topics {
            graph.check_name("a topic", topic);
        }
        if let Some(name) = &source.name {
            graph.check_name("a node", name);
        }
        let name = source.name.unwrap_or(generated);
        let pattern = source.pattern.and_then(|pattern| compiled(&mut graph, &name, pattern));
        let node = SourceDraft {
            name,
            topics: source.topics,
            pattern,
            internal: false,
            partitions: None,
            reset: source.reset,
            global: false,
            reading: source.reading,
        }
        .add_to(&mut graph);
        graph.set_policy(node, source.policy);
        graph.set_drops(node, source.drops);
        KStream::new(Rc::clone(&self.graph), node)
    }
}

/// The pattern of a source; notes one that is none.
fn compiled(graph: &mut Graph, node: &str, pattern: String) -> Option<TopicPattern> {
    let compiled = TopicPattern::new(&pattern);
    compiled
        .map_err(|reason| {
            let node = node.to_owned();
            graph.fault(TopologyFault::BadPattern { node, pattern, reason });
        })
        .ok()
}

/// A source to be added to a graph.
pub(crate) struct SourceDraft<K, V> {
    pub(crate) name: String,
    pub(crate) topics: Vec<Arc<str>>,
    /// Reads all topics that match it, instead of those.
    pub(crate) pattern: Option<TopicPattern>,
    pub(crate) internal: bool,
    pub(crate) partitions: Option<i32>,
    pub(crate) reset: Reset,
    /// Read whole by each instance.
    pub(crate) global: bool,
    pub(crate) reading: Reading<K, V>,
}

impl<K: Data, V: Data> SourceDraft<K, V> {
    pub(crate) fn add_to(self, graph: &mut Graph) -> NodeId {
        let Self { name, topics, pattern, internal, partitions, reset, global, reading } = self;
        let (read, matched) = (topics.clone(), pattern.clone());
        let make = move |linker: &mut Linker<'_>| {
            if reading.timestamp.is_some() {
                linker.drops(DropReason::BadTimestamp)?;
            }
            for topic in &read {
                let topic = topic_in_log(topic, internal, &linker.ctx().application_id);
                let (children, faults) = (linker.children()?, linker.faults()?);
                let source = Decoding::new(Arc::clone(&topic), reading.clone(), children, faults);
                linker.add_source(topic, Box::new(source));
            }
            if let Some(pattern) = &matched {
                let (children, faults) = (linker.children()?, linker.faults()?);
                let reading = reading.clone();
                let make = move |topic| -> Box<dyn SourceNode> {
                    let (children, faults) = (children.clone(), faults.clone());
                    Box::new(Decoding::<K, V>::new(topic, reading.clone(), children, faults))
                };
                linker.add_pattern(pattern.clone(), make);
            }
            Ok(())
        };
        graph.add(NodeDraft {
            name,
            kind: NodeKind::Source { topics, pattern, internal, reset, partitions, global },
            parents: Vec::new(),
            stores: Vec::new(),
            make: Box::new(make),
        })
    }
}
