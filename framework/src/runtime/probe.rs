//! What `/metrics`, `/healthz` and `/readyz` say of an instance.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::{Beating, Probe};
use crate::record::TaskId;
use crate::runtime::board::{StreamsState, Wait};
use crate::runtime::instance::Instance;
use crate::task::TaskState;

/// Asks an instance on behalf of the HTTP server.
#[derive(Debug)]
pub(crate) struct InstanceProbe {
    instance: Arc<Instance>,
    /// A worker that is silent for longer is stuck.
    silence_max: Duration,
}

impl InstanceProbe {
    pub(crate) fn new(instance: Arc<Instance>, silence_max: Duration) -> Self {
        Self { instance, silence_max }
    }

    fn assigned(&self) -> impl Iterator<Item = (TaskId, TaskState)> {
        let gone = |state: &TaskState| matches!(state, TaskState::Suspended | TaskState::Closed);
        self.instance.board.tasks().into_iter().filter(move |(_, state)| !gone(state))
    }
}

impl Probe for InstanceProbe {
    fn metrics(&self) -> String {
        let states = self.assigned().map(|(task, state)| (task, state.label())).collect();
        self.instance.metrics.task_states(&states);
        self.instance.metrics.brokers(self.brokers_connected());
        let mut text = self.instance.metrics.text();
        text.push_str(&self.instance.meters.text(&self.instance.application_id));
        text
    }

    fn stuck(&self) -> Vec<String> {
        let now = self.instance.clock.elapsed();
        let stuck = self.instance.heartbeats.stuck(now, self.silence_max);
        let line = |(who, silent): (Beating, Duration)| {
            format!("{who} gave no sign of life for {} s", silent.as_secs())
        };
        let failed = self.instance.board.instance() == StreamsState::Failed;
        let failed = failed.then(|| "the instance failed, see its log".to_owned());
        stuck.into_iter().map(line).chain(failed).collect()
    }

    fn state(&self) -> (String, bool) {
        let state = self.instance.board.instance();
        (format!("{state:?}").to_lowercase(), state == StreamsState::Running)
    }

    fn brokers_connected(&self) -> Option<usize> {
        self.instance.log.brokers_connected()
    }

    fn not_running(&self) -> Vec<(String, String)> {
        let waiting = self.assigned().filter(|(_, state)| *state != TaskState::Running);
        waiting.map(|(task, state)| (task.to_string(), state.label().to_owned())).collect()
    }

    fn stalled(&self) -> Vec<String> {
        self.instance.board.stalls()
    }

    fn waits_for(&self) -> Vec<String> {
        let now = self.instance.clock.elapsed();
        let line = |wait: Wait| {
            format!("{}, for {} s", wait.what, now.saturating_sub(wait.since).as_secs())
        };
        self.instance.waits().into_values().map(line).collect()
    }
}
