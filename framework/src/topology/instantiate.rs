//! From a sub-topology to the nodes of one task: stores first, then children before their parents.

use std::sync::Arc;

use millstream_state::{StoreId, StoreKind};

use crate::chain::TaskContext;
use crate::error::Result;
use crate::policy::DropReason;
use crate::store::{StorePlace, StoreSupplier, TaskStore, UncommittedBytes};
use crate::topology::graph::Graph;
use crate::topology::ids::{NodeId, StoreIndex};
use crate::topology::linker::{Linker, Seat, TaskParts, TaskSeed, broken};
use crate::topology::plan::Topology;
use crate::topology::sub_topology::SubTopology;

impl Topology {
    /// Makes the nodes of one task of a sub-topology.
    ///
    /// # Errors
    /// When a node cannot be made.
    pub(crate) fn instantiate(&self, sub: &SubTopology, seed: TaskSeed<'_>) -> Result<TaskParts> {
        let graph = self.graph();
        let uncommitted = UncommittedBytes::default();
        let stores = make_stores(graph, sub, &seed, &uncommitted)?;
        let mut linker = Linker::new(seed, stores, uncommitted);
        expect_drops(graph, sub, linker.ctx());
        let is_source = |id: &NodeId| graph.node(*id).is_some_and(|node| node.kind.is_source());
        let inner: Vec<NodeId> = sub.nodes.iter().copied().filter(|id| !is_source(id)).collect();
        for (place, id) in inner.iter().enumerate().rev() {
            make(graph, *id, place, &mut linker)?;
        }
        for id in sub.nodes.iter().copied().filter(is_source) {
            make(graph, id, 0, &mut linker)?;
        }
        let mut nodes = Vec::with_capacity(inner.len());
        for id in inner {
            if let (Some(made), Some(node)) = (linker.take_node(id), graph.node(id)) {
                nodes.push((Arc::clone(&node.name), made));
            }
        }
        Ok(linker.finish(nodes))
    }
}

fn suppliers<'g>(
    graph: &'g Graph,
    sub: &SubTopology,
) -> impl Iterator<Item = (StoreIndex, &'g dyn StoreSupplier)> {
    sub.stores.iter().filter_map(|index| Some((*index, graph.store(*index)?)))
}

fn make_stores(
    graph: &Graph,
    sub: &SubTopology,
    seed: &TaskSeed<'_>,
    uncommitted: &UncommittedBytes,
) -> Result<Vec<(StoreIndex, TaskStore)>> {
    let made = suppliers(graph, sub).zip(0..).map(|((index, supplier), id)| {
        let place = StorePlace {
            id: StoreId(id),
            stores: seed.disk.clone(),
            collector: seed.ctx.collector.clone(),
            application_id: Arc::clone(&seed.ctx.application_id),
            record_time: seed.ctx.record_time.clone(),
            partition: seed.ctx.task.partition,
            cache_budget: seed.cache_budget.clone(),
            uncommitted: uncommitted.clone(),
        };
        Ok((index, supplier.make(&place)?))
    });
    made.collect()
}

/// Says of each store that expires who counts the records that it finds expired.
fn expect_drops(graph: &Graph, sub: &SubTopology, ctx: &mut TaskContext) {
    for (index, supplier) in suppliers(graph, sub) {
        let expires = !matches!(supplier.spec().kind, StoreKind::KeyValue);
        let nodes = sub.nodes.iter().filter_map(|id| graph.node(*id));
        let user = nodes.filter(|_| expires).find(|node| node.stores.contains(&index));
        let counter = user.map(|node| ctx.drops.counter(&node.name, DropReason::Expired));
        ctx.expiring.push(counter);
    }
}

fn make(graph: &Graph, id: NodeId, place: usize, linker: &mut Linker<'_>) -> Result<()> {
    let node = graph.node(id).ok_or_else(|| broken(&format!("there is no node {}", id.0)))?;
    let child = |id: &NodeId| Some((*id, Arc::clone(&graph.node(*id)?.name)));
    linker.sit(Seat {
        id,
        name: Arc::clone(&node.name),
        policy: node.policy.clone(),
        drops: node.drops.clone(),
        is_source: node.kind.is_source(),
        policy_at: node.kind.policy_at(),
        sends_old: node.sends_old(),
        passes_null_keys: node.passes_null_keys,
        joins_itself: node.joins_itself,
        store: node.store_of_rows(),
        children: node.children.iter().filter_map(child).collect(),
        place,
    });
    (node.make)(linker)
}
