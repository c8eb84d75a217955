//! When the directories of tasks are deleted that are of other instances now.
//!
//! A task that left may come back, and finds its state then; after a while it is not worth its
//! space any more (Java's `state.cleanup.delay.ms`). What is unknown counts as in use: while this
//! instance is out of its group, which an outage of the broker brings about too, no time passes
//! here, and an outage deletes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::TaskId;

/// How often is looked for such directories, at most and at least.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The directories that are not in use, and since when.
#[derive(Debug)]
pub(crate) struct Cleaning {
    delay: Duration,
    looked: Duration,
    unused: BTreeMap<TaskId, Duration>,
}

impl Cleaning {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, looked: Duration::ZERO, unused: BTreeMap::new() }
    }

    /// Whether it is time to look again.
    pub(crate) fn is_time(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.looked) < self.delay.clamp(LOOK_MIN, LOOK_MAX) {
            return false;
        }
        self.looked = now;
        true
    }

    /// All begin anew: it is unknown what is in use.
    pub(crate) fn forget(&mut self) {
        self.unused.clear();
    }

    /// Of the directories that are there now, those that were not in use for the whole delay.
    pub(crate) fn due(
        &mut self,
        found: &[TaskId],
        is_used: impl Fn(TaskId) -> bool,
        now: Duration,
    ) -> Vec<TaskId> {
        self.unused.retain(|task, _| found.contains(task) && !is_used(*task));
        for task in found.iter().filter(|task| !is_used(**task)) {
            self.unused.entry(*task).or_insert(now);
        }
        let long = |since: &Duration| now.saturating_sub(*since) >= self.delay;
        self.unused.iter().filter(|(_, since)| long(since)).map(|(task, _)| *task).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(partition: i32) -> TaskId {
        TaskId { sub_topology: 0, partition }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_not_used_for_the_whole_delay_is_due() {
        let mut cleaning = Cleaning::new(ms(1_000));
        let found = [task(1), task(2)];
        let uses_two = |id: TaskId| id == task(2);
        assert!(cleaning.due(&found, uses_two, ms(500)).is_empty());
        assert!(cleaning.due(&found, uses_two, ms(1_499)).is_empty());
        assert_eq!(cleaning.due(&found, uses_two, ms(1_500)), [task(1)]);
    }

    #[test]
    fn one_that_came_back_or_of_which_nobody_knew_begins_anew() {
        let mut cleaning = Cleaning::new(ms(1_000));
        let found = [task(1)];
        cleaning.due(&found, |_| false, ms(0));
        cleaning.due(&found, |_| true, ms(999));
        assert!(cleaning.due(&found, |_| false, ms(1_000)).is_empty());
        cleaning.forget();
        assert!(cleaning.due(&found, |_| false, ms(5_000)).is_empty());
        assert_eq!(cleaning.due(&found, |_| false, ms(6_000)), [task(1)]);
    }

    #[test]
    fn looks_are_rare() {
        let mut cleaning = Cleaning::new(ms(600_000));
        assert!(!cleaning.is_time(ms(9_999)) && cleaning.is_time(ms(10_000)));
        assert!(!cleaning.is_time(ms(19_999)) && cleaning.is_time(ms(20_000)));
        let mut cleaning = Cleaning::new(ms(0));
        assert!(!cleaning.is_time(ms(99)) && cleaning.is_time(ms(100)));
    }
}
