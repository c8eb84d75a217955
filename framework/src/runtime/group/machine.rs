//! What the member's side decides: which tasks start where, whom a revocation waits for and until
//! when, what a late answer is still good for.
//!
//! Plain state: events and the time go in, actions come out. No thread, channel or clock is in
//! here, so each order of events can be replayed. The host (`listener`) performs the actions in
//! their order and hands in what comes of them.
//!
//! ```text
//!                 Assigned: Assign, Placed
//!              ┌────────────┐
//!              ▼            │          Revoked, Lost: Lose, Revoke
//!          ┌── settled or not ──┐ ─────────────────────────────────────► waiting (deadline)
//!          │                    │ ◄──────────────────────────────────── │  ▲   │
//!          └────────────────────┘   all answered or expired:            └──┘   │ TimePassed:
//!            Answered (late):       Displaced, Assign              Answered    ▼ Expire
//! ```
//!
//! An answer that did not come in time holds queues of partitions that were not taken away at all:
//! their tasks had to stop because another input went. Those are good when they come at last, and
//! their tasks could not start again without them. The others are not: their partitions may have
//! come back with new queues.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::{TaskId, TopicPartition};
use crate::runtime::group::assignment::{Assignments, TaskStart};
use crate::runtime::owned::{OwnedPartition, TaskInputs};
use crate::runtime::ownership::RevocationId;
use crate::runtime::task_plan::TaskPlan;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<Q> {
    /// Topics got partitions, or the topology was planned for the first time.
    Planned(TaskPlan),
    /// The group gave partitions.
    Assigned(Vec<OwnedPartition<Q>>),
    /// The group wants partitions back, and waits.
    Revoked(Vec<TopicPartition>),
    /// Partitions are gone already.
    Lost(Vec<TopicPartition>),
    /// A worker gave back the queues of tasks that it stopped.
    Answered(RevocationId, Vec<OwnedPartition<Q>>),
    /// A worker cannot be told, or ended before it answered.
    Unanswered(RevocationId),
    /// What `Action::Expire` asked for was done before the worker answered.
    Expired(RevocationId),
    /// Time went by.
    TimePassed,
    /// The instance was told to stop, or failed: nothing starts any more.
    Ending,
    /// It leaves the group and waits for workers only until then. After a failure it is unknown what
    /// is whole, so revoked partitions are given back without a commit.
    Leaving { by: Duration, commits: bool },
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(crate) enum Action<Q> {
    /// The worker commits no more until the message about it has arrived. To be done before the group is told.
    Lose { worker: usize },
    /// Tell a worker to stop tasks; if they are lost, without a commit.
    Revoke { worker: usize, revocation: RevocationId, tasks: Vec<TaskId>, lost: bool },
    /// The worker is waited for no longer: unless it answers in this very moment, its partitions
    /// are lost to it.
    Expire { worker: usize, revocation: RevocationId, ended: bool },
    /// Tell a worker its new tasks; one without any closes what it had kept open.
    Assign { worker: usize, tasks: Vec<TaskInputs<Q>> },
    /// It is known what this instance is to run.
    Placed,
    /// The group shares out partitions, and this instance waits for its part.
    Displaced,
    /// A partition came that no task reads.
    Unread(TopicPartition),
}

/// A revocation that a worker has not answered.
#[derive(Debug)]
struct Pending {
    worker: usize,
    /// Partitions that were taken away with it or since then.
    gone: BTreeSet<TopicPartition>,
    /// The group waits for it.
    waited: bool,
    /// The time is up and the host is about to say so.
    expiring: bool,
    /// Its worker ended: no answer will come.
    ended: bool,
}

/// How the group's side decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupRules {
    /// So long the group lets a revocation take.
    pub(crate) revoke_budget: Duration,
    /// Rebalances revoke only what moves (KIP-848).
    pub(crate) incremental: bool,
}

/// A revocation that the group waits for.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    deadline: Duration,
    lost: bool,
}

/// The member's side of the group.
#[derive(Debug)]
pub(crate) struct GroupMachine<Q> {
    rules: GroupRules,
    workers: usize,
    assignments: Assignments<Q>,
    pending: BTreeMap<RevocationId, Pending>,
    waiting: Option<Waiting>,
    next: u64,
    /// False from the first sign of an end.
    starts: bool,
    commits: bool,
    leaves_by: Option<Duration>,
    /// What this instance does not own is not meant for it: it was told its part, and is still in
    /// the group.
    settled: bool,
}

impl<Q> GroupMachine<Q> {
    pub(crate) fn new(rules: GroupRules, plan: TaskPlan, workers: usize) -> Self {
        Self {
            rules,
            workers: workers.max(1),
            assignments: Assignments::new(plan, workers),
            pending: BTreeMap::new(),
            waiting: None,
            next: 0,
            starts: true,
            commits: true,
            leaves_by: None,
            settled: false,
        }
    }

    /// What this instance owns and runs.
    pub(crate) fn assignments(&self) -> &Assignments<Q> {
        &self.assignments
    }

    /// True if what is not here is not meant for this instance.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Until when the group is to wait; `None` if it need not.
    pub(crate) fn waits_until(&self) -> Option<Duration> {
        self.waiting.map(|waiting| waiting.deadline)
    }

    /// Takes an event in and appends what follows.
    pub(crate) fn on(&mut self, event: Event<Q>, now: Duration, actions: &mut Vec<Action<Q>>) {
        match event {
            Event::Planned(plan) => self.assignments.plan_again(plan),
            Event::Assigned(added) => self.assigned(added, actions),
            Event::Revoked(removed) => self.removed(&removed, false, now, actions),
            Event::Lost(removed) => self.removed(&removed, true, now, actions),
            Event::Answered(revocation, queues) => self.answered(revocation, queues, actions),
            Event::Unanswered(revocation) => self.unanswered(revocation, actions),
            Event::Expired(revocation) => self.expired(revocation, actions),
            Event::TimePassed => self.expire(now, actions),
            Event::Ending => self.starts = false,
            Event::Leaving { by, commits } => {
                self.starts = false;
                self.commits = commits;
                self.leaves_by = Some(by);
            }
        }
    }

    fn assigned(&mut self, added: Vec<OwnedPartition<Q>>, actions: &mut Vec<Action<Q>>) {
        if !self.starts {
            return;
        }
        let unread = self.assignments.put_back(added);
        actions.extend(unread.into_iter().map(Action::Unread));
        // The tasks come first, and every worker is told: between the two the instance must not
        // look as if all ran.
        let starts = self.assignments.startable();
        self.assign(starts, actions);
        actions.push(Action::Placed);
        self.settled = true;
    }

    fn removed(
        &mut self,
        removed: &[TopicPartition],
        lost: bool,
        now: Duration,
        actions: &mut Vec<Action<Q>>,
    ) {
        for pending in self.pending.values_mut() {
            pending.gone.extend(removed.iter().cloned());
        }
        for (worker, tasks) in self.assignments.revoked(removed) {
            let revocation = RevocationId(self.next);
            self.next += 1;
            let gone = removed.iter().cloned().collect();
            let pending = Pending { worker, gone, waited: true, expiring: false, ended: false };
            self.pending.insert(revocation, pending);
            let lost = lost || !self.commits;
            if lost {
                actions.push(Action::Lose { worker });
            }
            actions.push(Action::Revoke { worker, revocation, tasks, lost });
        }
        let budget = now + self.rules.revoke_budget;
        let deadline = self.leaves_by.map_or(budget, |by| by.min(budget));
        self.waiting = Some(Waiting { deadline, lost });
        self.go_on(actions);
    }

    fn answered(
        &mut self,
        revocation: RevocationId,
        queues: Vec<OwnedPartition<Q>>,
        actions: &mut Vec<Action<Q>>,
    ) {
        let Some(pending) = self.pending.remove(&revocation) else { return };
        let kept = queues.into_iter().filter(|owned| !pending.gone.contains(&owned.partition));
        let unread = self.assignments.put_back(kept.collect());
        actions.extend(unread.into_iter().map(Action::Unread));
        if self.waiting.is_some() {
            self.go_on(actions);
        } else {
            self.start_what_can(actions);
        }
    }

    fn unanswered(&mut self, revocation: RevocationId, actions: &mut Vec<Action<Q>>) {
        let Some(pending) = self.pending.get_mut(&revocation) else { return };
        pending.ended = true;
        if pending.waited {
            pending.expiring = true;
            let worker = pending.worker;
            actions.push(Action::Expire { worker, revocation, ended: true });
        } else {
            self.pending.remove(&revocation);
        }
    }

    fn expire(&mut self, now: Duration, actions: &mut Vec<Action<Q>>) {
        if self.waiting.is_none_or(|waiting| now < waiting.deadline) {
            return;
        }
        for (revocation, pending) in &mut self.pending {
            if pending.waited && !std::mem::replace(&mut pending.expiring, true) {
                let (worker, revocation) = (pending.worker, *revocation);
                actions.push(Action::Expire { worker, revocation, ended: false });
            }
        }
    }

    fn expired(&mut self, revocation: RevocationId, actions: &mut Vec<Action<Q>>) {
        if let Some(pending) = self.pending.get_mut(&revocation) {
            pending.waited = false;
            if pending.ended {
                self.pending.remove(&revocation);
            }
        }
        self.go_on(actions);
    }

    /// Lets the group go on once no worker is waited for.
    fn go_on(&mut self, actions: &mut Vec<Action<Q>>) {
        if self.pending.values().any(|pending| pending.waited) {
            return;
        }
        let Some(waiting) = self.waiting.take() else { return };
        // Where only what moves is revoked, nothing has to follow.
        if waiting.lost || !self.rules.incremental {
            actions.push(Action::Displaced);
        }
        self.start_what_can(actions);
        // With nothing left it may be on its way to a new part, or out of the group.
        self.settled &= !waiting.lost && !self.assignments.running().is_empty();
    }

    /// Tasks that stopped for one of their partitions go on with the others, where they can.
    fn start_what_can(&mut self, actions: &mut Vec<Action<Q>>) {
        if !self.starts {
            return;
        }
        let starts = self.assignments.startable();
        if !starts.is_empty() {
            self.assign(starts, actions);
        }
    }

    fn assign(&self, starts: Vec<TaskStart<Q>>, actions: &mut Vec<Action<Q>>) {
        let mut by_worker: Vec<Vec<TaskInputs<Q>>> = Vec::new();
        by_worker.resize_with(self.workers, Vec::new);
        for TaskStart { task, worker, inputs } in starts {
            if let Some(tasks) = by_worker.get_mut(worker) {
                tasks.push(TaskInputs { task, inputs });
            }
        }
        let assign = |(worker, tasks)| Action::Assign { worker, tasks };
        actions.extend(by_worker.into_iter().enumerate().map(assign));
    }
}
