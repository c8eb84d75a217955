//! Several repartition topics of one re-keyed stream become one: `TopologyOptions::merge_repartitions`.
//!
//! ```text
//!  select_key ─┬─────────► a ─► count        select_key ─► a ─┬─► count
//!              └─► filter ─► b ─► reduce                      └─► filter ─► reduce
//! ```
//!
//! Those are merged that the same records go into, but for filters on the way, and that would be written in the same
//! bytes with the same partition count and policies. The topic of the one that was drawn first stays, directly behind
//! what they have in common. What stands between that and a topic moves behind the one that stays; where something else
//! hangs there as well, such as a `to`, the topic keeps to itself, so that nothing else changes its place.

use crate::topology::graph::{Graph, NodeKind, Repartition};
use crate::topology::ids::NodeId;

/// A repartition topic and how its records get there.
struct Way {
    /// What it has in common with others.
    from: NodeId,
    /// The nodes between that and the topic, in order; each hands on what it gets.
    between: Vec<NodeId>,
    topic: Repartition,
}

/// Merges what can be, and puts the nodes in order again.
pub(in crate::topology) fn merge_repartitions(graph: &mut Graph) {
    let mut groups: Vec<Vec<Way>> = Vec::new();
    for way in graph.repartitions().iter().filter_map(|topic| way_to(graph, topic)) {
        let first =
            |group: &&mut Vec<Way>| group.first().is_some_and(|it| are_alike(graph, it, &way));
        match groups.iter_mut().find(first) {
            Some(group) => group.push(way),
            None => groups.push(vec![way]),
        }
    }
    for mut group in groups {
        leave_out_branches(graph, &mut group);
        merge(graph, &group);
    }
    graph.sort();
}

/// The way to a topic, up to the first node that makes other records, or where several streams meet.
fn way_to(graph: &Graph, topic: &Repartition) -> Option<Way> {
    let above = |id: NodeId| match graph.node(id)?.parents.as_slice() {
        [above] => Some(*above),
        _ => None,
    };
    let mut from = above(topic.filter).filter(|_| topic.may_merge)?;
    let mut between = Vec::new();
    while graph.node(from)?.hands_on {
        between.insert(0, from);
        from = above(from)?;
    }
    Some(Way { from, between, topic: topic.clone() })
}

fn are_alike(graph: &Graph, one: &Way, other: &Way) -> bool {
    let traits = |way: &Way| {
        let (filter, source) = (graph.node(way.topic.filter)?, graph.node(way.topic.source)?);
        let NodeKind::Source { partitions, .. } = &source.kind else { return None };
        Some((*partitions, &filter.drops, &source.policy, &source.drops))
    };
    one.from == other.from && traits(one) == traits(other)
}

/// Leaves topics out with something else below a node between: until none is left.
fn leave_out_branches(graph: &Graph, group: &mut Vec<Way>) {
    loop {
        let moved: Vec<NodeId> = group
            .iter()
            .flat_map(|way| way.between.iter().chain([&way.topic.filter]))
            .copied()
            .collect();
        let moves_whole = |id: &NodeId| {
            graph
                .node(*id)
                .is_some_and(|node| node.children.iter().all(|child| moved.contains(child)))
        };
        let before = group.len();
        group.retain(|way| way.between.iter().all(moves_whole));
        if group.len() == before {
            return;
        }
    }
}

fn merge(graph: &mut Graph, group: &[Way]) {
    let [kept, others @ ..] = group else { return };
    if others.is_empty() {
        return;
    }
    let source = kept.topic.source;
    for way in group {
        // In the order of the drawing: the nodes on the way to the topic that stays go before what is behind it.
        let behind = children(graph, way.topic.source);
        let last = way.between.last().copied().unwrap_or(way.from);
        let end = match way.between.first() {
            None => source,
            Some(first) => {
                if children(graph, way.from).contains(first) {
                    graph.move_from(*first, way.from, source);
                }
                last
            }
        };
        for child in behind {
            graph.move_from(child, way.topic.source, end);
        }
    }
    let above = kept.between.last().copied().unwrap_or(kept.from);
    graph.move_from(kept.topic.filter, above, kept.from);
    for way in others {
        for node in [way.topic.filter, way.topic.sink, way.topic.source] {
            graph.remove(node);
        }
    }
}

fn children(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    graph.node(id).map(|node| node.children.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::operators::{KStream, Rekeyed, Repartitioned};
    use crate::policy::{DropReason, OnError};
    use crate::serde::Plain;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::{StreamsBuilder, Topology, TopologyOptions};

    type ByValue = KStream<String, String, Rekeyed>;

    /// Draws below a re-keyed stream.
    fn drawn(below: impl FnOnce(&ByValue), options: &TopologyOptions) -> Topology {
        let builder = StreamsBuilder::new();
        below(&builder.stream::<String, String>("in").select_key(|_, value| value.clone()));
        builder.build_with(options).unwrap()
    }

    fn merged(below: impl FnOnce(&ByValue)) -> Topology {
        drawn(below, &TopologyOptions::default().merge_repartitions())
    }

    /// The repartition topics, by the sinks that write them, sorted.
    fn topics(topology: &Topology) -> Vec<String> {
        let text = topology.describe();
        let sinks = text.lines().filter_map(|line| line.split_once("-sink (topic: "));
        let mut topics: Vec<_> =
            sinks.map(|(_, topic)| topic.replace("-repartition)", "")).collect();
        topics.sort();
        topics
    }

    #[test]
    fn topics_of_one_stream_become_the_first_one() {
        let draw = |by_value: &ByValue| {
            by_value.group_by_key().count("counts").updates().to("counts-out");
            let long = by_value.filter(|_, value| value.len() > 1).peek(|_, _| {});
            long.group_by_key().reduce("last", |_, last| last).updates().to("last-out");
            by_value.repartition("mine").to("mine-out");
        };
        assert_eq!(topics(&drawn(draw, &TopologyOptions::default())), ["counts", "last", "mine"]);
        let topology = merged(draw);
        let wanted = "Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [in])
      --> KSTREAM-KEY-SELECT-0000000001
    Processor: KSTREAM-KEY-SELECT-0000000001 (stores: [])
      --> counts-repartition-filter
      <-- KSTREAM-SOURCE-0000000000
    Processor: counts-repartition-filter (stores: [])
      --> counts-repartition-sink
      <-- KSTREAM-KEY-SELECT-0000000001
    Sink: counts-repartition-sink (topic: counts-repartition)
      <-- counts-repartition-filter

  Sub-topology: 1
    Source: counts-repartition-source (topics: [counts-repartition])
      --> KSTREAM-AGGREGATE-0000000002, KSTREAM-FILTER-0000000008, KSTREAM-SINK-0000000019
    Processor: KSTREAM-FILTER-0000000008 (stores: [])
      --> KSTREAM-PEEK-0000000009
      <-- counts-repartition-source
    Processor: KSTREAM-PEEK-0000000009 (stores: [])
      --> KSTREAM-REDUCE-0000000010
      <-- KSTREAM-FILTER-0000000008
";
        assert!(topology.describe().starts_with(wanted), "{}", topology.describe());
        assert_eq!(topology.sub_topologies().len(), 2);
    }

    #[test]
    fn a_topic_stands_above_what_moved_behind_it() {
        let topology = merged(|by_value| {
            let long = by_value.filter(|_, value| value.len() > 1);
            long.group_by_key().count("a");
            long.group_by_key().count("b");
        });
        let text = topology.describe();
        let source = text.find("Source: a-repartition-source").unwrap();
        assert!(source < text.find("Processor: KSTREAM-FILTER").unwrap(), "{text}");
    }

    #[test]
    fn what_is_of_its_own_stays() {
        let topology = merged(|by_value| {
            by_value.repartition("one").to("a");
            by_value.repartition_with("serdes", Plain, Plain).to("b");
            by_value.repartition(Repartitioned::named("wide").partitions(7)).to("c");
            by_value
                .repartition(Repartitioned::named("placed").partitioner(|_, _, _, _| Some(0)))
                .to("d");
            by_value.repartition("letters").on_error(OnError::Skip).to("e");
            by_value.repartition("noted").on_drop(OnError::DeadLetter("f".into())).to("f");
            by_value.map_values(|value| value).repartition("other-values").to("g");
            by_value.select_key(|_, value| value.clone()).repartition("other-key").to("h");
            by_value.repartition("two").to("i");
        });
        let kept =
            ["letters", "noted", "one", "other-key", "other-values", "placed", "serdes", "wide"];
        assert_eq!(topics(&topology), kept);
    }

    /// Java moves the branch behind the topic, where it would lose what has no key.
    #[test]
    fn nothing_else_moves() {
        let topology = merged(|by_value| {
            by_value.repartition("one").to("a");
            let some = by_value.filter(|_, _| true);
            let fewer = some.filter(|_, _| true);
            some.to("all");
            some.repartition("two").to("b");
            fewer.repartition("three").to("c");
            by_value.repartition("four").to("d");
        });
        assert_eq!(topics(&topology), ["one", "three", "two"]);
        let below = merged(|by_value| {
            let some = by_value.filter(|_, _| true);
            some.repartition("one").to("a");
            some.peek(|_, _| {}).to("all");
            by_value.repartition("two").to("b");
            by_value.repartition("three").to("c");
        });
        assert_eq!(topics(&below), ["one", "two"], "the first is left out, the second is kept");
        let chain = merged(|by_value| {
            let some = by_value.filter(|_, _| true);
            let fewer = some.filter(|_, _| true);
            fewer.to("all");
            some.repartition("one").to("a");
            fewer.repartition("two").to("b");
            by_value.repartition("three").to("c");
        });
        assert_eq!(topics(&chain), ["one", "three", "two"], "what stays keeps what it hangs below");
    }

    /// Each stream that is merged has its own key; what they are together is what counts.
    #[test]
    fn behind_a_merge_it_is_the_merged_stream_that_counts() {
        let topology = merged(|by_value| {
            let other = by_value.select_key(|key, _| key.clone());
            let both = by_value.merge(&other);
            both.repartition("one").to("a");
            both.filter(|_, _| true).repartition("two").to("b");
            by_value.repartition("three").to("c");
        });
        assert_eq!(topics(&topology), ["one", "three"]);
    }

    #[test]
    fn a_stream_that_was_not_rekeyed_keeps_the_topics_that_were_asked_for() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.repartition("one").to("a");
        stream.repartition("two").to("b");
        let options = TopologyOptions::default().merge_repartitions();
        assert_eq!(topics(&builder.build_with(&options).unwrap()), ["one", "two"]);
    }

    /// Both sides of a join, and a stream that is merged with itself: each record twice.
    #[test]
    fn a_node_with_two_of_the_topics_above_gets_each_record_twice() {
        let draw = |by_value: &ByValue| {
            let (one, two) = (by_value.repartition("one"), by_value.repartition("two"));
            one.merge(&two).to("out");
            two.merge(&two).to("twice");
        };
        let topology = merged(draw);
        assert_eq!(topics(&topology), ["one"]);
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("in", &text("k", "v", 5)).unwrap();
        let twice = [text("v", "v", 5), text("v", "v", 5)];
        for topic in ["out", "twice"] {
            assert_eq!(driver.read::<String, String>(topic).unwrap(), twice, "{topic}");
        }
    }

    #[test]
    fn a_record_without_a_key_is_dropped_once_or_passed_where_one_of_them_needs_it() {
        for is_passed in [false, true] {
            let builder = StreamsBuilder::new();
            let stream = builder.stream::<String, String>("in").select_key(|_, _| None::<String>);
            stream.group_by_key().count("counts");
            let again = stream.repartition("again");
            if is_passed {
                let table = builder.table::<Option<String>, String>("t", "t");
                again.left_join_table(&table, |value, _| value).to("out");
            }
            let options = TopologyOptions::default().merge_repartitions();
            let topology = builder.build_with(&options).unwrap();
            assert_eq!(topics(&topology), ["counts"]);
            let mut driver = TopologyDriver::new(&topology).unwrap();
            driver.pipe("in", &text("k", "v", 5)).unwrap();
            // Where it passes, the count drops it.
            assert_eq!(driver.dropped(DropReason::NullKey), 1);
            let topic = driver.read_raw("app-counts-repartition").unwrap();
            assert_eq!(topic.len(), usize::from(is_passed));
            assert!(!is_passed || driver.read_raw("out").unwrap().len() == 1);
        }
    }

    /// What hangs below a re-keyed stream, by number.
    fn hang(by_value: &ByValue, which: usize, name: &str) {
        let long = |stream: &ByValue| stream.filter(|_, value| value.len() > 1);
        match which {
            0 => by_value.group_by_key().count(name).updates().to(name),
            1 => long(by_value).group_by_key().count(name).updates().to(name),
            2 => long(&long(by_value)).repartition(name).to(name),
            3 => by_value.map_values(|v| v + "!").group_by_key().count(name).updates().to(name),
            _ => long(by_value).peek(|_, _| {}).to_table(name).updates().to(name),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merged_or_not_each_output_is_the_same(
            below in proptest::collection::vec(0..5_usize, 1..6),
            values in proptest::collection::vec("[ab]{1,2}", 1..20),
        ) {
            let names: Vec<String> = (0..below.len()).map(|n| format!("n{n}")).collect();
            let draw = |by_value: &ByValue| {
                below.iter().zip(&names).for_each(|(which, name)| hang(by_value, *which, name));
            };
            let outputs = |topology: &Topology| {
                let mut driver = TopologyDriver::new(topology).unwrap();
                for (value, at) in values.iter().zip(0..) {
                    driver.pipe("in", &text("k", value, at)).unwrap();
                }
                let read = |name: &String| driver.read_raw(name).unwrap();
                names.iter().map(read).collect::<Vec<_>>()
            };
            let (alone, together) = (drawn(draw, &TopologyOptions::default()), merged(draw));
            prop_assert_eq!(outputs(&alone), outputs(&together));
            let own = below.iter().filter(|which| **which == 3).count();
            let shared = usize::from(below.len() > own);
            prop_assert_eq!(topics(&together).len(), own + shared);
        }
    }
}
