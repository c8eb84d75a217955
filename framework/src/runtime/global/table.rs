//! One global table as its thread fills it: the chain from bytes to rows, the store, and how far it is in
//! each partition.
//!
//! ```text
//!  notes of its store, in one batch with the rows
//!  position/<partition>   i64 BE ‖ i64 BE   next offset to read, highest timestamp so far
//!  offset of the store    0                 the positions belong to what is in the store
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{Batch, SharedStore, StoreId, TaskStores};

use crate::chain::{Meters, NamedNode, SourceNode, TaskContext};
use crate::collector::{Collector, WorkerProducer};
use crate::error::{Error, Result};
use crate::log::{Isolation, Log, RecordBatch};
use crate::policy::Dropped;
use crate::record::{TaskId, Timestamp, TopicPartition};
use crate::runtime::belonging::{OF_ANOTHER_LOG, note_log, of_another_log};
use crate::runtime::instance::Instance;
use crate::runtime::worker::Freshness;
use crate::store::{CacheBudget, GlobalStores, StateStore};
use crate::topology::{SubTopology, TaskSeed};

/// How far a table is in one partition of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The next offset to read.
    pub(super) next: i64,
    /// The end as of the start: the table is complete there.
    pub(super) end: i64,
    /// The highest timestamp so far.
    time: Timestamp,
    /// All there was has been read.
    pub(super) at_end: bool,
}

impl Part {
    fn decode(note: &[u8]) -> Option<(i64, Timestamp)> {
        let (next, time) = note.split_first_chunk()?;
        Some((i64::from_be_bytes(*next), Timestamp(i64::from_be_bytes(time.try_into().ok()?))))
    }

    fn encode(self) -> Vec<u8> {
        [self.next.to_be_bytes(), self.time.0.to_be_bytes()].concat()
    }
}

/// What came of a batch.
struct Read {
    part: Part,
    records: u64,
    bytes: u64,
}

/// The only store of its directory.
const STORE: StoreId = StoreId(0);

/// A global table, open.
pub(super) struct GlobalTable {
    pub(super) name: String,
    pub(super) topic: Arc<str>,
    pub(super) parts: BTreeMap<i32, Part>,
    /// Records taken so far, and since the host last asked, with their bytes.
    pub(super) records: u64,
    taken: (u64, u64),
    ctx: TaskContext,
    source: Box<dyn SourceNode>,
    /// The source knows them.
    nodes: Vec<NamedNode>,
    store: Rc<RefCell<dyn StateStore>>,
    disk: TaskStores,
    /// It began empty, so it lacks no deletion; the time it began.
    began: Option<Timestamp>,
    producer: Rc<RefCell<WorkerProducer>>,
}

impl fmt::Debug for GlobalTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlobalTable")
            .field("name", &self.name)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl GlobalTable {
    /// Opens the store of a global table and makes its chain. Dead letters go through the producer.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub(super) fn open(
        instance: &Instance,
        sub: &SubTopology,
        producer: &Rc<RefCell<WorkerProducer>>,
    ) -> Result<Self> {
        let specs = instance.topology.store_specs(sub);
        let name = specs.first().map(|spec| spec.name.clone()).unwrap_or_default();
        // What is in memory is empty after each start: positions on disk say nothing about it.
        let disk = match specs.iter().all(|spec| spec.in_memory) {
            true => TaskStores::in_memory(&specs),
            false => {
                TaskStores::open(&instance.state_dir.global(&name), &specs, &instance.resources)?
            }
        };
        let task = TaskId { sub_topology: sub.id, partition: 0 };
        let collector = Collector::new(Rc::clone(producer));
        let mut ctx = TaskContext::new(task, Arc::clone(&instance.application_id), collector);
        ctx.meters = Meters::of(&instance.meters);
        let (cache_budget, globals) = (&CacheBudget::new(0), &GlobalStores::default());
        let seed = TaskSeed { ctx: &mut ctx, disk: &disk, cache_budget, globals };
        let parts = instance.topology.instantiate(sub, seed)?;
        let (source, store) = (parts.sources.into_iter().next(), parts.stores.into_iter().next());
        let (Some((topic, source)), Some(store)) = (source, store) else {
            return Err(Error::Fatal {
                what: format!("the global table {name}"),
                reason: "it has no source or no store".to_owned(),
            });
        };
        for (_, node) in &parts.nodes {
            node.borrow_mut().init(&mut ctx)?;
        }
        ctx.meters.carry();
        Ok(Self {
            name,
            topic,
            parts: BTreeMap::new(),
            records: 0,
            taken: (0, 0),
            ctx,
            source,
            nodes: parts.nodes,
            store,
            disk,
            began: None,
            producer: Rc::clone(producer),
        })
    }

    /// The number of its sub-topology, as metrics name it.
    pub(super) fn id(&self) -> TaskId {
        self.ctx.task
    }

    /// Finds out where to read from and up to where: after what the store has, or, where that does not fit
    /// the topic any more, from its start.
    ///
    /// # Errors
    /// `MissingTopic` if the topic does not exist; `Unavailable` when no broker answers.
    pub(super) fn plan(
        &mut self,
        log: &dyn Log,
        freshness: Freshness,
        now: Timestamp,
    ) -> Result<()> {
        let ranges = self.ranges(log)?;
        let identity = log.identity()?;
        let other = of_another_log(&self.disk, &self.name, identity.as_deref());
        let kept = self.kept();
        let fits = ranges.iter().zip(0..).all(|(range, partition)| {
            let next = kept.get(&partition).map(|(next, _)| next);
            next.is_none_or(|next| (range.earliest..=range.end).contains(next))
        });
        let fits = fits && kept.len() <= ranges.len() && other.is_none();
        let behind = ranges.iter().zip(0..).any(|(range, partition)| {
            kept.get(&partition).map_or(range.earliest, |(next, _)| *next) < range.readable
        });
        let fresh = !behind || freshness.lasts(self.disk.fresh_at(STORE), now);
        let kept = if kept.is_empty() || (fits && fresh) {
            kept
        } else {
            let reason = match (&other, fits) {
                (Some(_), _) => OF_ANOTHER_LOG,
                (None, true) => "it is too old",
                (None, false) => "its topic has other offsets",
            };
            tracing::warn!(
                table = self.name,
                topic = %self.topic,
                reason,
                "building the global table anew"
            );
            self.store.borrow_mut().clear()?;
            BTreeMap::new()
        };
        note_log(&self.disk, &self.name, identity.as_deref())?;
        self.began = kept.is_empty().then_some(now);
        let part = |(range, partition): (&Range, i32)| {
            let known = kept.get(&partition).copied();
            let (next, time) = known.unwrap_or((range.earliest, Timestamp(-1)));
            (partition, Part { next, end: range.readable, time, at_end: false })
        };
        self.parts = ranges.iter().zip(0..).map(part).collect();
        self.note_positions()
    }

    /// Notes where each partition is, one that is empty or was not read yet too: what an earlier state left behind says
    /// nothing any more, and the first one without a position ends them.
    fn note_positions(&self) -> Result<()> {
        let mut batch = self.disk.batch();
        for (number, part) in &self.parts {
            batch.set_meta(&position_note(*number), &part.encode());
        }
        let beyond = self.parts.keys().next_back().map_or(0, |last| last + 1);
        batch.set_meta(&position_note(beyond), &[]);
        Ok(self.disk.write(batch)?)
    }

    fn ranges(&self, log: &dyn Log) -> Result<Vec<Range>> {
        let described = log.describe(&[&*self.topic])?.into_iter().next().flatten();
        let described =
            described.ok_or_else(|| Error::MissingTopic { topic: self.topic.to_string() })?;
        (0..described.partitions).map(|number| Range::of(log, &self.partition(number))).collect()
    }

    /// How far the store is, by partition; nothing where that is not known.
    fn kept(&self) -> BTreeMap<i32, (i64, Timestamp)> {
        if self.disk.offset(STORE).is_none() {
            return BTreeMap::new();
        }
        let read = |partition| {
            let note = self.disk.meta(&position_note(partition))?;
            Some((partition, Part::decode(&note)?))
        };
        (0..).map_while(read).collect()
    }

    /// Takes in partitions that the topic got since it was planned. True if there are any.
    ///
    /// # Errors
    /// `Unavailable` when no broker answers.
    pub(super) fn grow(&mut self, log: &dyn Log) -> Result<bool> {
        let described = log.describe(&[&*self.topic])?.into_iter().next().flatten();
        let known = self.parts.len();
        let count = described.map_or(0, |described| described.partitions);
        for number in (0..count).skip(known) {
            let Range { earliest: next, readable: end, .. } =
                Range::of(log, &self.partition(number))?;
            let part = Part { next, end, time: Timestamp(-1), at_end: false };
            tracing::info!(table = self.name, topic = %self.topic, number, "it has a new partition");
            self.parts.insert(number, part);
        }
        let grown = self.parts.len() > known;
        if grown {
            self.note_positions()?;
        }
        Ok(grown)
    }

    pub(super) fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), number)
    }

    /// Where its partitions are read from now on.
    pub(super) fn positions(&mut self) -> Vec<(TopicPartition, i64)> {
        self.parts.values_mut().for_each(|part| part.at_end = false);
        self.parts.iter().map(|(number, part)| (self.partition(*number), part.next)).collect()
    }

    /// Takes records in, and keeps their rows with the new position in one batch. After an error the
    /// position is the old one, and none of the rows is there.
    ///
    /// # Errors
    /// `BadRecord` if one cannot be read and the policy is to fail; `Aborted` if the client went back; what
    /// its dead letter or the local state fail with.
    pub(super) fn take(
        &mut self,
        number: i32,
        records: Box<dyn RecordBatch>,
        now: Timestamp,
    ) -> Result<()> {
        let Some(part) = self.parts.get(&number).copied() else { return Ok(()) };
        self.ctx.wall_clock = now;
        let read = self.read(number, part, &Rc::from(records));
        self.ctx.forget_origin();
        let kept = read.and_then(|read| {
            self.keep(number, read.part)?;
            self.parts.insert(number, read.part);
            self.records += read.records;
            self.taken = (self.taken.0 + read.records, self.taken.1 + read.bytes);
            Ok(())
        });
        if kept.is_err() {
            self.store.borrow_mut().rollback();
            // They are dropped and counted again with the next try.
            self.dropped().for_each(drop);
            self.ctx.meters.forget();
        } else {
            self.ctx.meters.carry();
        }
        kept
    }

    fn read(&mut self, number: i32, from: Part, records: &Rc<dyn RecordBatch>) -> Result<Read> {
        let mut part = Part { at_end: false, ..from };
        let (mut taken, mut size) = (0, 0);
        for index in 0..records.len() {
            let Some(raw) = records.get(index) else { break };
            if raw.offset < part.next {
                return Err(Error::Aborted {
                    what: format!("reading {}", self.partition(number)),
                    reason: format!(
                        "the client went back to offset {} at position {}",
                        raw.offset, part.next
                    ),
                });
            }
            self.ctx.enter_record(&self.topic, number, records, (index, raw.offset));
            if let Some(at) = self.source.load(&raw, part.time, &mut self.ctx)? {
                part.time = part.time.max(at);
                self.ctx.stream_time = self.ctx.stream_time.max(at);
                self.source.fire(&mut self.ctx)?;
            }
            part.next = raw.offset + 1;
            taken += 1;
            size += (raw.key.map_or(0, <[u8]>::len) + raw.value.map_or(0, <[u8]>::len)) as u64;
        }
        Ok(Read { part, records: taken, bytes: size })
    }

    fn keep(&self, number: i32, part: Part) -> Result<()> {
        let mut producer = self.producer.borrow_mut();
        // Dead letters come before the position that leaves their records behind.
        if producer.take_counts().0 > 0 {
            producer.producer().flush()?;
        }
        drop(producer);
        let mut batch = self.disk.batch();
        self.store.borrow_mut().drain(&mut batch);
        if let Some(began) = self.began {
            batch.set_fresh_at(STORE, began.0);
        }
        self.write(number, part, batch)
    }

    fn write(&self, number: i32, part: Part, mut batch: Batch) -> Result<()> {
        batch.set_meta(&position_note(number), &part.encode());
        batch.set_offset(STORE, 0);
        Ok(self.disk.write(batch)?)
    }

    /// A partition was read to this end: there may be no record right before it.
    ///
    /// # Errors
    /// When the local state fails.
    pub(super) fn reached(&mut self, number: i32, end: i64) -> Result<()> {
        let Some(part) = self.parts.get_mut(&number) else { return Ok(()) };
        let moved = end > part.next;
        part.next = part.next.max(end);
        part.at_end = true;
        let part = *part;
        if moved { self.write(number, part, self.disk.batch()) } else { Ok(()) }
    }

    /// Offsets that are still to be read before it is complete.
    pub(super) fn missing(&self) -> u64 {
        self.parts.values().map(|part| u64::try_from(part.end - part.next).unwrap_or(0)).sum()
    }

    /// Notes that it lacked nothing at `now`, if that has not been noted for a while: deletions are gone from
    /// the topic some time after, and a store that missed them must be built anew.
    ///
    /// # Errors
    /// When the local state fails.
    pub(super) fn note_fresh(&self, freshness: Freshness, now: Timestamp) -> Result<()> {
        if freshness.is_noted(self.disk.fresh_at(STORE), now) {
            return Ok(());
        }
        let mut batch = self.disk.batch();
        batch.set_fresh_at(STORE, now.0);
        Ok(self.disk.write(batch)?)
    }

    /// All there was has been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.parts.values().all(|part| part.at_end)
    }

    /// It is complete: it will not be built anew any more, and tasks may read it.
    ///
    /// # Errors
    /// When the local state fails.
    pub(super) fn share(&mut self) -> Result<(String, SharedStore)> {
        self.began = None;
        Ok((self.name.clone(), self.disk.share(STORE)?))
    }

    /// What it dropped since the last call; to be asked after each batch.
    pub(super) fn dropped(&mut self) -> impl Iterator<Item = Dropped> {
        self.ctx.drops.take()
    }

    /// Says what was taken since the last call, and what is kept.
    pub(super) fn report(&mut self, instance: &Instance, last: bool) {
        let (records, bytes) = std::mem::take(&mut self.taken);
        let metrics = &instance.metrics;
        metrics.received(&self.topic, records, bytes);
        self.ctx.say_dropped((!last).then(|| instance.clock.now()));
        let (size, entries) = (self.disk.size_bytes(STORE), self.disk.entries_estimate(STORE));
        metrics.store(self.id(), &self.name, size, entries);
    }

    /// Closes the store: no task reads it any more.
    pub(super) fn close(&self) {
        for (_, node) in &self.nodes {
            node.borrow_mut().close();
        }
        if let Err(error) = self.disk.close() {
            tracing::warn!(table = self.name, ?error, "the global table cannot be closed");
        }
    }
}

/// What a partition has.
struct Range {
    earliest: i64,
    /// One past the last record.
    end: i64,
    /// As far as it can be read now: what is in open transactions is not waited for.
    readable: i64,
}

impl Range {
    fn of(log: &dyn Log, partition: &TopicPartition) -> Result<Self> {
        let readable = log.offsets(partition, Isolation::ReadCommitted)?.end;
        let all = log.offsets(partition, Isolation::ReadUncommitted)?;
        Ok(Self { earliest: all.earliest, end: all.end.max(readable), readable })
    }
}

fn position_note(partition: i32) -> Vec<u8> {
    format!("position/{partition}").into_bytes()
}
