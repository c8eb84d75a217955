//! `process_values`: a processor of the user's that cannot change keys.
//!
//! | | |
//! |---|---|
//! | emits | what the processor forwards, at once |
//! | drops | a record for which it returns an error, by policy (`Failed`); a failure of a store or of the log stops the task |
//! | key | kept: no repartition |
//! | time, headers | as the processor sets them |
//! | state | the stores that are named; the processor's own fields live as long as the task |

use crate::chain::{Faults, Node, Operator, Schedule, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::process::connected_store::Stores;
use crate::operators::process::context::{Context, FixedKeyContext, Ways};
use crate::operators::process::fixed_key::FixedKeyRecord;
use crate::operators::stream::{KStream, Placing};
use crate::record::{Data, Record, Shared, Timestamp};
use crate::topology::{Linker, NodeName};

/// As [`crate::Processor`], for [`KStream::process_values`].
///
/// ```
/// # use millstream::{BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValue, KeyValueStore, StreamsBuilder};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Puts a number before each value of a key.
/// struct Number(KeyValueStore<String, i64>);
///
/// impl FixedKeyProcessor<String, String> for Number {
///     type VOut = String;
///
///     fn process(&mut self, record: FixedKeyRecord<String, String>, ctx: &mut FixedKeyContext<'_, String, String>) -> Result<(), BoxError> {
///         let number = self.0.get(record.key())?.unwrap_or(0) + 1;
///         self.0.put(record.key().clone(), number)?;
///         let value = format!("{number} {}", record.value);
///         ctx.forward(record.with_value(value));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let numbers = builder.store(KeyValue::<String, i64>::named("numbers"));
/// builder.stream("in").process_values("number", &numbers, Number).to("out");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "a", 1))?;
/// driver.pipe("in", &text("k", "b", 2))?;
/// assert_eq!(driver.read::<String, String>("out")?[1].value, "2 b");
/// # Ok::<(), BoxError>(())
/// ```
pub trait FixedKeyProcessor<K, V>: 'static {
    /// The type of the values it forwards.
    type VOut: Data;

    /// Called once, before the first record and after the stores were restored.
    ///
    /// # Errors
    /// Stops the task.
    fn init(&mut self, _ctx: &mut FixedKeyContext<'_, K, Self::VOut>) -> Result<(), BoxError> {
        Ok(())
    }

    /// Takes a record.
    ///
    /// # Errors
    /// The record then follows the node's policy ([`KStream::on_error`]).
    fn process(
        &mut self,
        record: FixedKeyRecord<K, V>,
        ctx: &mut FixedKeyContext<'_, K, Self::VOut>,
    ) -> Result<(), BoxError>;

    /// Called at a scheduled time; `now` is the time of the schedule's clock.
    ///
    /// # Errors
    /// Follows the node's policy; there is no record for a dead letter.
    fn punctuate(
        &mut self,
        _which: Schedule,
        _now: Timestamp,
        _ctx: &mut FixedKeyContext<'_, K, Self::VOut>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// The task ends; nothing can be forwarded.
    fn close(&mut self) {}
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Hands each record to a processor that keeps its key. `stores` are connected by being named
    /// here; `make` runs once per task and gets their handles.
    ///
    /// ```
    /// # use millstream::{BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, StreamsBuilder};
    /// # use millstream::testing::{TopologyDriver, text};
    /// # struct Short(usize);
    /// # impl FixedKeyProcessor<String, String> for Short {
    /// #     type VOut = String;
    /// #     fn process(
    /// #         &mut self,
    /// #         record: FixedKeyRecord<String, String>,
    /// #         ctx: &mut FixedKeyContext<'_, String, String>,
    /// #     ) -> Result<(), BoxError> {
    /// #         let value = record.value.chars().take(self.0).collect();
    /// #         ctx.forward(record.with_value(value));
    /// #         Ok(())
    /// #     }
    /// # }
    /// let builder = StreamsBuilder::new();
    /// // `Short` is a `FixedKeyProcessor` that cuts values to a length. It uses no store.
    /// builder.stream("in").process_values("short", (), |()| Short(3)).group_by_key().count("counts");
    ///
    /// let topology = builder.build()?;
    /// assert!(!topology.describe().contains("repartition"), "the key is that of the topic");
    /// # let mut driver = TopologyDriver::new(&topology)?;
    /// # driver.pipe("in", &text("k", "value", 1))?;
    /// # assert_eq!(driver.table::<String, i64>("counts")?[0].1, 1);
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn process_values<S: Stores, X: FixedKeyProcessor<K, V>>(
        &self,
        name: impl Into<NodeName>,
        stores: S,
        make: impl Fn(S::Handles) -> X + Shared,
    ) -> KStream<K, X::VOut, P> {
        let connection = stores.connect();
        let indices = connection.stores.clone();
        let made = move |linker: &mut Linker<'_>| {
            let processor = make(connection.open(linker)?);
            let (ways, faults) = (linker.ways()?, linker.faults()?);
            linker.add::<K, V, _>(ProcessValues::<K, V, X> { processor, ways, faults });
            Ok(())
        };
        self.processed(("KSTREAM-PROCESSVALUES-", name.into()), indices, made)
    }
}

struct ProcessValues<K, V, P: FixedKeyProcessor<K, V>> {
    processor: P,
    ways: Ways<K, P::VOut>,
    faults: Faults,
}

impl<K: Data, V: Data, P: FixedKeyProcessor<K, V>> Node for ProcessValues<K, V, P> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let mut context = FixedKeyContext(Context::new(ctx, &self.ways));
        let result = self.processor.init(&mut context);
        context.0.finish(result).or_else(|error| Err(self.faults.fatal("its init", &error)))
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        now: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let before = ctx.record_time.replace(now);
        let mut context = FixedKeyContext(Context::new(ctx, &self.ways));
        let result = self.processor.punctuate(schedule, now, &mut context);
        let result = context.0.finish(result);
        ctx.record_time.replace(before);
        result.or_else(|error| self.faults.apply_or_pass(error, ctx))
    }

    fn close(&mut self) {
        self.processor.close();
    }
}

impl<K: Data, V: Data, P: FixedKeyProcessor<K, V>> Operator<K, V> for ProcessValues<K, V, P> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let before = ctx.record_time.replace(record.timestamp);
        let mut context = FixedKeyContext(Context::new(ctx, &self.ways));
        let result = self.processor.process(FixedKeyRecord::of(record), &mut context);
        let result = context.0.finish(result);
        ctx.record_time.replace(before);
        result.or_else(|error| self.faults.apply_or_pass(error, ctx))
    }
}
