//! `merge`: two streams into one.
//!
//! | | |
//! |---|---|
//! | emits | every record of both, as they come; between the two no order is promised |
//! | key | kept; the result counts as rekeyed if one of the two does |
//! | time, headers | kept |
//! | state | none |

use std::rc::Rc;

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::{And, Placing};
use crate::record::{Data, Record};
use crate::topology::{Linker, NodeDraft, NodeKind, TopologyFault};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// The records of this stream and of another one.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let (paper, web) = (builder.stream::<String, String>("paper"), builder.stream("web"));
    /// paper.merge(&web).to("orders");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("paper", &text("1", "pens", 1))?;
    /// driver.pipe("web", &text("2", "ink", 2))?;
    /// assert_eq!(driver.read::<String, String>("orders")?.len(), 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn merge<P2: Placing>(&self, other: &KStream<K, V, P2>) -> KStream<K, V, P::Both>
    where
        P: And<P2>,
    {
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate("KSTREAM-MERGE-");
        let mut parents = vec![self.node];
        if Rc::ptr_eq(&self.graph, &other.graph) {
            parents.push(other.node);
        } else {
            graph.fault(TopologyFault::OtherBuilder(name.clone()));
        }
        let make = |linker: &mut Linker<'_>| {
            let children = linker.children::<K, V>()?;
            linker.add(Pass { children });
            Ok(())
        };
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents,
            stores: Vec::new(),
            make: Box::new(make),
        });
        drop(graph);
        KStream::new(Rc::clone(&self.graph), node)
    }
}

/// Hands on what comes: a merge, or a branch of a split.
pub(crate) struct Pass<K, V> {
    pub(crate) children: Children<K, V>,
}

impl<K, V> Node for Pass<K, V> {}

impl<K: Data, V: Data> Operator<K, V> for Pass<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        self.children.forward(record, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TopologyDriver, text};
    use crate::topology::{StreamsBuilder, TopologyFault};

    #[test]
    fn records_of_both_come_through() {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("left");
        left.merge(&builder.stream("right")).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("right", &text("k", "r", 1)).unwrap();
        driver.pipe("left", &text("k", "l", 2)).unwrap();
        let out = driver.read::<String, String>("out").unwrap();
        assert_eq!(out, [text("k", "r", 1), text("k", "l", 2)]);
    }

    #[test]
    fn streams_of_two_builders_do_not_mix() {
        let (builder, other) = (StreamsBuilder::new(), StreamsBuilder::new());
        let stream = builder.stream::<String, String>("in");
        stream.merge(&other.stream("in")).to("out");
        let faults = builder.build().unwrap_err();
        let merge = "KSTREAM-MERGE-0000000001".to_owned();
        assert_eq!(faults.faults(), [TopologyFault::OtherBuilder(merge)]);
    }
}
