//! The handle of a stream: a node of the drawing and the types that flow out of it.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::error::Result;
use crate::policy::OnError;
use crate::record::Data;
use crate::topology::{Linker, NodeDraft, NodeId, NodeKind, SharedGraph};

/// A stream of records: each is an event of its own.
///
/// A handle is cheap to clone and used by reference; each call on it adds a child to its node.
/// Operators that give records another key mark the stream: before the next operator that needs
/// records of one key in one place, it goes through a repartition topic.
pub struct KStream<K, V> {
    pub(crate) graph: SharedGraph,
    pub(crate) node: NodeId,
    /// The key may have changed since the records were partitioned.
    pub(crate) rekeyed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            node: self.node,
            rekeyed: self.rekeyed,
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KStream").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

/// What a node does to the key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Nothing.
    Kept,
    /// It may be another one afterwards.
    Changed,
}

impl<K: Data, V: Data> KStream<K, V> {
    pub(crate) fn new(graph: SharedGraph, node: NodeId, rekeyed: bool) -> Self {
        Self { graph, node, rekeyed, types: PhantomData }
    }

    /// Adds a child without state to the node.
    pub(crate) fn child<K2: Data, V2: Data>(
        &self,
        prefix: &str,
        key: Key,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate(prefix);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: Vec::new(),
            make: Box::new(make),
        });
        drop(graph);
        let rekeyed = self.rekeyed || key == Key::Changed;
        KStream::new(Rc::clone(&self.graph), node, rekeyed)
    }

    /// Names the node just added: without it, it has Java's name and number.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.borrow_mut().rename(self.node, name);
        self
    }

    /// What the node just added does with a record that its closure refuses.
    #[must_use]
    pub fn on_error(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_policy(self.node, policy);
        self
    }
}
