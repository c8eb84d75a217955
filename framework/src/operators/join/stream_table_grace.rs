//! A join of a stream with a versioned table that waits for the table: `Joined::grace`.
//!
//! | | |
//! |---|---|
//! | emits | as `join_table` and `left_join_table`, by time and key, when the operator's stream time is the grace past the record's; what is later than the grace at once |
//! | drops | as they do |
//! | row | the one that the table had at the time of the record |
//! | key, time, headers | of the stream's record |
//! | state | a buffer of the records that wait, and its changelog |
//!
//! Stream time is the largest timestamp of the stream's records that waited here; `idle_timeout_ms` moves it on.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chain::{Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::join::stream_row::StreamTable;
use crate::record::{Data, Record, Timestamp};
use crate::store::WaitingStore;

/// The join, and the records that wait for it.
pub(super) struct StreamTableGrace<K, V, R, VO, F> {
    pub(super) join: StreamTable<K, V, R, VO, F>,
    pub(super) waiting: Rc<RefCell<WaitingStore<K, V>>>,
    pub(super) grace_ms: i64,
    /// Stream time as this operator has seen it.
    pub(super) observed: i64,
}

impl<K, V, R, VO, F> Node for StreamTableGrace<K, V, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(V, Option<&R>) -> Option<VO>,
{
    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        self.observed = self.observed.max(to.0);
        self.let_out(ctx)
    }
}

impl<K, V, R, VO, F> StreamTableGrace<K, V, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(V, Option<&R>) -> Option<VO>,
{
    /// Joins the records whose time has come; false if there are none.
    #[inline]
    fn let_out(&mut self, ctx: &mut TaskContext) -> Result<bool> {
        let due = self.observed.saturating_sub(self.grace_ms);
        if self.waiting.borrow_mut().first()?.is_none_or(|first| first > due) {
            return Ok(false);
        }
        let Self { join, waiting, .. } = self;
        ctx.with_rows(waiting, |ctx| join_due((join, waiting), due, ctx))?;
        Ok(true)
    }
}

impl<K, V, R, VO, F> Operator<K, V> for StreamTableGrace<K, V, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(V, Option<&R>) -> Option<VO>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let due = self.observed.saturating_sub(self.grace_ms);
        if record.timestamp.0 < due || !self.join.can_wait(&record) {
            return self.join.process(record, ctx);
        }
        let added = self.waiting.borrow_mut().add(&record, ctx.record_metadata());
        if let Err(error) = added {
            return self.join.faults.apply_to_row(error, ctx);
        }
        self.observed = self.observed.max(record.timestamp.0);
        self.let_out(ctx).map(drop)
    }
}

/// Joins the records whose time has come.
fn join_due<K: Data, V: Data>(
    (join, waiting): (&mut impl Operator<K, V>, &RefCell<WaitingStore<K, V>>),
    due: i64,
    ctx: &mut TaskContext,
) -> Result<()> {
    while waiting.borrow_mut().first()?.is_some_and(|first| first <= due) {
        // Let go of the store before forwarding: operators downstream may read it.
        let record = waiting.borrow_mut().take()?;
        let Some(record) = record else { return Ok(()) };
        join.process(record, ctx)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::operators::Joined;
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn topology() -> Topology {
        let builder = StreamsBuilder::new();
        let prices = Materialized::named("prices").versioned(MS(1_000));
        let prices = builder.table::<Option<String>, String>("prices", prices);
        let orders = builder.stream::<Option<String>, Option<String>>("orders");
        let how = Joined::named("priced").grace(MS(10));
        let priced = orders.left_join_table_with(how, &prices, |order, price| {
            format!("{} {}", order.unwrap_or_default(), price.map_or("-", String::as_str))
        });
        priced.to("out");
        builder.build().unwrap()
    }

    fn out(driver: &mut TopologyDriver) -> Vec<(String, i64)> {
        let out = driver.read::<Option<String>, String>("out").unwrap();
        out.into_iter().map(|record| (record.value, record.timestamp.0)).collect()
    }

    fn row(value: &str, at: i64) -> (String, i64) {
        (value.to_owned(), at)
    }

    #[test]
    fn records_wait_and_meet_the_row_of_their_time() {
        let mut driver = TopologyDriver::new(&topology()).unwrap();
        for (order, at) in [("b", 22), ("a", 22), ("c", 20), ("d", 22)] {
            driver.pipe("orders", &text("pen", order, at)).unwrap();
        }
        for (price, at) in [("2", 15), ("3", 21), ("4", 23)] {
            driver.pipe("prices", &text("pen", price, at)).unwrap();
        }
        assert_eq!(out(&mut driver), []);
        driver.pipe("orders", &text("ink", "e", 32)).unwrap();
        // By time, then in the order in which they came.
        let all = [row("c 2", 20), row("b 3", 22), row("a 3", 22), row("d 3", 22)];
        assert_eq!(out(&mut driver), all);
        // What is later than the grace does not wait, nor what has no key.
        driver.pipe("orders", &text("pen", "late", 21)).unwrap();
        driver.pipe("orders", &Record::new(None::<String>, "f".to_owned(), Timestamp(32))).unwrap();
        assert_eq!(out(&mut driver), [row("late 3", 21), row("f -", 32)]);
        driver
            .pipe("orders", &Record::new("pen".to_owned(), None::<String>, Timestamp(40)))
            .unwrap();
        assert_eq!(driver.dropped(DropReason::NullValue), 1);
    }

    #[test]
    fn what_waits_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            DriverOptions { state_dir: Some(dir.path().to_owned()), ..DriverOptions::default() };
        let mut before = TopologyDriver::with_options(&topology(), &options).unwrap();
        before.pipe("orders", &text("pen", "a", 20)).unwrap();
        drop(before);
        let mut after = TopologyDriver::with_options(&topology(), &options).unwrap();
        // The same key and time: neither takes the place of the other.
        after.pipe("orders", &text("pen", "b", 20)).unwrap();
        after.pipe("prices", &text("pen", "2", 20)).unwrap();
        after.pipe("orders", &text("ink", "c", 30)).unwrap();
        let mut met = out(&mut after);
        met.sort();
        assert_eq!(met, [row("a 2", 20), row("b 2", 20)]);
    }

    /// What is later than the grace is joined at once, and does not wait for another record that waits.
    #[test]
    fn a_late_record_moves_nothing() {
        let mut driver = TopologyDriver::new(&topology()).unwrap();
        driver.pipe("orders", &text("pen", "a", 30)).unwrap();
        driver.pipe("orders", &text("pen", "late", 19)).unwrap();
        assert_eq!(out(&mut driver), [row("late -", 19)]);
        assert!(driver.read_raw("app-priced-Buffer-changelog").unwrap().len() == 1);
    }

    #[test]
    fn global_tables_keep_no_versions() {
        let builder = StreamsBuilder::new();
        let prices = Materialized::named("prices").versioned(MS(1_000));
        let prices = builder.global_table::<String, String>("prices", prices);
        let orders = builder.stream::<String, String>("orders");
        let (how, key) =
            (Joined::named("priced").grace(MS(10)), |_: &String, order: &String| order.clone());
        orders.join_global_with(how, &prices, key, |order, _| order).to("out");
        let faults = builder.build().unwrap_err();
        let (node, grace_ms) = ("priced".to_owned(), 10);
        let grace = TopologyFault::GraceWithoutHistory { node, grace_ms };
        assert_eq!(faults.faults(), [TopologyFault::VersionedGlobal("prices".to_owned()), grace]);
    }

    #[test]
    fn a_table_that_cannot_tell_what_it_had_is_refused() {
        for history in [None, Some(MS(9))] {
            let builder = StreamsBuilder::new();
            let prices = Materialized::named("prices");
            let prices = match history {
                Some(history) => prices.versioned(history),
                None => prices,
            };
            let prices = builder.table::<String, String>("prices", prices).filter(|_, _| true);
            let orders = builder.stream::<String, String>("orders");
            let how = Joined::named("priced").grace(MS(10));
            orders.join_table_with(how, &prices, |order, _: &String| order).to("out");
            let (node, grace_ms) = ("priced".to_owned(), 10);
            let fault = TopologyFault::GraceWithoutHistory { node, grace_ms };
            assert_eq!(builder.build().unwrap_err().faults(), [fault]);
        }
    }
}
