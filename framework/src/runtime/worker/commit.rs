//! The commit of a worker: outputs, changelog, offsets and state count together, or not at all.
//!
//! ```text
//!   0  no future is on its way                             (see `settling`)
//!   1  flush the record caches through the operators      (tasks, in the order of records)
//!   2  outlets are flushed; outputs and changelog are acknowledged   (producer)
//!   3  positions of all inputs, unchanged ones too         (transaction, or group)
//!   4  the broker confirms
//!   5  dirty layers and changelog ends go to the stores    (one batch per task)
//! ```
//!
//! A crash before 4 leaves nothing; between 4 and 5 the store is one commit behind its changelog
//! and reads that tail when it starts again; after 5 there is nothing to do.

use std::cell::RefCell;

use crate::collector::WorkerProducer;
use crate::error::{Error, Result};
use crate::log::{Committed, Member};
use crate::metrics::{Beating, Metrics};
use crate::record::TopicPartition;
use crate::runtime::commit_step::CommitStep;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::restore::Freshness;
use crate::runtime::worker::task_cell::guarded;
use crate::runtime::worker::worker::{CommitUnderWay, Stage, Worker};
use crate::task::Task;

impl Worker {
    /// Flushes the record caches of all running tasks. From here on their positions stand, unless that
    /// started futures: true.
    pub(super) fn flush_tasks(&mut self) -> Result<bool, Failure> {
        let began = self.instance.clock.elapsed();
        for (id, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut() {
                guarded(id, || task.flush()).map_err(|error| Failure::of(id, error))?;
            }
        }
        self.commit = CommitUnderWay { began, positions: self.positions(), generation: None };
        if self.has_futures_on_their_way() {
            return Ok(true);
        }
        self.complete_outlets()?;
        Ok(false)
    }

    /// All of the commit is there: ways out make it durable, before its positions are.
    fn complete_outlets(&self) -> Result<(), Failure> {
        for (id, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut() {
                guarded(id, || task.complete()).map_err(|error| Failure::of(id, error))?;
            }
        }
        Ok(())
    }

    /// Waits until everything sent is acknowledged. Under exactly-once there is a transaction then,
    /// for positions alone too.
    pub(super) fn acknowledge(&mut self) -> Result<()> {
        let mut producer = self.present_producer()?.borrow_mut();
        producer.ensure_transaction()?;
        producer.producer().flush()
    }

    pub(super) fn take_generation(&mut self) -> Result<()> {
        self.commit.generation = Some(self.present_member()?.generation()?);
        Ok(())
    }

    pub(super) fn send_offsets(&mut self) -> Result<()> {
        let CommitUnderWay { positions, generation, .. } = &self.commit;
        let generation = generation.as_ref().ok_or_else(|| aborted("no generation was taken"))?;
        self.present_producer()?.borrow_mut().producer().send_offsets(positions, generation)?;
        self.instance.commit_step(CommitStep::OffsetsSent);
        Ok(())
    }

    pub(super) fn end_transaction(&mut self) -> Result<()> {
        self.instance.commit_step(CommitStep::Ending);
        let mut producer = self.present_producer()?.borrow_mut();
        producer.producer().commit()?;
        producer.transaction_ended();
        drop(producer);
        self.counts();
        Ok(())
    }

    pub(super) fn commit_offsets(&mut self) -> Result<()> {
        self.instance.commit_step(CommitStep::Ending);
        self.present_member()?.commit(&self.commit.positions)?;
        self.counts();
        Ok(())
    }

    /// The broker has confirmed: whatever happens now, the commit counts.
    fn counts(&self) {
        self.instance.positions.committed(&self.commit.positions);
        self.instance.commit_step(CommitStep::Ended);
    }

    /// Takes what is committed over into the local stores.
    pub(super) fn apply(&mut self) -> Result<()> {
        self.instance.commit_step(CommitStep::Applying);
        let now = self.instance.clock.now();
        for (id, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut() {
                let fresh = self.restorer.freshness().due(task, now);
                // Stores of the user's are told in here.
                guarded(id, || task.apply(|batch| Freshness::note(batch, &fresh, now)))?;
            }
        }
        Ok(())
    }

    /// Notes what is committed, and deletes it from repartition topics if it is time.
    pub(super) fn committed(&mut self, purge: bool) {
        let elapsed = self.instance.clock.elapsed();
        if let Some(producer) = &self.producer {
            producer.borrow_mut().forget_refusals(elapsed);
        }
        self.instance.commit_step(CommitStep::Applied);
        self.open_intake();
        self.count();
        let CommitUnderWay { began, positions, .. } = std::mem::take(&mut self.commit);
        self.instance.metrics.commit_latency.observe((elapsed - began).as_secs_f64());
        if purge {
            self.purge(&positions);
        }
    }

    fn present_producer(&self) -> Result<&RefCell<WorkerProducer>> {
        self.producer.as_deref().ok_or_else(|| aborted("there is no producer"))
    }

    fn present_member(&self) -> Result<&dyn Member> {
        self.member.as_deref().ok_or_else(|| aborted("this instance is in no group"))
    }

    /// Notes that all that was done is committed.
    pub(super) fn note_committed(&self) {
        let metrics = &self.instance.metrics;
        if self.hosted.is_empty() {
            metrics.committed(self.index, None);
        } else if self.running().next().is_some() {
            metrics.committed(self.index, Some(self.instance.clock.now().0 / 1000));
        }
    }

    /// Carries what the tasks counted to the registry, once it counts: after an abort the same
    /// records come again, here or elsewhere.
    fn count(&self) {
        self.note_committed();
        let metrics = &self.instance.metrics;
        for (_, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut() {
                count_task(metrics, task);
            }
        }
        if let Some(producer) = &self.producer {
            let (records, bytes) = producer.borrow_mut().take_counts();
            metrics.sent(records, bytes);
        }
    }

    /// True if something happened since the last commit, or if it is time to note that stores are
    /// fresh: only the group's answer says that this worker was the only one to write to them.
    pub(super) fn has_something_to_commit(&self) -> bool {
        let (now, freshness) = (self.instance.clock.now(), self.restorer.freshness());
        let mut running = self.running().peekable();
        // What was sent when a task began counts too, though no record was taken.
        let in_transaction = running.peek().is_some()
            && self.producer.as_ref().is_some_and(|shared| shared.borrow().is_in_transaction());
        in_transaction
            || running.any(|(_, cell, _)| {
                let task = cell.borrow();
                task.as_ref().is_some_and(|task| {
                    task.is_dirty()
                        || task.uncommitted_bytes() > 0
                        || !freshness.due(task, now).is_empty()
                })
            })
    }

    /// Requests for a commit where nothing has happened are fulfilled.
    pub(super) fn forget_requests(&self) {
        self.open_intake();
        for (_, cell, _) in self.running() {
            if let Some(task) = cell.borrow_mut().as_mut() {
                task.ctx.commit_requested = false;
            }
        }
    }

    /// True if a task failed; the message that says why is on its way.
    pub(super) fn has_failed_task(&self) -> bool {
        self.running().any(|(_, cell, _)| cell.borrow().as_ref().is_some_and(Task::has_failed))
    }

    fn positions(&self) -> Vec<(TopicPartition, Committed)> {
        let mut all = Vec::new();
        for (_, cell, _) in self.running() {
            if let Some(task) = cell.borrow().as_ref() {
                all.extend(task.positions());
            }
        }
        all
    }

    /// Deletes what was consumed of repartition topics, up to the committed offsets: only then can
    /// nobody need it again.
    fn purge(&self, committed: &[(TopicPartition, Committed)]) {
        let before: Vec<(TopicPartition, i64)> = committed
            .iter()
            .filter(|(partition, _)| self.instance.repartition_topics.contains(&partition.topic))
            .map(|(partition, committed)| (partition.clone(), committed.offset))
            .collect();
        if before.is_empty() {
            return;
        }
        if let Err(error) = self.instance.log.delete_records(&before) {
            // Nothing is lost but disk space, and the next purge covers the same records.
            tracing::warn!(worker = self.index, ?error, "repartition topics could not be purged");
        }
    }

    /// Carries gauges, and what no commit waits for, to the registry.
    pub(super) fn measure(&mut self) {
        let instance = &self.instance;
        instance.beat(Beating::Worker(self.index));
        let metrics = &instance.metrics;
        for (id, stage) in &self.hosted {
            match stage {
                Stage::Running { cell, .. } => {
                    if let Some(task) = cell.borrow_mut().as_mut() {
                        measure_task(metrics, task);
                        task.ctx.say_dropped(Some(instance.clock.now()));
                    }
                }
                Stage::Restoring(_) => metrics.restoring(*id, self.restorer.remaining(*id)),
                Stage::Waiting { .. } => {}
            }
        }
        let restored = self.restorer.take_restored();
        metrics.restored.inc_by(restored);
        if let Some(producer) = &self.producer {
            producer.borrow_mut().learn(&instance.sinks);
        }
        self.report_work(restored);
    }
}

fn aborted(reason: &str) -> Error {
    Error::Aborted { what: "a commit".to_owned(), reason: reason.to_owned() }
}

/// Carries the counts of a task to the registry; before its first record, at zero.
pub(super) fn count_task(metrics: &Metrics, task: &mut Task) {
    let id = task.id();
    for input in task.inputs_mut() {
        let (topic, records, bytes) = input.take_counts();
        metrics.received(&topic, records, bytes);
    }
    metrics.dropped(id, task.ctx.drops.take());
    task.ctx.meters.carry();
}

fn measure_task(metrics: &Metrics, task: &mut Task) {
    let id = task.id();
    for input in task.inputs_mut() {
        metrics.lag(&input.partition, input.remaining());
    }
    metrics.punctuations.inc_by(task.take_punctuations());
    metrics.held(id, task.uncommitted_bytes(), task.cache_bytes());
    metrics.restoring(id, 0);
    if task.has_futures() {
        metrics.in_flight(id, task.in_flight());
    }
    for store in task.stores() {
        let store = store.borrow();
        let (bytes, entries) =
            (task.disk().size_bytes(store.id()), task.disk().entries_estimate(store.id()));
        metrics.store(id, store.name(), bytes, entries);
    }
}
