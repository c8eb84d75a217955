//! How often a turn looks at the clock.
//!
//! A look costs about what a cheap operator costs, so not every record has one. After a look the
//! next one is twice as many records away, up to a bound; after slow records it is one record away.
//! A turn whose records are slow from the start ends after the one in which its time was up, and one
//! that meets them later ends after a few.

use std::time::Duration;

/// Most records between two looks.
const RECORDS_MAX: usize = 16;
/// Records that took this long since the last look are slow.
const SLOW: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Pace {
    /// The record before which to look next, counted from the start of the turn.
    next: usize,
    step: usize,
    step_max: usize,
    last: Duration,
}

impl Pace {
    /// The pace of a turn; a careful one looks before each record.
    pub(crate) fn new(careful: bool) -> Self {
        let step_max = if careful { 1 } else { RECORDS_MAX };
        Self { next: 0, step: 1, step_max, last: Duration::ZERO }
    }

    /// True before the first record and wherever it is time for a look.
    #[inline]
    pub(crate) fn is_due(&self, records: usize) -> bool {
        records == self.next
    }

    /// It was looked, and the clock showed `now`.
    pub(crate) fn looked(&mut self, now: Duration) {
        let slow = self.next == 0 || now.saturating_sub(self.last) >= SLOW;
        self.step = if slow { 1 } else { (self.step * 2).min(self.step_max) };
        self.next = self.next.saturating_add(self.step);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records before which it looks, if each record takes what `cost_us` says.
    fn looks(careful: bool, records: usize, cost_us: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut pace = Pace::new(careful);
        let mut now = Duration::from_secs(7);
        let mut looks = Vec::new();
        for record in 0..records {
            if pace.is_due(record) {
                pace.looked(now);
                looks.push(record);
            }
            now += Duration::from_micros(cost_us(record));
        }
        looks
    }

    #[test]
    fn fast_records_are_looked_at_less_and_less() {
        assert_eq!(looks(false, 64, |_| 1), [0, 1, 3, 7, 15, 31, 47, 63]);
    }

    #[test]
    fn slow_records_are_looked_at_one_by_one() {
        assert_eq!(looks(false, 5, |_| 1_000), [0, 1, 2, 3, 4]);
        assert_eq!(looks(false, 8, |_| 999), [0, 1, 3, 4, 6, 7]);
    }

    #[test]
    fn records_that_become_slow_are_noticed_soon() {
        let looks = looks(false, 100, |record| if record < 50 { 1 } else { 12_000 });
        let slow: Vec<usize> = looks.into_iter().filter(|record| *record > 50).collect();
        assert_eq!(slow.first_chunk(), Some(&[63, 64, 65]));
    }

    #[test]
    fn a_careful_turn_looks_at_each() {
        assert_eq!(looks(true, 4, |_| 1), [0, 1, 2, 3]);
    }
}
