//! The handle of a stream: a node of the drawing and the types that flow out of it.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::error::Result;
use crate::operators::stream::placed::{InPlace, Placing};
use crate::policy::OnError;
use crate::record::{Data, Shared};
use crate::topology::{Linker, NodeDraft, NodeId, NodeKind, SharedGraph};

/// A stream of records: each is an event of its own.
///
/// A handle is cheap to clone and used by reference; each call on it adds a child to its node.
/// `P` says where its records are: [`InPlace`], or [`Rekeyed`](crate::Rekeyed) behind operators that give
/// records another key (`map`, `flat_map`, `select_key`, `process`). A grouping of a re-keyed stream goes
/// through a repartition topic by itself.
///
/// ```
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
/// let builder = StreamsBuilder::new();
/// let stream = builder.stream::<String, String>("in");
/// // Two children of one node: each record goes to both.
/// stream.filter(|_, value| value.len() > 1).named("long-ones").to("long");
/// stream.map_values(|value| value.len() as i64).to("lengths");
///
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: long-ones"));
/// let mut driver = TopologyDriver::new(&topology)?;
/// driver.pipe("in", &text("k", "ab", 1))?;
/// assert_eq!(driver.read::<String, String>("long")?.len(), 1);
/// assert_eq!(driver.read::<String, i64>("lengths")?[0].value, 2);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct KStream<K, V, P = InPlace> {
    pub(crate) graph: SharedGraph,
    pub(crate) node: NodeId,
    types: PhantomData<Types<K, V, P>>,
}

/// A handle holds no record: it may go where its records may not.
type Types<K, V, P> = fn() -> (K, V, P);

impl<K, V, P> Clone for KStream<K, V, P> {
    fn clone(&self) -> Self {
        Self { graph: Rc::clone(&self.graph), node: self.node, types: PhantomData }
    }
}

impl<K, V, P> fmt::Debug for KStream<K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KStream").field(&self.graph.borrow().name_of(self.node)).finish()
    }
}

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    pub(crate) fn new(graph: SharedGraph, node: NodeId) -> Self {
        Self { graph, node, types: PhantomData }
    }

    /// Adds a child without state to the node.
    pub(crate) fn child<K2: Data, V2: Data, P2: Placing>(
        &self,
        prefix: &str,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KStream<K2, V2, P2> {
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
        KStream::new(Rc::clone(&self.graph), node)
    }

    /// Says that nothing can fail in the node just added, and in which operator something can.
    pub(crate) fn infallible(self, fallible_form: &'static str) -> Self {
        self.graph.borrow_mut().set_infallible(self.node, fallible_form);
        self
    }

    /// Says that the node just added hands on the records that it gets, all or some, as they are.
    pub(crate) fn handing_on(self) -> Self {
        self.graph.borrow_mut().set_hands_on(self.node);
        self
    }

    /// Names the node just added: without it, it has Java's name and number.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.borrow_mut().rename(self.node, name);
        self
    }

    /// What the node just added does with a record that its closure refuses: by the error of one of the forms that may
    /// fail (`try_map_values` and the others that begin so), of a processor, of a future. Other closures refuse nothing,
    /// and a panic is no refusal: it ends the task ([`UncaughtError`](crate::UncaughtError)). Behind those this changes
    /// nothing.
    ///
    /// ```
    /// use millstream::OnError;
    /// # use millstream::{DropReason, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// stream.try_map_values(|text| text.parse::<i64>()).on_error(OnError::Skip).to("numbers");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "one", 1))?;
    /// assert_eq!(driver.dropped(DropReason::Failed), 1);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_policy(self.node, policy);
        self
    }

    /// What the node just added does with records that have no place there: null keys and values, what is too late to
    /// be remembered. Unless it is said they are dropped and counted ([`OnError::Skip`]); a dead letter has the reason
    /// as its `__streams.errors.message`. Of a join, both sides do it.
    ///
    /// ```
    /// use millstream::OnError;
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::TopologyDriver};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<Option<String>, String>("in");
    /// stream.repartition("by-name").on_drop(OnError::dead_letter("nameless")).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &Record::new(None::<String>, "who am I".to_owned(), Timestamp(1)))?;
    /// let letters = driver.read::<Option<String>, String>("nameless")?;
    /// assert_eq!(letters[0].value, "who am I");
    /// assert_eq!(letters[0].headers.last("__streams.errors.message"), Some(&b"null_key"[..]));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn on_drop(self, policy: OnError) -> Self {
        self.graph.borrow_mut().set_drops(self.node, policy);
        self
    }
}
