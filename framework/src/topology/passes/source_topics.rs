//! Tables are restored from their own topics: `TopologyOptions::reuse_table_source_topics`.

use crate::topology::graph::Graph;

/// Puts a store that is restored from the table's topic in the place of each that can be.
pub(in crate::topology) fn restore_from_source_topics(graph: &mut Graph) {
    let tables = graph.nodes().filter_map(|(id, node)| {
        let topic = graph.table(id)?.topic.as_ref()?;
        let store = node.store_of_rows()?;
        Some((store, graph.store(store)?.restored_from(topic)?))
    });
    for (store, by) in tables.collect::<Vec<_>>() {
        graph.replace_store(store, by);
    }
}
