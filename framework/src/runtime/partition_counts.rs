//! How many partitions each repartition topic gets, as Kafka Streams decides it: an application
//! that moves here finds its topics of the right size.
//!
//! 1. A number that the user gave stands.
//! 2. Any other topic gets the most that the sub-topologies which write it have among their
//!    sources, in the order in which those become known.
//! 3. Topics that must be co-partitioned are made equal: as the user's own topics among them are,
//!    else as the user said, else as the largest. What cannot be made equal is refused by name.
//!
//! Step 3 does not change what step 2 found for topics further down, as in Kafka Streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::topology::{SourcePlan, SubTopology};

/// Topics, as the log names them, with their partition counts.
pub(crate) type Counts = BTreeMap<Arc<str>, i32>;

/// Adds the repartition topics to the counts of the user's topics.
///
/// # Errors
/// `Topic` where nothing says how many, or where numbers contradict each other.
pub(crate) fn count_repartition_topics(
    subs: &[SubTopology],
    application_id: &str,
    counts: &mut Counts,
) -> Result<()> {
    let graph = TopicGraph::new(subs, application_id);
    for (topic, fixed) in &graph.internal {
        if let Some(partitions) = fixed {
            counts.insert(Arc::clone(topic), *partitions);
        }
    }
    while let Some(topic) = graph.internal.keys().find(|topic| !counts.contains_key(*topic)) {
        let Some((topic, partitions)) = graph.next_known(counts) else {
            return Err(Error::Topic {
                topic: topic.to_string(),
                reason: "nothing says how many partitions it has: give it a number".to_owned(),
            });
        };
        counts.insert(topic, partitions);
    }
    graph.groups.iter().try_for_each(|group| graph.make_equal(group, counts))
}

/// The topics of a topology as far as their sizes depend on each other.
struct TopicGraph {
    /// Repartition topics, with the number that the user gave.
    internal: BTreeMap<Arc<str>, Option<i32>>,
    /// What the writers of a repartition topic read.
    above: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Topics that must have equal counts; no topic is in two groups.
    groups: Vec<BTreeSet<Arc<str>>>,
}

impl TopicGraph {
    fn new(subs: &[SubTopology], application_id: &str) -> Self {
        let name = |source: &SourcePlan| source.in_log(application_id);
        let sources = subs.iter().flat_map(|sub| &sub.sources);
        let internal = sources
            .filter(|s| s.internal)
            .filter_map(|source| Some((name(source)?, source.partitions)));
        let mut above: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut groups: Vec<BTreeSet<Arc<str>>> = Vec::new();
        for sub in subs {
            for sink in sub.sinks.iter().filter(|sink| sink.internal) {
                let read = sub.sources.iter().filter_map(name);
                above.entry(sink.in_log(application_id)).or_default().extend(read);
            }
            for group in &sub.copartitioned {
                join_group(&mut groups, group.iter().filter_map(name).collect());
            }
        }
        Self { internal: internal.collect(), above, groups }
    }

    /// A topic whose number can be told now. First those of which everything above is known; only
    /// when there are none (a sub-topology that reads what it writes) those with a part of it.
    fn next_known(&self, counts: &Counts) -> Option<(Arc<str>, i32)> {
        let unknown = || self.internal.keys().filter(|topic| !counts.contains_key(*topic));
        let known = |topic: &Arc<str>| {
            let above = self.above.get(topic)?;
            let most = above.iter().filter_map(|read| counts.get(read)).max()?;
            let whole = above.iter().all(|read| counts.contains_key(read));
            Some((whole, (Arc::clone(topic), *most)))
        };
        let mut partly = None;
        for (whole, found) in unknown().filter_map(known) {
            if whole {
                return Some(found);
            }
            partly = partly.or(Some(found));
        }
        partly
    }

    fn make_equal(&self, group: &BTreeSet<Arc<str>>, counts: &mut Counts) -> Result<()> {
        let size = |topic: &Arc<str>| Some((Arc::clone(topic), *counts.get(topic)?));
        let given = group.iter().filter(|topic| !self.internal.contains_key(*topic));
        let told = group.iter().filter(|topic| matches!(self.internal.get(*topic), Some(Some(_))));
        let binding: Vec<(Arc<str>, i32)> = given.chain(told).filter_map(size).collect();
        if let Some((first, rest)) = binding.split_first()
            && let Some(other) = rest.iter().find(|(_, partitions)| *partitions != first.1)
        {
            return Err(self.contradiction(first, other));
        }
        let largest = group.iter().filter_map(|topic| counts.get(topic)).max().copied();
        let partitions = binding.first().map(|(_, partitions)| *partitions).or(largest);
        for topic in group {
            if let Some(partitions) = partitions {
                counts.insert(Arc::clone(topic), partitions);
            }
        }
        Ok(())
    }

    fn contradiction(&self, first: &(Arc<str>, i32), other: &(Arc<str>, i32)) -> Error {
        let told = |topic: &Arc<str>| {
            if self.internal.contains_key(topic) { ", as its repartition says" } else { "" }
        };
        let line = |(topic, partitions): &(Arc<str>, i32)| {
            format!("{topic} has {partitions} partitions{}", told(topic))
        };
        Error::Topic {
            topic: format!("{}, {}", first.0, other.0),
            reason: format!(
                "records of one key meet in one store, so their partition counts must be equal, but {} and {}: give both the same number, or send one through a repartition of its own without a number",
                line(first),
                line(other)
            ),
        }
    }
}

/// Adds a group; those that share a topic with it become one.
fn join_group(groups: &mut Vec<BTreeSet<Arc<str>>>, mut group: BTreeSet<Arc<str>>) {
    groups.retain_mut(|known| {
        let apart = known.is_disjoint(&group);
        if !apart {
            group.append(known);
        }
        apart
    });
    groups.push(group);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::{KStream, Repartitioned};
    use crate::topology::{StreamsBuilder, Topology};

    type Texts = KStream<String, String>;

    /// The counts of the repartition topics over these topics, by their names without the rest.
    fn counted(
        given: &[(&str, i32)],
        draw: impl FnOnce(&StreamsBuilder),
    ) -> Result<Vec<(String, i32)>> {
        let builder = StreamsBuilder::new();
        draw(&builder);
        let topology: Topology = builder.build().unwrap();
        let mut counts: Counts = given.iter().map(|(t, n)| (Arc::from(*t), *n)).collect();
        count_repartition_topics(topology.sub_topologies(), "app", &mut counts)?;
        let short = |topic: &str| {
            let name = topic.strip_prefix("app-")?.strip_suffix("-repartition")?;
            Some(name.to_owned())
        };
        Ok(counts.iter().filter_map(|(topic, n)| Some((short(topic)?, *n))).collect())
    }

    fn check(given: &[(&str, i32)], draw: impl FnOnce(&StreamsBuilder), wanted: &[(&str, i32)]) {
        let found = counted(given, draw).unwrap();
        let found: Vec<(&str, i32)> = found.iter().map(|(t, n)| (t.as_str(), *n)).collect();
        assert_eq!(found, wanted);
    }

    fn count(stream: &Texts, store: &str) {
        stream.group_by_key().count(store).updates().to("out");
    }

    fn fixed<K, V>(name: &str, partitions: i32) -> Repartitioned<K, V> {
        Repartitioned::named(name).partitions(partitions)
    }

    #[test]
    fn topics_that_meet_in_a_store_get_the_largest_count() {
        check(
            &[("small", 4), ("large", 8)],
            |builder| {
                let small: Texts = builder.stream("small");
                let large: Texts = builder.stream("large");
                count(&small.repartition("a").merge(&large.repartition("b")), "counts");
            },
            &[("a", 8), ("b", 8)],
        );
    }

    #[test]
    fn topics_that_meet_in_no_store_keep_their_own_counts() {
        check(
            &[("small", 4), ("large", 8)],
            |builder| {
                let small: Texts = builder.stream("small");
                let large: Texts = builder.stream("large");
                small.repartition("a").merge(&large.repartition("b")).to("out");
            },
            &[("a", 4), ("b", 8)],
        );
    }

    #[test]
    fn a_topic_of_the_user_decides_for_those_that_meet_it() {
        check(
            &[("small", 4), ("large", 8)],
            |builder| {
                let small: Texts = builder.stream("small");
                let large: Texts = builder.stream("large");
                count(&small.merge(&large.repartition("b")), "counts");
            },
            &[("b", 4)],
        );
    }

    #[test]
    fn a_repartition_of_a_repartition_follows_the_one_before_it() {
        check(
            &[("in", 6)],
            |builder| {
                let stream: Texts = builder.stream("in");
                // By name the later one comes first.
                stream.repartition("z").repartition("m").repartition("a").to("out");
            },
            &[("a", 6), ("m", 6), ("z", 6)],
        );
        check(
            &[("in", 6)],
            |builder| {
                let stream: Texts = builder.stream("in");
                stream.repartition(fixed("z", 3)).repartition("a").to("out");
            },
            &[("a", 3), ("z", 3)],
        );
    }

    #[test]
    fn what_follows_a_group_gets_the_most_above_it() {
        check(
            &[("small", 4), ("large", 8)],
            |builder| {
                let small: Texts = builder.stream("small");
                let large: Texts = builder.stream("large");
                let both = small.repartition("a").merge(&large.repartition("b"));
                count(&both, "counts");
                both.repartition("after").to("out2");
            },
            &[("a", 8), ("after", 8), ("b", 8)],
        );
    }

    #[test]
    fn a_number_of_the_user_stands_and_counts_for_the_others() {
        check(
            &[("small", 4), ("large", 8)],
            |builder| {
                let small: Texts = builder.stream("small");
                let large: Texts = builder.stream("large");
                count(&small.repartition(fixed("a", 2)).merge(&large.repartition("b")), "counts");
            },
            &[("a", 2), ("b", 2)],
        );
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused_with_both_names() {
        let both_told = counted(&[("in", 4), ("in2", 4)], |builder| {
            let (left, right): (Texts, Texts) = (builder.stream("in"), builder.stream("in2"));
            let both = left.repartition(fixed("a", 2)).merge(&right.repartition(fixed("b", 3)));
            count(&both, "counts");
        });
        let text = both_told.unwrap_err().to_string();
        for part in ["app-a-repartition has 2", "app-b-repartition has 3", "same number"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let told_and_given = counted(&[("in", 4), ("in2", 4)], |builder| {
            let (left, right): (Texts, Texts) = (builder.stream("in"), builder.stream("in2"));
            count(&left.merge(&right.repartition(fixed("b", 3))), "counts");
        });
        let text = told_and_given.unwrap_err().to_string();
        for part in ["in has 4", "app-b-repartition has 3"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let given = counted(&[("in", 4), ("in2", 6)], |builder| {
            let (left, right): (Texts, Texts) = (builder.stream("in"), builder.stream("in2"));
            count(&left.merge(&right), "counts");
        });
        let text = given.unwrap_err().to_string();
        assert!(text.contains("in has 4") && text.contains("in2 has 6"), "{text}");
    }

    #[test]
    fn groups_that_share_a_topic_are_one() {
        check(
            &[("in", 2), ("in2", 5), ("in3", 7)],
            |builder| {
                let stream = |topic: &str, name: &str| -> Texts {
                    builder.stream::<String, String>(topic).repartition(name)
                };
                let (a, b, c) = (stream("in", "a"), stream("in2", "b"), stream("in3", "c"));
                count(&a.merge(&b), "left");
                count(&b.merge(&c), "right");
            },
            &[("a", 7), ("b", 7), ("c", 7)],
        );
    }

    #[test]
    fn a_sub_topology_that_reads_what_it_writes_follows_its_other_source() {
        check(
            &[("in", 3)],
            |builder| {
                let stream: Texts = builder.stream("in");
                stream.repartition("again").merge(&stream).to("out");
            },
            &[("again", 3)],
        );
    }
}
