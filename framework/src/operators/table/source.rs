//! `table`: a topic as a table.
//!
//! | | |
//! |---|---|
//! | emits | each record as a change of the row of its key, older ones too (of a versioned table, said to be no latest one); a null value deletes it |
//! | drops | null keys (`NullKey`); of a versioned table, what is older than its history (`Expired`); unreadable records as a stream does |
//! | key, time, headers | kept |
//! | state | a key-value store with timestamps, or a versioned one, and its changelog; with `TopologyOptions::reuse_table_source_topics` the topic takes the changelog's place |

use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::log::RawRecord;
use crate::operators::stream::SourceDraft;
use crate::operators::table::handle::KTable;
use crate::operators::table::kept::Rows;
use crate::policy::{DropReason, OnError, Reset};
use crate::record::{Change, Data, Record};
use crate::serde::Nullable;
use crate::source::{Consumed, Extractor, Reading};
use crate::store::{Materialized, Serdes, SourceTopic, TableSpec};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, StoreIndex, StreamsBuilder, TableTraits,
    TopologyFault,
};

impl StreamsBuilder {
    /// A table of the latest value of each key of a topic; a null value deletes the row.
    ///
    /// The rows are kept in `store`. With [`Materialized::generated`] they are kept only if an operator has
    /// to look rows up. An extractor of timestamps is not asked for deletions, which have no value: they
    /// have the time of their record.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, String>("names", "names").updates().to("seen");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// driver.pipe("names", &text("7", "Ada Lovelace", 2))?;
    /// assert_eq!(driver.table::<String, String>("names")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table<K: Data, V: Data>(
        &self,
        source: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<K, V>>,
    ) -> KTable<K, V> {
        let (source, store) = (source.into(), store.into());
        let mut graph = self.graph.borrow_mut();
        let kept = !store.is_generated();
        let (draft, store) = RowsOfTopic::draw(&mut graph, source, store, false);
        let key = Arc::clone(&store.serdes.key);
        let topic = draft.restored_from(&store.serdes);
        let spec = Arc::new(TableSpec::from(store));
        let node = draft.add_to(&mut graph, Vec::new());
        graph.set_table(node, TableTraits::of_source(spec, topic));
        if kept {
            let _ = graph.keep_spare(node);
        }
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node, key)
    }
}

/// The node that makes rows of the records of a topic, to be added below the source that reads them.
pub(super) struct RowsOfTopic<K, V> {
    name: String,
    read: NodeId,
    /// The topic.
    pub(super) topic: Arc<str>,
    drops: OnError,
    /// How it is read, if each row is a record as it stands there, from the first one on.
    whole: Option<Reading<Option<K>, Option<V>>>,
}

impl<K: Data, V: Data> RowsOfTopic<K, V> {
    /// Adds the source, and gives the store its name if it has none. The numbers are taken in Java's order.
    pub(super) fn draw(
        graph: &mut Graph,
        source: Consumed<K, V>,
        store: Materialized<K, V>,
        global: bool,
    ) -> (Self, Materialized<K, V>) {
        let topic = source.topics.first().cloned().unwrap_or_else(|| Arc::from(""));
        let store = match store.is_generated() {
            false => store,
            true => store.renamed(&graph.generate(&format!("{topic}-STATE-STORE-"))),
        };
        let generated = graph.generate("KSTREAM-SOURCE-");
        let name = graph.generate("KTABLE-SOURCE-");
        if source.pattern.is_some() {
            graph.fault(TopologyFault::PatternOfTable(generated.clone()));
        } else if source.topics.len() != 1 {
            graph.fault(TopologyFault::NoTopic(generated.clone()));
        }
        for topic in &source.topics {
            graph.check_name("a topic", topic);
        }
        if let Some(name) = &source.name {
            graph.check_name("a node", name);
        }
        let name = source.name.as_ref().map_or(name, |name| format!("{name}-table-source"));
        let from_the_first = matches!(source.reset, Reset::Earliest | Reset::Fail);
        let reading = nullable(source.reading);
        let whole = (from_the_first && reading.timestamp.is_none()).then(|| reading.clone());
        let read = SourceDraft {
            name: source.name.unwrap_or(generated),
            topics: source.topics,
            pattern: None,
            internal: false,
            partitions: None,
            reset: source.reset,
            global,
            reading,
        }
        .add_to(graph);
        graph.set_policy(read, source.policy);
        graph.set_drops(read, source.drops.clone());
        (Self { name, read, topic, drops: source.drops, whole }, store)
    }

    /// The topic in the place of a changelog, if it can be.
    fn restored_from(&self, stored: &Serdes<K, V>) -> Option<SourceTopic> {
        let (topic, reading) = (Arc::clone(&self.topic), self.whole.clone()?);
        let decode = move |raw: &RawRecord<'_>| {
            let record = reading.decode(&topic, raw)?;
            Ok((record.key, record.value))
        };
        Some(SourceTopic::new(&self.topic, decode, stored))
    }

    /// Adds the node, with the stores that it has from the start.
    pub(super) fn add_to(self, graph: &mut Graph, stores: Vec<StoreIndex>) -> NodeId {
        let node = graph.add(NodeDraft {
            name: self.name,
            kind: NodeKind::Processor,
            parents: vec![self.read],
            stores,
            make: Box::new(|linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey])?;
                let (rows, faults) = (linker.rows::<K, V>()?, linker.faults()?);
                linker.add::<Option<K>, Option<V>, _>(TableSource { rows, faults });
                Ok(())
            }),
        });
        graph.set_drops(node, self.drops);
        graph.drop_for(node, [self.read]);
        node
    }
}

/// Reads nulls as such: a null key is dropped here, a null value is a deletion.
fn nullable<K: Data, V: Data>(reading: Reading<K, V>) -> Reading<Option<K>, Option<V>> {
    let timestamp = reading.timestamp.map(|extract| {
        let whole = move |record: &Record<Option<K>, Option<V>>, latest| {
            let (Some(key), Some(value)) = (&record.key, &record.value) else {
                return Ok(Some(record.timestamp));
            };
            let (timestamp, headers) = (record.timestamp, record.headers.clone());
            let record = Record { key: key.clone(), value: value.clone(), timestamp, headers };
            extract(&record, latest)
        };
        Arc::new(whole) as Extractor<Option<K>, Option<V>>
    });
    Reading {
        key: Arc::new(Nullable(reading.key)),
        value: Arc::new(Nullable(reading.value)),
        timestamp,
    }
}

struct TableSource<K, V> {
    rows: Rows<K, V>,
    faults: Faults,
}

impl<K: Data, V: Data> Node for TableSource<K, V> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K: Data, V: Data> Operator<Option<K>, Option<V>> for TableSource<K, V> {
    #[inline]
    fn process(
        &mut self,
        record: Record<Option<K>, Option<V>>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let Some(key) = key else {
            return self.faults.dropped(DropReason::NullKey, ctx, format_args!("its key is null"));
        };
        let value = Change::latest(value, None);
        self.rows.hand_on(Record { key, value, timestamp, headers }, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::source::Consumed;
    use crate::store::Materialized;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn nulls_delete_and_null_keys_are_dropped() {
        let builder = StreamsBuilder::new();
        builder.table::<String, String>("in", "t").to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "v", 5)).unwrap();
        driver.pipe("in", &Record::new(None::<String>, "x".to_owned(), Timestamp(6))).unwrap();
        assert_eq!(driver.table::<String, String>("t").unwrap().len(), 1);
        driver.pipe("in", &Record::new("k".to_owned(), None::<String>, Timestamp(7))).unwrap();
        assert_eq!(driver.table::<String, String>("t").unwrap(), []);
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        let out = driver.read::<String, Option<String>>("out").unwrap();
        assert_eq!(out.len(), 2);
    }

    /// Unlike a versioned one: what comes last counts, as in Kafka Streams.
    #[test]
    fn an_older_record_replaces_a_newer_one() {
        let builder = StreamsBuilder::new();
        builder.table::<String, String>("in", "t").updates().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (value, at) in [("new", 9), ("old", 3)] {
            driver.pipe("in", &text("k", value, at)).unwrap();
        }
        let row = ("k".to_owned(), "old".to_owned(), Timestamp(3));
        assert_eq!(driver.table::<String, String>("t").unwrap(), [row]);
    }

    #[test]
    fn an_extractor_sees_rows_and_not_their_deletions() {
        let builder = StreamsBuilder::new();
        let source = Consumed::<String, String>::from("in")
            .timestamp(|record, _| record.value.parse().ok().map(Timestamp));
        builder.table(source, "t").to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "77", 1)).unwrap();
        driver.pipe("in", &Record::new("k".to_owned(), None::<String>, Timestamp(80))).unwrap();
        let out = driver.read::<String, Option<String>>("out").unwrap();
        assert_eq!(out.iter().map(|it| it.timestamp.0).collect::<Vec<_>>(), [77, 80]);
    }

    #[test]
    fn a_store_that_nobody_needs_is_not_opened() {
        let builder = StreamsBuilder::new();
        builder.table::<String, String>("in", Materialized::generated()).updates().to("out");
        let topology = builder.build().unwrap();
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("in", &text("k", "v", 5)).unwrap();
        assert_eq!(driver.store_names(), Vec::<String>::new());
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("k", "v", 5)]);
    }
}
