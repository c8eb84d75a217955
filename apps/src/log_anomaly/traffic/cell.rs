//! One line as a sample, and the sum of samples of one series and window.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use millstream::BoxError;
use millstream::serde::{Bincode, HasSerde, Json};
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::users::Users;
use crate::log_anomaly::clock_text::utc_text;
use crate::log_anomaly::line::LogLine;

/// What a window needs of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Sample {
    pub(in crate::log_anomaly) service: String,
    pub(in crate::log_anomaly) method: Option<String>,
    pub(in crate::log_anomaly) route: Option<String>,
    pub(in crate::log_anomaly) is_error: bool,
    pub(in crate::log_anomaly) latency_ms: Option<f64>,
    /// A hash: how many there are is all that is asked.
    pub(in crate::log_anomaly) user: Option<u64>,
    pub(in crate::log_anomaly) times: u32,
}

impl HasSerde for Sample {
    type Serde = Bincode;
}

impl Sample {
    /// Of a line, for the whole of its service.
    pub(in crate::log_anomaly) fn of(line: &LogLine) -> Self {
        let user = line.user_id.as_ref().or(line.session_id.as_ref()).or(line.ip.as_ref());
        Self {
            service: line.service.clone(),
            method: None,
            route: None,
            is_error: line.is_error(),
            latency_ms: line.latency_ms,
            user: user.map(|user| hash(user)),
            times: line.repeated,
        }
    }
}

/// The same in each instance: the seeds of `DefaultHasher::new` are constant.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The name of a series: the key of its samples.
pub(in crate::log_anomaly) fn series_of(sample: &Sample) -> String {
    let Sample { service, method, route, .. } = sample;
    match (method, route) {
        (_, None) => service.clone(),
        (None, Some(route)) => format!("{service} {route}"),
        (Some(method), Some(route)) => format!("{service} {method} {route}"),
    }
}

/// The samples of a series and a window, added up.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Cell {
    pub(in crate::log_anomaly) service: String,
    pub(in crate::log_anomaly) method: Option<String>,
    pub(in crate::log_anomaly) route: Option<String>,
    pub(in crate::log_anomaly) requests: u64,
    pub(in crate::log_anomaly) errors: u64,
    latencies: DDSketch,
    users: Users,
}

impl HasSerde for Cell {
    type Serde = Bincode;
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            service: String::new(),
            method: None,
            route: None,
            requests: 0,
            errors: 0,
            // Quantiles are within 1 %.
            latencies: DDSketch::new(Config::defaults()),
            users: Users::default(),
        }
    }
}

impl Cell {
    /// Takes in a sample.
    pub(in crate::log_anomaly) fn add(&mut self, sample: Sample) {
        let Sample { service, method, route, is_error, latency_ms, user, times } = sample;
        if self.requests == 0 {
            (self.service, self.method, self.route) = (service, method, route);
        }
        self.requests += u64::from(times);
        self.errors += u64::from(times) * u64::from(is_error);
        if let Some(latency) = latency_ms {
            self.latencies.add(latency);
        }
        if let Some(user) = user {
            self.users.add(user);
        }
    }

    /// Takes in another window of the series.
    pub(in crate::log_anomaly) fn merge(&mut self, other: &Self) {
        if self.requests == 0 {
            self.service.clone_from(&other.service);
            self.method.clone_from(&other.method);
            self.route.clone_from(&other.route);
        }
        self.requests += other.requests;
        self.errors += other.errors;
        // All are made alike, so they can be merged.
        if self.latencies.merge(&other.latencies).is_err() {
            tracing::error!("sketches of latencies do not fit together");
        }
        self.users.merge(&other.users);
    }

    /// A quantile of the latencies in milliseconds, if there are any.
    pub(in crate::log_anomaly) fn quantile(&self, quantile: f64) -> Option<f64> {
        self.latencies.quantile(quantile).ok().flatten()
    }
}

/// A window that is over, and what was in it.
#[derive(Clone)]
pub(in crate::log_anomaly) struct Measured {
    pub(in crate::log_anomaly) from: i64,
    pub(in crate::log_anomaly) to: i64,
    pub(in crate::log_anomaly) cell: Cell,
}

/// A window of a series, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the contract")]
pub struct Metric {
    /// `10s` or `5m`.
    pub series: String,
    pub service: String,
    pub method: Option<String>,
    /// None: the whole service.
    pub route: Option<String>,
    pub from: String,
    pub to: String,
    pub requests: u64,
    pub errors: u64,
    pub error_rate: f64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
    pub users: u64,
    /// False: the window still takes lines.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl HasSerde for Metric {
    type Serde = Json;
}

impl Metric {
    /// Of a window.
    ///
    /// # Errors
    /// If it lies beyond the year 9999.
    pub(in crate::log_anomaly) fn of(
        series: &str,
        (from, to): (i64, i64),
        cell: &Cell,
        is_final: bool,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            series: series.to_owned(),
            service: cell.service.clone(),
            method: cell.method.clone(),
            route: cell.route.clone(),
            from: utc_text(from)?,
            to: utc_text(to)?,
            requests: cell.requests,
            errors: cell.errors,
            error_rate: cell.errors as f64 / cell.requests.max(1) as f64,
            p50: cell.quantile(0.5),
            p95: cell.quantile(0.95),
            p99: cell.quantile(0.99),
            max: cell.latencies.max(),
            users: cell.users.count(),
            is_final,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(latency_ms: f64, user: u64) -> Sample {
        Sample {
            service: "shop".to_owned(),
            method: Some("GET".to_owned()),
            route: Some("/cart".to_owned()),
            is_error: user.is_multiple_of(10),
            latency_ms: Some(latency_ms),
            user: Some(user),
            times: 1,
        }
    }

    #[test]
    fn quantiles_are_within_a_percent_also_of_merged_windows() {
        let (mut left, mut right) = (Cell::default(), Cell::default());
        for n in 1..=10_000_u64 {
            let cell = if n % 3 == 0 { &mut left } else { &mut right };
            cell.add(sample(n as f64, n));
        }
        left.merge(&right);
        let metric = Metric::of("5m", (0, 300_000), &left, true).unwrap();
        for (found, wanted) in
            [(metric.p50, 5_000.0), (metric.p95, 9_500.0), (metric.p99, 9_900.0), (metric.max, 1e4)]
        {
            let off = (found.unwrap() - wanted).abs() / wanted;
            assert!(off <= 0.0101, "{found:?} for {wanted}");
        }
        assert_eq!((metric.requests, metric.errors, metric.error_rate), (10_000, 1_000, 0.1));
        assert!((9_700..=10_300).contains(&metric.users), "{}", metric.users);
        assert_eq!((metric.service.as_str(), metric.route.as_deref()), ("shop", Some("/cart")));
    }

    #[test]
    fn the_shape_is_the_contracts() {
        let mut cell = Cell::default();
        cell.add(Sample { latency_ms: None, user: None, ..sample(0.0, 1) });
        let metric = Metric::of("10s", (0, 10_000), &cell, false).unwrap();
        assert_eq!(
            serde_json::to_string(&metric).unwrap(),
            r#"{"series":"10s","service":"shop","method":"GET","route":"/cart","from":"1970-01-01T00:00:00.000Z","to":"1970-01-01T00:00:10.000Z","requests":1,"errors":0,"error_rate":0.0,"p50":null,"p95":null,"p99":null,"max":null,"users":0,"final":false}"#
        );
    }
}
