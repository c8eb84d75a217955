//! What only a whole graph shows to be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::topology::fault::TopologyFault;
use crate::topology::graph::{Graph, GraphNode, NodeKind};
use crate::topology::ids::{NodeId, StoreIndex};

impl Graph {
    /// The faults noted so far, with those that only the whole shows.
    pub(crate) fn all_faults(&self) -> Vec<TopologyFault> {
        let mut faults = self.faults.clone();
        if !self.nodes.iter().any(|node| node.kind.is_source()) {
            faults.push(TopologyFault::Empty);
        } else if self.nodes.iter().all(|node| !node.kind.is_source() || node.kind.is_global()) {
            faults.push(TopologyFault::OnlyGlobal);
        }
        let read_twice = self.topics_read_twice();
        faults.extend(self.nodes_named_twice(&read_twice));
        faults.extend(self.stores_named_twice());
        faults.extend(self.needless_policies());
        faults.extend(read_twice);
        faults.extend(self.patterns_that_overlap());
        for (i, store) in self.stores.iter().enumerate() {
            let store_is_used =
                |(_, node): (NodeId, &GraphNode)| node.stores.contains(&StoreIndex(i));
            if !self.given_up.contains(&StoreIndex(i)) && !self.nodes().any(store_is_used) {
                faults.push(TopologyFault::UnusedStore(store.name().to_owned()));
            }
        }
        faults
    }

    fn topics_read_twice(&self) -> Vec<TopologyFault> {
        let mut read: Vec<(&Arc<str>, &GraphNode)> = Vec::new();
        let mut faults = Vec::new();
        for (_, node) in self.nodes() {
            let NodeKind::Source { topics, internal, .. } = &node.kind else { continue };
            for topic in topics {
                match read.iter().find(|(known, _)| *known == topic) {
                    None => read.push((topic, node)),
                    Some(_) if *internal => {
                        faults.push(TopologyFault::DuplicateRepartition(topic.to_string()));
                    }
                    Some((_, first)) => faults.push(TopologyFault::TopicReadTwice {
                        topic: topic.to_string(),
                        first: first.name.to_string(),
                        second: node.name.to_string(),
                    }),
                }
            }
        }
        faults
    }

    /// Patterns that match a topic that another source names, or that are those of two sources. Whether two patterns
    /// match one topic shows only in the topics that there are.
    fn patterns_that_overlap(&self) -> Vec<TopologyFault> {
        let mut faults = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let NodeKind::Source { pattern: Some(pattern), .. } = &node.kind else { continue };
            let overlap = |topic: &str, other: &GraphNode| TopologyFault::PatternsOverlap {
                pattern: pattern.as_str().to_owned(),
                node: node.name.to_string(),
                topic: topic.to_owned(),
                other: other.name.to_string(),
            };
            for (at, other) in self.nodes.iter().enumerate() {
                match &other.kind {
                    NodeKind::Source { topics, internal: false, pattern: None, .. } => {
                        let matching = topics.iter().filter(|topic| pattern.matches(topic));
                        faults.extend(matching.map(|topic| overlap(topic, other)));
                    }
                    NodeKind::Source { pattern: Some(same), .. } if at < place => {
                        faults.extend((same == pattern).then(|| overlap(same.as_str(), other)));
                    }
                    _ => {}
                }
            }
        }
        faults
    }

    /// Nodes of one name. Those of a repartition topic are named after it: that the topic is there twice is said alone.
    fn nodes_named_twice(&self, read_twice: &[TopologyFault]) -> Vec<TopologyFault> {
        let place = |node: &GraphNode| match (&node.kind, node.parents.first()) {
            (NodeKind::Source { topics, .. }, _) => format!("reads {}", topics.join(", ")),
            (_, Some(parent)) => format!("is behind {}", self.name_of(*parent)),
            (_, None) => "stands alone".to_owned(),
        };
        let follows = |name: &str| {
            let rest = read_twice.iter().find_map(|fault| match fault {
                TopologyFault::DuplicateRepartition(topic) => name.strip_prefix(topic.as_str()),
                _ => None,
            });
            matches!(rest, Some("-filter" | "-sink" | "-source"))
        };
        let places = self.nodes().map(|(_, node)| (node.name.to_string(), place(node)));
        let twice = repeated(places.filter(|(name, _)| !follows(name)));
        twice
            .map(|(name, [first, second])| TopologyFault::DuplicateNode { name, first, second })
            .collect()
    }

    /// Stores of one name, with the first node that uses each.
    fn stores_named_twice(&self) -> Vec<TopologyFault> {
        let user = |index| {
            let user = self.nodes().find(|(_, node)| node.stores.contains(&index));
            user.map_or("no node", |(_, node)| &*node.name).to_owned()
        };
        let named = self.stores.iter().enumerate().filter(|(_, store)| !store.name().is_empty());
        let users = named.map(|(i, store)| (store.name().to_owned(), user(StoreIndex(i))));
        let twice = repeated(users);
        twice
            .map(|(name, [first, second])| TopologyFault::DuplicateStore { name, first, second })
            .collect()
    }

    /// Policies for what cannot happen.
    fn needless_policies(&self) -> impl Iterator<Item = TopologyFault> {
        let nodes = self.nodes().filter(|(_, node)| node.has_needless_policy);
        nodes.filter_map(|(_, node)| {
            let (node, fallible_form) = (node.name.to_string(), node.fallible_form?);
            Some(TopologyFault::NothingFails { node, fallible_form })
        })
    }
}

/// The names that occur more than once, each once, in their order, with the first two of their places.
fn repeated(
    named: impl Iterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, [String; 2])> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, place) in named {
        all.entry(name).or_default().push(place);
    }
    all.into_iter().filter_map(|(name, places)| {
        let mut places = places.into_iter();
        Some((name, [places.next()?, places.next()?]))
    })
}
