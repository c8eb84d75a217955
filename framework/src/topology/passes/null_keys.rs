//! Null keys pass the repartition topics above joins that give a record without a key out (KIP-962).
//!
//! Elsewhere what stands before a repartition topic drops them: nothing behind it could use them. Left and outer joins
//! of streams, and left joins of a stream with a table or a global table, can. A topic with such a join anywhere below
//! it lets them through, as in Kafka Streams; other operators below it drop them themselves.

use std::sync::Arc;

use crate::topology::graph::{Graph, NodeKind, SinkTopicName};
use crate::topology::ids::NodeId;

/// Finds the nodes with such a join below them, and notes it there.
pub(in crate::topology) fn let_null_keys_pass(graph: &mut Graph) {
    let mut above: Vec<NodeId> =
        graph.nodes().filter(|(_, node)| node.takes_null_keys).map(|(id, _)| id).collect();
    let mut seen = Vec::new();
    while let Some(id) = above.pop() {
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        above.extend(parents(graph, id));
    }
    for id in seen {
        graph.pass_null_keys(id);
    }
}

/// The nodes before one; before the source of a repartition topic those that write it.
fn parents(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    let Some(node) = graph.node(id) else { return Vec::new() };
    let NodeKind::Source { topics, internal: true, .. } = &node.kind else {
        return node.parents.clone();
    };
    let is_read = |topic: &Arc<str>| topics.contains(topic);
    let writes = |kind: &NodeKind| match kind {
        NodeKind::Sink { topic: SinkTopicName::Fixed(topic), internal: true, .. } => is_read(topic),
        _ => false,
    };
    graph.nodes().filter(|(_, node)| writes(&node.kind)).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::operators::{KStream, KTable};
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::TopologyDriver;
    use crate::time::JoinWindows;
    use crate::topology::StreamsBuilder;

    type Null = Option<String>;
    type Nulls = KStream<Null, String>;

    fn dropped(behind: impl FnOnce(&StreamsBuilder, &Nulls)) -> (u64, usize) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<Null, String>("in").repartition("r");
        behind(&builder, &stream);
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &Record::new(None::<String>, "v".to_owned(), Timestamp(5))).unwrap();
        let out = driver.read::<Null, String>("out").unwrap();
        (driver.dropped(DropReason::NullKey), out.len())
    }

    fn within() -> JoinWindows {
        JoinWindows::within(Duration::from_millis(10)).no_grace()
    }

    #[test]
    fn a_join_that_gives_them_out_gets_them() {
        let table = |it: &StreamsBuilder| -> KTable<Null, String> { it.table("t", "t") };
        let left = |it: &StreamsBuilder, stream: &Nulls| {
            stream.left_join_table(&table(it), |value, _| value).to("out");
        };
        assert_eq!(dropped(left), (0, 1));
        let global = |it: &StreamsBuilder, stream: &Nulls| {
            let rows = it.global_table::<String, String>("g", "g");
            stream.left_join_global(&rows, |key, _| key.clone(), |value, _| value).to("out");
        };
        assert_eq!(dropped(global), (0, 1));
        let streams = |it: &StreamsBuilder, stream: &Nulls| {
            let other: Nulls = it.stream("other");
            other.outer_join("j", stream, within(), |_, _| "met".to_owned()).to("out");
        };
        assert_eq!(dropped(streams), (0, 1));
    }

    #[test]
    fn others_do_not_and_say_so_once() {
        let inner = |it: &StreamsBuilder, stream: &Nulls| {
            let table: KTable<Null, String> = it.table("t", "t");
            stream.join_table(&table, |value, _| value).to("out");
        };
        assert_eq!(dropped(inner), (1, 0));
        let streams = |it: &StreamsBuilder, stream: &Nulls| {
            let other: Nulls = it.stream("other");
            other.join("j", stream, within(), |_, _| "met".to_owned()).to("out");
        };
        assert_eq!(dropped(streams), (1, 0));
        assert_eq!(dropped(|_, stream| stream.to("out")), (1, 0));
    }

    /// Through another topic, and beside what drops them itself.
    #[test]
    fn a_join_further_down_gets_them_too() {
        let further = |it: &StreamsBuilder, stream: &Nulls| {
            stream.group_by_key().count("n");
            let table: KTable<Null, String> = it.table("t", "t");
            let again = stream.filter(|_, _| true).repartition("again");
            again.left_join_table(&table, |value, _| value).to("out");
        };
        assert_eq!(dropped(further), (1, 1));
    }
}
