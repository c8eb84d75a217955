//! `process`: a processor of the user's, with stores and schedules.
//!
//! | | |
//! |---|---|
//! | emits | what the processor forwards, at once |
//! | drops | a record for which it returns an error, by policy (`Failed`); a failure of a store or of the log stops the task |
//! | key | may be changed: what needs keys in one place comes behind a repartition topic |
//! | time, headers | as the processor sets them |
//! | state | the stores that are named; the processor's own fields live as long as the task |

use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, Schedule, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::process::connected_store::Stores;
use crate::operators::process::context::{Context, Ways};
use crate::operators::stream::{KStream, Placing, Rekeyed};
use crate::record::{Data, Record, Shared, Timestamp};
use crate::topology::{Linker, NodeDraft, NodeKind, NodeName, StoreIndex};

/// A processor: one per task, on one worker at a time. Neither `Send` nor `Sync` is asked of it,
/// only of the closure that makes it.
///
/// ```
/// # use millstream::{BoxError, Context, KeyValue, KeyValueStore, Processor, StreamsBuilder};
/// # use millstream::record::Record;
/// # use millstream::testing::{TopologyDriver, text};
/// /// Hands on what it has not seen before.
/// struct Unseen(KeyValueStore<String, i64>);
///
/// impl Processor<String, String> for Unseen {
///     type KOut = String;
///     type VOut = String;
///
///     fn process(&mut self, record: Record<String, String>, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         if self.0.put_if_absent(record.value.clone(), record.timestamp.0)?.is_none() {
///             ctx.forward(record);
///         }
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let seen = builder.store(KeyValue::<String, i64>::named("seen"));
/// builder.stream("in").process("unseen", &seen, Unseen).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for value in ["a", "b", "a"] {
///     driver.pipe("in", &text("k", value, 1))?;
/// }
/// assert_eq!(driver.read::<String, String>("out")?.len(), 2);
/// # Ok::<(), BoxError>(())
/// ```
pub trait Processor<K, V>: 'static {
    /// The type of the keys it forwards.
    type KOut: Data;
    /// The type of the values it forwards.
    type VOut: Data;

    /// Called once, before the first record and after the stores were restored.
    ///
    /// # Errors
    /// Stops the task.
    fn init(&mut self, _ctx: &mut Context<'_, Self::KOut, Self::VOut>) -> Result<(), BoxError> {
        Ok(())
    }

    /// Takes a record.
    ///
    /// # Errors
    /// The record then follows the node's policy ([`KStream::on_error`]).
    fn process(
        &mut self,
        record: Record<K, V>,
        ctx: &mut Context<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), BoxError>;

    /// Called at a scheduled time; `now` is the time of the schedule's clock.
    ///
    /// # Errors
    /// Follows the node's policy; there is no record for a dead letter.
    fn punctuate(
        &mut self,
        _which: Schedule,
        _now: Timestamp,
        _ctx: &mut Context<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// The task ends; nothing can be forwarded.
    fn close(&mut self) {}
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Hands each record to a processor. `stores` are connected by being named here; `make` runs
    /// once per task and gets their handles.
    ///
    /// ```
    /// # use millstream::{BoxError, Context, KeyValue, KeyValueStore, Processor, StreamsBuilder};
    /// # use millstream::record::Record;
    /// # struct Both(KeyValueStore<String, i64>, KeyValueStore<String, String>);
    /// # impl Processor<String, String> for Both {
    /// #     type KOut = String;
    /// #     type VOut = String;
    /// #     fn process(&mut self, record: Record<String, String>, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
    /// #         ctx.forward(record);
    /// #         Ok(())
    /// #     }
    /// # }
    /// let builder = StreamsBuilder::new();
    /// let counts = builder.store(KeyValue::<String, i64>::named("counts"));
    /// let names = builder.store(KeyValue::<String, String>::named("names"));
    /// let stream = builder.stream::<String, String>("in");
    /// stream.process("both", (&counts, &names), |(counts, names)| Both(counts, names)).to("out");
    /// # builder.build()?;
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn process<S: Stores, X: Processor<K, V>>(
        &self,
        name: impl Into<NodeName>,
        stores: S,
        make: impl Fn(S::Handles) -> X + Shared,
    ) -> KStream<X::KOut, X::VOut, Rekeyed> {
        let connection = stores.connect();
        let indices = connection.stores.clone();
        let made = move |linker: &mut Linker<'_>| {
            let processor = make(connection.open(linker)?);
            let node = Process::<K, V, X>::new(processor, linker)?;
            linker.add::<K, V, _>(node);
            Ok(())
        };
        let node = ("KSTREAM-PROCESSOR-", name.into());
        self.processed(node, indices, made)
    }

    /// Adds the node of a processor. As in Kafka Streams, a name of its own takes no number.
    pub(crate) fn processed<K2: Data, V2: Data, P2: Placing>(
        &self,
        (prefix, name): (&str, NodeName),
        stores: Vec<StoreIndex>,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KStream<K2, V2, P2> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.named(prefix, name);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores,
            make: Box::new(make),
        });
        drop(graph);
        KStream::new(Rc::clone(&self.graph), node)
    }
}

impl Linker<'_> {
    /// The children of the node being made, which its processor forwards to.
    pub(crate) fn ways<K: Data, V: Data>(&self) -> Result<Ways<K, V>> {
        let names: Vec<Arc<str>> = self.names_of_children()?;
        Ok(Ways { children: self.children()?, names, place: self.place() })
    }
}

pub(super) struct Process<K, V, P: Processor<K, V>> {
    processor: P,
    ways: Ways<P::KOut, P::VOut>,
    faults: Faults,
}

impl<K: Data, V: Data, P: Processor<K, V>> Process<K, V, P> {
    /// The node being made, with this processor.
    pub(super) fn new(processor: P, linker: &mut Linker<'_>) -> Result<Self> {
        let (ways, faults) = (linker.ways()?, linker.faults()?);
        Ok(Self { processor, ways, faults })
    }
}

impl<K: Data, V: Data, P: Processor<K, V>> Node for Process<K, V, P> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let mut context = Context::new(ctx, &self.ways);
        let result = self.processor.init(&mut context);
        context.finish(result).or_else(|error| Err(self.faults.fatal("its init", &error)))
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        now: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let before = ctx.record_time.replace(now);
        let mut context = Context::new(ctx, &self.ways);
        let result = self.processor.punctuate(schedule, now, &mut context);
        let result = context.finish(result);
        ctx.record_time.replace(before);
        result.or_else(|error| self.faults.apply_or_pass(error, ctx))
    }

    fn close(&mut self) {
        self.processor.close();
    }
}

impl<K: Data, V: Data, P: Processor<K, V>> Operator<K, V> for Process<K, V, P> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let before = ctx.record_time.replace(record.timestamp);
        let mut context = Context::new(ctx, &self.ways);
        let result = self.processor.process(record, &mut context);
        let result = context.finish(result);
        ctx.record_time.replace(before);
        result.or_else(|error| self.faults.apply_or_pass(error, ctx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::PunctuationType;
    use crate::error::Error;
    use crate::operators::process::store_kinds::KeyValue;
    use crate::policy::{DropReason, OnError};
    use crate::serde::{Json, Plain};
    use crate::store::KeyValueStore;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::{StreamsBuilder, Topology};
    use std::time::Duration;

    /// Sends a record where its value says, and counts in its store what it has sent.
    struct Router {
        sent: KeyValueStore<String, i64>,
    }

    impl Processor<String, String> for Router {
        type KOut = String;
        type VOut = String;

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            if record.value == "bad" {
                return Err("it is bad".into());
            }
            let sent = self.sent.get(&record.value)?.unwrap_or(0) + 1;
            self.sent.put(record.value.clone(), sent)?;
            let child = record.value.clone();
            ctx.forward_to(&child, record);
            Ok(())
        }
    }

    fn routes(policy: OnError) -> Topology {
        let builder = StreamsBuilder::new();
        let sent = builder.store(KeyValue::<String, i64>::named("sent"));
        let routed = builder
            .stream::<String, String>("in")
            .process("router", &sent, |sent| Router { sent })
            .on_error(policy);
        routed.filter(|_, _| true).named("left").to("l");
        routed.filter(|_, _| true).named("right").to("r");
        builder.build().unwrap()
    }

    #[test]
    fn a_record_goes_to_the_child_that_is_named_and_the_store_remembers() {
        let mut driver = TopologyDriver::new(&routes(OnError::Fail)).unwrap();
        for child in ["left", "right", "right"] {
            driver.pipe("in", &text("k", child, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("l").unwrap().len(), 1);
        assert_eq!(driver.read::<String, String>("r").unwrap().len(), 2);
        let sent = driver.key_value_store::<String, i64>("sent").unwrap();
        assert_eq!(sent.get(&"right".to_owned()).unwrap(), Some(2));
        assert_eq!(driver.read::<String, i64>("app-sent-changelog").unwrap().len(), 3);
    }

    /// Keeps the last value of each key.
    struct Last(KeyValueStore<String, f64>);

    impl Processor<String, f64> for Last {
        type KOut = String;
        type VOut = f64;

        fn process(
            &mut self,
            record: Record<String, f64>,
            ctx: &mut Context<'_, String, f64>,
        ) -> Result<(), BoxError> {
            self.0.put(record.key.clone(), record.value)?;
            ctx.forward(record);
            Ok(())
        }
    }

    #[test]
    fn a_value_that_a_store_cannot_write_follows_the_policy() {
        let builder = StreamsBuilder::new();
        let store = builder.store(KeyValue::<String, f64>::with_serdes("last", Plain, Json));
        builder
            .stream::<String, f64>("in")
            .process("keep", &store, Last)
            .on_error(OnError::Skip)
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in [0.5, f64::NAN] {
            driver.pipe("in", &Record::new("k".to_owned(), value, Timestamp(1))).unwrap();
        }
        assert_eq!(driver.read::<String, f64>("out").unwrap().len(), 1);
        assert_eq!(driver.read_raw("app-last-changelog").unwrap().len(), 1);
        let last = driver.key_value_store::<String, f64>("last").unwrap();
        assert_eq!(last.get(&"k".to_owned()).unwrap(), Some(0.5));
        assert_eq!(driver.dropped(DropReason::Failed), 1);
    }

    #[test]
    fn the_policy_is_for_bad_records_and_not_for_faults_of_the_program() {
        let mut driver = TopologyDriver::new(&routes(OnError::Skip)).unwrap();
        driver.pipe("in", &text("k", "bad", 1)).unwrap();
        assert_eq!(driver.dropped(DropReason::Failed), 1);
        let unknown = driver.pipe("in", &text("k", "nowhere", 1));
        assert!(matches!(unknown, Err(Error::Fatal { .. })), "{unknown:?}");
    }

    /// Tells of each record, and every ten seconds, where it came from and what time the task has.
    struct Tells;

    fn told(ctx: &Context<'_, String, String>) -> String {
        let from = ctx.record_metadata();
        let from = from.map(|from| format!("{}-{}@{}", from.topic, from.partition, from.offset));
        let from = from.as_deref().unwrap_or("nowhere");
        let who = (ctx.application_id(), ctx.task_id());
        format!("{} {}: {from} at {}", who.0, who.1, ctx.stream_time().0)
    }

    impl Processor<String, String> for Tells {
        type KOut = String;
        type VOut = String;

        fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
            ctx.schedule(Duration::from_secs(10), PunctuationType::WallClockTime);
            Ok(())
        }

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            let value = told(ctx);
            ctx.forward(record.with_value(value));
            Ok(())
        }

        fn punctuate(
            &mut self,
            _: Schedule,
            now: Timestamp,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            let value = told(ctx);
            ctx.forward(Record::new("clock".to_owned(), value, now));
            Ok(())
        }
    }

    #[test]
    fn a_record_comes_from_somewhere_and_a_punctuation_from_nowhere() {
        let builder = StreamsBuilder::new();
        builder.stream("in").process("tells", (), |()| Tells).to("out");
        let topology = builder.build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let state_dir = Some(dir.path().to_owned());
        let options = DriverOptions { state_dir, ..DriverOptions::default() };
        let told = |times: &[i64]| -> Vec<String> {
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            for at in times {
                driver.pipe("in", &text("k", "v", *at)).unwrap();
            }
            driver.advance_wall_clock(Duration::from_secs(10)).unwrap();
            let out = driver.read::<String, String>("out").unwrap();
            out.into_iter().map(|record| record.value).collect()
        };
        let wanted = ["app 0_0: in-0@0 at 7", "app 0_0: in-0@1 at 7", "app 0_0: nowhere at 7"];
        assert_eq!(told(&[7, 3]), wanted);
        // Stream time goes on where it was committed.
        assert_eq!(told(&[5]), [wanted[0], wanted[2]]);
    }
}
