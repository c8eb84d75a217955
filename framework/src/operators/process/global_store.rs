//! `global_store`: a global table whose rows a processor of the user's makes of the records of a topic.
//!
//! | | |
//! |---|---|
//! | emits | nothing: it is there to be looked up |
//! | drops | unreadable records, and those for which the processor returns an error, by the policy of the source |
//! | key, time, headers | the processor decides what a row is; times are those that it puts |
//! | state | one key-value store of the instance with timestamps, and no changelog: that is the topic |

use std::sync::Arc;

use crate::chain::{Node, Operator, Schedule, TaskContext};
use crate::error::{Error, Result};
use crate::operators::process::process::{Process, Processor};
use crate::operators::stream::SourceDraft;
use crate::operators::table::GlobalKTable;
use crate::record::{Data, Record, Shared, Timestamp};
use crate::source::Consumed;
use crate::store::{GlobalSpec, Materialized, TableSpec, TimestampedKeyValueStore};
use crate::topology::{Graph, Linker, NodeDraft, NodeId, NodeKind, StreamsBuilder, TopologyFault};

impl StreamsBuilder {
    /// A global table that a processor fills: each instance hands it every record of the topic, and it puts what it makes
    /// of them into the store. What it forwards goes nowhere. Joins and processors read the table as they read one of
    /// [`StreamsBuilder::global_table`], which is what to use where a record is a row as it is.
    ///
    /// At the start each instance reads the topic from where its store is to its end before any task runs, through the
    /// processor too, and goes on from there. Rows and positions are kept together; a batch that failed comes again, and so
    /// do all records when the store is built anew, so the processor must keep nothing but what is in the store, and must
    /// not depend on how records of several partitions follow each other. It cannot schedule punctuations.
    ///
    /// ```
    /// # use millstream::{BoxError, Context, Processor, StreamsBuilder, TimestampedKeyValueStore};
    /// # use millstream::record::Record;
    /// # use millstream::testing::{TopologyDriver, text};
    /// /// Where each plate number was seen last: `plate place` comes by camera.
    /// struct LastSeen(TimestampedKeyValueStore<String, String>);
    ///
    /// impl Processor<String, String> for LastSeen {
    ///     type KOut = String;
    ///     type VOut = String;
    ///
    ///     fn process(&mut self, seen: Record<String, String>, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
    ///         let (plate, place) = seen.value.split_once(' ').ok_or("no place")?;
    ///         Ok(self.0.put(plate.to_owned(), place.to_owned(), seen.timestamp)?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let seen = builder.global_store("cameras", "last-seen", LastSeen);
    /// let asked = builder.stream::<String, String>("asked");
    /// asked.join_global(&seen, |plate, _| plate.clone(), |_, place: &String| place.clone()).to("answers");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("cameras", &text("camera 7", "AB-12 bridge", 1))?;
    /// driver.pipe("asked", &text("AB-12", "", 2))?;
    /// assert_eq!(driver.read::<String, String>("answers")?[0].value, "bridge");
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn global_store<K: Data, V: Data, SK: Data, SV: Data, X: Processor<K, V>>(
        &self,
        source: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<SK, SV>>,
        make: impl Fn(TimestampedKeyValueStore<SK, SV>) -> X + Shared,
    ) -> GlobalKTable<SK, SV> {
        let (source, store) = (source.into(), store.into());
        let mut graph = self.graph.borrow_mut();
        let topic = source.topics.first().cloned().unwrap_or_else(|| Arc::from(""));
        let store = match store.is_generated() {
            false => store,
            true => store.renamed(&graph.generate(&format!("{topic}-STATE-STORE-"))),
        };
        let policy = source.policy.clone();
        let (read, name) = draw_source(&mut graph, source);
        let Materialized { mut options, serdes, history, .. } = store;
        if history.is_some() {
            graph.fault(TopologyFault::VersionedGlobal(options.name.to_string()));
        }
        options.logged = false;
        let store_name = Arc::clone(&options.name);
        let table = TableSpec { options, serdes: serdes.clone(), cached: false, history_ms: None };
        let index = graph.add_store(Arc::new(GlobalSpec { table, topic: Arc::clone(&topic) }));
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![read],
            stores: vec![index],
            make: Box::new(move |linker: &mut Linker<'_>| {
                let store = linker.store(index)?;
                let store = TimestampedKeyValueStore::of(store, linker.record_time())?;
                let filling = Filling(Process::new(make(store), linker)?);
                linker.add::<K, V, _>(filling);
                Ok(())
            }),
        });
        graph.set_policy(node, policy);
        drop(graph);
        GlobalKTable::new(&self.graph, store_name, topic, serdes)
    }
}

/// Adds the source; returns the name for the processor with it. As Java, the name given is the processor's.
fn draw_source<K: Data, V: Data>(graph: &mut Graph, source: Consumed<K, V>) -> (NodeId, String) {
    let generated = graph.generate("KSTREAM-SOURCE-");
    let processor = graph.generate("KTABLE-SOURCE-");
    if source.topics.len() != 1 {
        graph.fault(TopologyFault::NoTopic(generated.clone()));
    }
    for topic in &source.topics {
        graph.check_name("a topic", topic);
    }
    if let Some(name) = &source.name {
        graph.check_name("a node", name);
    }
    let (name, processor) = match source.name {
        Some(name) => (format!("{name}-table-source"), name),
        None => (generated, processor),
    };
    let read = SourceDraft {
        name,
        topics: source.topics,
        pattern: None,
        internal: false,
        partitions: None,
        reset: source.reset,
        global: true,
        reading: source.reading,
    };
    let read = read.add_to(graph);
    graph.set_policy(read, source.policy);
    (read, processor)
}

/// The processor of a global store: the thread that reads its topic hosts it.
struct Filling<K, V, X: Processor<K, V>>(Process<K, V, X>);

impl<K: Data, V: Data, X: Processor<K, V>> Node for Filling<K, V, X> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.0.init(ctx)?;
        if ctx.has_schedules() {
            return Err(Error::Fatal {
                what: "starting the processor of a global store".to_owned(),
                reason: "it schedules punctuations, and there is no task that would call it"
                    .to_owned(),
            });
        }
        Ok(())
    }

    fn punctuate(&mut self, which: Schedule, now: Timestamp, ctx: &mut TaskContext) -> Result<()> {
        self.0.punctuate(which, now, ctx)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

impl<K: Data, V: Data, X: Processor<K, V>> Operator<K, V> for Filling<K, V, X> {
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        Operator::process(&mut self.0, record, ctx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chain::PunctuationType;
    use crate::error::BoxError;
    use crate::operators::process::context::Context;
    use crate::policy::{DropReason, OnError};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::Topology;

    /// `k=v` puts, `k` deletes.
    struct Fill {
        store: TimestampedKeyValueStore<String, String>,
        schedules: bool,
    }

    impl Processor<String, String> for Fill {
        type KOut = String;
        type VOut = String;

        fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
            if self.schedules {
                ctx.schedule(Duration::from_secs(1), PunctuationType::WallClockTime);
            }
            Ok(())
        }

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            match record.value.split_once('=') {
                Some((_, "")) => return Err("nothing to put".into()),
                Some((key, value)) => {
                    self.store.put(key.to_owned(), value.to_owned(), record.timestamp)?;
                }
                None => drop(self.store.delete(&record.value)?),
            }
            ctx.forward(record);
            Ok(())
        }
    }

    fn topology(source: Consumed<String, String>, schedules: bool) -> Topology {
        let builder = StreamsBuilder::new();
        let rows = builder.global_store(source, "rows", move |store| Fill { store, schedules });
        let join = |_: &String, value: &String| value.clone();
        builder
            .stream::<String, String>("in")
            .join_global(&rows, join, |_, row: &String| row.clone())
            .to("out");
        builder.build().unwrap()
    }

    #[test]
    fn a_processor_decides_what_a_row_is() {
        let topology = topology(Consumed::from("topic").named("fill"), false);
        let described = topology.describe();
        let lines = "\
    Source: fill-table-source (topics: [topic])
      --> fill
    Processor: fill (stores: [rows])
      --> none
      <-- fill-table-source
";
        assert!(described.contains(lines), "{described}");
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("topic", &text("x", "a=1", 5)).unwrap();
        driver.pipe("topic", &text("y", "b=2", 6)).unwrap();
        driver.pipe("in", &text("k", "b", 7)).unwrap();
        driver.pipe("topic", &text("z", "b", 8)).unwrap();
        driver.pipe("in", &text("k", "b", 9)).unwrap();
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("k", "2", 7)]);
        let row = ("a".to_owned(), "1".to_owned(), Timestamp(5));
        assert_eq!(driver.table::<String, String>("rows").unwrap(), [row]);
        assert!(driver.read_raw("app-rows-changelog").is_err(), "its topic is its changelog");
    }

    #[test]
    fn what_it_refuses_follows_the_policy_of_the_source() {
        let source = || Consumed::<String, String>::from("topic");
        let mut skips = TopologyDriver::new(&topology(source().on_error(OnError::Skip), false));
        let skips = skips.as_mut().unwrap();
        skips.pipe("topic", &text("x", "a=", 5)).unwrap();
        assert_eq!(skips.dropped(DropReason::Failed), 1);
        let mut fails = TopologyDriver::new(&topology(source(), false)).unwrap();
        assert!(matches!(fails.pipe("topic", &text("x", "a=", 5)), Err(Error::BadRecord { .. })));
    }

    #[test]
    fn it_cannot_schedule() {
        let refused = TopologyDriver::new(&topology(Consumed::from("topic"), true)).unwrap_err();
        assert!(refused.to_string().contains("schedules punctuations"), "{refused}");
    }
}
