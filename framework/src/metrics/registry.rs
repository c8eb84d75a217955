//! All metrics of an instance, in one place, in a registry of its own: two instances of one
//! process do not mix.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::error::{Error, Result};
use crate::policy::DropCounts;
use crate::record::TaskId;

/// From a tenth of a millisecond to half a minute: a turn takes some milliseconds, a commit some
/// tens, a commit on a broker in trouble seconds.
const LATENCY_BUCKETS_S: [f64; 16] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// The metrics of one instance. Handles are updated with sums, never per record.
pub(crate) struct Metrics {
    pub(super) registry: Registry,
    pub(super) records_in: IntCounterVec,
    pub(super) bytes_in: IntCounterVec,
    pub(super) records_out: IntCounter,
    pub(super) bytes_out: IntCounter,
    pub(super) records_dropped: IntCounterVec,
    pub(crate) drop_counts: DropCounts,
    pub(super) node_dropped: IntCounterVec,
    pub(super) errors: IntCounterVec,
    pub(super) last_commit: IntGaugeVec,
    pub(super) brokers_connected: IntGaugeVec,
    pub(super) lag: IntGaugeVec,
    pub(super) task_state: IntGaugeVec,
    pub(super) restore_remaining: IntGaugeVec,
    pub(super) futures_in_flight: IntGaugeVec,
    pub(super) uncommitted_bytes: IntGaugeVec,
    pub(super) cache_bytes: IntGaugeVec,
    pub(super) store_bytes: IntGaugeVec,
    pub(super) store_entries: IntGaugeVec,
    /// The state that each task was last seen in.
    pub(super) seen_states: Mutex<BTreeMap<TaskId, &'static str>>,
    /// Time of one turn of a task, in seconds.
    pub(crate) process_latency: Histogram,
    /// Time of one commit of a worker, in seconds.
    pub(crate) commit_latency: Histogram,
    /// Punctuations run.
    pub(crate) punctuations: IntCounter,
    /// Times that a worker dropped what it had done since its last commit.
    pub(crate) aborts: IntCounter,
    /// Changes of this instance's assignment.
    pub(crate) rebalances: IntCounter,
    /// Records read from changelogs to restore state.
    pub(crate) restored: IntCounter,
    /// 1 while nothing goes on though there are records.
    pub(crate) stalled: IntGauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers all metrics; every one carries the application's id as a label.
    ///
    /// # Errors
    /// `Fatal` if one is registered twice.
    pub(crate) fn new(application_id: &str) -> Result<Self> {
        Self::registered(application_id).map_err(|error| Error::Fatal {
            what: "registering metrics".to_owned(),
            reason: error.to_string(),
        })
    }

    fn registered(application_id: &str) -> prometheus::Result<Self> {
        let labels = [("application".to_owned(), application_id.to_owned())].into();
        let registry = Registry::new_custom(Some("millstream".to_owned()), Some(labels))?;
        let new = New { registry: &registry };
        Ok(Self {
            records_in: new.counters(RECORDS_IN, &["topic"])?,
            bytes_in: new.counters(BYTES_IN, &["topic"])?,
            records_out: new.counter(RECORDS_OUT)?,
            bytes_out: new.counter(BYTES_OUT)?,
            records_dropped: new.counters(RECORDS_DROPPED, &["task", "reason"])?,
            drop_counts: DropCounts::default(),
            node_dropped: new.counters(NODE_DROPPED, &["node", "reason"])?,
            errors: new.errors()?,
            last_commit: new.gauges(LAST_COMMIT, &["worker"])?,
            brokers_connected: new.gauges(BROKERS_CONNECTED, &[])?,
            lag: new.gauges(LAG, &["topic", "partition"])?,
            task_state: new.gauges(TASK_STATE, &["task", "state"])?,
            restore_remaining: new.gauges(RESTORE_REMAINING, &["task"])?,
            futures_in_flight: new.gauges(FUTURES_IN_FLIGHT, &["task"])?,
            uncommitted_bytes: new.gauges(UNCOMMITTED_BYTES, &["task"])?,
            cache_bytes: new.gauges(CACHE_BYTES, &["task"])?,
            store_bytes: new.gauges(STORE_BYTES, &["task", "store"])?,
            store_entries: new.gauges(STORE_ENTRIES, &["task", "store"])?,
            seen_states: Mutex::default(),
            process_latency: new.histogram(PROCESS_LATENCY)?,
            commit_latency: new.histogram(COMMIT_LATENCY)?,
            punctuations: new.counter(PUNCTUATIONS)?,
            aborts: new.counter(ABORTS)?,
            rebalances: new.counter(REBALANCES)?,
            restored: new.counter(RESTORED)?,
            stalled: new.gauge(STALLED)?,
            registry,
        })
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(process_families());
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be encoded");
            String::new()
        })
    }
}

/// Memory, CPU, threads and files of the process, under Prometheus' usual names: they get neither
/// prefix nor label, since other programs' dashboards look for them.
pub(super) fn process_families() -> Vec<prometheus::proto::MetricFamily> {
    ProcessCollector::for_self().collect()
}

/// Name and meaning of a metric.
#[derive(Clone, Copy)]
struct Described(&'static str, &'static str);

impl Described {
    fn opts(self) -> Opts {
        Opts::new(self.0, self.1)
    }
}

const RECORDS_IN: Described = Described(
    "records_in_total",
    "Records taken from input topics and those of global tables, counted when they are committed.",
);
const BYTES_IN: Described =
    Described("bytes_in_total", "Bytes of keys and values taken, like records_in_total.");
const RECORDS_OUT: Described = Described(
    "records_out_total",
    "Records produced, changelogs and repartition topics included, counted when they are committed.",
);
const BYTES_OUT: Described =
    Described("bytes_out_total", "Bytes of keys and values produced, like records_out_total.");
const RECORDS_DROPPED: Described = Described(
    "records_dropped_total",
    "Records that were not processed, by reason, counted when their task commits; dead letters count too.",
);
const NODE_DROPPED: Described = Described(
    "node_dropped_records_total",
    "The same by node; 0 from the start for each reason that a node can have.",
);
const ERRORS: Described = Described(
    "errors_total",
    "Errors that made a worker or the group's thread try again, begin again or stop, by kind.",
);
const LAST_COMMIT: Described = Described(
    "last_commit_timestamp_seconds",
    "When a worker that hosts tasks last committed, or found nothing to commit.",
);
const BROKERS_CONNECTED: Described = Described(
    "kafka_brokers_connected",
    "Brokers that the group's client of this instance is connected to; no series on other logs.",
);
const LAG: Described = Described(
    "consumer_lag_records",
    "Offsets between the position of a task or a global table and the end of its input, as far as it is known here.",
);
const TASK_STATE: Described =
    Described("task_state", "1 for the state that a task is in, no series for the others.");
const RESTORE_REMAINING: Described = Described(
    "restore_remaining_records",
    "Offsets of changelogs, or of the topic of a global table, still to be read before a task can run.",
);
const FUTURES_IN_FLIGHT: Described = Described(
    "futures_in_flight",
    "Records that a future is on its way for, or that wait for one; a commit waits for them.",
);
const UNCOMMITTED_BYTES: Described =
    Described("uncommitted_bytes", "Bytes of state written since the last commit.");
const CACHE_BYTES: Described = Described("cache_bytes", "Bytes held in record caches.");
const STORE_BYTES: Described =
    Described("store_bytes", "Bytes of a store, estimated from its files and write buffers.");
const STORE_ENTRIES: Described = Described("store_entries", "Entries of a store, estimated.");
const PROCESS_LATENCY: Described =
    Described("process_latency_seconds", "Time of one turn of a task (a batch of records).");
const COMMIT_LATENCY: Described = Described(
    "commit_latency_seconds",
    "Time of one commit of a worker; the count is the number of commits.",
);
const PUNCTUATIONS: Described = Described("punctuations_total", "Punctuations run.");
const ABORTS: Described = Described(
    "aborts_total",
    "Times that a worker dropped what it had done since its last commit and began again there.",
);
const REBALANCES: Described =
    Described("rebalances_total", "Changes of the partitions assigned to this instance.");
const RESTORED: Described = Described("restored_records_total", "Records read to restore state.");
const STALLED: Described = Described(
    "stalled",
    "1 while a worker has work and has not got on for stalled_after_ms; the log and /readyz say with what.",
);
/// Makes and registers.
struct New<'a> {
    registry: &'a Registry,
}

impl New<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, what: Described) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::with_opts(what.opts())?)
    }

    fn gauge(&self, what: Described) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::with_opts(what.opts())?)
    }

    fn counters(&self, what: Described, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(what.opts(), labels)?)
    }

    /// A series of each kind, at zero.
    fn errors(&self) -> prometheus::Result<IntCounterVec> {
        let errors = self.counters(ERRORS, &["kind"])?;
        for kind in Error::KINDS {
            errors.with_label_values(&[kind]);
        }
        Ok(errors)
    }

    fn gauges(&self, what: Described, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(what.opts(), labels)?)
    }

    fn histogram(&self, what: Described) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(what.0, what.1).buckets(LATENCY_BUCKETS_S.to_vec());
        self.keep(Histogram::with_opts(options)?)
    }
}
