//! What is usual of one series, and what of a window is not.

use std::collections::VecDeque;

use millstream::record::Timestamp;
use millstream::serde::{Bincode, HasSerde};
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::signal::Signal;
use crate::log_anomaly::detector::Detector;
use crate::log_anomaly::mine::WarmUp;
use crate::log_anomaly::traffic::Measured;

/// The length of the windows that are looked at.
pub(in crate::log_anomaly) const WINDOW_MS: i64 = 10_000;
/// Windows of an hour, and of the last minute.
const HOUR: usize = 360;
const MINUTE: usize = 6;
/// A score of so much is an alarm.
const ALARM: f64 = 0.5;
/// What is less improbable than this (in decades) is chance.
const BURST_DECADES: f64 = 4.0;
const BURST_REQUESTS_MIN: u64 = 20;
/// Fewer errors are nobody's burst.
const BURST_ERRORS_MIN: u64 = 5;
/// Values of which mean and deviation make the band that is drawn around a series.
const BAND: usize = 60;
/// So many deviations from the mean are outside of the band.
const BAND_DEVIATIONS: f64 = 3.0;
/// A deviation is at least this part of the mean: what repeats exactly may still change a little.
const DEVIATION_MIN: f64 = 0.05;
/// A route with fewer requests in a window has no series worth a detector.
const ROUTE_REQUESTS_MIN: f64 = 10.0;

/// The values of one series of numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Watched {
    detector: Detector,
    band: VecDeque<f64>,
    /// Which of the last three windows were unusual.
    last: VecDeque<bool>,
}

/// What is unusual about a value.
struct Unusual {
    score: f64,
    low: f64,
    high: f64,
    is_high: bool,
}

impl Watched {
    /// Two of the last three windows, this one among them, must be unusual.
    fn see(&mut self, at: i64, value: f64) -> Option<Unusual> {
        let reading = self.detector.read(Timestamp(at), value);
        let (low, high) = self.range();
        let is_unusual = reading.unusual >= ALARM && !(low..=high).contains(&value);
        self.last.push_front(is_unusual);
        self.last.truncate(3);
        // What is unusual moves the band only when it has become usual.
        if !is_unusual || self.band.len() < BAND || self.last.iter().all(|it| *it) {
            self.band.push_front(value);
            self.band.truncate(BAND);
        }
        let often = self.last.iter().filter(|it| **it).count() >= 2;
        (is_unusual && often).then(|| {
            let score = reading.unusual.min(0.99);
            Unusual { score, low: low.max(0.0), high, is_high: value > high }
        })
    }

    fn mean(&self) -> f64 {
        self.band.iter().sum::<f64>() / self.band.len().max(1) as f64
    }

    fn range(&self) -> (f64, f64) {
        let mean = self.mean();
        let squares: f64 = self.band.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / self.band.len().max(1) as f64).sqrt().max(mean * DEVIATION_MIN);
        (mean - BAND_DEVIATIONS * deviation, mean + BAND_DEVIATIONS * deviation)
    }
}

/// What is known of a series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Baseline {
    lines: u64,
    first: Option<i64>,
    /// The end of the last window.
    to: i64,
    requests: Watched,
    latency: Watched,
    /// Requests and errors of the windows of the last hour, newest first.
    errors: VecDeque<(u64, u64)>,
}

impl HasSerde for Baseline {
    type Serde = Bincode;
}

impl Baseline {
    /// Requests a second, usually.
    pub(in crate::log_anomaly) fn rate(&self) -> f64 {
        self.requests.mean() * 1_000.0 / WINDOW_MS as f64
    }

    /// True if enough was seen of the series.
    pub(in crate::log_anomaly) fn is_known(&self, warm_up: WarmUp) -> bool {
        warm_up.is_over(self.lines, self.to - self.first.unwrap_or(self.to))
    }

    /// What is unusual about the next window of the series.
    pub(in crate::log_anomaly) fn see(
        &mut self,
        series: &str,
        measured: &Measured,
        warm_up: WarmUp,
    ) -> Vec<Signal> {
        let Measured { from, to, cell } = measured;
        self.first.get_or_insert(*from);
        self.pass_empty_windows(*from);
        self.to = self.to.max(*to);
        self.lines += cell.requests;
        let service = cell.service.as_str();
        let is_route = cell.route.is_some();
        let is_busy = !is_route || self.requests.mean() >= ROUTE_REQUESTS_MIN;
        let mut told = Vec::new();
        let mut tell = |kind, name: &str, value: f64, unusual: Unusual| {
            let Unusual { score, low, high, .. } = unusual;
            let why = format!("{name} {value:.0}, usually between {low:.0} and {high:.0}");
            let kind = if is_route { Kind::Metric } else { kind };
            let subject = if is_route { format!("{series} {name}") } else { series.to_owned() };
            let signal = Signal::new(kind, (service, &subject), score, why);
            told.push(signal.value(value, (Some(low), Some(high))));
        };
        let requests = cell.requests as f64;
        if let Some(unusual) = self.requests.see(*to, requests) {
            let kind = if unusual.is_high { Kind::RateSpike } else { Kind::RateDrop };
            tell(kind, "requests", requests, unusual);
        }
        if let Some(p95) = cell.quantile(0.95)
            && let Some(unusual) = self.latency.see(*to, p95)
        {
            tell(Kind::LatencyShift, "p95", p95, unusual);
        }
        if !is_busy {
            told.clear();
        }
        self.count_errors(cell.requests, cell.errors);
        told.extend(self.error_burst(service).filter(|_| !is_route));
        if self.is_known(warm_up) { told } else { Vec::new() }
    }

    /// Windows without a line have no record; they count as empty.
    fn pass_empty_windows(&mut self, from: i64) {
        if self.to == 0 {
            return;
        }
        let empty = (from - self.to).div_euclid(WINDOW_MS).clamp(0, HOUR as i64);
        for nth in 0..empty {
            // They were told by the clock while they were empty, if that was unusual.
            self.requests.see(from - (empty - nth - 1) * WINDOW_MS, 0.0);
            self.count_errors(0, 0);
        }
    }

    fn count_errors(&mut self, requests: u64, errors: u64) {
        self.errors.push_front((requests, errors));
        self.errors.truncate(HOUR);
    }

    /// Whether the errors of the last minute are more than chance under the rate of the hour before.
    fn error_burst(&self, service: &str) -> Option<Signal> {
        let sum = |(requests, errors): (u64, u64), more: &(u64, u64)| {
            (requests + more.0, errors + more.1)
        };
        let (requests, errors) = self.errors.iter().take(MINUTE).fold((0, 0), sum);
        let before = self.errors.iter().skip(MINUTE).fold((0, 0), sum);
        if requests < BURST_REQUESTS_MIN || errors < BURST_ERRORS_MIN {
            return None;
        }
        // Nothing is impossible because it was not seen.
        let rate = (before.1 as f64 + 1.0) / (before.0 as f64 + 2.0);
        let decades = improbability(requests as f64, errors as f64, rate);
        if decades < BURST_DECADES {
            return None;
        }
        let score = (decades / (decades + BURST_DECADES)).min(0.99);
        let why = format!(
            "{errors} errors in {requests} requests of a minute, usually {:.2} %",
            rate * 100.0
        );
        let high = rate * requests as f64;
        let signal = Signal::new(Kind::ErrorBurst, (service, service), score, why);
        Some(signal.value(errors as f64, (None, Some(high))))
    }
}

/// How improbable at least so many of so many are at a rate, in decades: the bound of Chernoff, which is never too high.
fn improbability(all: f64, of_them: f64, rate: f64) -> f64 {
    let found = of_them / all;
    if found <= rate {
        return 0.0;
    }
    let against =
        if found >= 1.0 { 0.0 } else { (1.0 - found) * ((1.0 - found) / (1.0 - rate)).ln() };
    all * (found * (found / rate).ln() + against) / std::f64::consts::LN_10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_anomaly::traffic::{Cell, Sample};

    const AT_ONCE: WarmUp = WarmUp { lines: 0, ms: 0 };

    struct Series {
        baseline: Baseline,
        from: i64,
        noise: u64,
        route: Option<String>,
    }

    impl Series {
        fn new() -> Self {
            let noise = 0x9e37_79b9_7f4a_7c15;
            Self { baseline: Baseline::default(), from: 0, noise, route: None }
        }

        fn noise(&mut self, below: u64) -> u64 {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            (self.noise >> 33) % below
        }

        /// A window with about so many requests and so many errors among them.
        fn window(&mut self, requests: u64, errors: u64, latency_ms: f64) -> Vec<Kind> {
            let mut cell = Cell::default();
            let all = requests + self.noise(requests / 5 + 1);
            for n in 0..all {
                let latency_ms = Some(latency_ms + self.noise(20) as f64);
                let (service, route) = ("shop".to_owned(), self.route.clone());
                let is_error = n < errors;
                let (method, user) = (None, None);
                cell.add(Sample { service, method, route, is_error, latency_ms, user, times: 1 });
            }
            let (from, to) = (self.from, self.from + WINDOW_MS);
            self.from = to;
            let told = self.baseline.see("shop", &Measured { from, to, cell }, AT_ONCE);
            told.into_iter().map(|signal| signal.kind).collect()
        }

        fn usual(&mut self, windows: usize) -> Vec<Kind> {
            (0..windows).flat_map(|n| self.window(100, u64::from(n % 3 == 0), 50.0)).collect()
        }
    }

    #[test]
    fn what_is_usual_is_not_told() {
        let told = Series::new().usual(2_000);
        assert!(told.len() <= 2, "{told:?}");
    }

    #[test]
    fn a_spike_a_drop_and_slow_answers_are_told_in_the_second_window() {
        for (requests, latency_ms, wanted) in [
            (1_000, 50.0, Kind::RateSpike),
            (5, 50.0, Kind::RateDrop),
            (100, 500.0, Kind::LatencyShift),
        ] {
            let mut series = Series::new();
            series.usual(400);
            assert_eq!(series.window(requests, 0, latency_ms), [], "{wanted:?}: one is chance");
            let told: Vec<Kind> =
                (0..4).flat_map(|_| series.window(requests, 0, latency_ms)).collect();
            assert!(told.contains(&wanted) && told.iter().all(|it| *it == wanted), "{told:?}");
        }
    }

    #[test]
    fn the_same_of_a_route_is_a_metric() {
        let mut series = Series::new();
        series.route = Some("/cart".to_owned());
        series.usual(400);
        let told: Vec<Kind> = (0..4).flat_map(|_| series.window(1_000, 0, 50.0)).collect();
        assert!(told.contains(&Kind::Metric) && told.iter().all(|it| *it == Kind::Metric));
    }

    #[test]
    fn errors_beyond_chance_are_a_burst() {
        let mut series = Series::new();
        series.usual(400);
        assert_eq!(series.window(100, 20, 50.0), [Kind::ErrorBurst]);
        // Few requests, and few errors, are none.
        let mut baseline = Baseline::default();
        (0..300).for_each(|_| baseline.count_errors(100, 0));
        baseline.count_errors(100, 4);
        assert!(baseline.error_burst("shop").is_none());
        let mut baseline = Baseline::default();
        baseline.count_errors(19, 19);
        assert!(baseline.error_burst("shop").is_none());
    }

    #[test]
    fn improbabilities_are_bounds_of_the_exact_ones() {
        // 10 or more heads of 10: 2^-10; 5 or more of 100 at 1 %: 0.0034.
        assert!((improbability(10.0, 10.0, 0.5) - 3.01).abs() < 0.01);
        let found = improbability(100.0, 5.0, 0.01);
        assert!((1.5..2.47).contains(&found), "{found}");
        assert_eq!(improbability(100.0, 1.0, 0.01), 0.0);
    }

    #[test]
    fn a_gap_counts_as_empty_windows_and_takes_no_more_than_an_hour() {
        let mut series = Series::new();
        series.usual(100);
        series.from += 30 * 86_400_000;
        series.window(100, 0, 50.0);
        assert_eq!(series.baseline.errors.len(), HOUR);
        assert_eq!(series.baseline.errors.iter().filter(|it| it.0 == 0).count(), HOUR - 1);
        let size = serde_json::to_vec(&series.baseline).unwrap().len();
        assert!(size < 60_000, "{size}");
    }
}
