//! Which topics match the patterns of the sources now.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Log;
use crate::topology::{SubTopology, TopicPattern, Topology};

/// The sub-topologies that have tasks, with topics in place of patterns.
pub(crate) struct Subscription {
    pub(crate) subs: Vec<SubTopology>,
    /// Patterns that nothing matches.
    pub(crate) unmatched: Vec<String>,
}

impl Subscription {
    /// Puts the topics of now in the place of patterns. Internal topics of the application match none.
    ///
    /// # Errors
    /// `Topic` for one that two patterns match; `Unavailable`.
    pub(crate) fn of_now(log: &dyn Log, topology: &Topology, application_id: &str) -> Result<Self> {
        let subs = topology.sub_topologies();
        let patterns: Vec<&TopicPattern> = subs.iter().flat_map(SubTopology::patterns).collect();
        if patterns.is_empty() {
            return Ok(Self { subs: subs.to_vec(), unmatched: Vec::new() });
        }
        let internal = topology.internal_topics(application_id);
        let mut matched: BTreeMap<&str, Vec<Arc<str>>> = BTreeMap::new();
        for topic in log.topics()? {
            if internal.contains(&topic) {
                continue;
            }
            let mut of = patterns.iter().filter(|pattern| pattern.matches(&topic));
            let Some(first) = of.next() else { continue };
            if let Some(second) = of.next() {
                let (first, second) = (first.as_str(), second.as_str());
                let reason =
                    format!("it matches the patterns of two sources, {first} and {second}");
                return Err(Error::Topic { topic, reason });
            }
            matched.entry(first.as_str()).or_default().push(topic.into());
        }
        let topics = |pattern: &TopicPattern| matched.get(pattern.as_str()).cloned();
        let missing = patterns.iter().filter(|pattern| topics(pattern).is_none());
        let unmatched = missing.map(|pattern| pattern.as_str().to_owned()).collect();
        let subs = subs.iter().map(|sub| sub.over(&|it| topics(it).unwrap_or_default())).collect();
        Ok(Self { subs, unmatched })
    }
}
