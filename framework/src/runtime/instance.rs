//! What the threads of an instance share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use millstream_state::{SharedResources, StoreSpec, TaskStores};

use crate::chain::{FuturePool, MeterBoard};
use crate::collector::SinkCounts;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::metrics::{Beating, Heartbeats, Metrics};
use crate::record::TaskId;
use crate::runtime::board::{StreamsState, TaskBoard, Wait, Waiter};
use crate::runtime::clock::SharedClock;
use crate::runtime::commit_step::{CommitListener, CommitStep};
use crate::runtime::global::Globals;
use crate::runtime::ownership::Losses;
use crate::runtime::positions::Positions;
use crate::runtime::running_tasks::RunningTasks;
use crate::runtime::settings::Settings;
use crate::runtime::stall::WorkReports;
use crate::runtime::state_dir::StateDir;
use crate::topology::{SubTopology, Topology};

/// What the threads of an instance share.
pub(crate) struct Instance {
    pub(crate) application_id: Arc<str>,
    pub(crate) topology: Topology,
    /// The repartition topics, by their names in the log.
    pub(crate) repartition_topics: BTreeSet<Arc<str>>,
    pub(crate) settings: Settings,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: SharedClock,
    pub(crate) resources: SharedResources,
    pub(crate) state_dir: StateDir,
    pub(crate) positions: Positions,
    pub(crate) metrics: Metrics,
    /// The metrics of the user's own.
    pub(crate) meters: MeterBoard,
    pub(crate) board: TaskBoard,
    pub(crate) running: RunningTasks,
    pub(crate) globals: Globals,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) losses: Losses,
    pub(crate) work: WorkReports,
    pub(crate) futures: FuturePool,
    pub(crate) sinks: SinkCounts,
    /// Since when it stops.
    pub(crate) stopping_since: OnceLock<Duration>,
    /// The error that ends the instance, until `close` or `run_until_signal` returns it.
    pub(crate) end: Mutex<Option<Error>>,
    pub(crate) on_commit: Option<CommitListener>,
    /// Something ends it.
    pub(crate) failed: AtomicBool,
    /// Errors that end the instance.
    pub(crate) failures: Sender<Error>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("application_id", &self.application_id)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// Ends the instance with an error.
    pub(crate) fn fail(&self, error: Error) {
        self.metrics.error(&error);
        tracing::error!(?error, "the instance stops");
        self.failed.store(true, Ordering::SeqCst);
        // The receiver is gone only when the instance is stopping already.
        let _ = self.failures.send(error);
    }

    /// True once something ends the instance; what it was is in `failures`.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// It stops from now on.
    pub(crate) fn stops(&self) {
        self.stopping_since.get_or_init(|| self.clock.elapsed());
        self.board.set_instance(StreamsState::Stopping);
    }

    /// How much is left of a part of the time that a stop may take; `None` while nothing stops.
    pub(crate) fn stop_left(&self, part: Duration) -> Option<Duration> {
        let since = self.stopping_since.get()?;
        Some((*since + part).saturating_sub(self.clock.elapsed()))
    }

    /// The error that ends the instance; later ones are ignored.
    pub(crate) fn ends_with(&self, error: Error) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The error that ends the instance, once.
    pub(crate) fn take_end(&self) -> Option<Error> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that a stop drops work; `close` and `run_until_signal` return it.
    pub(crate) fn drops_work(&self, reason: &str) {
        if self.board.instance() == StreamsState::Stopping {
            let what = "stopping".to_owned();
            let reason = format!(
                "{reason}: work since the last commit is dropped; nothing is lost, the next start does it again"
            );
            self.ends_with(Error::Fatal { what, reason });
        }
    }

    /// The calling thread lives.
    pub(crate) fn beat(&self, who: Beating) {
        self.heartbeats.beat(who, self.clock.elapsed());
    }

    /// Notes what somebody waits for.
    pub(crate) fn waits_for(&self, waiter: Waiter, what: String) {
        self.board.waits_for(waiter, what, self.clock.elapsed());
    }

    /// Notes that it waits for what its start begins with.
    pub(crate) fn waits_for_topics(&self) {
        self.waits_for(Waiter::Start, "the broker's answer about topics".to_owned());
    }

    /// What is waited for. Who waits for the group while no broker is connected waits for a broker:
    /// the client says so only now and then.
    pub(crate) fn waits(&self) -> BTreeMap<Waiter, Wait> {
        let mut waits = self.board.waits();
        if self.log.brokers_connected() == Some(0)
            && let Some(wait) = waits.get_mut(&Waiter::Member)
        {
            wait.what.push_str(" (no broker is connected)");
        }
        waits
    }

    /// The transactional id of a worker, the same after a restart.
    pub(crate) fn transactional_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.application_id, self.state_dir.process_id())
    }

    /// Tells the listener of a commit's step.
    pub(crate) fn commit_step(&self, step: CommitStep) {
        if let Some(listener) = &self.on_commit {
            listener(step);
        }
    }

    /// The sub-topology of a task.
    ///
    /// # Errors
    /// `Fatal` if there is none: a fault of the assignment.
    pub(crate) fn sub_topology(&self, task: TaskId) -> Result<&SubTopology> {
        let sub = self.topology.sub_topologies().iter().find(|sub| sub.id == task.sub_topology);
        sub.ok_or_else(|| Error::Fatal {
            what: format!("task {task}"),
            reason: "there is no such sub-topology".to_owned(),
        })
    }

    /// Opens the stores of a task.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub(crate) fn open_stores(&self, task: TaskId) -> Result<TaskStores> {
        let specs = self.store_specs(task)?;
        Ok(TaskStores::open(&self.state_dir.task(task), &specs, &self.resources)?)
    }

    /// The stores that a task has.
    ///
    /// # Errors
    /// If there is no such sub-topology.
    pub(crate) fn store_specs(&self, task: TaskId) -> Result<Vec<StoreSpec>> {
        Ok(self.topology.store_specs(self.sub_topology(task)?))
    }
}
