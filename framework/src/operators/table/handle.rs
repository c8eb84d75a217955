//! The handle of a table: a node of the drawing that hands on changes of rows.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::error::Result;
use crate::policy::OnError;
use crate::record::{Data, Shared};
use crate::topology::{Linker, NodeDraft, NodeId, NodeKind, SharedGraph, TableTraits};

/// A table: the latest value of each key, as a stream of changes.
pub struct KTable<K, V> {
    pub(crate) graph: SharedGraph,
    pub(crate) node: NodeId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self { graph: Rc::clone(&self.graph), node: self.node, types: PhantomData }
    }
}

impl<K, V> fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KTable").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    pub(crate) fn new(graph: SharedGraph, node: NodeId) -> Self {
        Self { graph, node, types: PhantomData }
    }

    /// Adds a child that computes its rows from those of this table.
    pub(crate) fn derived<V2: Data>(
        &self,
        prefix: &str,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KTable<K, V2> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate(prefix);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            make: Box::new(make),
        });
        graph.set_table(node, TableTraits::computed_from(self.node));
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node)
    }

    /// Names the node just added: without it, it has Java's name and number.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.borrow_mut().rename(self.node, name);
        self
    }

    /// What the table does with a row that its store cannot write (a serde refuses the key or the
    /// value): the row stays as it was. With a record cache that is found out at a flush, and what
    /// was merged into the row since the last one is lost with it.
    #[must_use]
    pub fn on_error(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_policy(self.node, policy);
        self
    }
}
