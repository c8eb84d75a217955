//! How people behaved, per hour: of the visits that ended in it.

use std::collections::BTreeMap;

use millstream::BoxError;
use millstream::serde::{Bincode, HasSerde, Json};
use serde::{Deserialize, Serialize};

use super::visit::Visit;
use crate::log_anomaly::clock_text::utc_text;
use crate::log_anomaly::line::UserAgentClass;

/// A visit that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Over {
    pub(in crate::log_anomaly) visit: Visit,
    pub(in crate::log_anomaly) duration_ms: i64,
}

impl HasSerde for Over {
    type Serde = Bincode;
}

/// The visits of an hour, added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Behaviour {
    visits: u64,
    bots: u64,
    bounces: u64,
    with_errors: u64,
    pages: u64,
    actions: u64,
    duration_ms: i64,
    devices: [u64; 5],
}

impl HasSerde for Behaviour {
    type Serde = Bincode;
}

impl Behaviour {
    /// Takes in a visit that is over. Bots are counted and no more.
    pub(in crate::log_anomaly) fn add(&mut self, over: &Over) {
        let Over { visit, duration_ms } = over;
        if visit.is_bot() {
            self.bots += 1;
            return;
        }
        self.visits += 1;
        self.bounces += u64::from(visit.pages <= 1);
        self.with_errors += u64::from(visit.errors > 0);
        self.pages += visit.pages;
        self.actions += visit.actions;
        self.duration_ms += *duration_ms;
        let device = visit.device.unwrap_or(UserAgentClass::Other);
        if let Some(count) = self.devices.get_mut(device as usize) {
            *count += 1;
        }
    }
}

/// An hour, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BehaviourMetric {
    /// `behaviour-1h`.
    pub series: String,
    pub from: String,
    pub to: String,
    pub visits: u64,
    pub bots: u64,
    pub bounce_rate: f64,
    pub error_rate: f64,
    pub pages_mean: f64,
    pub actions_mean: f64,
    pub duration_mean_ms: f64,
    pub devices: BTreeMap<String, u64>,
    /// False: the hour still takes visits.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl HasSerde for BehaviourMetric {
    type Serde = Json;
}

impl BehaviourMetric {
    /// Of an hour.
    ///
    /// # Errors
    /// If it lies beyond the year 9999.
    pub(in crate::log_anomaly) fn of(
        (from, to): (i64, i64),
        hour: &Behaviour,
        is_final: bool,
    ) -> Result<Self, BoxError> {
        let each = |sum: f64| sum / hour.visits.max(1) as f64;
        let names = ["pc", "phone", "tablet", "bot", "other"];
        let devices = names.iter().zip(hour.devices).filter(|(_, count)| *count > 0);
        Ok(Self {
            series: "behaviour-1h".to_owned(),
            from: utc_text(from)?,
            to: utc_text(to)?,
            visits: hour.visits,
            bots: hour.bots,
            bounce_rate: each(hour.bounces as f64),
            error_rate: each(hour.with_errors as f64),
            pages_mean: each(hour.pages as f64),
            actions_mean: each(hour.actions as f64),
            duration_mean_ms: each(hour.duration_ms as f64),
            devices: devices.map(|(name, count)| ((*name).to_owned(), count)).collect(),
            is_final,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bots_are_counted_and_no_more() {
        let visit = |pages: u64, errors: u64, device| {
            let mut visit = Visit::default();
            (visit.pages, visit.actions, visit.errors) = (pages, pages, errors);
            visit.device = device;
            Over { visit, duration_ms: 1_000 }
        };
        let mut hour = Behaviour::default();
        hour.add(&visit(1, 0, Some(UserAgentClass::Phone)));
        hour.add(&visit(3, 1, None));
        hour.add(&visit(900, 9, Some(UserAgentClass::Bot)));
        let metric = BehaviourMetric::of((0, 3_600_000), &hour, true).unwrap();
        assert_eq!((metric.visits, metric.bots, metric.bounce_rate), (2, 1, 0.5));
        assert_eq!((metric.pages_mean, metric.error_rate), (2.0, 0.5));
        assert_eq!(metric.duration_mean_ms, 1_000.0);
        let devices: Vec<_> = metric.devices.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(devices, [("other", 1), ("phone", 1)]);
    }
}
