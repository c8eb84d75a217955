//! The thread that watches the others: it says what is waited for, that nothing goes on, and that
//! a stop takes too long. It waits for its own end only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::runtime::board::{StreamsState, Waiter};
use crate::runtime::instance::Instance;
use crate::runtime::stop::StopSignal;

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// So long a wait is nothing worth a word.
const WAIT_UNSAID: Duration = Duration::from_secs(2);
/// The same is said again after twice the time, but not more rarely than this.
const SAY_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// What the watching thread has.
pub(crate) struct Watch {
    pub(crate) instance: Arc<Instance>,
    pub(crate) stop: Arc<StopSignal>,
    /// How the instance ended, to those who wait for it.
    pub(crate) end: Sender<Result<()>>,
}

/// When something is said again.
#[derive(Clone, Copy, Debug)]
struct Saying {
    since: Duration,
    again: Duration,
}

impl Saying {
    fn new(since: Duration, first: Duration) -> Self {
        Self { since, again: first }
    }

    /// True if it is time; the next time is twice as far.
    fn is_due(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.since);
        let due = passed >= self.again;
        if due {
            self.again = (passed + passed.min(SAY_AGAIN_MAX)).max(self.again);
        }
        due
    }
}

impl Watch {
    /// Watches until the other side of `ended` is gone.
    pub(crate) fn run(self, ended: &Receiver<()>) {
        let mut waits = BTreeMap::new();
        let mut stall = None;
        let mut stopping_since = None;
        let mut given_up = false;
        while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let now = self.instance.clock.elapsed();
            self.instance.heartbeats.look(now, self.instance.settings.broker_patience);
            self.say_waits(&mut waits, now);
            self.look_for_stall(&mut stall, now);
            let state = self.instance.board.instance();
            let stopping = self.stop.is_set() || state == StreamsState::Stopping;
            if stopping {
                let since = *stopping_since.get_or_insert(now);
                let over = now.saturating_sub(since) >= self.instance.settings.close_timeout;
                if over && !std::mem::replace(&mut given_up, true) {
                    self.give_up();
                }
            }
        }
    }

    /// What has been waited for long enough to be worth a line.
    fn say_waits(&self, said: &mut BTreeMap<Waiter, Saying>, now: Duration) {
        let waits = self.instance.waits();
        said.retain(|waiter, saying| waits.get(waiter).is_some_and(|w| w.since == saying.since));
        for (waiter, wait) in waits {
            let saying = said.entry(waiter).or_insert(Saying::new(wait.since, WAIT_UNSAID));
            if saying.is_due(now) {
                let seconds = now.saturating_sub(wait.since).as_secs();
                tracing::warn!(application = %self.instance.application_id, seconds, "waiting for {}", wait.what);
            }
        }
    }

    fn look_for_stall(&self, said: &mut Option<Saying>, now: Duration) {
        let after = self.instance.settings.stalled_after;
        let ending = matches!(
            self.instance.board.instance(),
            StreamsState::Stopping | StreamsState::Stopped | StreamsState::Failed
        );
        let stalled = if ending { Vec::new() } else { self.instance.work.stalled(now, after) };
        self.instance.metrics.stalled.set(i64::from(!stalled.is_empty()));
        if stalled.is_empty() {
            if said.take().is_some() {
                tracing::info!(application = %self.instance.application_id, "it goes on");
            }
        } else {
            let saying = said.get_or_insert(Saying::new(now, Duration::ZERO));
            if saying.is_due(now) {
                tracing::warn!(
                    application = %self.instance.application_id,
                    "nothing goes on though there are records: {}", stalled.join("; ")
                );
                saying.again = saying.again.max(after);
            }
        }
        self.instance.board.stalled(stalled);
    }

    /// The stop takes too long: `close` returns with that, and what still runs is left to
    /// itself. Nothing of it can be committed any more once the group is left.
    fn give_up(&self) {
        let now = self.instance.clock.elapsed();
        let stuck = self.instance.heartbeats.stuck(now, LOOK_INTERVAL * 8);
        let mut hangs: Vec<String> = stuck.iter().map(|(who, _)| format!("{who} hangs")).collect();
        hangs.extend(self.instance.waits().into_values().map(|w| format!("waits for {}", w.what)));
        let hangs =
            if hangs.is_empty() { "the broker is waited for".to_owned() } else { hangs.join("; ") };
        let ms = self.instance.settings.close_timeout.as_millis();
        let reason = format!(
            "it did not end within close_timeout_ms = {ms} ({hangs}): work since the last commit is dropped; nothing is lost, the next start does it again"
        );
        tracing::error!(application = %self.instance.application_id, reason, "the stop is given up");
        let late = Error::Fatal { what: "stopping".to_owned(), reason };
        self.instance.board.set_instance(StreamsState::Failed);
        // The receiver is gone if the handle was dropped.
        let _ = self.end.send(Err(self.instance.take_end().unwrap_or(late)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_again_at_growing_distances() {
        let second = Duration::from_secs;
        let mut saying = Saying::new(second(10), second(2));
        let said: Vec<u64> = (10..100).filter(|now| saying.is_due(second(*now))).collect();
        assert_eq!(said, [12, 14, 18, 26, 42, 74]);
        let mut saying = Saying::new(second(0), second(100_000));
        assert!(!saying.is_due(second(99_999)));
        assert!(saying.is_due(second(100_000)));
        assert!(!saying.is_due(second(103_599)), "no more often");
        assert!(saying.is_due(second(103_600)), "no more rarely");
    }
}
