//! `sink`: the end of a stream in a system of the user's: a database, a lake, a search index.
//!
//! | | |
//! |---|---|
//! | emits | nothing |
//! | drops | one that the outlet refuses, by policy (`Failed`) |
//! | key, time, headers | as they come |
//! | state | the outlet's own; it may keep the positions of what it has beside what it has |
//!
//! ```text
//!   task starts ── resume(partition) ──► the outlet says what it has already
//!   record ──────── write ─────────────► it takes it in, where it likes
//!   commit ──────── flush(positions) ──► it makes all of it durable, before the positions are committed
//! ```
//!
//! A failed flush is an abort: the task begins again at the last commit, with a new outlet. A crash after
//! the flush and before the commit makes the records come again; an outlet that says in `resume` what it
//! has is not given them twice.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Chain, Error, Result, excerpt};
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::OnError;
use crate::record::{Data, Record, RecordMetadata, Shared, TopicPartition};
use crate::topology::{NodeDraft, NodeId, NodeKind, SharedGraph};

/// A way out into a system of the user's; one per task, on one worker at a time.
///
/// It is made when a task starts and dropped when the task ends or begins again; what was written and not flushed is
/// then to be forgotten. All calls block the worker, so each should have a time limit well below
/// `transaction_timeout_ms`. An error of its own follows the node's policy in `write` and is an abort in `flush`, tried
/// again at growing distances; [`Error::Unavailable`] is an abort in both, and [`Error::Fatal`] ends the instance.
///
/// Each record once, in spite of crashes: keep the positions that `flush` gets in the same transaction as the records,
/// and return them in `resume`. An instance that has lost its partition without knowing may flush at the same time as
/// the new owner, so let the transaction change a position only if it is still the one that was there before.
///
/// That holds where no state is between the topics and the outlet: filters, maps, merges, futures. Behind a join, an
/// aggregation, a table or a processor with stores, work that is done again may give out the same results with other
/// records than before, so positions say nothing and `resume` is not asked: write results by their keys, or send them
/// through a topic first (`to`, and `stream` it again) and end that in the outlet. What a punctuation makes has no
/// offset and may come again, too.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use millstream::record::{Record, TopicPartition};
/// use millstream::{BoxError, Outlet, RecordMetadata, StreamsBuilder};
/// use millstream::testing::{TopologyDriver, text};
///
/// /// In place of a database with a table of rows and one of positions.
/// #[derive(Clone, Default)]
/// struct Database(Arc<Mutex<(Vec<String>, BTreeMap<TopicPartition, i64>)>>);
///
/// struct Rows { database: Database, rows: Vec<String> }
///
/// impl Outlet<String, String> for Rows {
///     fn resume(&mut self, partition: &TopicPartition) -> Result<Option<i64>, BoxError> {
///         let database = self.database.0.lock().map_err(|_| "the database is broken")?;
///         Ok(database.1.get(partition).copied())
///     }
///
///     fn write(&mut self, record: Record<String, String>, _: Option<RecordMetadata<'_>>) -> Result<(), BoxError> {
///         self.rows.push(record.value);
///         Ok(())
///     }
///
///     fn flush(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
///         // One transaction: the rows, and how far they go.
///         let mut database = self.database.0.lock().map_err(|_| "the database is broken")?;
///         database.0.append(&mut self.rows);
///         database.1.extend(positions.iter().cloned());
///         Ok(())
///     }
/// }
///
/// let (database, builder) = (Database::default(), StreamsBuilder::new());
/// let connect = database.clone();
/// builder.stream("in").sink("rows", move || {
///     Ok::<_, BoxError>(Rows { database: connect.clone(), rows: Vec::new() })
/// });
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "v", 1))?;
/// let stored = database.0.lock().map_err(|_| "the database is broken")?;
/// assert_eq!((stored.0.as_slice(), stored.1[&TopicPartition::new("in", 0)]), (&["v".to_owned()][..], 1));
/// # Ok::<(), BoxError>(())
/// ```
pub trait Outlet<K, V>: 'static {
    /// The offset of the next record of this partition that it has not got; records before it are not written again.
    /// `None`, the default, if it does not know: then what was not committed is written again after a crash. Asked at
    /// the start of a task without state.
    ///
    /// # Errors
    /// The task starts again later.
    fn resume(&mut self, _partition: &TopicPartition) -> Result<Option<i64>, BoxError> {
        Ok(None)
    }

    /// Takes a record; it need not be durable yet. `from` says where it came from, and is `None` for what a punctuation
    /// made; its offset is -1 for a row of a table.
    ///
    /// # Errors
    /// The record follows the node's policy ([`SunkStream::on_error`]).
    fn write(
        &mut self,
        record: Record<K, V>,
        from: Option<RecordMetadata<'_>>,
    ) -> Result<(), BoxError>;

    /// Makes durable what was written. `positions` are the next offsets of all inputs of the task, which are committed
    /// after it. Called before each commit, also if nothing was written since the last.
    ///
    /// # Errors
    /// The commit does not take place, and all since the last one is done again.
    fn flush(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), BoxError>;
}

/// A stream that ends in an [`Outlet`].
///
/// ```
/// # use millstream::{DropReason, OnError, Outlet, BoxError, RecordMetadata, StreamsBuilder};
/// # use millstream::record::{Record, TopicPartition};
/// # use millstream::testing::{TopologyDriver, text};
/// /// Takes nothing that is empty.
/// struct Filled;
///
/// impl Outlet<String, String> for Filled {
///     fn write(&mut self, record: Record<String, String>, _: Option<RecordMetadata<'_>>) -> Result<(), BoxError> {
///         if record.value.is_empty() { Err("there is nothing in it".into()) } else { Ok(()) }
///     }
///
///     fn flush(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let ended = builder.stream("in").sink("filled", || Ok::<_, BoxError>(Filled));
/// ended.on_error(OnError::dead_letter("empty"));
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("in", &text("k", "", 1))?;
/// assert_eq!(driver.dropped(DropReason::Failed), 1);
/// assert_eq!(driver.read_raw("empty")?.len(), 1);
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone)]
pub struct SunkStream {
    graph: SharedGraph,
    node: NodeId,
}

impl fmt::Debug for SunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SunkStream").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl SunkStream {
    /// What becomes of a record that the outlet refuses.
    pub fn on_error(self, policy: OnError) {
        self.graph.borrow_mut().set_policy(self.node, policy);
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Hands each record to an outlet. `make` connects to what is outside when a task starts; where it fails, the task
    /// starts again later.
    ///
    /// ```
    /// # use millstream::{Outlet, BoxError, RecordMetadata, StreamsBuilder};
    /// # use millstream::record::{Record, TopicPartition};
    /// # use millstream::testing::{TopologyDriver, text};
    /// /// Appends lines to a file at each commit.
    /// struct Lines(std::fs::File, String);
    ///
    /// impl Outlet<String, String> for Lines {
    ///     fn write(&mut self, record: Record<String, String>, _: Option<RecordMetadata<'_>>) -> Result<(), BoxError> {
    ///         self.1.push_str(&record.value);
    ///         self.1.push('\n');
    ///         Ok(())
    ///     }
    ///
    ///     fn flush(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
    ///         use std::io::Write;
    ///         self.0.write_all(std::mem::take(&mut self.1).as_bytes())?;
    ///         Ok(self.0.sync_data()?)
    ///     }
    /// }
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("lines");
    /// let builder = StreamsBuilder::new();
    /// let open = path.clone();
    /// builder.stream("in").sink("lines", move || {
    ///     let file = std::fs::OpenOptions::new().create(true).append(true).open(&open)?;
    ///     Ok::<_, std::io::Error>(Lines(file, String::new()))
    /// });
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(std::fs::read_to_string(path)?, "v\n");
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn sink<O: Outlet<K, V>, E: Into<BoxError> + 'static>(
        &self,
        name: &str,
        make: impl Fn() -> std::result::Result<O, E> + Shared,
    ) -> SunkStream {
        let make = Arc::new(make);
        let mut graph = self.graph.borrow_mut();
        graph.check_name("a node", name);
        let node = graph.add(NodeDraft {
            name: name.to_owned(),
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            make: Box::new(move |linker| {
                let (make, faults) = (Arc::clone(&make), linker.faults()?);
                let (outlet, has, takes) = (None, Vec::new(), PhantomData);
                linker.add::<K, V, _>(ToOutlet { make, outlet, has, faults, takes });
                Ok(())
            }),
        });
        drop(graph);
        SunkStream { graph: Rc::clone(&self.graph), node }
    }
}

/// The node of an outlet in a task.
struct ToOutlet<K, V, O, M> {
    make: Arc<M>,
    /// There from the start of the task on.
    outlet: Option<O>,
    /// The next offsets that it has not got, where it knows.
    has: Vec<(TopicPartition, i64)>,
    faults: Faults,
    takes: PhantomData<fn(K, V)>,
}

impl<K, V, O: Outlet<K, V>, M> ToOutlet<K, V, O, M> {
    /// Asks a new outlet what it has of the task's inputs.
    fn resume(&mut self, mut outlet: O, ctx: &TaskContext) -> std::result::Result<(), BoxError> {
        self.has.clear();
        // With state the same results may come of other records when work is done again.
        if ctx.has_state {
            self.outlet = Some(outlet);
            return Ok(());
        }
        for (partition, position) in &ctx.inputs {
            let Some(next) = outlet.resume(partition)? else { continue };
            if next > *position {
                let node = self.faults.node();
                tracing::info!(task = %ctx.task, %node, %partition, position, next, "the outlet has records already that were not committed: they are not written again");
                self.has.push((partition.clone(), next));
            }
        }
        self.outlet = Some(outlet);
        Ok(())
    }

    fn has_already(&self, from: Option<RecordMetadata<'_>>) -> bool {
        !self.has.is_empty()
            && from.is_some_and(|from| {
                let is_it = |at: &TopicPartition| {
                    at.partition == from.partition && *at.topic == *from.topic
                };
                let next = self.has.iter().find(|(at, _)| is_it(at)).map(|(_, next)| *next);
                next.is_some_and(|next| (0..next).contains(&from.offset))
            })
    }

    fn failed(&self, what: &str, error: BoxError) -> Error {
        let what = format!("{what} the outlet {}", self.faults.node());
        match error.downcast::<Error>() {
            // It says by itself what follows.
            Ok(ours) => *ours,
            Err(theirs) => Error::Unavailable { what, reason: excerpt(&Chain(&*theirs)) },
        }
    }
}

impl<K, V, O, E, M> Node for ToOutlet<K, V, O, M>
where
    O: Outlet<K, V>,
    E: Into<BoxError>,
    M: Fn() -> std::result::Result<O, E>,
{
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let opened = (self.make)().map_err(Into::into);
        opened
            .and_then(|outlet| self.resume(outlet, ctx))
            .map_err(|error| self.failed("opening", error))
    }

    fn is_outlet(&self) -> bool {
        true
    }

    fn complete(&mut self, positions: &[(TopicPartition, i64)]) -> Result<()> {
        let Some(outlet) = &mut self.outlet else { return Ok(()) };
        outlet.flush(positions).map_err(|error| self.failed("the flush of", error))
    }

    fn close(&mut self) {
        self.outlet = None;
    }
}

impl<K, V, O, E, M> Operator<K, V> for ToOutlet<K, V, O, M>
where
    O: Outlet<K, V>,
    E: Into<BoxError>,
    M: Fn() -> std::result::Result<O, E>,
{
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let from = ctx.record_metadata();
        if self.has_already(from) {
            return Ok(());
        }
        let Some(outlet) = &mut self.outlet else { return Ok(()) };
        let written = outlet.write(record, from);
        written.or_else(|error| self.faults.apply_or_pass(error, ctx))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    /// What was durable, and what was called.
    #[derive(Default)]
    struct Outside {
        rows: Vec<String>,
        positions: BTreeMap<TopicPartition, i64>,
        flushes: usize,
        resumes: Option<i64>,
    }

    struct Rows(Arc<Mutex<Outside>>, Vec<String>);

    impl Outlet<String, String> for Rows {
        fn resume(&mut self, _: &TopicPartition) -> std::result::Result<Option<i64>, BoxError> {
            Ok(self.0.lock().unwrap().resumes)
        }

        fn write(
            &mut self,
            record: Record<String, String>,
            from: Option<RecordMetadata<'_>>,
        ) -> std::result::Result<(), BoxError> {
            let from = from.map(|from| from.to_string()).unwrap_or_default();
            self.1.push(format!("{from} {}", record.value));
            Ok(())
        }

        fn flush(
            &mut self,
            positions: &[(TopicPartition, i64)],
        ) -> std::result::Result<(), BoxError> {
            let mut outside = self.0.lock().unwrap();
            outside.rows.append(&mut self.1);
            outside.positions.extend(positions.iter().cloned());
            outside.flushes += 1;
            Ok(())
        }
    }

    fn driven(
        resumes: Option<i64>,
        cache_bytes: usize,
        draw: impl FnOnce(&StreamsBuilder) -> KStream<String, String>,
    ) -> (TopologyDriver, Arc<Mutex<Outside>>) {
        let outside = Arc::new(Mutex::new(Outside { resumes, ..Outside::default() }));
        let (builder, connect) = (StreamsBuilder::new(), Arc::clone(&outside));
        let open = move || Ok::<_, BoxError>(Rows(Arc::clone(&connect), Vec::new()));
        draw(&builder).sink("rows", open);
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        let topology = builder.build().unwrap();
        assert!(topology.describe().contains("Processor: rows"), "{}", topology.describe());
        (TopologyDriver::with_options(&topology, &options).unwrap(), outside)
    }

    #[test]
    fn it_gets_records_with_where_they_came_from_and_positions_at_each_commit() {
        let (mut driver, outside) = driven(None, 0, |builder| builder.stream("in"));
        driver.pipe_together("in", ["a", "b"].map(|value| text("k", value, 1))).unwrap();
        driver.pipe("in", &text("k", "c", 1)).unwrap();
        let outside = outside.lock().unwrap();
        assert_eq!(outside.rows, ["in-0@0 a", "in-0@1 b", "in-0@2 c"]);
        assert_eq!(outside.positions, BTreeMap::from([(TopicPartition::new("in", 0), 3)]));
        assert!(outside.flushes >= 2, "{} flushes", outside.flushes);
    }

    #[test]
    fn what_it_has_already_is_not_written_again() {
        let (mut driver, outside) = driven(Some(2), 0, |builder| builder.stream("in"));
        driver.pipe_together("in", ["a", "b", "c"].map(|value| text("k", value, 1))).unwrap();
        assert_eq!(outside.lock().unwrap().rows, ["in-0@2 c"]);
    }

    /// They have no offset: whether it has them only it can say.
    #[test]
    fn rows_of_tables_and_punctuations_are_always_written() {
        let (mut driver, outside) = driven(Some(1 << 40), 1 << 20, |builder| {
            builder.stream("in").group_by_key().reduce("kept", |_, new| new).updates()
        });
        driver.pipe_together("in", ["a", "b"].map(|value| text("k", value, 1))).unwrap();
        assert_eq!(outside.lock().unwrap().rows, ["app-kept-changelog-0 b"]);
    }

    /// The flush of an outlet comes after those of the tables above it, and after futures.
    #[test]
    fn it_is_flushed_last() {
        let (mut driver, outside) = driven(None, 1 << 20, |builder| {
            let slow = |_: &String, value: String| async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                Ok::<_, BoxError>(value)
            };
            let kept = builder.stream("in").group_by_key().reduce("kept", |_, new| new);
            kept.updates().map_async(2, slow)
        });
        driver.pipe_together("in", ["a", "b"].map(|value| text("k", value, 1))).unwrap();
        assert_eq!(outside.lock().unwrap().rows, ["app-kept-changelog-0 b"]);
    }

    #[test]
    fn an_outlet_that_cannot_be_opened_or_flushed_says_which() {
        struct Away;
        impl Outlet<String, String> for Away {
            fn write(
                &mut self,
                _: Record<String, String>,
                _: Option<RecordMetadata<'_>>,
            ) -> std::result::Result<(), BoxError> {
                Ok(())
            }

            fn flush(&mut self, _: &[(TopicPartition, i64)]) -> std::result::Result<(), BoxError> {
                Err("connection reset".into())
            }
        }
        let builder = StreamsBuilder::new();
        builder.stream("in").sink("lake", || Err::<Away, _>("no route to host"));
        let error = TopologyDriver::new(&builder.build().unwrap()).unwrap_err().to_string();
        assert!(error.contains("opening the outlet lake"), "{error}");
        assert!(error.contains("no route to host"), "{error}");

        let builder = StreamsBuilder::new();
        builder.stream("in").sink("lake", || Ok::<_, BoxError>(Away));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let error = driver.pipe("in", &text("k", "v", 1)).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("the flush of the outlet lake"), "{error}");
    }
}
