//! An anomaly, as it is written.

use millstream::serde::{HasSerde, Json};
use serde::{Deserialize, Serialize};

use super::kind::{Kind, Severity};

/// Where an anomaly is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was seen just now.
    Open,
    /// It is still there.
    Updated,
    /// It was not seen for a minute.
    Closed,
}

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the contract")]
pub struct Anomaly {
    /// The same from opening to closing.
    pub id: String,
    pub kind: Kind,
    pub category: String,
    pub severity: Severity,
    /// From 0 to 1: the highest so far.
    pub score: f64,
    pub service: String,
    /// Whom or what it is about: a series, a template, an address.
    pub subject: String,
    pub value: Option<f64>,
    /// What would have been usual.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub why: String,
    pub first_seen: String,
    pub last_seen: String,
    /// How often it was seen.
    pub count: u64,
    pub state: State,
    /// A line of it.
    pub sample: Option<String>,
}

impl HasSerde for Anomaly {
    type Serde = Json;
}
