//! Changes of a finished drawing, as passes make them: nodes that go, edges that move, stores of another kind.

use std::sync::Arc;

use crate::store::StoreSupplier;
use crate::topology::graph::Graph;
use crate::topology::ids::{NodeId, StoreIndex};

impl Graph {
    /// Takes a node out of the topology, with its edges.
    pub(super) fn remove(&mut self, id: NodeId) {
        for node in &mut self.nodes {
            node.children.retain(|child| *child != id);
            node.parents.retain(|parent| *parent != id);
        }
        if let Some(node) = self.nodes.get_mut(id.0) {
            node.removed = true;
        }
    }

    /// Adds an edge.
    pub(super) fn move_below(&mut self, node: NodeId, parent: NodeId) {
        if let Some(parent) = self.nodes.get_mut(parent.0) {
            parent.children.push(node);
        }
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.parents.push(parent);
        }
    }

    /// Moves a node with all edges between them from one parent to another: the last child there, and in the former one's
    /// place among its parents.
    pub(super) fn move_from(&mut self, node: NodeId, former: NodeId, parent: NodeId) {
        let mut edges = 0;
        if let Some(former) = self.nodes.get_mut(former.0) {
            let before = former.children.len();
            former.children.retain(|child| *child != node);
            edges = before - former.children.len();
        }
        if let Some(parent) = self.nodes.get_mut(parent.0) {
            parent.children.extend(vec![node; edges]);
        }
        let parents = self.nodes.get_mut(node.0).map(|node| &mut node.parents);
        for place in parents.into_iter().flatten().filter(|place| **place == former) {
            *place = parent;
        }
    }

    /// Puts parents before their children again, and leaves the others in the order in which they were drawn.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        let mut placed = vec![false; self.nodes.len()];
        let is_placed =
            |placed: &[bool], id: &NodeId| placed.get(id.0).copied().unwrap_or_default();
        while let Some(next) = self.nodes.iter().enumerate().position(|(place, node)| {
            !is_placed(&placed, &NodeId(place))
                && node.parents.iter().all(|parent| is_placed(&placed, parent))
        }) {
            if let Some(place) = placed.get_mut(next) {
                *place = true;
            }
            order.push(NodeId(next));
        }
        self.order = order;
    }

    /// Lets a node join a stream with itself over one store; the others are given up.
    pub(super) fn keep_one_store(&mut self, node: NodeId, kept: StoreIndex, others: &[StoreIndex]) {
        self.connect(node, kept);
        self.given_up.extend_from_slice(others);
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.joins_itself = true;
        }
    }

    /// Puts another store of the same name and types in the place of one.
    pub(super) fn replace_store(&mut self, store: StoreIndex, by: Arc<dyn StoreSupplier>) {
        if let Some(place) = self.stores.get_mut(store.0) {
            *place = by;
        }
    }
}
