//! What the host says of its tasks: sums and states, carried to the registry now and then.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::error::Error;
use crate::metrics::registry::Metrics;
use crate::policy::Dropped;
use crate::record::{TaskId, TopicPartition};

impl Metrics {
    /// Records and bytes taken from a topic since the last call.
    pub(crate) fn received(&self, topic: &str, records: u64, bytes: u64) {
        self.records_in.with_label_values(&[topic]).inc_by(records);
        self.bytes_in.with_label_values(&[topic]).inc_by(bytes);
    }

    /// Records and bytes produced since the last call.
    pub(crate) fn sent(&self, records: u64, bytes: u64) {
        self.records_out.inc_by(records);
        self.bytes_out.inc_by(bytes);
    }

    /// Records that nodes of a task dropped since the last call. Also what is zero gets a series:
    /// one that begins with its first records hides them from `increase()`.
    pub(crate) fn dropped(&self, task: TaskId, counts: impl IntoIterator<Item = Dropped>) {
        let task = task.to_string();
        for Dropped { node, reason, records } in counts {
            self.drop_counts.add(reason, records);
            let labels = [task.as_str(), reason.label()];
            self.records_dropped.with_label_values(&labels).inc_by(records);
            let labels = [&*node, reason.label()];
            self.node_dropped.with_label_values(&labels).inc_by(records);
        }
    }

    /// When a worker had last committed everything, in seconds; none for one without tasks.
    pub(crate) fn committed(&self, worker: usize, at_s: Option<i64>) {
        let worker = worker.to_string();
        match at_s {
            Some(at) => self.last_commit.with_label_values(&[&worker]).set(at),
            // It has no series if it never had a task.
            None => drop(self.last_commit.remove_label_values(&[&worker])),
        }
    }

    /// Counts an error by its kind.
    pub(crate) fn error(&self, error: &Error) {
        self.errors.with_label_values(&[error.kind()]).inc();
    }

    /// Brokers that the client is connected to; nothing is said while it is not known.
    pub(crate) fn brokers(&self, connected: Option<usize>) {
        if let Some(connected) = connected {
            let set = i64::try_from(connected).unwrap_or(i64::MAX);
            self.brokers_connected.with_label_values::<&str>(&[]).set(set);
        }
    }

    /// How far a task is behind the end of an input; nothing is said while it is not known.
    pub(crate) fn lag(&self, partition: &TopicPartition, remaining: Option<u64>) {
        let Some(remaining) = remaining else { return };
        let number = partition.partition.to_string();
        self.lag.with_label_values(&[&*partition.topic, &number]).set(as_gauge(remaining));
    }

    /// The input is read by this instance no more.
    pub(crate) fn forget_input(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        // It has no series if its lag was never known.
        let _ = self.lag.remove_label_values(&[&*partition.topic, &number]);
    }

    /// Futures of a task that are on their way.
    pub(crate) fn in_flight(&self, task: TaskId, futures: usize) {
        let gauge = self.futures_in_flight.with_label_values(&[&task.to_string()]);
        gauge.set(i64::try_from(futures).unwrap_or(i64::MAX));
    }

    /// Bytes that a task has written but not committed, and bytes in its record caches.
    pub(crate) fn held(&self, task: TaskId, uncommitted_bytes: usize, cache_bytes: usize) {
        let task = task.to_string();
        let set = |gauge: &prometheus::IntGaugeVec, bytes: usize| {
            gauge.with_label_values(&[&task]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        set(&self.uncommitted_bytes, uncommitted_bytes);
        set(&self.cache_bytes, cache_bytes);
    }

    /// The size of a store of a task.
    pub(crate) fn store(&self, task: TaskId, store: &str, bytes: u64, entries: u64) {
        let task = task.to_string();
        self.store_bytes.with_label_values(&[task.as_str(), store]).set(as_gauge(bytes));
        self.store_entries.with_label_values(&[task.as_str(), store]).set(as_gauge(entries));
    }

    /// What a task has still to read of its changelogs.
    pub(crate) fn restoring(&self, task: TaskId, remaining: u64) {
        let task = task.to_string();
        self.restore_remaining.with_label_values(&[&task]).set(as_gauge(remaining));
    }

    /// The states of all tasks of the instance as of now; tasks that are not among them are
    /// forgotten.
    pub(crate) fn task_states(&self, now: &BTreeMap<TaskId, &'static str>) {
        let mut seen = self.seen_states.lock().unwrap_or_else(PoisonError::into_inner);
        for (task, state) in seen.iter().filter(|(task, state)| now.get(task) != Some(state)) {
            let task = task.to_string();
            // They were set when the state was seen.
            let _ = self.task_state.remove_label_values(&[task.as_str(), state]);
        }
        for (task, state) in now {
            let task = task.to_string();
            self.task_state.with_label_values(&[task.as_str(), state]).set(1);
        }
        seen.clone_from(now);
    }

    /// The task is not here any more: its gauges would stand still at their last values.
    pub(crate) fn forget_task<'a>(&self, task: TaskId, stores: impl Iterator<Item = &'a str>) {
        let task = task.to_string();
        let gauges = [
            &self.restore_remaining,
            &self.futures_in_flight,
            &self.uncommitted_bytes,
            &self.cache_bytes,
        ];
        for gauge in gauges {
            // Not every task has a series in each.
            let _ = gauge.remove_label_values(&[&task]);
        }
        for store in stores {
            let _ = self.store_bytes.remove_label_values(&[task.as_str(), store]);
            let _ = self.store_entries.remove_label_values(&[task.as_str(), store]);
        }
    }
}

fn as_gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DropReason;

    const TASK: TaskId = TaskId { sub_topology: 0, partition: 3 };

    fn line(metrics: &Metrics, begins: &str) -> Option<String> {
        metrics.text().lines().find(|line| line.starts_with(begins)).map(str::to_owned)
    }

    #[test]
    fn sums_are_added_by_label() {
        let metrics = Metrics::new("app").unwrap();
        metrics.received("in", 3, 30);
        metrics.received("in", 4, 40);
        let counts = [(DropReason::Late, 2), (DropReason::NullKey, 0)]
            .map(|(reason, records)| Dropped { node: "sums".into(), reason, records });
        metrics.dropped(TASK, counts);
        assert_eq!(
            line(&metrics, "millstream_records_in_total").unwrap(),
            "millstream_records_in_total{topic=\"in\",application=\"app\"} 7"
        );
        assert_eq!(
            line(&metrics, "millstream_records_dropped_total").unwrap(),
            "millstream_records_dropped_total{reason=\"late\",task=\"0_3\",application=\"app\"} 2"
        );
        for (reason, count) in [("late", 2), ("null_key", 0)] {
            let series = "millstream_node_dropped_records_total";
            let begins = format!("{series}{{node=\"sums\",reason=\"{reason}\"");
            let found = line(&metrics, &begins).unwrap();
            assert!(found.ends_with(&format!(" {count}")), "{found}");
        }
    }

    #[test]
    fn errors_are_counted_by_kind_from_zero() {
        let metrics = Metrics::new("app").unwrap();
        metrics.error(&Error::MissingTopic { topic: "in".to_owned() });
        for kind in Error::KINDS {
            let found = line(&metrics, &format!("millstream_errors_total{{kind=\"{kind}\""));
            let count = if kind == "topic" { " 1" } else { " 0" };
            assert!(found.as_ref().is_some_and(|line| line.ends_with(count)), "{kind}: {found:?}");
        }
    }

    #[test]
    fn a_worker_without_tasks_has_no_last_commit() {
        let metrics = Metrics::new("app").unwrap();
        metrics.committed(1, None);
        let last = |metrics: &Metrics| line(metrics, "millstream_last_commit_timestamp_seconds{");
        assert_eq!(last(&metrics), None);
        metrics.committed(1, Some(77));
        assert!(last(&metrics).unwrap().ends_with(" 77"));
        metrics.committed(1, None);
        assert_eq!(last(&metrics), None);
    }

    #[test]
    fn a_task_is_in_one_state_and_then_gone() {
        let metrics = Metrics::new("app").unwrap();
        let states = |metrics: &Metrics| {
            let text = metrics.text();
            let of_tasks = text.lines().filter(|line| line.starts_with("millstream_task_state{"));
            of_tasks.map(str::to_owned).collect::<Vec<_>>()
        };
        metrics.task_states(&BTreeMap::from([(TASK, "restoring")]));
        metrics.task_states(&BTreeMap::from([(TASK, "running")]));
        assert_eq!(
            states(&metrics),
            ["millstream_task_state{state=\"running\",task=\"0_3\",application=\"app\"} 1"]
        );
        metrics.task_states(&BTreeMap::new());
        assert!(states(&metrics).is_empty());
    }

    #[test]
    fn what_is_not_here_has_no_gauges() {
        let metrics = Metrics::new("app").unwrap();
        let partition = TopicPartition::new("in", 3);
        metrics.store(TASK, "totals", 10, 1);
        metrics.held(TASK, 5, 6);
        metrics.restoring(TASK, 9);
        metrics.lag(&partition, Some(8));
        assert!(line(&metrics, "millstream_store_bytes{").unwrap().ends_with("} 10"));
        assert!(line(&metrics, "millstream_consumer_lag_records{").unwrap().ends_with("} 8"));
        metrics.forget_task(TASK, ["totals"].into_iter());
        metrics.forget_input(&partition);
        for name in ["store_bytes", "cache_bytes", "restore_remaining", "consumer_lag"] {
            assert_eq!(line(&metrics, &format!("millstream_{name}")), None);
        }
    }

    #[test]
    fn the_process_is_watched_under_the_usual_names() {
        let metrics = Metrics::new("app").unwrap();
        assert!(line(&metrics, "process_resident_memory_bytes ").is_some());
        assert!(line(&metrics, "process_cpu_seconds_total ").is_some());
    }

    #[test]
    fn instances_of_one_process_do_not_mix() {
        let (one, other) = (Metrics::new("one").unwrap(), Metrics::new("two").unwrap());
        one.aborts.inc();
        assert!(line(&one, "millstream_aborts_total").unwrap().ends_with("} 1"));
        assert!(line(&other, "millstream_aborts_total").unwrap().ends_with("} 0"));
    }
}
