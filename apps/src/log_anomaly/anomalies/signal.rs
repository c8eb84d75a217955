//! What an operator says when it sees something unusual: again for as long as it sees it.

use millstream::serde::{Bincode, HasSerde};
use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// Bytes of a line that goes with a signal.
const SAMPLE_BYTES_MAX: usize = 512;

/// One sighting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Signal {
    pub(in crate::log_anomaly) kind: Kind,
    pub(in crate::log_anomaly) service: String,
    /// Whom or what it is about: a series, a template, an address.
    pub(in crate::log_anomaly) subject: String,
    /// From 0 to 1.
    pub(in crate::log_anomaly) score: f64,
    pub(in crate::log_anomaly) value: Option<f64>,
    /// What would have been usual.
    pub(in crate::log_anomaly) low: Option<f64>,
    pub(in crate::log_anomaly) high: Option<f64>,
    pub(in crate::log_anomaly) why: String,
    /// A line of it.
    pub(in crate::log_anomaly) sample: Option<String>,
}

impl HasSerde for Signal {
    type Serde = Bincode;
}

impl Signal {
    /// One without numbers and without a line.
    pub(in crate::log_anomaly) fn new(
        kind: Kind,
        (service, subject): (&str, &str),
        score: f64,
        why: String,
    ) -> Self {
        Self {
            kind,
            service: service.to_owned(),
            subject: subject.to_owned(),
            score,
            value: None,
            low: None,
            high: None,
            why,
            sample: None,
        }
    }

    /// The value, and between what it would have been usual.
    pub(in crate::log_anomaly) fn value(
        mut self,
        value: f64,
        (low, high): (Option<f64>, Option<f64>),
    ) -> Self {
        (self.value, self.low, self.high) = (Some(value), low, high);
        self
    }

    /// A line of it.
    pub(in crate::log_anomaly) fn sample(mut self, line: &str) -> Self {
        let end = line.floor_char_boundary(SAMPLE_BYTES_MAX);
        self.sample = line.get(..end).map(str::to_owned);
        self
    }

    /// What is the same for all sightings of one anomaly.
    pub(in crate::log_anomaly) fn key(&self) -> String {
        format!("{}|{}|{}", self.kind.name(), self.service, self.subject)
    }
}
