//! The group, its broker and the workers, one step at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::record::TopicPartition;
use crate::runtime::group::machine as group;
use crate::runtime::owned::OwnedPartition;
use crate::runtime::ownership::{Revocation, RevocationId};
use crate::runtime::task_plan::TaskPlan;
use crate::runtime::worker::failure::Failure;
use crate::runtime::worker::machine::Event;
use crate::topology::SubTopologyShape;

use super::worker::{Message, Owned, Place, Way, Worker, error};

pub(super) const WORKERS: usize = 2;
const REVOKE_BUDGET: Duration = Duration::from_secs(10);

/// One thing that happens. Numbers choose among what is possible.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// The group gives what it has not given, by the bits.
    Give(u8),
    /// It wants some of it back, and waits.
    Take(u8),
    /// It has given some of it to somebody else already.
    Lose(u8),
    /// The client is told what was lost.
    HearOfLoss,
    /// The control thread takes an answer of a worker.
    TakeAnswer,
    Seconds(u8),
    /// A worker performs its next action, or takes its next message; what waits fails by the way.
    Work {
        worker: usize,
        fails: Option<Way>,
    },
    Tick(usize),
    /// A timer of a worker is due.
    Fire(usize),
    TaskFails(usize, u8),
    /// A running task starts a future.
    Future(usize, u8),
    /// All futures of a worker are done.
    FuturesDone(usize),
    /// What caches hold will start one.
    FlushStarts(usize),
    /// Those of a worker take long from now on, or not.
    FuturesHang(usize, bool),
}

pub(super) struct World {
    pub(super) group: group::GroupMachine<u32>,
    pub(super) workers: Vec<Worker>,
    pub(super) losses: [u64; WORKERS],
    pub(super) now: Duration,
    /// The broker's view.
    pub(super) mine: BTreeSet<TopicPartition>,
    pub(super) generation: u64,
    /// The client's view: what it was given and not told to be gone, and under which generation.
    pub(super) given: BTreeSet<TopicPartition>,
    pub(super) client_generation: u64,
    /// What the group gets when it need not wait any more.
    pub(super) leaving: Option<Vec<TopicPartition>>,
    pub(super) open: BTreeMap<RevocationId, Revocation>,
    pub(super) answers: VecDeque<(RevocationId, Vec<Owned>)>,
    pub(super) revoked: u64,
    pub(super) answered: u64,
    pub(super) next_queue: u32,
    pub(super) exactly_once: bool,
    /// Something failed for good.
    pub(super) failed: bool,
}

fn plan() -> TaskPlan {
    let shape = |id, topics: &[(&str, i32)], copartitioned| SubTopologyShape {
        id,
        topics: topics.iter().map(|(topic, count)| ((*topic).into(), *count)).collect(),
        copartitioned,
        whole: false,
    };
    TaskPlan::new(&[shape(0, &[("a", 3), ("b", 2)], false), shape(1, &[("c", 2), ("d", 2)], true)])
        .unwrap()
}

/// What moves between members in one piece: single partitions of `a` and `b`, and the pairs of `c`
/// and `d`.
fn pieces() -> Vec<Vec<TopicPartition>> {
    let at = TopicPartition::new;
    let single = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)];
    let mut all: Vec<Vec<TopicPartition>> =
        single.into_iter().map(|(topic, number)| vec![at(topic, number)]).collect();
    all.extend((0..2).map(|number| vec![at("c", number), at("d", number)]));
    all
}

fn chosen(bits: u8, from: impl Fn(&TopicPartition) -> bool) -> Vec<TopicPartition> {
    let all = pieces();
    let picked = all.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
    picked.flat_map(|(_, piece)| piece.iter().filter(|one| from(one)).cloned()).collect()
}

impl World {
    pub(super) fn new(exactly_once: bool, incremental: bool) -> Self {
        let rules = group::GroupRules { revoke_budget: REVOKE_BUDGET, incremental };
        Self {
            group: group::GroupMachine::new(rules, plan(), WORKERS),
            workers: (0..WORKERS).map(|_| Worker::new(exactly_once)).collect(),
            losses: [0; WORKERS],
            now: Duration::ZERO,
            mine: BTreeSet::new(),
            generation: 1,
            given: BTreeSet::new(),
            client_generation: 1,
            leaving: None,
            open: BTreeMap::new(),
            answers: VecDeque::new(),
            revoked: 0,
            answered: 0,
            next_queue: 0,
            exactly_once,
            failed: false,
        }
    }

    pub(super) fn step(&mut self, op: &Op) {
        // The client's thread is in a callback until the group need not wait any more.
        let free = self.group.waits_until().is_none();
        match op {
            // Partitions are given only to a client that knows what it has.
            Op::Give(bits) if free && self.mine == self.given => {
                let added = chosen(*bits, |one| !self.mine.contains(one));
                self.give(added);
            }
            Op::Take(bits) if free && self.mine == self.given => {
                let removed = chosen(*bits, |one| self.mine.contains(one));
                self.given.retain(|one| !removed.contains(one));
                self.leaving = Some(removed.clone());
                self.on_group(group::Event::Revoked(removed));
            }
            Op::Lose(bits) if self.leaving.is_none() => {
                let gone = chosen(*bits, |one| self.mine.contains(one));
                self.mine.retain(|one| !gone.contains(one));
                self.generation += u64::from(!gone.is_empty());
            }
            Op::HearOfLoss if free => self.hear_of_loss(),
            Op::TakeAnswer => {
                if let Some((to, queues)) = self.answers.pop_front() {
                    self.open.remove(&to);
                    self.on_group(group::Event::Answered(to, queues));
                }
            }
            Op::Seconds(seconds) => {
                self.now += Duration::from_secs(u64::from(*seconds));
                self.on_group(group::Event::TimePassed);
            }
            Op::Work { worker, fails } => self.work(*worker, *fails),
            Op::Tick(worker) => self.tell(*worker, Event::CommitDue),
            Op::Fire(worker) => self.fire(*worker),
            Op::TaskFails(worker, number) => self.task_fails(*worker, usize::from(*number)),
            Op::Future(worker, number) => self.future(*worker, usize::from(*number)),
            Op::FuturesDone(worker) => self.futures_done(*worker),
            Op::FlushStarts(worker) => self.workers[*worker].flush_starts = true,
            Op::FuturesHang(worker, hang) => self.workers[*worker].futures_hang = *hang,
            Op::Give(_) | Op::Take(_) | Op::Lose(_) | Op::HearOfLoss => {}
        }
    }

    pub(super) fn give(&mut self, added: Vec<TopicPartition>) {
        self.generation += 1;
        self.client_generation = self.generation;
        self.mine.extend(added.iter().cloned());
        self.given.extend(added.iter().cloned());
        let mut owned = Vec::new();
        for partition in added {
            owned.push(OwnedPartition::unplaced(partition, self.next_queue));
            self.next_queue += 1;
        }
        self.on_group(group::Event::Assigned(owned));
    }

    /// Losses are counted before the client has the generation under which it lost them.
    pub(super) fn hear_of_loss(&mut self) {
        let gone: Vec<TopicPartition> = self.given.difference(&self.mine).cloned().collect();
        if gone.is_empty() {
            return;
        }
        self.given.retain(|one| self.mine.contains(one));
        self.on_group(group::Event::Lost(gone));
        self.client_generation = self.generation;
    }

    pub(super) fn on_group(&mut self, event: group::Event<u32>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.group.on(event, self.now, &mut actions);
            for action in actions {
                events.extend(self.perform_for_group(action));
            }
        }
        // The group goes on: what was to leave is somebody else's, under a new generation.
        if self.group.waits_until().is_none()
            && let Some(gone) = self.leaving.take()
        {
            self.mine.retain(|one| !gone.contains(one));
            self.generation += 1;
            self.client_generation = self.generation;
        }
    }

    pub(super) fn perform_for_group(
        &mut self,
        action: group::Action<u32>,
    ) -> Option<group::Event<u32>> {
        match action {
            group::Action::Lose { worker } => self.losses[worker] += 1,
            group::Action::Revoke { worker, revocation: id, tasks, lost } => {
                let revocation = if lost { Revocation::lost() } else { Revocation::new() };
                self.open.insert(id, revocation.clone());
                self.revoked += 1;
                let revoke = Message::Revoke { tasks, revocation, id };
                self.workers[worker].mailbox.push_back(revoke);
            }
            group::Action::Expire { worker, revocation, ended } => {
                let one = self.open.get(&revocation)?;
                if one.expire() {
                    self.losses[worker] += 1;
                } else if !one.is_lost() && !ended {
                    return None;
                }
                self.open.remove(&revocation);
                return Some(group::Event::Expired(revocation));
            }
            group::Action::Assign { worker, tasks } => {
                self.workers[worker].mailbox.push_back(Message::Assign(tasks));
            }
            group::Action::Placed | group::Action::Displaced => {}
            group::Action::Unread(partition) => panic!("nobody reads {partition}"),
        }
        None
    }

    pub(super) fn tell(&mut self, worker: usize, event: Event) {
        self.workers[worker].mailbox.push_back(Message::Tell(event));
    }

    pub(super) fn fire(&mut self, worker: usize) {
        let timers = std::mem::take(&mut self.workers[worker].timers);
        for (is_due, event) in [
            (timers.advance, Event::Advance),
            (timers.restore, Event::RestoreStep),
            (timers.end, Event::EndAgain),
        ] {
            if is_due {
                self.tell(worker, event);
            }
        }
    }

    fn future(&mut self, worker: usize, number: usize) {
        let here = &mut self.workers[worker];
        // Tasks have their turns between the messages of their worker.
        if !here.closed && here.actions.is_empty() {
            let task = here.at(Place::Running).nth(number);
            here.in_flight.extend(task);
        }
    }

    /// A task that a commit waits for asks for it again.
    fn futures_done(&mut self, worker: usize) {
        let here = &mut self.workers[worker];
        if here.actions.is_empty() {
            here.in_flight.clear();
            if here.closed {
                self.tell(worker, Event::CommitDue);
            }
        }
    }

    pub(super) fn task_fails(&mut self, worker: usize, number: usize) {
        let here = &mut self.workers[worker];
        let Some(task) = here.at(Place::Running).nth(number) else { return };
        // Tasks have their turns between the messages of their worker.
        if here.task_failed.is_none() && here.actions.is_empty() {
            here.task_failed = Some(task);
            here.spoilt = true;
            self.tell(worker, Event::TaskFailed(Failure::of(task, error(Way::Rebuild))));
        }
    }
}
