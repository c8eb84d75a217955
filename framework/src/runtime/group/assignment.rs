//! Which partitions make up which task, and which worker a task lives on.
//!
//! A task starts when its whole partition set is here, and stops when any of it goes. Only a
//! sub-topology that does not need co-partitioning (no state, no grouping) and whose topics differ
//! in partition count runs with what is here: the group's assignor places its topics
//! independently, so the whole set may never meet on one member. When one of its partitions goes,
//! the task stops too, and starts again with those that stay.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{TaskId, TopicPartition};
use crate::runtime::owned::OwnedPartition;
use crate::runtime::task_plan::TaskPlan;

/// A task to be started, with what it reads.
#[derive(Debug)]
pub(crate) struct TaskStart<Q> {
    pub(crate) task: TaskId,
    pub(crate) worker: usize,
    pub(crate) inputs: Vec<OwnedPartition<Q>>,
}

/// What this instance owns now. `Q` is what comes with a partition: its queue.
#[derive(Debug)]
pub(crate) struct Assignments<Q> {
    plan: TaskPlan,
    workers: usize,
    waiting: BTreeMap<TaskId, BTreeMap<TopicPartition, OwnedPartition<Q>>>,
    running: BTreeMap<TaskId, usize>,
    /// What the tasks that run read.
    read: BTreeMap<TaskId, BTreeSet<TopicPartition>>,
    /// Where a task was last: it goes back there, where its stores may still be open.
    home: BTreeMap<TaskId, usize>,
}

impl<Q> Assignments<Q> {
    pub(crate) fn new(plan: TaskPlan, workers: usize) -> Self {
        Self {
            plan,
            workers: workers.max(1),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            read: BTreeMap::new(),
            home: BTreeMap::new(),
        }
    }

    /// True if a task reads this partition.
    pub(crate) fn knows(&self, partition: &TopicPartition) -> bool {
        self.plan.task_of.contains_key(partition)
    }

    /// Goes on with a plan of the same topology over topics that got partitions, came or went. Tasks
    /// that run keep what they have, until the group takes it.
    pub(crate) fn plan_again(&mut self, plan: TaskPlan) {
        let before = std::mem::replace(&mut self.plan, plan);
        for (partition, task) in before.task_of {
            self.plan.task_of.entry(partition).or_insert(task);
        }
    }

    /// The tasks that can start with what is here and not read yet. A task that is named though it
    /// runs already gets further inputs.
    pub(crate) fn startable(&mut self) -> Vec<TaskStart<Q>> {
        let tasks: Vec<TaskId> = self.incomplete().filter(|task| self.is_complete(*task)).collect();
        tasks.into_iter().map(|task| self.start(task)).collect()
    }

    fn is_complete(&self, task: TaskId) -> bool {
        let (waiting, read) = (self.waiting.get(&task), self.read.get(&task));
        let is_here = |partition: &TopicPartition| {
            waiting.is_some_and(|waiting| waiting.contains_key(partition))
                || read.is_some_and(|read| read.contains(partition))
        };
        let required = self.plan.required.get(&task);
        required.is_none_or(|required| required.iter().all(is_here))
            || self.plan.partial.contains(&task.sub_topology)
    }

    fn start(&mut self, task: TaskId) -> TaskStart<Q> {
        let running = self.running.get(&task).or_else(|| self.home.get(&task)).copied();
        let worker = running.unwrap_or_else(|| self.least_loaded(task.sub_topology));
        self.running.insert(task, worker);
        self.home.insert(task, worker);
        let inputs = self.waiting.remove(&task).unwrap_or_default();
        self.read.entry(task).or_default().extend(inputs.keys().cloned());
        let inputs = inputs.into_values().collect();
        TaskStart { task, worker, inputs }
    }

    /// The worker with the fewest tasks of the sub-topology, then with the fewest at all: tasks of
    /// one sub-topology cost alike, so they are spread first.
    fn least_loaded(&self, sub_topology: u32) -> usize {
        let load = |worker: usize| {
            let all = self.running.iter().filter(|(_, at)| **at == worker);
            let same = all.clone().filter(|(task, _)| task.sub_topology == sub_topology);
            (same.count(), all.count(), worker)
        };
        (0..self.workers).min_by_key(|worker| load(*worker)).unwrap_or(0)
    }

    /// Takes partitions out and returns the tasks to stop, by worker.
    pub(crate) fn revoked(&mut self, removed: &[TopicPartition]) -> BTreeMap<usize, Vec<TaskId>> {
        let mut stop: BTreeMap<usize, Vec<TaskId>> = BTreeMap::new();
        for partition in removed {
            let Some(task) = self.plan.task_of.get(partition) else { continue };
            if let Some(waiting) = self.waiting.get_mut(task) {
                waiting.remove(partition);
            }
            if let Some(worker) = self.running.remove(task) {
                self.read.remove(task);
                stop.entry(worker).or_default().push(*task);
            }
        }
        stop
    }

    /// Takes partitions in without starting anything: new ones, and those that a stopped task still
    /// owns. Returns those that no task reads. To be followed by `startable`.
    pub(crate) fn put_back(&mut self, kept: Vec<OwnedPartition<Q>>) -> Vec<TopicPartition> {
        let mut unread = Vec::new();
        for owned in kept {
            match self.plan.task_of.get(&owned.partition) {
                Some(task) => {
                    let waiting = self.waiting.entry(*task).or_default();
                    waiting.insert(owned.partition.clone(), owned);
                }
                None => unread.push(owned.partition),
            }
        }
        unread
    }

    /// The tasks that run, by worker.
    pub(crate) fn running(&self) -> &BTreeMap<TaskId, usize> {
        &self.running
    }

    /// Tasks of which only a part of the partitions is here.
    pub(crate) fn incomplete(&self) -> impl Iterator<Item = TaskId> {
        self.waiting.iter().filter(|(_, here)| !here.is_empty()).map(|(task, _)| *task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::SubTopologyShape;

    fn shape(id: u32, topics: &[(&str, i32)], copartitioned: bool) -> SubTopologyShape {
        let topics = topics.iter().map(|(topic, n)| ((*topic).into(), *n)).collect();
        SubTopologyShape { id, topics, copartitioned, whole: false }
    }

    fn partitions(list: &[(&str, i32)]) -> Vec<OwnedPartition<()>> {
        let owned = |(topic, p): &(&str, i32)| {
            OwnedPartition::unplaced(TopicPartition::new(*topic, *p), ())
        };
        list.iter().map(owned).collect()
    }

    fn assigned(here: &mut Assignments<()>, added: Vec<OwnedPartition<()>>) -> Vec<TaskStart<()>> {
        assert_eq!(here.put_back(added), []);
        here.startable()
    }

    fn started(starts: &[TaskStart<()>]) -> Vec<(String, usize, usize)> {
        starts.iter().map(|s| (s.task.to_string(), s.worker, s.inputs.len())).collect()
    }

    #[test]
    fn a_task_waits_for_its_whole_set() {
        let plan = TaskPlan::new(&[shape(0, &[("a", 2), ("b", 2)], true)]).unwrap();
        let mut here = Assignments::new(plan, 1);
        assert_eq!(started(&assigned(&mut here, partitions(&[("a", 0), ("a", 1)]))), vec![]);
        assert_eq!(here.incomplete().count(), 2);
        let starts = assigned(&mut here, partitions(&[("b", 1)]));
        assert_eq!(started(&starts), vec![("0_1".into(), 0, 2)]);
    }

    #[test]
    fn unequal_counts_are_refused_with_names_and_counts() {
        let error = TaskPlan::new(&[shape(3, &[("a", 4), ("b", 2)], true)]).unwrap_err();
        let text = error.to_string();
        for part in ["sub-topology 3", "a has 4", "b has 2"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn without_copartitioning_a_task_runs_with_what_is_here() {
        let plan = TaskPlan::new(&[shape(0, &[("a", 4), ("b", 2)], false)]).unwrap();
        let mut here = Assignments::new(plan, 1);
        let starts = assigned(&mut here, partitions(&[("a", 1)]));
        assert_eq!(started(&starts), vec![("0_1".into(), 0, 1)]);
        let starts = assigned(&mut here, partitions(&[("b", 1)]));
        assert_eq!(started(&starts), vec![("0_1".into(), 0, 1)]);
    }

    #[test]
    fn sub_topologies_are_spread_over_workers_and_tasks_come_home() {
        let plan =
            TaskPlan::new(&[shape(0, &[("a", 2)], true), shape(1, &[("b", 2)], true)]).unwrap();
        let mut here = Assignments::new(plan, 2);
        let all = partitions(&[("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
        let workers: Vec<usize> =
            assigned(&mut here, all.clone()).iter().map(|s| s.worker).collect();
        assert_eq!(workers, vec![0, 1, 0, 1]);
        let removed: Vec<TopicPartition> =
            all.iter().map(|owned| owned.partition.clone()).collect();
        let stopped = here.revoked(&removed);
        assert_eq!(stopped.values().map(Vec::len).collect::<Vec<_>>(), vec![2, 2]);
        let again = assigned(&mut here, partitions(&[("b", 1)]));
        assert_eq!(started(&again), vec![("1_1".into(), 1, 1)]);
    }

    #[test]
    fn a_task_that_runs_with_what_is_here_goes_on_with_what_stays() {
        let plan = TaskPlan::new(&[shape(0, &[("a", 4), ("b", 2)], false)]).unwrap();
        let mut here = Assignments::new(plan, 1);
        assigned(&mut here, partitions(&[("a", 1), ("b", 1)]));
        assert_eq!(here.revoked(&[TopicPartition::new("b", 1)]).len(), 1);
        assert_eq!(started(&here.startable()), vec![], "its queues are with the worker");
        here.put_back(partitions(&[("a", 1)]));
        assert_eq!(started(&here.startable()), vec![("0_1".into(), 0, 1)]);
        assert_eq!(started(&here.startable()), vec![], "once");
    }

    #[test]
    fn a_task_whose_set_is_whole_again_starts_however_late_its_queues_come_back() {
        let plan = TaskPlan::new(&[shape(0, &[("a", 1), ("b", 1)], true)]).unwrap();
        let mut here = Assignments::new(plan, 1);
        assigned(&mut here, partitions(&[("a", 0), ("b", 0)]));
        here.revoked(&[TopicPartition::new("b", 0)]);
        assert_eq!(started(&assigned(&mut here, partitions(&[("b", 0)]))), vec![]);
        here.put_back(partitions(&[("a", 0)]));
        assert_eq!(started(&here.startable()), vec![("0_0".into(), 0, 2)]);
    }

    /// Topics of a pattern: one that comes is a further input of its task, which needs all it has; one that goes is not
    /// waited for.
    #[test]
    fn a_task_takes_in_a_topic_that_came_and_goes_on_without_one_that_went() {
        let whole =
            |topics| TaskPlan::new(&[SubTopologyShape { whole: true, ..shape(0, topics, false) }]);
        let mut here = Assignments::new(whole(&[("a", 2)]).unwrap(), 1);
        assert_eq!(started(&assigned(&mut here, partitions(&[("a", 0)]))).len(), 1);
        here.plan_again(whole(&[("a", 2), ("b", 1), ("c", 1)]).unwrap());
        assert_eq!(started(&assigned(&mut here, partitions(&[("b", 0)]))), vec![]);
        let starts = assigned(&mut here, partitions(&[("c", 0)]));
        assert_eq!(started(&starts), vec![("0_0".into(), 0, 2)]);
        here.plan_again(whole(&[("a", 2), ("b", 1)]).unwrap());
        assert_eq!(here.revoked(&[TopicPartition::new("c", 0)]).len(), 1);
        here.put_back(partitions(&[("a", 0), ("b", 0)]));
        assert_eq!(started(&here.startable()), vec![("0_0".into(), 0, 2)]);
    }

    /// The group gives and takes at random, workers answer at once: whatever is owned and can be
    /// read is read, by one task, and nothing else is.
    #[test]
    fn what_is_owned_and_can_start_runs_after_any_sequence() {
        let shapes = [
            shape(0, &[("a", 4), ("b", 2), ("c", 1)], false),
            shape(1, &[("d", 3), ("e", 3)], true),
            shape(2, &[("f", 2)], false),
        ];
        let plan = TaskPlan::new(&shapes).unwrap();
        let all: Vec<TopicPartition> = plan.task_of.keys().cloned().collect();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for _ in 0..200 {
            let mut here = Assignments::new(plan.clone(), 2);
            let mut owned: BTreeSet<TopicPartition> = BTreeSet::new();
            let mut at_workers: BTreeMap<TaskId, BTreeSet<TopicPartition>> = BTreeMap::new();
            for _ in 0..30 {
                let (mask, gives) = (next(), next() % 2 == 0);
                let chosen = all.iter().enumerate().filter(|(bit, partition)| {
                    mask >> bit & 1 == 1 && owned.contains(*partition) != gives
                });
                let chosen: Vec<TopicPartition> = chosen.map(|(_, p)| p.clone()).collect();
                let starts = if gives {
                    owned.extend(chosen.iter().cloned());
                    assigned(
                        &mut here,
                        chosen.iter().map(|p| OwnedPartition::unplaced(p.clone(), ())).collect(),
                    )
                } else {
                    owned.retain(|partition| !chosen.contains(partition));
                    for task in here.revoked(&chosen).into_values().flatten() {
                        let held = at_workers.remove(&task).unwrap_or_default();
                        let kept = held.into_iter().filter(|p| !chosen.contains(p));
                        here.put_back(kept.map(|p| OwnedPartition::unplaced(p, ())).collect());
                    }
                    here.startable()
                };
                for start in starts {
                    let inputs = start.inputs.into_iter().map(|owned| owned.partition);
                    at_workers.entry(start.task).or_default().extend(inputs);
                }
                let wanted = should_run(&plan, &owned);
                assert_eq!(at_workers, wanted, "{gives} {chosen:?}");
                assert!(here.running().keys().eq(wanted.keys()));
            }
        }
    }

    fn should_run(
        plan: &TaskPlan,
        owned: &BTreeSet<TopicPartition>,
    ) -> BTreeMap<TaskId, BTreeSet<TopicPartition>> {
        let parts = plan.required.iter().map(|(task, required)| {
            let here: BTreeSet<_> = required.intersection(owned).cloned().collect();
            let whole = here.len() == required.len();
            let runs = whole || plan.partial.contains(&task.sub_topology) && !here.is_empty();
            (*task, if runs { here } else { BTreeSet::new() })
        });
        parts.filter(|(_, here)| !here.is_empty()).collect()
    }
}
