//! The topics of a driven topology: a mistyped one must not pass for one to which nothing came.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::policy::OnError;
use crate::store::changelog_topic;
use crate::topology::{NodeKind, SinkTopicName, TopicPattern, Topology};

/// The topics that a topology reads and writes, by their names in the log.
#[derive(Debug, Default)]
pub(super) struct DrivenTopics {
    sources: BTreeSet<String>,
    patterns: Vec<TopicPattern>,
    written: BTreeSet<String>,
    /// Some sink writes to topics that records choose: any name may be one.
    per_record: bool,
}

impl DrivenTopics {
    pub(super) fn new(topology: &Topology, application_id: &str) -> Self {
        let mut topics = Self::default();
        for sub in topology.global_tables().iter().chain(topology.sub_topologies()) {
            topics.patterns.extend(sub.patterns().cloned());
            let sources = sub.sources.iter().filter_map(|source| source.in_log(application_id));
            topics.sources.extend(sources.map(|topic| topic.to_string()));
            let sinks = sub.sinks.iter().map(|sink| sink.in_log(application_id));
            topics.written.extend(sinks.map(|topic| topic.to_string()));
        }
        for node in topology.nodes() {
            for policy in [&node.policy, &node.drops] {
                if let OnError::DeadLetter(topic) = policy {
                    topics.written.insert(topic.clone().into_owned());
                }
            }
            topics.per_record |=
                matches!(&node.kind, NodeKind::Sink { topic: SinkTopicName::PerRecord, .. });
        }
        topics
    }

    fn is_source(&self, topic: &str) -> bool {
        self.sources.contains(topic) || self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    /// Takes note of a store that is logged.
    pub(super) fn add_changelog(&mut self, application_id: &str, store: &str) {
        self.written.insert(changelog_topic(application_id, store));
    }

    /// # Errors
    /// `Topic` if no source reads it.
    pub(super) fn check_source(&self, topic: &str) -> Result<()> {
        if self.is_source(topic) {
            return Ok(());
        }
        let patterns = self.patterns.iter().map(TopicPattern::as_str);
        let known: Vec<&str> = self.sources.iter().map(String::as_str).chain(patterns).collect();
        let reason = format!("no source of the topology reads it; there are: {}", known.join(", "));
        Err(Error::Topic { topic: topic.to_owned(), reason })
    }

    /// # Errors
    /// `Topic` if the topology neither writes nor reads it.
    pub(super) fn check_read(&self, topic: &str) -> Result<()> {
        if self.per_record || self.written.contains(topic) || self.is_source(topic) {
            return Ok(());
        }
        let known: Vec<&str> = self.written.union(&self.sources).map(String::as_str).collect();
        let reason = format!("the topology does not write it; there are: {}", known.join(", "));
        Err(Error::Topic { topic: topic.to_owned(), reason })
    }
}
