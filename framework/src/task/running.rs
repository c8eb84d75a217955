//! The running task: chooses among its inputs, drives the chain, and takes part in commits.
//!
//! Choice, as in Kafka Streams: the input whose head has the lowest timestamp. An input without a
//! record holds the task back until it is known to be caught up and `max_task_idle` has passed
//! (`max_task_idle < 0`: never holds back). Buffers are per partition, so waiting for one input
//! never blocks another from being fetched.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::{Batch, TaskStores};

use crate::chain::{NamedNode, Node, PunctuationType, TaskContext};
use crate::error::Result;
use crate::log::{Committed, PartitionQueue, Wake};
use crate::record::{TaskId, Timestamp, TopicPartition};
use crate::store::{Changelog, StateStore, UncommittedBytes};
use crate::task::care::Care;
use crate::task::idle::{IdleTime, TOLD};
use crate::task::input::{Input, Loaded};
use crate::task::pace::Pace;
use crate::task::progress::Progress;
use crate::task::turn::{Choice, Rest, Turn, TurnLimits};
use crate::task::uncommitted::{UncommittedBudget, UncommittedShare};

mod passing;

/// Limits of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskLimits {
    /// Java's `max.task.idle.ms`.
    pub(crate) idle_ms_max: i64,
    /// After so long without any input stream time follows the clock, if it is to.
    pub(crate) idle_timeout: Option<Duration>,
    /// What the tasks of the worker may hold uncommitted, together. When they hold more, a commit
    /// comes before the next record.
    pub(crate) uncommitted: UncommittedBudget,
}

/// The stores of a task, open.
pub(crate) struct OpenStores {
    /// All of them, in the order of their ids.
    pub(crate) all: Vec<Rc<RefCell<dyn StateStore>>>,
    /// The bytes below them.
    pub(crate) disk: TaskStores,
    /// What counts their uncommitted bytes.
    pub(crate) uncommitted: UncommittedBytes,
}

/// The queues of partitions that are owned.
pub(crate) type OwnedQueues = Vec<(TopicPartition, Box<dyn PartitionQueue>)>;

pub(crate) struct Task {
    inputs: Vec<Input>,
    /// In the order in which records flow.
    nodes: Vec<NamedNode>,
    /// Those with futures.
    asynchronous: Vec<NamedNode>,
    /// Those that are ways out.
    outlets: Vec<NamedNode>,
    stores: Vec<Rc<RefCell<dyn StateStore>>>,
    disk: TaskStores,
    uncommitted_bytes: UncommittedBytes,
    limits: TaskLimits,
    wake: Option<Wake>,
    /// Its share of the uncommitted bytes.
    uncommitted: UncommittedShare,
    pub(crate) ctx: TaskContext,
    /// True if anything happened since the last commit.
    dirty: bool,
    /// True if anything happened since the record caches were flushed.
    holds_back: bool,
    /// Punctuations run since the host last asked.
    punctuations: u64,
    care: Care,
    idle: IdleTime,
    /// True once it failed in the middle of something: it must not be committed any more.
    failed: bool,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("ctx", &self.ctx).field("inputs", &self.inputs).finish()
    }
}

impl Task {
    pub(crate) fn new(
        mut ctx: TaskContext,
        nodes: Vec<NamedNode>,
        stores: OpenStores,
        limits: TaskLimits,
    ) -> Self {
        ctx.has_state = !stores.all.is_empty();
        Self {
            inputs: Vec::new(),
            asynchronous: those(&nodes, |node| node.is_asynchronous()),
            outlets: those(&nodes, |node| node.is_outlet()),
            nodes,
            stores: stores.all,
            disk: stores.disk,
            uncommitted_bytes: stores.uncommitted,
            uncommitted: limits.uncommitted.share(),
            idle: IdleTime::after(limits.idle_timeout),
            limits,
            wake: None,
            ctx,
            dirty: false,
            holds_back: true,
            punctuations: 0,
            care: Care::default(),
            failed: false,
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.ctx.task
    }

    pub(crate) fn add_input(&mut self, input: Input) {
        // Stream time goes on where the partitions' times were committed.
        self.ctx.stream_time = self.ctx.stream_time.max(input.partition_time);
        self.ctx.inputs.push((input.partition.clone(), input.committable()));
        self.inputs.push(input);
    }

    pub(crate) fn inputs_mut(&mut self) -> &mut [Input] {
        &mut self.inputs
    }

    pub(crate) fn stores(&self) -> &[Rc<RefCell<dyn StateStore>>] {
        &self.stores
    }

    pub(crate) fn disk(&self) -> &TaskStores {
        &self.disk
    }

    /// Calls `wake` whenever an input gets records.
    pub(crate) fn on_data(&mut self, wake: &Wake) {
        self.wake = Some(Arc::clone(wake));
        self.ctx.futures.on_arrival(wake);
        for input in &mut self.inputs {
            input.queue().on_data(Arc::clone(wake));
        }
    }

    /// Calls it now.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Initialises the operators, once, after the state was restored.
    pub(crate) fn init(&mut self, now: Timestamp) -> Result<()> {
        self.ctx.wall_clock = now;
        for (_, node) in &self.nodes {
            node.borrow_mut().init(&mut self.ctx)?;
        }
        // What the nodes had been told before a restart they know again.
        match self.ctx.progress.get(TOLD).copied() {
            Some(told) => self.tell_time(Timestamp(told)),
            None => Ok(()),
        }
    }

    /// Processes records until there are none, or until a limit is reached.
    pub(crate) fn process(&mut self, limits: &TurnLimits<'_>) -> Result<Turn> {
        if self.has_futures() {
            self.takes_more()?;
        }
        let most = self.care.left().unwrap_or(usize::MAX);
        let mut turn = self.process_some(limits, limits.records.min(most));
        if self.idle.is_on() {
            turn = turn.and_then(|turn| self.pass_time(turn, (limits.clock)()));
        }
        self.weigh();
        if let Ok(turn) = &turn {
            self.care.took(turn.records);
        }
        if most == 0 && self.dirty {
            self.ctx.commit_requested = true;
        }
        turn
    }

    fn process_some(&mut self, turn: &TurnLimits<'_>, most: usize) -> Result<Turn> {
        self.ctx.wall_clock = turn.now;
        let mut pace = Pace::new(self.care.left().is_some());
        let mut now = Duration::ZERO;
        for records in 0..most {
            if pace.is_due(records) {
                now = (turn.clock)();
                pace.looked(now);
                if records > 0 && now >= turn.ends {
                    return Ok(Turn { records, rest: Rest::Budget });
                }
                if self.weigh() {
                    return Ok(Turn { records, rest: Rest::Full });
                }
            }
            if self.has_futures() && !self.takes_more()? {
                return Ok(Turn { records, rest: Rest::InFlight });
            }
            match self.choose(now)? {
                Choice::Record(index) => self.fire(index)?,
                Choice::Dropped => {}
                Choice::Rest(rest) => return Ok(Turn { records, rest }),
            }
        }
        Ok(Turn { records: most, rest: if most == 0 { Rest::Full } else { Rest::Budget } })
    }

    /// True if it has operators with futures.
    #[inline]
    pub(crate) fn has_futures(&self) -> bool {
        !self.asynchronous.is_empty()
    }

    /// Takes in which of its futures are done. True if further records may come in.
    fn takes_more(&mut self) -> Result<bool> {
        if self.ctx.futures.take_arrived() {
            self.collect()?;
        }
        Ok(!self.ctx.futures.are_closed())
    }

    /// Takes in which of its futures are done, and hands on what comes of them.
    pub(crate) fn collect(&mut self) -> Result<()> {
        for (_, node) in &self.asynchronous {
            (self.dirty, self.holds_back) = (true, true);
            node.borrow_mut().collect(&mut self.ctx)?;
        }
        self.ctx.leave_record();
        Ok(())
    }

    /// Futures on their way; what they belong to must not be committed.
    pub(crate) fn in_flight(&self) -> usize {
        self.ctx.futures.in_flight()
    }

    /// A commit waits for its futures: no record comes in, and no punctuation runs, until it is told otherwise.
    pub(crate) fn close_intake(&mut self, closed: bool) {
        self.ctx.futures.close(closed && self.has_futures());
    }

    /// True if a commit waits for its futures.
    pub(crate) fn is_closed(&self) -> bool {
        self.ctx.futures.commit_waits()
    }

    /// True if a commit waits for its futures, and there are none any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_closed() && self.in_flight() == 0
    }

    fn fire(&mut self, index: usize) -> Result<()> {
        (self.dirty, self.holds_back) = (true, true);
        if let Some(input) = self.inputs.get_mut(index) {
            input.fire(&mut self.ctx)?;
        }
        self.punctuate(PunctuationType::StreamTime)
    }

    /// The input to take the next record from, or why there is none.
    #[inline]
    fn choose(&mut self, now: Duration) -> Result<Choice> {
        if let [only] = self.inputs.as_mut_slice() {
            let position = only.committable();
            let loaded = only.load(&mut self.ctx)?;
            self.dirty |= only.committable() != position;
            return Ok(match loaded {
                Loaded::Record => Choice::Record(0),
                Loaded::Dropped => Choice::Dropped,
                Loaded::Nothing => Choice::Rest(Rest::Empty),
            });
        }
        let mut oldest: Option<(Timestamp, usize)> = None;
        let (mut settled, mut dropped, mut skipped) = (true, false, false);
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if input.is_skipped() {
                skipped = true;
                continue;
            }
            let position = input.committable();
            dropped |= input.load(&mut self.ctx)? == Loaded::Dropped;
            self.dirty |= input.committable() != position;
            match input.head() {
                Some(head) if oldest.is_none_or(|(first, _)| head < first) => {
                    oldest = Some((head, index));
                }
                Some(_) => {}
                None => settled &= input.is_settled(self.limits.idle_ms_max, now),
            }
        }
        Ok(match oldest {
            _ if dropped => Choice::Dropped,
            None if skipped => {
                self.inputs.iter_mut().for_each(Input::skip_no_more);
                return self.choose(now);
            }
            None => Choice::Rest(Rest::Empty),
            Some(_) if !settled => Choice::Rest(Rest::Waiting),
            Some((_, index)) => Choice::Record(index),
        })
    }

    /// Punctuations run since the last call.
    pub(crate) fn take_punctuations(&mut self) -> u64 {
        std::mem::take(&mut self.punctuations)
    }

    /// Runs the punctuations that are due, in the order of their due times.
    fn punctuate(&mut self, clock: PunctuationType) -> Result<()> {
        while let Some((node, schedule, now)) = self.ctx.due(clock) {
            (self.dirty, self.holds_back) = (true, true);
            self.punctuations += 1;
            self.ctx.leave_record();
            if let Some((_, node)) = self.nodes.get(node) {
                node.borrow_mut().punctuate(schedule, now, &mut self.ctx)?;
            }
        }
        Ok(())
    }

    /// Runs the wall-clock punctuations that are due at `now`.
    pub(crate) fn punctuate_wall_clock(&mut self, now: Timestamp) -> Result<()> {
        self.ctx.wall_clock = now;
        if self.ctx.futures.commit_waits() {
            return Ok(());
        }
        let done = self.punctuate(PunctuationType::WallClockTime);
        self.weigh();
        done
    }

    /// Takes note of what the task holds uncommitted. True if the worker holds too much.
    fn weigh(&mut self) -> bool {
        self.uncommitted.set(self.uncommitted_bytes())
    }

    /// Bytes of uncommitted writes over all stores.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes.get()
    }

    /// Bytes in the record caches of all stores.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.stores.iter().map(|store| store.borrow().cache_bytes()).sum()
    }

    /// Notes that the task failed in the middle of something. Its position may be past a record
    /// that was not processed, so nothing of it may be committed.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }

    /// Takes few records in hand before the next commit, and looks at the clock before each.
    pub(crate) fn take_care(&mut self) {
        self.care = Care::aborted(self.has_futures());
    }

    /// True once it failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// When the next wall-clock punctuation may run; none while a commit waits for futures.
    pub(crate) fn next_punctuation(&self) -> Option<Timestamp> {
        self.ctx.next_wall_clock().filter(|_| !self.ctx.futures.commit_waits())
    }

    /// Asks for a commit though nothing was processed: of a position that the group does not know.
    pub(crate) fn commit_soon(&mut self) {
        self.dirty = true;
        self.ctx.commit_requested = true;
    }

    /// True if there is something to commit.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty || self.in_flight() > 0
    }

    /// First step of a commit: record caches are emptied through the operators, so that outputs
    /// and changelog are complete.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.ctx.leave_record();
        for (_, node) in &self.nodes {
            node.borrow_mut().flush(&mut self.ctx)?;
        }
        self.holds_back = false;
        Ok(())
    }

    /// Second step, once nothing is on its way any more: outlets make durable what they have.
    pub(crate) fn complete(&mut self) -> Result<()> {
        if self.outlets.is_empty() {
            return Ok(());
        }
        let next = |input: &Input| (input.partition.clone(), input.committable());
        let positions: Vec<_> = self.inputs.iter().map(next).collect();
        self.outlets.iter().try_for_each(|(_, node)| node.borrow_mut().complete(&positions))
    }

    /// The positions of all inputs, unchanged ones too: a transaction without offsets would not
    /// be fenced.
    pub(crate) fn positions(&self) -> Vec<(TopicPartition, Committed)> {
        let progress =
            Progress { partition_time: Timestamp(-1), processors: self.ctx.progress.clone() };
        self.inputs.iter().map(|input| input.committed(&progress)).collect()
    }

    /// Where the input of a topic goes on, as it is committed.
    pub(crate) fn position(&self, topic: &str) -> Option<i64> {
        let input = self.inputs.iter().find(|input| *input.partition.topic == *topic)?;
        Some(input.committable())
    }

    /// Last step of a commit, after the broker has confirmed it: the dirty layers go to disk in
    /// one batch with the ends of the changelogs and what the host notes.
    pub(crate) fn apply(&mut self, note: impl FnOnce(&mut Batch)) -> Result<()> {
        let mut batch = self.disk.batch();
        for (place, store) in self.stores.iter().enumerate() {
            let mut store = store.borrow_mut();
            store.drain(&mut batch);
            let expired = store.take_expired();
            self.ctx.expired(place, store.name(), expired);
            let end = match store.source() {
                Some(topic) => self.position(topic.name()),
                None => store.changelog().map(Changelog::acknowledged_end).transpose()?.flatten(),
            };
            if let Some(end) = end {
                batch.set_offset(store.id(), end);
            }
        }
        note(&mut batch);
        self.disk.write(batch)?;
        for store in &self.stores {
            store.borrow_mut().drop_expired()?;
        }
        self.weigh();
        self.dirty = false;
        self.care.committed();
        self.ctx.commit_requested = false;
        Ok(())
    }

    /// Ends the task; its stores stay open, its queues come back.
    pub(crate) fn close(mut self) -> (TaskStores, OwnedQueues) {
        self.ctx.forget_origin();
        self.ctx.say_dropped(None);
        for (name, node) in &self.nodes {
            // A panic in here must not take the queues with it.
            let closed = catch_unwind(AssertUnwindSafe(|| node.borrow_mut().close()));
            if closed.is_err() {
                tracing::error!(task = %self.ctx.task, node = %name, "it panicked when it was closed");
            }
        }
        let queues = self.inputs.into_iter().map(Input::into_queue).collect();
        (self.disk, queues)
    }
}

fn those(nodes: &[NamedNode], are_meant: impl Fn(&dyn Node) -> bool) -> Vec<NamedNode> {
    nodes.iter().filter(|(_, node)| are_meant(&*node.borrow())).cloned().collect()
}
