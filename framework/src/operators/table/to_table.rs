//! `to_table`: a stream as a table.
//!
//! | | |
//! |---|---|
//! | emits | each record as a change of the row of its key; a null value deletes it |
//! | drops | null keys (`NullKey`) |
//! | key, time, headers | kept; a re-keyed stream goes through a repartition topic named after the store |
//! | state | a key-value store with timestamps |

use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::stream::{KStream, Placing, Repartitioned, through_topic};
use crate::operators::table::handle::KTable;
use crate::operators::table::kept::Rows;
use crate::policy::DropReason;
use crate::record::{Change, Data, Record};
use crate::store::{Materialized, Serdes, TableSpec};
use crate::topology::{Linker, NodeDraft, NodeKind, TableTraits};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Takes each record as the new row of its key. A value that the store's serde writes as null deletes
    /// the row: with values that may be null it is `KStream<K, Option<V>>` that becomes a table.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("moves").to_table("places").updates().to("places");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("moves", &text("ada", "London", 1))?;
    /// assert_eq!(driver.table::<String, String>("places")?[0].1, "London");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_table(&self, store: impl Into<Materialized<K, V>>) -> KTable<K, V> {
        let store = store.into();
        let serdes = store.serdes.clone();
        let mut graph = self.graph.borrow_mut();
        let name = graph.generate("KSTREAM-TOTABLE-");
        let key = Arc::clone(&serdes.key);
        let how = Repartitioned::named(&store.options.name);
        let spec = Arc::new(TableSpec::from(store));
        let parent = if P::REKEYED {
            through_topic::<K, V, P>(&mut graph, self.node, &how, &serdes)
        } else {
            self.node
        };
        let store = graph.add_store(spec);
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores: vec![store],
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey])?;
                let (rows, faults) = (linker.rows::<K, V>()?, linker.faults()?);
                linker.add::<K, V, _>(ToTable { serdes: serdes.clone(), rows, faults });
                Ok(())
            }),
        });
        graph.set_table(node, TableTraits::kept());
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node, key)
    }
}

struct ToTable<K, V> {
    serdes: Serdes<K, V>,
    rows: Rows<K, V>,
    faults: Faults,
}

impl<K: Data, V: Data> Node for ToTable<K, V> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K: Data, V: Data> Operator<K, V> for ToTable<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.serdes.key.is_null(&key) {
            let written = || Written::new(self.serdes.bytes(&key, &value), timestamp, &headers);
            let why = format_args!("its key is null");
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        let new = (!self.serdes.value.is_null(&value)).then_some(value);
        let value = Change::latest(new, None);
        self.rows.hand_on(Record { key, value, timestamp, headers }, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn a_rekeyed_stream_goes_through_a_topic_named_after_the_store() {
        let builder = StreamsBuilder::new();
        let by_value = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
        by_value.to_table("by-value").updates().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "v", 5)).unwrap();
        assert_eq!(driver.read_raw("app-by-value-repartition").unwrap().len(), 1);
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("v", "v", 5)]);
    }

    #[test]
    fn null_values_delete_and_null_keys_are_dropped() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<Option<String>, Option<String>>("in");
        stream.to_table("t").to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (key, value) in [(Some("k"), Some("v")), (None, Some("x")), (Some("k"), None)] {
            let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
            driver.pipe("in", &Record::new(key, value, Timestamp(1))).unwrap();
        }
        assert_eq!(driver.table::<Option<String>, Option<String>>("t").unwrap(), []);
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        let out = driver.read::<String, Option<String>>("out").unwrap();
        assert_eq!(
            out.into_iter().map(|it| it.value).collect::<Vec<_>>(),
            [Some("v".to_owned()), None]
        );
    }
}
