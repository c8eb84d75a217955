//! `filter`, `filter_not` of tables.
//!
//! | | |
//! |---|---|
//! | emits | each change of a row that passes; a deletion for a row that does not |
//! | emits not | the deletion of a row that did not pass before either, where the table above keeps its rows, and no versions |
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
    /// Keeps the rows for which `keep` is true.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::TopologyDriver, record::{Record, Timestamp}};
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", "stock");
    /// stock.filter(|_, left| *left < 10).to_stream().to("scarce");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// let left = |n: i64, at| Record::new("pens".to_owned(), n, Timestamp(at));
    /// driver.pipe("stock", &left(50, 1))?;
    /// driver.pipe("stock", &left(3, 2))?;
    /// driver.pipe("stock", &left(70, 3))?;
    /// let scarce = driver.read::<String, Option<i64>>("scarce")?;
    /// assert_eq!(scarce.iter().map(|row| row.value).collect::<Vec<_>>(), [Some(3), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Shared) -> Self {
        let keep = Arc::new(keep);
        // Without old values it cannot know whether a deletion means anything to anybody.
        let above_sends_old = self.graph.borrow_mut().want_old(self.node, false);
        let versioned = self.graph.borrow().history_ms(self.node).is_some();
        let passes = Arc::clone(&keep);
        let view = move |above: View<K, V>| {
            let passes = Arc::clone(&passes);
            above.then(move |key, row| Some(row).filter(|row| passes(key, row)))
        };
        let table = self.derived("KTABLE-FILTER-", view, move |linker| {
            let (sends_old, rows) = (linker.sends_old(), linker.rows::<K, V>()?);
            let keep = Arc::clone(&keep);
            let spares = sends_old && !versioned;
            linker.add::<K, Change<V>, _>(Filter { keep, sends_old, spares, rows });
            Ok(())
        });
        if above_sends_old {
            self.graph.borrow_mut().want_old(table.node, false);
        }
        table
    }

    /// Keeps the rows for which `drop` is false.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, String>("stock", "stock");
    /// stock.filter_not(|_, left| left == "0").to_stream().to("there");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("stock", &text("pens", "5", 1))?;
    /// driver.pipe("stock", &text("pens", "0", 2))?;
    /// let there = driver.read::<String, Option<String>>("there")?;
    /// assert_eq!(there.iter().map(|row| row.value.as_deref()).collect::<Vec<_>>(), [Some("5"), None]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Shared) -> Self {
        self.filter(move |key, value| !drop(key, value))
    }
}

struct Filter<K, V, F> {
    keep: Arc<F>,
    sends_old: bool,
    /// Spares what is below a deletion of nothing. A version that is a deletion means something to a history.
    spares: bool,
    rows: Rows<K, V>,
}

impl<K: Data, V: Data, F> Node for Filter<K, V, F> {
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K: Data, V: Data, F: Fn(&K, &V) -> bool> Operator<K, Change<V>> for Filter<K, V, F> {
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value: Change { new, old, latest }, timestamp, headers } = record;
        let new = new.filter(|row| (self.keep)(&key, row));
        let old = match self.rows.kept(&key).filter(|_| self.sends_old) {
            Some(kept) => kept?,
            None => old.filter(|row| self.sends_old && (self.keep)(&key, row)),
        };
        if self.spares && new.is_none() && old.is_none() {
            return Ok(());
        }
        let value = Change { new, old, latest };
        self.rows.hand_on(Record { key, value, timestamp, headers }, ctx)
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{Record, Timestamp};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::TimeWindows;
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};
    use std::time::Duration;

    fn even(kept: Option<&str>, source: Materialized<String, i64>) -> Topology {
        let builder = StreamsBuilder::new();
        let even = builder.table("in", source).filter(|_, n: &i64| n % 2 == 0);
        let even = match kept {
            Some(name) => even.materialized(name),
            None => even,
        };
        even.to_stream().to("out");
        builder.build().unwrap()
    }

    fn changes(topology: &Topology, cache_bytes: usize) -> Vec<Option<i64>> {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(topology, &options).unwrap();
        for (n, at) in [(1_i64, 1), (2, 2), (4, 3), (5, 4), (7, 5)] {
            driver.pipe("in", &Record::new("k".to_owned(), n, Timestamp(at))).unwrap();
        }
        let out = driver.read::<String, Option<i64>>("out").unwrap();
        out.into_iter().map(|record| record.value).collect()
    }

    #[test]
    fn a_row_that_passes_no_more_is_deleted_once() {
        for cache_bytes in [0, 1 << 20] {
            let wanted = [Some(2), Some(4), None];
            assert_eq!(changes(&even(None, "t".into()), cache_bytes), wanted, "{cache_bytes}");
            assert_eq!(changes(&even(Some("f"), "t".into()), cache_bytes), wanted, "{cache_bytes}");
        }
    }

    /// As in Kafka Streams: it is unknown whether there was a row.
    #[test]
    fn without_old_rows_above_each_refusal_is_a_deletion() {
        let all = [None, Some(2), Some(4), None, None];
        assert_eq!(changes(&even(None, Materialized::generated()), 0), all);
        assert_eq!(changes(&even(Some("f"), Materialized::generated()), 0), all);
    }

    /// As in Kafka Streams with the record cache off: before its first record a count is 0, and passes.
    #[test]
    fn the_first_change_of_a_count_has_its_initial_value_as_old_one() {
        let builder = StreamsBuilder::new();
        let counts = builder.stream::<String, String>("in").group_by_key().count("c");
        counts.filter(|_, count| *count < 1).to_stream().to("out");
        let windows = TimeWindows::of(Duration::from_millis(10)).no_grace();
        let stream = builder.stream::<String, String>("windowed").group_by_key();
        let counts = stream.windowed_by(windows).count("w").filter(|_, count| *count < 1);
        counts.to_stream().map(|window, count| (window.key, count)).to("windows");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for topic in ["in", "windowed"] {
            driver.pipe(topic, &text("k", "v", 1)).unwrap();
            driver.pipe(topic, &text("k", "v", 2)).unwrap();
        }
        for topic in ["out", "windows"] {
            let out = driver.read::<String, Option<i64>>(topic).unwrap();
            assert_eq!(out, [Record::new("k".to_owned(), None, Timestamp(1))], "{topic}");
        }
    }

    #[test]
    fn a_table_is_kept_before_anything_comes_below_it() {
        let builder = StreamsBuilder::new();
        let table = builder.table::<String, String>("in", "t").filter(|_, _| true);
        table.to_stream().to("out");
        let _ = table.materialized("late");
        let faults = builder.build().unwrap_err();
        let (node, store) = ("KTABLE-FILTER-0000000002".to_owned(), "late".to_owned());
        assert_eq!(faults.faults(), [TopologyFault::KeptTooLate { node, store }]);
    }
}
