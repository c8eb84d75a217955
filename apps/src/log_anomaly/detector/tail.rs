//! How rare a value is that is higher than most before it.

use std::f64::consts::LOG10_E;

use serde::{Deserialize, Serialize};

/// How many of the highest values are remembered. With fewer a single one decides how fast the tail
/// falls; with more the tail begins among usual values.
const HIGHEST: usize = 24;
/// After so many values the older half of the memory is given up: a month of five minutes, a day of
/// ten seconds. With less the extremes of the last days are news again.
const GENERATION: u32 = 10_000;
/// Before so many values nothing is rare.
const SEEN_MIN: f64 = 2.0 * HIGHEST as f64;
/// The least width of a tail, as a part of where it begins: what differs by less is rounding.
const WIDTH_MIN: f64 = 1e-9;

/// The upper tail of a series: its highest values, and from their mean excess how fast it falls.
///
/// The memory is two generations: values are put into the newer one, and when that is full it
/// becomes the older one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Tail {
    newer: Highest,
    older: Highest,
    /// Follows from the two; made again when they have changed.
    #[serde(skip)]
    fall: Option<Fall>,
}

/// Descending.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Highest {
    values: Vec<f64>,
    seen: u32,
}

/// Where a tail begins, and within which distance it falls to the e-th part.
#[derive(Clone, Copy, Debug)]
struct Fall {
    begin: f64,
    width: f64,
}

impl Highest {
    /// Whether it is among the highest.
    fn add(&mut self, value: f64) -> bool {
        self.seen += 1;
        let full = self.values.len() == HIGHEST;
        if full && self.values.last().is_some_and(|last| value <= *last) {
            return false;
        }
        let place = self.values.partition_point(|higher| *higher > value);
        self.values.truncate(HIGHEST - 1);
        self.values.insert(place.min(self.values.len()), value);
        true
    }
}

impl Tail {
    /// How rare a value is that is at least so high: 3 for one in a thousand. 0 for what is usual,
    /// and as long as too little was seen. `width_min` is the least width that the tail is thought
    /// to have.
    pub(super) fn decades(&mut self, value: f64, width_min: f64) -> f64 {
        let seen = f64::from(self.newer.seen) + f64::from(self.older.seen);
        if seen < SEEN_MIN {
            return 0.0;
        }
        let fall = match self.fall {
            Some(fall) => fall,
            None => *self.fall.insert(self.measure()),
        };
        if value <= fall.begin {
            return 0.0;
        }
        let width = fall.width.max(width_min);
        (seen / HIGHEST as f64).log10() + (value - fall.begin) / width * LOG10_E
    }

    /// Remembers a value, if it is among the highest.
    pub(super) fn add(&mut self, value: f64) {
        if self.newer.add(value) {
            self.fall = None;
        }
        if self.newer.seen >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
            self.fall = None;
        }
    }

    /// The highest value in memory.
    pub(super) fn highest(&self) -> Option<f64> {
        let (newer, older) = (self.newer.values.first(), self.older.values.first());
        newer.into_iter().chain(older).copied().reduce(f64::max)
    }

    /// From the highest values of both generations.
    fn measure(&self) -> Fall {
        let (mut newer, mut older) = (self.newer.values.iter(), self.older.values.iter());
        let (mut new, mut old) = (newer.next(), older.next());
        let (mut begin, mut sum, mut count) = (0.0, 0.0, 0.0);
        for _ in 0..HIGHEST {
            let next = match (new, old) {
                (Some(a), b) if b.is_none_or(|b| a >= b) => {
                    std::mem::replace(&mut new, newer.next())
                }
                _ => std::mem::replace(&mut old, older.next()),
            };
            let Some(next) = next else { break };
            begin = *next;
            sum += next;
            count += 1.0;
        }
        let mean_excess = if count > 0.0 { sum / count - begin } else { 0.0 };
        Fall { begin, width: mean_excess.max(WIDTH_MIN * (begin.abs() + 1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of which one in e is higher by one, the same each time.
    fn exponential(count: u32) -> impl Iterator<Item = f64> {
        let order = (0..count).map(move |i| (u64::from(i) * 7_919) % u64::from(count));
        order.map(move |i| -((i as f64 + 0.5) / f64::from(count)).ln())
    }

    fn tail(values: impl Iterator<Item = f64>) -> Tail {
        let mut tail = Tail::default();
        values.for_each(|value| tail.add(value));
        tail
    }

    #[test]
    fn decades_are_those_of_the_distribution() {
        let mut tail = tail(exponential(5_000));
        for decades in [3.0, 5.0, 9.0] {
            let found = tail.decades(decades / LOG10_E, 0.0);
            assert!((found - decades).abs() < 0.15 * decades, "{found} instead of {decades}");
        }
        assert_eq!(tail.decades(2.0, 0.0), 0.0);
    }

    #[test]
    fn a_wider_tail_is_believed_when_asked() {
        let mut tail = tail((0..100).map(f64::from));
        assert!(tail.decades(200.0, 50.0) < tail.decades(200.0, 0.0));
    }

    #[test]
    fn little_seen_is_nothing_rare() {
        let mut tail = tail((0..47).map(f64::from));
        assert_eq!(tail.decades(1e6, 0.0), 0.0);
        tail.add(0.0);
        assert!(tail.decades(1e6, 0.0) > 100.0);
    }

    #[test]
    fn what_is_equal_but_for_rounding_is_not_rare() {
        let mut tail = tail((0..500).map(|_| 0.3));
        assert!(tail.decades(0.1 + 0.2, 0.0) < 2.0);
        assert!(tail.decades(0.31, 0.0) > 100.0);
    }

    #[test]
    fn extremes_are_forgotten_after_two_generations_and_not_before_one() {
        let mut tail = tail(exponential(GENERATION - 1).chain([1_000.0]));
        exponential(GENERATION - 1).for_each(|value| tail.add(value));
        assert_eq!(tail.highest(), Some(1_000.0));
        tail.add(0.0);
        assert!(tail.highest().unwrap() < 20.0);
        assert_eq!((tail.newer.values.len(), tail.older.values.len()), (0, HIGHEST));
    }

    #[test]
    fn the_highest_of_both_generations_count() {
        let twice = || exponential(GENERATION).chain(exponential(GENERATION - 1));
        let both = tail(twice());
        let mut all = Highest::default();
        for value in twice() {
            all.add(value);
        }
        let once = Tail { newer: all, ..Tail::default() };
        let (found, wanted) = (both.measure(), once.measure());
        assert_eq!(both.older.seen, GENERATION);
        assert_eq!((found.begin, found.width), (wanted.begin, wanted.width));
    }
}
