//! What all kinds of stores are told: name, place, what they are restored from.

use std::sync::Arc;

use millstream_state::{StoreKind, StoreSpec};

use crate::error::Result;
use crate::store::changelog::{Changelog, changelog_topic};
use crate::store::place::StorePlace;
use crate::store::source_topic::SourceTopic;

/// What all kinds of stores have in common.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Unique in the topology.
    pub(crate) name: Arc<str>,
    /// Not on disk: restored from the changelog's start each time.
    pub(crate) in_memory: bool,
    /// Whether there is a changelog.
    pub(crate) logged: bool,
    /// Settings of the changelog topic that go before the ones derived here.
    pub(crate) topic_config: Vec<(String, String)>,
    /// The topic that it is restored from instead of a changelog.
    pub(crate) source: Option<SourceTopic>,
}

impl StoreOptions {
    /// On disk and logged.
    pub(crate) fn named(name: impl Into<Arc<str>>) -> Self {
        let (in_memory, logged) = (false, true);
        Self { name: name.into(), in_memory, logged, topic_config: Vec::new(), source: None }
    }

    /// The same, restored from a topic and without a changelog.
    pub(super) fn restored_from(&self, source: SourceTopic) -> Self {
        Self { logged: false, source: Some(source), ..self.clone() }
    }

    pub(super) fn spec(&self, kind: StoreKind) -> StoreSpec {
        StoreSpec { name: self.name.to_string(), kind, in_memory: self.in_memory }
    }

    /// The settings of the changelog; `retention_ms` is that of a window store's topic.
    pub(super) fn changelog_config(
        &self,
        retention_ms: Option<i64>,
    ) -> Option<Vec<(String, String)>> {
        if !self.logged {
            return None;
        }
        let mut config = vec![
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("message.timestamp.type".to_owned(), "CreateTime".to_owned()),
        ];
        if let Some(retention_ms) = retention_ms {
            set(&mut config, "cleanup.policy", "compact,delete");
            set(&mut config, "retention.ms", &retention_ms.to_string());
        }
        for (name, value) in &self.topic_config {
            set(&mut config, name, value);
        }
        Some(config)
    }

    pub(super) fn open_changelog(&self, place: &StorePlace) -> Result<Option<Changelog>> {
        if !self.logged {
            return Ok(None);
        }
        let topic = changelog_topic(&place.application_id, &self.name);
        Changelog::open(place.collector.clone(), &topic, place.partition).map(Some)
    }
}

fn set(config: &mut Vec<(String, String)>, name: &str, value: &str) {
    match config.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => config.push((name.to_owned(), value.to_owned())),
    }
}

/// `Debug` of a spec: its options, since serdes have nothing to show.
macro_rules! debug_by_options {
    ($($spec:ident),*) => { $(
        impl<K, V> std::fmt::Debug for $spec<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($spec)).field(&self.options).finish()
            }
        }
    )* };
}
pub(super) use debug_by_options;
