//! `to_stream`, `updates`: the changes of a table as events.
//!
//! | | |
//! |---|---|
//! | emits | the new value of each change; a deletion as `None` (`to_stream`) |
//! | drops | deletions, silently (`updates`) |
//! | key, time, headers | kept |
//! | state | none |

use std::rc::Rc;

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::KStream;
use crate::operators::table::handle::KTable;
use crate::record::{Change, Data, Record, Shared};
use crate::topology::{Linker, NodeDraft, NodeKind};

impl<K: Data, V: Data> KTable<K, V> {
    /// Every change; a deletion is `None`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::{Record, Timestamp}, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// names.to_stream().to("all");
    /// names.updates().to("rows");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// driver.pipe("names", &Record::new("7".to_owned(), None::<String>, Timestamp(2)))?;
    /// assert_eq!(driver.read::<String, Option<String>>("all")?[1].value, None);
    /// assert_eq!(driver.read::<String, String>("rows")?, [text("7", "Ada", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        self.as_stream(|linker| {
            let children = linker.children::<K, Option<V>>()?;
            linker.add::<K, Change<V>, _>(AllChanges { children });
            Ok(())
        })
    }

    /// Every change but deletions.
    pub fn updates(&self) -> KStream<K, V> {
        self.as_stream(|linker| {
            let children = linker.children::<K, V>()?;
            linker.add::<K, Change<V>, _>(Updates { children });
            Ok(())
        })
    }

    fn as_stream<V2: Data>(
        &self,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> KStream<K, V2> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate("KTABLE-TOSTREAM-");
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
}

struct AllChanges<K, V> {
    children: Children<K, Option<V>>,
}

impl<K, V> Node for AllChanges<K, V> {}

impl<K: Data, V: Data> Operator<K, Change<V>> for AllChanges<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        self.children.forward(Record { key, value: value.new, timestamp, headers }, ctx)
    }
}

struct Updates<K, V> {
    children: Children<K, V>,
}

impl<K, V> Node for Updates<K, V> {}

impl<K: Data, V: Data> Operator<K, Change<V>> for Updates<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match value.new {
            Some(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => Ok(()),
        }
    }
}
