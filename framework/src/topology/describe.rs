//! A topology as text: Java's `Topology#describe()`, letter for letter, and Mermaid.
//!
//! Java orders the nodes of a sub-topology by the size of what hangs below them (counted along
//! each path), the largest first, then by name; neighbours stand in the order of the definition.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::store::StoreSupplier;
use crate::topology::graph::{Graph, GraphNode, NodeKind, SinkTopicName};
use crate::topology::ids::NodeId;
use crate::topology::pattern::TopicPattern;
use crate::topology::sub_topology::SubTopology;

pub(crate) fn as_text(graph: &Graph, subs: &[SubTopology]) -> String {
    let sizes = sizes(graph);
    let mut text = "Topologies:\n ".to_owned();
    for sub in subs {
        let hosted = if sub.global { " for global store (will not generate tasks)" } else { "" };
        let _ = writeln!(text, "  Sub-topology: {}{hosted}", sub.id);
        let mut nodes: Vec<(usize, &GraphNode)> =
            sub.nodes.iter().filter_map(|id| Some((*sizes.get(id)?, graph.node(*id)?))).collect();
        nodes.sort_by(|(a_size, a), (b_size, b)| b_size.cmp(a_size).then(a.name.cmp(&b.name)));
        for (_, node) in nodes {
            describe_node(&mut text, graph, node);
        }
        if !sub.global {
            text.push('\n');
        }
    }
    text
}

fn describe_node(text: &mut String, graph: &Graph, node: &GraphNode) {
    let name = &node.name;
    let _ = match &node.kind {
        NodeKind::Source { pattern: Some(pattern), .. } => {
            writeln!(text, "    Source: {name} (topics: {})", pattern.as_str())
        }
        NodeKind::Source { topics, .. } => {
            writeln!(text, "    Source: {name} (topics: [{}])", topics.join(", "))
        }
        NodeKind::Processor => {
            let store = |index| graph.store(index).map_or("", StoreSupplier::name);
            let mut stores: Vec<&str> = node.stores.iter().map(|index| store(*index)).collect();
            in_javas_order(&mut stores);
            writeln!(text, "    Processor: {name} (stores: [{}])", stores.join(", "))
        }
        NodeKind::Sink { topic: SinkTopicName::Fixed(topic), .. } => {
            writeln!(text, "    Sink: {name} (topic: {topic})")
        }
        NodeKind::Sink { topic: SinkTopicName::PerRecord, .. } => {
            writeln!(text, "    Sink: {name} (extractor class: EXTRACTOR)")
        }
    };
    if !matches!(node.kind, NodeKind::Sink { .. }) {
        let _ = writeln!(text, "      --> {}", names(graph, &node.children));
    }
    if !node.kind.is_source() {
        let _ = writeln!(text, "      <-- {}", names(graph, &node.parents));
    }
}

/// Java keeps the stores of a node in a `HashSet` and lists them in the order of its buckets.
fn in_javas_order(names: &mut [&str]) {
    let buckets = (names.len() * 4 / 3 + 1).next_power_of_two().max(16) as u32;
    names.sort_by_key(|name| {
        let hash = name
            .encode_utf16()
            .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
        (hash ^ (hash >> 16)) & (buckets - 1)
    });
}

fn names(graph: &Graph, ids: &[NodeId]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    ids.iter().map(|id| graph.name_of(*id)).collect::<Vec<_>>().join(", ")
}

/// Each node with all below it, counted along each path; children have higher numbers.
fn sizes(graph: &Graph) -> BTreeMap<NodeId, usize> {
    let nodes: Vec<(NodeId, &GraphNode)> = graph.nodes().collect();
    let mut sizes: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (id, node) in nodes.iter().rev() {
        let below: usize = node.children.iter().filter_map(|child| sizes.get(child)).sum();
        sizes.insert(*id, below + 1);
    }
    sizes
}

pub(crate) fn as_mermaid(graph: &Graph, subs: &[SubTopology]) -> String {
    let mut text = "flowchart TD\n".to_owned();
    for sub in subs {
        let _ = writeln!(text, "  subgraph sub{}[\"sub-topology {}\"]", sub.id, sub.id);
        for (id, node) in sub.nodes.iter().filter_map(|id| Some((id.0, graph.node(*id)?))) {
            let _ = writeln!(text, "    n{id}[\"{}\"]", node.name);
        }
        text.push_str("  end\n");
    }
    for (id, node) in graph.nodes() {
        for child in &node.children {
            let _ = writeln!(text, "  n{} --> n{}", id.0, child.0);
        }
        for store in &node.stores {
            let name = graph.store(*store).map_or("", StoreSupplier::name);
            let _ = writeln!(text, "  n{} -.- s{}[(\"{name}\")]", id.0, store.0);
        }
        match &node.kind {
            NodeKind::Source { topics, pattern, .. } => {
                let pattern = pattern.iter().map(TopicPattern::as_str);
                for topic in topics.iter().map(AsRef::as_ref).chain(pattern) {
                    let _ = writeln!(text, "  {}([\"{topic}\"]) --> n{}", topic_id(topic), id.0);
                }
            }
            NodeKind::Sink { topic: SinkTopicName::Fixed(topic), .. } => {
                let _ = writeln!(text, "  n{} --> {}([\"{topic}\"])", id.0, topic_id(topic));
            }
            NodeKind::Sink { .. } | NodeKind::Processor => {}
        }
    }
    text
}

/// Mermaid wants plain ids; two topics that differ only in punctuation would share one, so the
/// length of the name is part of it.
fn topic_id(topic: &str) -> String {
    let plain: String =
        topic
            .bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("_{b}_") }
            })
            .collect();
    format!("t_{plain}")
}
