//! What is usual at this time of the day.

use millstream::record::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The parts of a day: half an hour each. Longer ones blur the beginning of a working day, shorter
/// ones see too few values.
const PARTS: usize = 48;
const PART_MS: i64 = DAY_MS / PARTS as i64;
/// A week: what is usual is the mean of about as many days.
const DAYS: f64 = 7.0;

/// The mean of each part of the day over the last days.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Day {
    parts: Vec<Part>,
    /// The part of which values come now; it counts when it is over.
    now: Option<Now>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Part {
    mean: f64,
    /// Days seen, up to [`DAYS`]; 0: none yet.
    days: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Now {
    /// Parts since 1970.
    number: i64,
    sum: f64,
    count: f64,
}

impl Default for Day {
    fn default() -> Self {
        Self { parts: vec![Part::default(); PARTS], now: None }
    }
}

impl Day {
    /// How far a value is outside of what earlier days had at this time, or half an hour before or
    /// after it, since days are not exact; none on the first day. Then it remembers the value.
    pub(super) fn deviation(&mut self, at: Timestamp, value: f64) -> Option<f64> {
        let number = at.0.div_euclid(PART_MS);
        if let Some(over) = self.now.take_if(|now| now.number != number) {
            self.remember(over);
        }
        let now = self.now.get_or_insert(Now { number, sum: 0.0, count: 0.0 });
        now.sum += value;
        now.count += 1.0;
        self.part(number)?;
        let around = [number - 1, number, number + 1];
        let (low, high) = around
            .iter()
            .filter_map(|number| self.part(*number))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| {
                (low.min(mean), high.max(mean))
            });
        Some(value - value.max(low).min(high))
    }

    /// The usual value of a part, if it was seen on an earlier day.
    fn part(&self, number: i64) -> Option<f64> {
        let part = self.parts.get(place(number))?;
        (part.days > 0.0).then_some(part.mean)
    }

    fn remember(&mut self, over: Now) {
        if let Some(part) = self.parts.get_mut(place(over.number)) {
            part.days = (part.days + 1.0).min(DAYS);
            part.mean += (over.sum / over.count - part.mean) / part.days;
        }
    }
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(PARTS as i64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 2 * PART_MS;

    fn at(day: i64, hour: i64) -> Timestamp {
        Timestamp(day * DAY_MS + hour * HOUR)
    }

    /// The value 10 at night and 50 by day, each half hour of so many days.
    fn office(days: i64) -> Day {
        let mut usual = Day::default();
        for part in 0..days * PARTS as i64 {
            let by_day = (16..36).contains(&(part % PARTS as i64));
            usual.deviation(Timestamp(part * PART_MS), if by_day { 50.0 } else { 10.0 });
        }
        usual
    }

    #[test]
    fn on_the_first_day_nothing_is_known() {
        let mut day = Day::default();
        assert_eq!((0..24).filter_map(|hour| day.deviation(at(0, hour), 1.0)).count(), 0);
        assert_eq!(day.deviation(at(1, 5), 4.0), Some(3.0));
        // Before 1970, too.
        let mut day = Day::default();
        assert_eq!((-24..0).filter_map(|hour| day.deviation(at(0, hour), 1.0)).count(), 0);
        assert_eq!(day.deviation(at(0, 5), 4.0), Some(3.0));
    }

    #[test]
    fn a_value_is_measured_by_its_time_of_day() {
        for (hour, value, deviation) in
            [(12, 50.0, 0.0), (12, 10.0, -40.0), (3, 50.0, 40.0), (3, 11.0, 1.0)]
        {
            assert_eq!(office(3).deviation(at(3, hour), value), Some(deviation), "{hour} {value}");
        }
    }

    #[test]
    fn the_edges_of_a_day_may_move_by_half_an_hour() {
        let early = Timestamp(at(3, 8).0 - PART_MS);
        assert_eq!(office(3).deviation(early, 50.0), Some(0.0));
        assert_eq!(office(3).deviation(early, 60.0), Some(10.0));
        let too_early = Timestamp(at(3, 8).0 - 2 * PART_MS);
        assert_eq!(office(3).deviation(too_early, 50.0), Some(40.0));
    }

    #[test]
    fn values_of_today_do_not_count_before_their_part_is_over() {
        let mut day = office(3);
        day.deviation(at(3, 12), 90.0);
        assert_eq!(day.deviation(Timestamp(at(3, 12).0 + 1), 90.0), Some(40.0));
        day.deviation(at(3, 13), 50.0);
        // One day of four.
        assert_eq!(day.deviation(at(4, 12), 90.0), Some(30.0));
    }

    #[test]
    fn what_was_usual_a_month_ago_is_forgotten() {
        let mut day = office(3);
        for later in 3..33 {
            day.deviation(at(later, 3), 50.0);
            day.deviation(at(later, 4), 50.0);
        }
        let deviation = day.deviation(at(33, 3), 50.0).unwrap();
        assert!(deviation.abs() < 1.0, "{deviation}");
    }

    #[test]
    fn no_time_is_too_far() {
        let mut day = Day::default();
        for time in [i64::MIN, i64::MAX, 0, -1, i64::MIN] {
            assert!(day.deviation(Timestamp(time), 1.0).is_none_or(|it| it == 0.0), "{time}");
        }
    }
}
