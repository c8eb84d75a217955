//! What is said of records that go no further: the first of a node and reason at once, those that
//! follow together, in one line every ten seconds. Each is counted, whether it is told of or not.

use std::sync::Arc;

use crate::policy::DropReason;
use crate::record::{TaskId, Timestamp};

/// Between two lines of one node and reason. Smaller: more lines, while one is enough to look.
/// Larger: a count that grows is seen later.
const INTERVAL_MS: i64 = 10_000;

/// What is held back of one node and reason.
#[derive(Debug)]
struct Notice {
    node: Arc<str>,
    reason: DropReason,
    told_at: Timestamp,
    /// How many records were not told of yet.
    records: u64,
    /// The first of them.
    first: String,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    node: Arc<str>,
    reason: DropReason,
    records: u64,
    first: String,
}

impl Line {
    /// Logs it.
    pub(crate) fn say(&self, task: TaskId) {
        let Self { node, reason, records, first } = self;
        let reason = reason.label();
        tracing::warn!(%task, %node, reason, records, %first, "records go no further");
    }
}

/// What is held back in one task.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<Notice>);

impl Notices {
    /// Takes note of so many records; the line to log, if it is time for one.
    pub(crate) fn add(
        &mut self,
        (node, reason): (&Arc<str>, DropReason),
        records: u64,
        now: Timestamp,
        describe: impl FnOnce() -> String,
    ) -> Option<Line> {
        let known = self.0.iter_mut().find(|it| it.reason == reason && it.node == *node);
        let Some(notice) = known else {
            let node = Arc::clone(node);
            let line = Line { node: Arc::clone(&node), reason, records, first: describe() };
            self.0.push(Notice { node, reason, told_at: now, records: 0, first: String::new() });
            return Some(line);
        };
        if notice.records == 0 {
            notice.first = describe();
        }
        notice.records += records;
        notice.due(now).then(|| notice.tell(now))
    }

    /// The lines whose time has come; called now and then, since nothing may follow.
    pub(crate) fn due(&mut self, now: Timestamp) -> impl Iterator<Item = Line> {
        let due = self.0.iter_mut().filter(move |it| it.records > 0 && it.due(now));
        due.map(move |notice| notice.tell(now))
    }

    /// All that is held back: the task ends.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = Line> {
        let held = self.0.iter_mut().filter(|it| it.records > 0);
        held.map(|notice| notice.tell(notice.told_at))
    }
}

impl Notice {
    /// A clock that was set back holds nothing up.
    fn due(&self, now: Timestamp) -> bool {
        now < self.told_at || now.0.saturating_sub(self.told_at.0) >= INTERVAL_MS
    }

    fn tell(&mut self, now: Timestamp) -> Line {
        self.told_at = now;
        Line {
            node: Arc::clone(&self.node),
            reason: self.reason,
            records: std::mem::take(&mut self.records),
            first: std::mem::take(&mut self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(notices: &mut Notices, node: &str, number: i64, now: i64) -> Option<(u64, String)> {
        let which = (&Arc::from(node), DropReason::Late);
        let line = notices.add(which, 1, Timestamp(now), || format!("in-0@{number}"))?;
        Some((line.records, line.first))
    }

    fn told(lines: impl Iterator<Item = Line>) -> Vec<(String, u64, String)> {
        lines.map(|line| (line.node.to_string(), line.records, line.first)).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together_with_the_first_of_them() {
        let mut notices = Notices::default();
        assert_eq!(add(&mut notices, "a", 1, 5), Some((1, "in-0@1".to_owned())));
        for number in 2..20_000 {
            assert_eq!(add(&mut notices, "a", number, 5 + INTERVAL_MS - 1), None);
        }
        let line = add(&mut notices, "a", 20_000, 5 + INTERVAL_MS);
        assert_eq!(line, Some((19_999, "in-0@2".to_owned())));
        assert_eq!(told(notices.all()), []);
    }

    #[test]
    fn each_node_and_reason_has_a_line_of_its_own() {
        let mut notices = Notices::default();
        assert!(add(&mut notices, "a", 1, 0).is_some());
        assert!(add(&mut notices, "b", 2, 0).is_some());
        let other = (&Arc::from("a"), DropReason::NullKey);
        assert!(notices.add(other, 1, Timestamp(0), String::new).is_some());
        assert!(add(&mut notices, "a", 3, 1).is_none());
    }

    #[test]
    fn what_is_held_back_is_told_though_nothing_follows() {
        let mut notices = Notices::default();
        for number in 1..=3 {
            add(&mut notices, "a", number, 0);
        }
        assert_eq!(told(notices.due(Timestamp(INTERVAL_MS - 1))), []);
        let line = ("a".to_owned(), 2, "in-0@2".to_owned());
        assert_eq!(told(notices.due(Timestamp(INTERVAL_MS))), [line]);
        assert_eq!(told(notices.due(Timestamp(3 * INTERVAL_MS))), []);
        add(&mut notices, "a", 4, INTERVAL_MS + 1);
        assert_eq!(told(notices.all()), [("a".to_owned(), 1, "in-0@4".to_owned())]);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut notices = Notices::default();
        add(&mut notices, "a", 1, 1_000_000);
        assert_eq!(add(&mut notices, "a", 2, 0), Some((1, "in-0@2".to_owned())));
    }
}
