//! `peek`: looks at each record on its way.
//!
//! | | |
//! |---|---|
//! | emits | the record, unchanged, after the closure has seen it |
//! | key, time, headers | kept |
//! | state | none; the closure runs again when a record is processed again after a crash |

use std::sync::Arc;

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Shows each record to a closure and hands it on.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").peek(|key, value| println!("{key}: {value}")).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(driver.read::<String, String>("out")?, [text("k", "v", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use = "peek hands the records on; for_each ends a stream"]
    pub fn peek(&self, f: impl Fn(&K, &V) + Shared) -> Self {
        let f = Arc::new(f);
        self.child("KSTREAM-PEEK-", move |linker| {
            let children = linker.children::<K, V>()?;
            linker.add(Peek { f: Arc::clone(&f), children });
            Ok(())
        })
        .handing_on()
    }
}

struct Peek<K, V, F> {
    f: Arc<F>,
    children: Children<K, V>,
}

impl<K, V, F> Node for Peek<K, V, F> {}

impl<K: Data, V: Data, F: Fn(&K, &V)> Operator<K, V> for Peek<K, V, F> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        (self.f)(&record.key, &record.value);
        self.children.forward(record, ctx)
    }
}
