//! `map_values`, `map_values_with_key` of tables.
//!
//! | | |
//! |---|---|
//! | emits | each change, with its rows mapped; a deletion stays one, and nothing is called for it |
//! | drops | nothing |
//! | key, time, headers | kept |
//! | state | none, unless it is [`materialized`](crate::KTable::materialized) |

use std::sync::Arc;

use crate::chain::{Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::table::handle::KTable;
use crate::operators::table::kept::Rows;
use crate::operators::table::view::View;
use crate::record::{Change, Data, Record, Shared};

impl<K: Data, V: Data> KTable<K, V> {
    /// Makes something else of each row.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// names.map_values(|name| name.len() as i64).updates().to("lengths");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// assert_eq!(driver.read::<String, i64>("lengths")?[0].value, 3);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn map_values<V2: Data>(&self, f: impl Fn(&V) -> V2 + Shared) -> KTable<K, V2> {
        self.map_values_with_key(move |_, row| f(row))
    }

    /// As [`Self::map_values`], with the key at hand.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// names.map_values_with_key(|id, name| format!("{name} ({id})")).updates().to("labels");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &text("7", "Ada", 1))?;
    /// assert_eq!(driver.read::<String, String>("labels")?, [text("7", "Ada (7)", 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn map_values_with_key<V2: Data>(
        &self,
        f: impl Fn(&K, &V) -> V2 + Shared,
    ) -> KTable<K, V2> {
        let f = Arc::new(f);
        let map = Arc::clone(&f);
        let view = move |above: View<K, V>| {
            let map = Arc::clone(&map);
            above.then(move |key, row| Some(map(key, &row)))
        };
        self.derived("KTABLE-MAPVALUES-", view, move |linker| {
            let (sends_old, rows) = (linker.sends_old(), linker.rows::<K, V2>()?);
            linker.add::<K, Change<V>, _>(MapValues { f: Arc::clone(&f), sends_old, rows });
            Ok(())
        })
    }
}

struct MapValues<K, V2, F> {
    f: Arc<F>,
    sends_old: bool,
    rows: Rows<K, V2>,
}

impl<K: Data, V2: Data, F> Node for MapValues<K, V2, F> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K, V, V2, F> Operator<K, Change<V>> for MapValues<K, V2, F>
where
    K: Data,
    V: Data,
    V2: Data,
    F: Fn(&K, &V) -> V2,
{
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: Change { new, old, latest }, timestamp, headers } = record;
        let new = new.map(|row| (self.f)(&key, &row));
        let old = old.filter(|_| self.sends_old).map(|row| (self.f)(&key, &row));
        let value = Change { new, old, latest };
        self.rows.hand_on(Record { key, value, timestamp, headers }, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{Record, Timestamp};
    use crate::testing::TopologyDriver;
    use crate::topology::StreamsBuilder;

    #[test]
    fn a_deletion_goes_through_and_old_rows_are_mapped() {
        let builder = StreamsBuilder::new();
        let lengths = builder.table::<String, String>("in", "t").map_values(|text| {
            assert!(text != "never", "called for a deletion");
            text.len() as i64
        });
        // Asks for old rows: a second deletion is not forwarded.
        lengths.filter(|_, length| *length > 1).to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (value, at) in [(Some("abc"), 1), (None, 2), (None, 3), (Some("x"), 4)] {
            let value = value.map(str::to_owned);
            driver.pipe("in", &Record::new("k".to_owned(), value, Timestamp(at))).unwrap();
        }
        let out = driver.read::<String, Option<i64>>("out").unwrap();
        assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [Some(3), None]);
    }
}
