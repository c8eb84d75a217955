//! Makes a task from its factories: context, stores, operators, inputs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::TaskStores;

use crate::chain::{Meters, SourceNode, TaskContext};
use crate::collector::{Collector, WorkerProducer};
use crate::error::{Error, Result};
use crate::record::TaskId;
use crate::runtime::instance::Instance;
use crate::runtime::owned::OwnedPartition;
use crate::store::CacheBudget;
use crate::task::{Input, OpenStores, Task, TaskLimits, UncommittedBudget};
use crate::topology::{PatternSource, TaskSeed};

/// What the worker gives to a task of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making<'a> {
    /// The producer that the tasks of the worker share.
    pub(crate) producer: &'a Rc<RefCell<WorkerProducer>>,
    /// What the record caches of its tasks share.
    pub(crate) cache_budget: &'a CacheBudget,
    /// What its tasks may hold uncommitted, together.
    pub(crate) uncommitted: &'a UncommittedBudget,
}

/// A task without its inputs.
pub(crate) struct Chain {
    task: Task,
    sources: Vec<(Arc<str>, Box<dyn SourceNode>)>,
    patterns: Vec<PatternSource>,
}

/// Makes the chain of a task; it is neither restored nor initialised.
///
/// # Errors
/// `Unavailable` when a topic cannot be looked up now; others are the topology's or the topics'.
pub(crate) fn build_chain(
    instance: &Instance,
    id: TaskId,
    making: Making<'_>,
    disk: TaskStores,
    inputs: &[OwnedPartition],
) -> Result<Chain> {
    let collector = Collector::new(Rc::clone(making.producer));
    let ctx = TaskContext::new(id, Arc::clone(&instance.application_id), collector);
    let wait_max = instance.settings.commit_wait_max;
    let mut ctx = ctx.with_futures(instance.futures.clone(), wait_max);
    ctx.wall_clock = instance.clock.now();
    ctx.meters = Meters::of(&instance.meters);
    for start in inputs.iter().filter_map(|input| input.start.as_ref()) {
        ctx.progress.extend(start.progress.processors.clone());
    }
    let sub_topology = instance.sub_topology(id)?;
    let globals = instance.globals.stores();
    let cache_budget = making.cache_budget;
    let seed = TaskSeed { ctx: &mut ctx, disk: &disk, cache_budget, globals: &globals };
    let parts = instance.topology.instantiate(sub_topology, seed)?;
    let limits = TaskLimits {
        idle_ms_max: instance.settings.task_idle_ms_max,
        idle_timeout: instance.settings.idle_timeout,
        uncommitted: making.uncommitted.clone(),
    };
    let stores = OpenStores { all: parts.stores, disk, uncommitted: parts.uncommitted };
    let task = Task::new(ctx, parts.nodes, stores, limits);
    Ok(Chain { task, sources: parts.sources, patterns: parts.patterns })
}

impl Chain {
    /// Gives each source its partition.
    ///
    /// # Errors
    /// `Fatal` for a partition that no source reads, or whose start is not known.
    pub(crate) fn attach(mut self, inputs: Vec<OwnedPartition>) -> Result<Task> {
        for OwnedPartition { partition, queue, start } in inputs {
            let (Some(source), Some(start)) = (self.source_of(&partition.topic), start) else {
                return Err(Error::Fatal {
                    what: format!("task {}", self.task.id()),
                    reason: format!("no source reads {partition}, or nobody knows from where"),
                });
            };
            if !start.committed {
                self.task.commit_soon();
            }
            let time = start.progress.partition_time;
            self.task.add_input(Input::new(partition, queue, source, start.offset, time));
        }
        Ok(self.task)
    }

    fn source_of(&mut self, topic: &Arc<str>) -> Option<Box<dyn SourceNode>> {
        match self.sources.iter().position(|(named, _)| named == topic) {
            Some(place) => Some(self.sources.swap_remove(place).1),
            None => self.patterns.iter().find_map(|pattern| pattern.source_of(topic)),
        }
    }
}
