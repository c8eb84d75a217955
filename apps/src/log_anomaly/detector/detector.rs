//! The detector: nine looks at a value, their evidence, and when it is told.

use std::f64::consts::LOG10_E;

use millstream::record::Timestamp;
use serde::{Deserialize, Serialize};

use super::day::Day;
use super::recent::Recent;
use super::tail::Tail;

/// Points over which a value is looked at: itself, a short while, a long one. Two scales miss what
/// comes slowly; more of them only say the same again.
const SCALES: [usize; 3] = [1, 6, 36];
const LOOKS_PER_SCALE: usize = 3;
const RECENT: usize = 2 * 36;
/// Decades of evidence that are an alarm: the score is 0.5 there.
const ALARM_DECADES: f64 = 6.5;
/// More than this says nothing more.
const DECADES_MAX: f64 = 100.0;
/// After an alarm so many points are no further alarm: it is told once, and what follows from it
/// (the way back, too) is part of it.
const REST: u32 = 100;
/// Unless there is so many times the evidence.
const WORSE: f64 = 3.0;
/// How many times the range seen so far a value may be outside of it to be remembered as it is. One
/// absurd value must not make everything after it look small.
const OUTSIDE_MAX: f64 = 10.0;
/// From so many values on there is a range.
const RANGE_MIN: u32 = 50;
/// Values are held within this, so that no sum of them overflows.
const VALUE_MAX: f64 = 1e150;

/// Finds what is unusual in one series of numbers, value by value.
///
/// Everything it knows is in it (some 10 kB, however long the series): it may be kept in a store,
/// and goes on after a restart as if there had been none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Detector {
    seen: u32,
    values: Recent,
    day: Day,
    deviations: Recent,
    looks: Vec<Look>,
    evidence: Tail,
    rest: u32,
    told: f64,
}

/// What a [`Detector`] says of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// From 0 to 1; 0.5 and more is an alarm. What lasts is told when it begins, and again only when it
    /// becomes much worse.
    pub score: f64,
    /// The same, as long as it lasts.
    pub unusual: f64,
}

/// One way to look at values: how high is rare, and how low.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Look {
    high: Tail,
    low: Tail,
}

impl Look {
    /// How rare the value is; then it is remembered.
    fn decades(&mut self, value: f64) -> f64 {
        let decades = self.high.decades(value, 0.0) + self.low.decades(-value, 0.0);
        self.high.add(value);
        self.low.add(-value);
        decades
    }
}

impl Detector {
    /// The score of the next value of the series, from 0 to 1: 0.5 and more is an alarm.
    ///
    /// The time is used for the time of day only: values count in the order in which they come, also
    /// when their times repeat or go back. What is no number or infinite scores 0 and is not remembered.
    pub fn score(&mut self, at: Timestamp, value: f64) -> f64 {
        self.read(at, value).score
    }

    /// The score of the next value, and how unusual it is apart from what was told already.
    pub fn read(&mut self, at: Timestamp, value: f64) -> Reading {
        if !value.is_finite() {
            return Reading::default();
        }
        let evidence = self.decades(at, value);
        let unusual = evidence / (evidence + ALARM_DECADES);
        let resting = self.rest > 0 && evidence < WORSE * self.told;
        self.rest = self.rest.saturating_sub(1);
        if resting {
            return Reading { score: unusual / 2.0, unusual };
        }
        if evidence >= ALARM_DECADES {
            self.rest = REST;
            self.told = evidence;
        }
        Reading { score: unusual, unusual }
    }

    /// The evidence against a value: of all looks together, and how rare as much is in this series.
    fn decades(&mut self, at: Timestamp, value: f64) -> f64 {
        let value = self.within_reach(value.clamp(-VALUE_MAX, VALUE_MAX));
        self.seen = self.seen.saturating_add(1);
        self.values.push(value, RECENT);
        if let Some(deviation) = self.day.deviation(at, value) {
            self.deviations.push(deviation, RECENT);
        }
        self.looks.resize_with(SCALES.len() * LOOKS_PER_SCALE, Look::default);
        let mut looks = self.looks.iter_mut();
        let mut all = 0.0;
        for scale in SCALES {
            let level = self.values.mean(0, scale);
            let change = level.zip(self.values.mean(scale, scale)).map(|(now, then)| now - then);
            let season = self.deviations.mean(0, scale);
            for (seen, look) in [level, change, season].into_iter().zip(looks.by_ref()) {
                all += seen.map_or(0.0, |seen| look.decades(seen));
            }
        }
        let all = all.min(DECADES_MAX);
        // The tail of one honest look falls by a decade in a decade: no steeper one is believed.
        let here = self.evidence.decades(all, LOG10_E);
        self.evidence.add(all);
        f64::midpoint(all, here)
    }

    /// A value as it is remembered: not further outside of what was seen than [`OUTSIDE_MAX`] times its range.
    fn within_reach(&self, value: f64) -> f64 {
        let range = self.looks.first().and_then(|look| look.high.highest().zip(look.low.highest()));
        match range {
            Some((high, low)) if self.seen >= RANGE_MIN && high + low > 0.0 => {
                let reach = OUTSIDE_MAX * (high + low);
                value.clamp(-low - reach, high + reach)
            }
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_MS: i64 = 300_000;
    const NONE: [usize; 0] = [];

    /// Uniform in [0, 1), the same each time.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Roughly normal, mean 0, deviation 1.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }
    }

    /// Two weeks of a value each five minutes.
    fn two_weeks(mut value: impl FnMut(usize, f64) -> f64) -> Vec<f64> {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        (0..4_032).map(|row| value(row, noise.normal())).collect()
    }

    fn day(row: usize) -> f64 {
        (row % 288) as f64 / 288.0
    }

    fn readings(detector: &mut Detector, values: &[f64]) -> Vec<Reading> {
        let at = |row: usize| Timestamp(row as i64 * STEP_MS);
        values.iter().enumerate().map(|(row, value)| detector.read(at(row), *value)).collect()
    }

    /// The rows with an alarm, of those after the first two days.
    fn alarms(values: &[f64]) -> Vec<usize> {
        let readings = readings(&mut Detector::default(), values);
        let told = readings.iter().enumerate().filter(|(_, reading)| reading.score >= 0.5);
        told.map(|(row, _)| row).filter(|row| *row >= 576).collect()
    }

    fn by_day(row: usize, night: f64, day_time: f64) -> f64 {
        if (0.35..0.75).contains(&day(row)) { day_time } else { night }
    }

    #[test]
    fn what_repeats_exactly_is_no_alarm() {
        assert_eq!(alarms(&two_weeks(|_, _| 45.0)), NONE);
        assert_eq!(alarms(&two_weeks(|_, _| 0.0)), NONE);
        assert_eq!(alarms(&two_weeks(|row, _| by_day(row, 20.0, 80.0))), NONE);
        let sine = two_weeks(|row, _| 50.0 + 20.0 * (std::f64::consts::TAU * day(row)).sin());
        assert_eq!(alarms(&sine), NONE);
    }

    #[test]
    fn noise_is_rarely_an_alarm() {
        for values in [
            two_weeks(|_, noise| 50.0 + noise),
            two_weeks(|row, noise| by_day(row, 20.0, 80.0) + 3.0 * noise),
            two_weeks(|_, noise| noise.exp()),
        ] {
            let alarms = alarms(&values);
            assert!(alarms.len() <= 10, "{alarms:?}");
        }
    }

    /// One planted change in a series with noise must be told while it is there.
    fn is_told(what: &str, first: usize, last: usize, value: impl Fn(usize, f64) -> f64) {
        let alarms = alarms(&two_weeks(value));
        assert!(alarms.iter().any(|row| (first..=last).contains(row)), "{what}: {alarms:?}");
    }

    #[test]
    fn a_spike_a_shift_a_missing_day_and_a_loud_night_are_told() {
        is_told("spike", 3_000, 3_000, |row, noise| if row == 3_000 { 65.0 } else { 50.0 + noise });
        is_told("dip", 3_000, 3_000, |row, noise| if row == 3_000 { 35.0 } else { 50.0 + noise });
        is_told("shift", 3_000, 3_020, |row, noise| noise + if row < 3_000 { 50.0 } else { 55.0 });
        // From 08:24 on the value is that of the night: nothing that was not there before.
        is_told("missing day", 2_980, 3_096, |row, noise| {
            by_day(row, 20.0, if row / 288 == 10 { 20.0 } else { 80.0 }) + 3.0 * noise
        });
        is_told("loud night", 3_110, 3_200, |row, noise| {
            let night = (3_110..3_200).contains(&row);
            by_day(row, if night { 80.0 } else { 20.0 }, 80.0) + 3.0 * noise
        });
    }

    #[test]
    fn what_lasts_is_told_once_unless_it_becomes_much_worse() {
        let worse = |from: usize| {
            two_weeks(move |row, noise| match row {
                _ if row >= from => 1e4,
                3_000.. => 55.0,
                _ => 50.0 + noise,
            })
        };
        let at_first = |values: &[f64]| {
            let told = alarms(values);
            told.into_iter().filter(|row| (3_000..3_090).contains(row)).collect::<Vec<_>>()
        };
        assert_eq!(at_first(&worse(usize::MAX)), [3_000]);
        assert_eq!(at_first(&worse(3_050)), [3_000, 3_050]);
        let readings = readings(&mut Detector::default(), &worse(usize::MAX));
        assert!(readings[3_001].unusual >= 0.5 && readings[3_001].score < 0.5);
        assert_eq!(readings[3_001].score * 2.0, readings[3_001].unusual);
    }

    #[test]
    fn one_absurd_value_does_not_hide_what_comes_after_it() {
        for absurd in [1e300, -1e300, 1e12] {
            let values = two_weeks(|row, noise| match row {
                1_500 => absurd,
                3_000 => 50.0 + 20.0 * absurd.signum(),
                _ => 50.0 + noise,
            });
            let found = readings(&mut Detector::default(), &values)[3_000].score;
            assert!(found >= 0.6, "{absurd:e}: {found}");
        }
    }

    #[test]
    fn what_is_no_number_scores_nothing_and_leaves_no_trace() {
        let values = two_weeks(|row, noise| if row == 3_000 { 65.0 } else { 50.0 + noise });
        let mut with_gaps = Detector::default();
        let mut without = Detector::default();
        for (row, value) in values.iter().enumerate() {
            let at = Timestamp(row as i64 * STEP_MS);
            for nothing in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(with_gaps.score(at, nothing), 0.0);
            }
            assert_eq!(with_gaps.score(at, *value), without.score(at, *value), "{row}");
        }
    }

    #[test]
    fn scores_are_numbers_from_0_to_1_whatever_comes() {
        let mut noise = Noise(1);
        let mut detector = Detector::default();
        let extremes = [0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e-300, f64::NAN];
        let times = [0, -1, i64::MAX, i64::MIN, 1 << 40];
        for row in 0..20_000_usize {
            let time = times[(noise.next() * 5.0) as usize];
            let wild = extremes[(noise.next() * 8.0) as usize];
            let value = if noise.next() < 0.5 { wild } else { noise.normal() };
            let Reading { score, unusual } = detector.read(Timestamp(time), value);
            assert!((0.0..=1.0).contains(&score) && score <= unusual && unusual <= 1.0, "{row}");
        }
    }

    #[test]
    fn it_goes_on_from_its_state_as_if_nothing_had_been() {
        let values = two_weeks(|row, noise| by_day(row, 20.0, 80.0) + noise * noise.exp());
        let whole = readings(&mut Detector::default(), &values);
        let alarm = whole.iter().rposition(|reading| reading.score >= 0.5).unwrap();
        for cut in [0, 1, 40, 300, 2_000, alarm + 2, 4_031] {
            let mut first = Detector::default();
            readings(&mut first, &values[..cut]);
            let kept = serde_json::to_vec(&first).unwrap();
            let mut second: Detector = serde_json::from_slice(&kept).unwrap();
            for (row, value) in values.iter().enumerate().skip(cut) {
                let reading = second.read(Timestamp(row as i64 * STEP_MS), *value);
                assert_eq!(reading, whole[row], "{cut} {row}");
            }
        }
    }

    #[test]
    fn the_largest_numbers_leave_a_state_that_can_be_kept() {
        let mut detector = Detector::default();
        for row in 0..200 {
            detector
                .score(Timestamp(row * STEP_MS), if row % 3 == 0 { f64::MIN } else { f64::MAX });
        }
        let kept = serde_json::to_vec(&detector).unwrap();
        serde_json::from_slice::<Detector>(&kept).unwrap();
    }

    #[test]
    fn its_state_does_not_grow() {
        let mut noise = Noise(7);
        let mut detector = Detector::default();
        let mut size = |rows: i64| {
            for row in 0..rows {
                detector.score(Timestamp(row * STEP_MS), noise.normal());
            }
            serde_json::to_vec(&detector).unwrap().len()
        };
        // From the second generation on.
        let first = size(21_000);
        let then = size(60_000);
        assert!(first < 30_000 && then < first + 1_000, "{first} {then}");
    }
}
