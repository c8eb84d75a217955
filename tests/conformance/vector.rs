//! The files of the recording, as `tests/vectors/README.md` describes them.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// One topology with one seed.
#[derive(Debug, Deserialize)]
pub(crate) struct Vector {
    pub(crate) describe: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) stores: BTreeMap<String, StoreContents>,
}

/// A record piped in, or a move of the wall clock, and what came of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) advance_wall_clock_ms: Option<u64>,
    pub(crate) topic: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) ts: i64,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) out: Vec<Value>,
    #[serde(default)]
    pub(crate) internal: Vec<InternalRecord>,
}

/// A record of an internal topic.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct InternalRecord {
    pub(crate) topic: String,
    pub(crate) key_hex: Option<String>,
    pub(crate) value_hex: Option<String>,
    /// None: the time of sending.
    pub(crate) ts: Option<i64>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

/// What a store holds at the end.
#[derive(Debug, Deserialize)]
pub(crate) struct StoreContents {
    pub(crate) kind: String,
    pub(crate) entries: Vec<Value>,
}

/// The name of a file's case: all that is read of a case that is not written yet.
#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(crate) case: String,
}

impl Named {
    pub(crate) fn read(text: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(text).context("it names no case")
    }
}

impl Vector {
    pub(crate) fn read(text: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(text).context("not a vector")
    }

    /// The internal topics that this file checks.
    pub(crate) fn internal_topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self
            .steps
            .iter()
            .flat_map(|step| &step.internal)
            .map(|record| record.topic.clone())
            .collect();
        topics.sort();
        topics.dedup();
        topics
    }
}
