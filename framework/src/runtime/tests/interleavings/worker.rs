//! A worker: the machine, and what its host has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::error::Error;
use crate::record::TaskId;
use crate::runtime::owned::{OwnedPartition, TaskInputs};
use crate::runtime::ownership::{Revocation, RevocationId};
use crate::runtime::settings::Backoff;
use crate::runtime::worker::machine::{Action, Event, WorkerMachine, WorkerRules};

pub(super) type Owned = OwnedPartition<u32>;

/// How something fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Retry,
    Rebuild,
    /// For good: the instance ends.
    End,
}

pub(super) enum Message {
    Assign(Vec<TaskInputs<u32>>),
    Revoke { tasks: Vec<TaskId>, revocation: Revocation, id: RevocationId },
    Tell(Event),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Restoring,
    Running,
}

#[derive(Default)]
pub(super) struct Timers {
    pub(super) advance: bool,
    pub(super) restore: bool,
    pub(super) end: bool,
}

pub(super) struct Worker {
    pub(super) machine: WorkerMachine,
    pub(super) mailbox: VecDeque<Message>,
    pub(super) actions: VecDeque<Action>,
    pub(super) timers: Timers,
    pub(super) hosted: BTreeMap<TaskId, (Place, Vec<Owned>)>,
    pub(super) suspended: BTreeSet<TaskId>,
    /// Whether there is a producer, and whether it has a transaction open.
    pub(super) producer: Option<bool>,
    /// A transaction was left open by a producer that is gone.
    pub(super) left_open: bool,
    pub(super) told_left_open: bool,
    pub(super) generation: Option<u64>,
    /// The message that says so is in the mailbox.
    pub(super) task_failed: Option<TaskId>,
    /// Something failed since all tasks began, so nothing of theirs may count.
    pub(super) spoilt: bool,
    /// Tasks with a future on its way.
    pub(super) in_flight: BTreeSet<TaskId>,
    /// A commit waits for futures: none starts.
    pub(super) closed: bool,
    /// Futures are not done as long as a worker may block for them.
    pub(super) futures_hang: bool,
    /// The next flush starts a future.
    pub(super) flush_starts: bool,
    pub(super) assigned: BTreeMap<TaskId, Vec<Owned>>,
    pub(super) given_back: Vec<Owned>,
    pub(super) revocation: Option<(Revocation, RevocationId)>,
    pub(super) ended: bool,
}

pub(super) fn error(way: Way) -> Error {
    let (what, reason) = ("a call".to_owned(), "made up".to_owned());
    match way {
        Way::Retry => Error::Unavailable { what, reason },
        Way::Rebuild => Error::Aborted { what, reason },
        Way::End => Error::Fatal { what, reason },
    }
}

impl Worker {
    pub(super) fn new(exactly_once: bool) -> Self {
        let rules = WorkerRules {
            exactly_once,
            replace_failed_tasks: false,
            backoff: Backoff { min: Duration::from_millis(100), max: Duration::from_secs(10) },
            purge_interval: Duration::from_secs(30),
            commit_wait_max: Duration::from_secs(5),
            topics_may_go: false,
        };
        Self {
            machine: WorkerMachine::new(rules),
            mailbox: VecDeque::new(),
            actions: VecDeque::new(),
            timers: Timers::default(),
            hosted: BTreeMap::new(),
            suspended: BTreeSet::new(),
            producer: None,
            left_open: false,
            told_left_open: false,
            generation: None,
            task_failed: None,
            spoilt: false,
            in_flight: BTreeSet::new(),
            closed: false,
            futures_hang: false,
            flush_starts: false,
            assigned: BTreeMap::new(),
            given_back: Vec::new(),
            revocation: None,
            ended: false,
        }
    }

    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = TaskId> {
        self.hosted.iter().filter(move |(_, (at, _))| *at == place).map(|(task, _)| *task)
    }

    pub(super) fn runs(&self) -> bool {
        self.at(Place::Running).next().is_some()
    }

    pub(super) fn put(&mut self, task: TaskId, place: Place) {
        self.hosted.get_mut(&task).expect("a task that is here").0 = place;
    }

    pub(super) fn settle(&mut self, block: bool) -> Event {
        self.closed = true;
        if block && !self.futures_hang {
            self.in_flight.clear();
        }
        self.settled()
    }

    pub(super) fn flush(&mut self) -> Event {
        if std::mem::take(&mut self.flush_starts) {
            let task = self.at(Place::Running).next();
            self.in_flight.extend(task);
        }
        self.settled()
    }

    fn settled(&self) -> Event {
        if self.in_flight.is_empty() { Event::Done } else { Event::InFlight }
    }

    pub(super) fn drop_producer(&mut self) {
        self.left_open |= self.producer.take() == Some(true);
    }
}

pub(super) fn can_fail(action: &Action) -> bool {
    matches!(
        action,
        Action::TakeOver
            | Action::Settle { .. }
            | Action::Flush
            | Action::Acknowledge
            | Action::Generation
            | Action::SendOffsets
            | Action::EndTransaction
            | Action::CommitOffsets
            | Action::Apply
            | Action::OpenProducer
            | Action::AbortTransaction
            | Action::LookUpPositions
            | Action::Build(_)
            | Action::Run(_)
            | Action::Restore
            | Action::Close(_)
    )
}
