//! A running instance: its threads, from start to stop.
//!
//! ```text
//!   Streams ─┬─ control thread      membership in the group
//!            ├─ worker threads      an actix system each, with a worker and its task actors
//!            ├─ global thread       reads the global tables, if there are any
//!            ├─ watching thread     says what is waited for and what does not go on; limits the stop
//!            └─ http thread         /metrics, /healthz, /readyz (where configured)
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use actix::{Actor as _, Addr};
use millstream_state::SharedResources;

use crate::chain::{FuturePool, MeterBoard};
use crate::collector::SinkCounts;
use crate::config::{GroupProtocol, HttpAddress, LogKind, StreamsConfig, UncaughtError};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::metrics::{Heartbeats, HttpServer, Metrics, Probe as _};
use crate::policy::DropCounts;
use crate::query::StoreQuery;
use crate::record::Data;
use crate::runtime::board::{StreamsState, TaskBoard};
use crate::runtime::clock::{SharedClock, SystemClock};
use crate::runtime::commit_step::{CommitListener, CommitStep};
use crate::runtime::global::Globals;
use crate::runtime::group::Control;
use crate::runtime::instance::Instance;
use crate::runtime::ownership::Losses;
use crate::runtime::positions::Positions;
use crate::runtime::probe::InstanceProbe;
use crate::runtime::questions::TasksOf;
use crate::runtime::running_tasks::RunningTasks;
use crate::runtime::settings::Settings;
use crate::runtime::stall::WorkReports;
use crate::runtime::state_dir::StateDir;
use crate::runtime::stop::StopSignal;
use crate::runtime::watch::Watch;
use crate::runtime::worker::{StopWorker, Worker, WorkerMailbox};
use crate::runtime::{connect, signals};
use crate::topology::{SourcePlan, Topology};

/// How long the client keeps a message that it cannot deliver.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// What the thread of the global tables has for its end at least.
const GLOBAL_END_MIN: Duration = Duration::from_millis(500);
/// How long after its time-out a stop may take to say that it gave up.
const GIVING_UP_MAX: Duration = Duration::from_secs(5);

/// What an instance is started with besides its topology and configuration.
pub struct StreamsOptions {
    topology: Topology,
    config: StreamsConfig,
    log: Option<Arc<dyn Log>>,
    on_commit: Option<CommitListener>,
}

impl fmt::Debug for StreamsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

impl StreamsOptions {
    /// Runs on this log instead of the one the configuration names: several instances of one
    /// process can share an embedded log this way.
    #[must_use]
    pub fn log(mut self, log: Arc<dyn Log>) -> Self {
        self.log = Some(log);
        self
    }

    /// Calls `listener` at each step of each commit, on the worker's thread. It must return soon:
    /// the commit waits.
    #[must_use]
    pub fn on_commit(mut self, listener: impl Fn(CommitStep) + Send + Sync + 'static) -> Self {
        self.on_commit = Some(Arc::new(listener));
        self
    }

    /// Starts the instance; see [`Streams::start`].
    ///
    /// # Errors
    /// As [`Streams::start`].
    pub fn start(self) -> Result<Streams> {
        Streams::run(self)
    }
}

/// A running instance of an application: one member of its consumer group.
///
/// It owns its threads, so it can be started from any async runtime or from none. Dropping it
/// stops it without waiting; [`Streams::close`] stops it in order.
pub struct Streams {
    pub(super) instance: Arc<Instance>,
    stop: Arc<StopSignal>,
    control: Option<JoinHandle<()>>,
    end: Sender<Result<()>>,
    ended: Receiver<Result<()>>,
    close_timeout: Duration,
    probe: Arc<InstanceProbe>,
    http: Option<HttpServer>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("instance", &self.instance)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Streams {
    /// Starts an instance of `topology`. It returns before the group is joined: a broker that is
    /// away is waited for in the background, with back-off.
    ///
    /// # Errors
    /// `Config` for settings that cannot work, `StateLocked` if another process has the state
    /// directory. What goes wrong later is returned by [`Streams::close`] and
    /// [`Streams::run_until_signal`].
    pub fn start(topology: Topology, config: StreamsConfig) -> Result<Self> {
        Self::with(topology, config).start()
    }

    /// Starts an instance with further options.
    pub fn with(topology: Topology, config: StreamsConfig) -> StreamsOptions {
        StreamsOptions { topology, config, log: None, on_commit: None }
    }

    fn run(options: StreamsOptions) -> Result<Self> {
        let StreamsOptions { topology, config, log, on_commit } = options;
        match &log {
            Some(_) => config.validate_without_log()?,
            None => config.validate()?,
        }
        for variable in config.passed_over() {
            tracing::debug!(variable, "no setting: Kubernetes describes a service of this name");
        }
        // Before the folder of the state is made: an embedded log looks whether it is new.
        let log = log.map_or_else(|| connect::log(&config), Ok)?;
        let state_dir = StateDir::open(&config.state_dir, &config.application_id)?;
        let clock: SharedClock = Arc::new(SystemClock::new());
        let (failures, failed) = channel();
        let application_id: Arc<str> = config.application_id.as_str().into();
        let internal = topology.sub_topologies().iter().flat_map(|sub| &sub.sources);
        let internal = internal.filter(|source| source.internal);
        let repartition_topics = internal.filter_map(|s| s.in_log(&application_id)).collect();
        let instance = Arc::new(Instance {
            application_id,
            repartition_topics,
            positions: positions(&topology, &log, &config.application_id),
            settings: settings(&config),
            resources: SharedResources::new(config.rocksdb_memory_bytes_max)?,
            metrics: Metrics::new(&config.application_id)?,
            meters: MeterBoard::default(),
            board: TaskBoard::default(),
            running: RunningTasks::default(),
            globals: Globals::default(),
            heartbeats: Heartbeats::default(),
            losses: Losses::new(config.num_stream_threads),
            work: WorkReports::default(),
            futures: FuturePool::default(),
            sinks: SinkCounts::default(),
            stopping_since: OnceLock::new(),
            end: Mutex::default(),
            failed: AtomicBool::new(false),
            topology,
            log,
            clock,
            state_dir,
            on_commit,
            failures,
        });
        // Before anybody can ask what it waits for.
        instance.waits_for_topics();
        let silence_max = Duration::from_millis(config.health_stuck_ms);
        let probe = Arc::new(InstanceProbe::new(Arc::clone(&instance), silence_max));
        let http = match config.http {
            HttpAddress::Off => None,
            HttpAddress::On(address) => {
                Some(HttpServer::start(address, Arc::<InstanceProbe>::clone(&probe))?)
            }
        };
        let stop = Arc::new(StopSignal::default());
        let workers = start_workers(&instance)?;
        let (end, ended) = channel();
        let watch =
            Watch { instance: Arc::clone(&instance), stop: Arc::clone(&stop), end: end.clone() };
        let control = {
            let (instance, stop, end) = (Arc::clone(&instance), Arc::clone(&stop), end.clone());
            let run = move || {
                let run = || control(&instance, workers, watch, stop, failed);
                let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(died()));
                drop(instance);
                // The receiver is gone if the handle was dropped.
                let _ = end.send(outcome);
            };
            spawn("millstream-control", run)?
        };
        let close_timeout = instance.settings.close_timeout;
        Ok(Self { instance, stop, control: Some(control), end, ended, close_timeout, probe, http })
    }

    /// Where the instance is in its life.
    pub fn state(&self) -> StreamsState {
        self.instance.board.instance()
    }

    /// Waits until the instance is in one of `states`, or `timeout` has passed; the state then.
    pub fn wait_for(&self, states: &[StreamsState], timeout: Duration) -> StreamsState {
        self.instance.board.wait_for(states, timeout)
    }

    /// The tasks of this instance with their states.
    pub fn tasks(&self) -> Vec<(crate::record::TaskId, crate::task::TaskState)> {
        self.instance.board.tasks().into_iter().collect()
    }

    /// A store of this instance, to be read while it runs. It shows committed state only, of the
    /// partitions that this instance owns. The types are those of the store; for windows the key
    /// is `Windowed`. A wrong name or type shows when it is asked.
    ///
    /// ```no_run
    /// # fn read(streams: &millstream::Streams) -> millstream::Result<()> {
    /// let words = streams.store::<String, i64>("words");
    /// let count = words.get(&"kafka".to_owned())?.map(|entry| entry.value);
    /// # Ok(())
    /// # }
    /// ```
    pub fn store<K: Data + Sync, V: Data>(&self, name: &str) -> StoreQuery<K, V> {
        StoreQuery::new(Arc::new(TasksOf(Arc::downgrade(&self.instance))), name)
    }

    /// How many records were dropped since the start, by reason; the handle stays of use while the
    /// instance runs elsewhere.
    pub fn drops(&self) -> DropCounts {
        self.instance.metrics.drop_counts.clone()
    }

    /// All metrics of this instance, as Prometheus reads them.
    pub fn metrics(&self) -> String {
        self.probe.metrics()
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are served, if they are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpServer::address)
    }

    /// Runs until SIGINT or SIGTERM (then finishes the records in hand, commits, leaves the group)
    /// or until the instance fails. A stop ends within `close_timeout_ms`, and at once with a second
    /// signal; what still hangs then is left to itself, for the end of the process.
    ///
    /// # Errors
    /// What the instance failed with, or that the stop dropped work since the last commit.
    pub fn run_until_signal(self) -> Result<()> {
        let signal = signals::on_stop_signal(Arc::clone(&self.stop), self.end.clone())?;
        let outcome = self.ended.recv().unwrap_or_else(|_| Err(died()));
        signal.end();
        outcome
    }

    /// Stops: finishes the records in hand, commits, leaves the group, closes the stores.
    ///
    /// # Errors
    /// What the instance had failed with, or that the stop dropped work since the last commit: in
    /// particular where it did not end within `close_timeout_ms`.
    pub fn close(mut self) -> Result<()> {
        self.stop.set();
        let ended = self.ended.recv_timeout(self.close_timeout + GIVING_UP_MAX);
        let outcome = ended.unwrap_or_else(|_| {
            let reason = "it did not end in time".to_owned();
            Err(Error::Fatal { what: "stopping".to_owned(), reason })
        });
        // After a failure too: who starts anew at once needs the state folder.
        let control = self.control.take().filter(|control| outcome.is_ok() || ends_soon(control));
        if control.is_some_and(|control| control.join().is_err()) && outcome.is_ok() {
            return Err(died());
        }
        outcome
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// True if a thread that has said its last word is gone within a moment; one whose workers hang is
/// not, and is left to itself.
fn ends_soon(thread: &JoinHandle<()>) -> bool {
    let rounds = 0..100;
    rounds.into_iter().any(|_| {
        let ended = thread.is_finished();
        if !ended {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        ended
    })
}

fn died() -> Error {
    Error::Fatal { what: "the control thread".to_owned(), reason: "it died".to_owned() }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(run).map_err(|error| Error::Fatal {
        what: "starting a thread".to_owned(),
        reason: error.to_string(),
    })
}

/// A worker's thread with the address of its actor.
struct WorkerThread {
    index: usize,
    address: Addr<Worker>,
    thread: JoinHandle<()>,
    /// Its other side goes when the thread ends.
    ended: Receiver<()>,
}

impl WorkerThread {
    fn mailbox(&self) -> WorkerMailbox {
        let address = &self.address;
        WorkerMailbox {
            assign: address.clone().recipient(),
            revoke: address.clone().recipient(),
            take_over: address.clone().recipient(),
        }
    }

    /// Tells the worker to close what it has.
    #[expect(clippy::disallowed_methods, reason = "the last message must not meet a full mailbox")]
    fn tell_to_stop(&self) {
        // One that panicked has ended its thread already.
        self.address.do_send(StopWorker);
    }

    /// Waits for the end of the worker, but not for ever: a thread that hangs is left to itself.
    fn wait(self, instance: &Instance, limit: Duration) {
        if self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let reason = format!("worker {} hangs in a record or a call", self.index);
            tracing::error!(
                worker = self.index,
                "it hangs in a record or a call and is left to itself"
            );
            instance.drops_work(&reason);
        } else if self.thread.join().is_err() {
            tracing::error!(worker = self.index, "it did not end in order");
        }
    }
}

fn start_workers(instance: &Arc<Instance>) -> Result<Vec<WorkerThread>> {
    (0..instance.settings.workers).map(|index| start_worker(index, instance)).collect()
}

fn start_worker(index: usize, instance: &Arc<Instance>) -> Result<WorkerThread> {
    let (tell, told) = sync_channel(1);
    let (ends, ended) = sync_channel(0);
    let instance = Arc::clone(instance);
    let thread = spawn(&format!("millstream-worker-{index}"), move || {
        let _ends: SyncSender<()> = ends;
        let system = actix::System::new();
        system.block_on(async {
            // The one who waits for it is still there: it cannot go on without.
            let _ = tell.send(Worker::new(index, instance).start());
        });
        if let Err(error) = system.run() {
            tracing::error!(worker = index, ?error, "a worker ended in disorder");
        }
    })?;
    let address = told.recv().map_err(|_| Error::Fatal {
        what: format!("starting worker {index}"),
        reason: "its thread ended".to_owned(),
    })?;
    Ok(WorkerThread { index, address, thread, ended })
}

/// The control thread's work, from start to the end of the workers. The error that ended the
/// instance is the last that is said of it.
fn control(
    instance: &Arc<Instance>,
    workers: Vec<WorkerThread>,
    watch: Watch,
    stop: Arc<StopSignal>,
    failed: Receiver<Error>,
) -> Result<()> {
    let (end_watch, ended) = sync_channel::<()>(0);
    let watching = spawn("millstream-watch", move || watch.run(&ended))?;
    let addresses = workers.iter().map(WorkerThread::mailbox).collect();
    let mut control = Control::new(Arc::clone(instance), addresses, stop, failed);
    if let Err(error) = control.run() {
        instance.ends_with(error);
    }
    let globals = control.into_global_thread();
    instance.stops();
    workers.iter().for_each(WorkerThread::tell_to_stop);
    // Those that have not ended shortly before the time is up are left to themselves.
    let limit = instance.settings.close_timeout * 9 / 10;
    for worker in workers {
        worker.wait(instance, instance.stop_left(limit).unwrap_or_default());
    }
    // Last: tasks read the tables to their end.
    if let Some(globals) = globals {
        globals.stop(instance.stop_left(limit).unwrap_or_default().max(GLOBAL_END_MIN));
    }
    drop(end_watch);
    if watching.join().is_err() {
        tracing::error!("the watching thread died");
    }
    how_it_ended(instance)
}

/// Says how the instance ended: the last line of it.
fn how_it_ended(instance: &Instance) -> Result<()> {
    match instance.take_end() {
        // It was given up, which has been said.
        None if instance.board.instance() == StreamsState::Failed => Ok(()),
        None => {
            instance.board.set_instance(StreamsState::Stopped);
            tracing::info!(application = %instance.application_id, "stopped");
            Ok(())
        }
        Some(error) => {
            instance.board.set_instance(StreamsState::Failed);
            tracing::error!(application = %instance.application_id, ?error, "ended by an error");
            Err(error)
        }
    }
}

/// Where the user's topics are read from.
fn positions(topology: &Topology, log: &Arc<dyn Log>, application_id: &str) -> Positions {
    let sources = topology.sub_topologies().iter().flat_map(|sub| &sub.sources);
    let given: Vec<&SourcePlan> = sources.filter(|source| !source.internal).collect();
    let resets = given.iter().filter_map(|s| Some((s.in_log(application_id)?, s.reset))).collect();
    let matched = given.iter().filter_map(|s| Some((s.pattern()?.clone(), s.reset))).collect();
    Positions::new(Arc::clone(log), application_id, resets).with_patterns(matched)
}

pub(super) fn settings(config: &StreamsConfig) -> Settings {
    let ms = Duration::from_millis;
    let extra = config.windowstore_changelog_additional_retention_ms;
    Settings {
        exactly_once: config.is_exactly_once(),
        commit_interval: config.commit_interval(),
        workers: config.num_stream_threads,
        turn_records_max: config.task_turn_records_max,
        task_idle_ms_max: config.max_task_idle_ms,
        idle_timeout: config.idle_timeout_ms.map(ms),
        uncommitted_bytes_max: config.uncommitted_bytes_max,
        cache_bytes_max: config.cache_bytes_max,
        join_rows_bytes_max: config.join_rows_bytes_max,
        transaction_timeout: ms(config.transaction_timeout_ms),
        // The other half is for the flush, and for the broker.
        commit_wait_max: if config.is_exactly_once() {
            ms(config.transaction_timeout_ms / 2)
        } else {
            ms(config.max_poll_interval_ms / 2)
        },
        repartition_purge_interval: ms(config.repartition_purge_interval_ms),
        tombstones_kept: ms(config.delete_retention_ms),
        state_cleanup_delay: ms(config.state_cleanup_delay_ms),
        // Half of what the group allows: the client needs the other half to answer.
        revoke_budget: ms(config.max_poll_interval_ms / 2),
        replication_factor: config.replication_factor,
        window_changelog_retention_extra_ms: i64::try_from(extra).unwrap_or(i64::MAX),
        prefetch_bytes_max: config.prefetch_bytes_max,
        static_member: config.group_instance_id.clone(),
        metadata_age_max: ms(config.metadata_max_age_ms),
        broker_patience: ms(config.transaction_timeout_ms).max(MESSAGE_TIMEOUT) * 2,
        close_timeout: ms(config.close_timeout_ms),
        stalled_after: ms(config.stalled_after_ms),
        incremental: config.log == LogKind::Kafka
            && config.group_protocol == GroupProtocol::Consumer,
        replace_failed_tasks: config.uncaught_error == UncaughtError::ReplaceTask,
        backoff_min: ms(config.retry_backoff_ms),
        backoff_max: ms(config.retry_backoff_max_ms),
    }
}
