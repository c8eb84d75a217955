//! The source operator: bytes of a topic to typed records with a timestamp.
//!
//! | | |
//! |---|---|
//! | emits | one record for each that can be read |
//! | drops | unreadable ones (`BadBytes`, by policy); those whose extractor gives no timestamp or a negative one (`BadTimestamp`) |
//! | fails | without an extractor, at a negative timestamp (by policy), as Java's `FailOnInvalidTimestamp` |
//! | key, value | as the serdes read them |
//! | time | the record's own, or the extractor's |
//! | state | the record loaded ahead |

use std::rc::Rc;
use std::sync::Arc;

use crate::error::{BoxError, Result};
use crate::log::RawRecord;
use crate::metrics::DropReason;
use crate::operators::{Faults, KStream};
use crate::record::{Data, Record, Timestamp};
use crate::serde::{Part, Place};
use crate::source::{Consumed, Reading, Reset, SourceNode};
use crate::task::{Children, TaskContext};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, StreamsBuilder, TopologyFault, topic_in_log,
};

impl StreamsBuilder {
    /// A stream of the records of one or several topics.
    pub fn stream<K: Data, V: Data>(&self, source: impl Into<Consumed<K, V>>) -> KStream<K, V> {
        let source = source.into();
        let mut graph = self.graph.borrow_mut();
        let generated = graph.generate("KSTREAM-SOURCE-");
        if source.topics.is_empty() {
            graph.fault(TopologyFault::NoTopic(generated.clone()));
        }
        for topic in &source.topics {
            graph.check_name("a topic", topic);
        }
        if let Some(name) = &source.name {
            graph.check_name("a node", name);
        }
        let node = SourceDraft {
            name: source.name.unwrap_or(generated),
            topics: source.topics,
            internal: false,
            partitions: None,
            reset: source.reset,
            reading: source.reading,
        }
        .add_to(&mut graph);
        graph.set_policy(node, source.policy);
        KStream::new(Rc::clone(&self.graph), node, false)
    }
}

/// A source to be added to a graph.
pub(crate) struct SourceDraft<K, V> {
    pub(crate) name: String,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) internal: bool,
    pub(crate) partitions: Option<i32>,
    pub(crate) reset: Reset,
    pub(crate) reading: Reading<K, V>,
}

impl<K: Data, V: Data> SourceDraft<K, V> {
    pub(crate) fn add_to(self, graph: &mut Graph) -> NodeId {
        let Self { name, topics, internal, partitions, reset, reading } = self;
        let read = topics.clone();
        let make = move |linker: &mut Linker<'_, '_>| {
            for topic in &read {
                let topic = topic_in_log(topic, internal, &linker.ctx().application_id);
                let source = Decoding {
                    topic: Arc::clone(&topic),
                    reading: reading.clone(),
                    children: linker.children()?,
                    faults: linker.faults()?,
                    loaded: None,
                };
                linker.add_source(topic, Box::new(source));
            }
            Ok(())
        };
        graph.add(NodeDraft {
            name,
            kind: NodeKind::Source { topics, internal, reset, partitions },
            parents: Vec::new(),
            stores: Vec::new(),
            make: Box::new(make),
        })
    }
}

/// Reads one topic.
struct Decoding<K, V> {
    topic: Arc<str>,
    reading: Reading<K, V>,
    children: Children<K, V>,
    faults: Faults,
    loaded: Option<Record<K, V>>,
}

impl<K: Data, V: Data> Decoding<K, V> {
    #[inline]
    fn decode(&self, raw: &RawRecord<'_>) -> Result<Record<K, V>, BoxError> {
        let mut headers = raw.headers.clone();
        let mut place = Place { topic: &self.topic, part: Part::Key, headers: &mut headers };
        let key = self.reading.key.deserialize(&mut place, raw.key)?;
        place.part = Part::Value;
        let value = self.reading.value.deserialize(&mut place, raw.value)?;
        Ok(Record { key, value, timestamp: Timestamp(raw.timestamp), headers })
    }
}

impl<K: Data, V: Data> SourceNode for Decoding<K, V> {
    fn load(
        &mut self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<Option<Timestamp>> {
        let mut record = match self.decode(raw) {
            Ok(record) => record,
            Err(error) => {
                self.faults.apply(DropReason::BadBytes, &error, ctx)?;
                return Ok(None);
            }
        };
        if let Some(extract) = &self.reading.timestamp {
            match extract(&record, partition_time).filter(|at| at.0 >= 0) {
                Some(at) => record.timestamp = at,
                None => {
                    ctx.dropped(DropReason::BadTimestamp);
                    return Ok(None);
                }
            }
        } else if record.timestamp.0 < 0 {
            let error = "it has no timestamp; a timestamp extractor could give it one".into();
            self.faults.apply(DropReason::BadTimestamp, &error, ctx)?;
            return Ok(None);
        }
        let at = record.timestamp;
        self.loaded = Some(record);
        Ok(Some(at))
    }

    #[inline]
    fn fire(&mut self, ctx: &mut TaskContext) -> Result<()> {
        match self.loaded.take() {
            Some(record) => self.children.forward(record, ctx),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{Headers, Record, Timestamp};
    use crate::testing::{TopologyDriver, text};
    use crate::{Consumed, DropReason, Error, OnError, StreamsBuilder};

    fn driver(source: Consumed<String, i64>) -> TopologyDriver {
        let builder = StreamsBuilder::new();
        builder.stream(source).to("out");
        TopologyDriver::new(&builder.build().unwrap()).unwrap()
    }

    fn number(value: i64, at: i64) -> Record<String, i64> {
        Record::new("k".to_owned(), value, Timestamp(at))
    }

    #[test]
    fn bytes_that_cannot_be_read_follow_the_policy() {
        let mut fails = driver(Consumed::from("in"));
        let refused = fails.pipe("in", &text("k", "x", 1));
        assert!(matches!(refused, Err(Error::BadRecord { .. })), "{refused:?}");
        let mut skips = driver(Consumed::from("in").on_error(OnError::Skip));
        skips.pipe("in", &text("k", "x", 1)).unwrap();
        skips.pipe_raw("in", (None, Some(&[0; 8])), Timestamp(1), &Headers::default()).unwrap();
        skips.pipe("in", &number(7, 2)).unwrap();
        assert_eq!(skips.read::<String, i64>("out").unwrap(), [number(7, 2)]);
        assert_eq!(skips.dropped(DropReason::BadBytes), 2);
    }

    #[test]
    fn without_an_extractor_a_missing_timestamp_follows_the_policy() {
        let mut fails = driver(Consumed::from("in"));
        assert!(fails.pipe("in", &number(7, -1)).is_err());
        let mut skips = driver(Consumed::from("in").on_error(OnError::Skip));
        skips.pipe("in", &number(7, -1)).unwrap();
        assert_eq!(skips.dropped(DropReason::BadTimestamp), 1);
    }

    #[test]
    fn an_extractor_replaces_the_timestamp_and_may_refuse_one() {
        let source = Consumed::from("in").timestamp(|record: &Record<String, i64>, latest| {
            (record.value > 0).then_some(Timestamp(record.value.max(latest.0)))
        });
        let mut driver = driver(source);
        for value in [50, 0, 30] {
            driver.pipe("in", &number(value, -1)).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        assert_eq!(out, [number(50, 50), number(30, 50)]);
        assert_eq!(driver.dropped(DropReason::BadTimestamp), 1);
    }

    #[test]
    fn several_topics_are_one_stream() {
        let mut driver = driver(Consumed::from_topics(["a", "b"]));
        driver.pipe("b", &number(1, 1)).unwrap();
        driver.pipe("a", &number(2, 2)).unwrap();
        assert_eq!(driver.read::<String, i64>("out").unwrap(), [number(1, 1), number(2, 2)]);
    }
}
