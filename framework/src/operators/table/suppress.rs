//! `suppress`: holds the changes of a table back, and gives out one of each row.
//!
//! | | |
//! |---|---|
//! | emits | until windows close: each window or session once, when stream time is past its end and grace, by end, then key; until a time limit: the latest change of a row when the first that was held back is so old, by that time, then key. What moves stream time is a record that comes, or `idle_timeout_ms` |
//! | emits not | until windows close: deletions |
//! | drops | rows that the store cannot write (`Failed`, by policy) |
//! | key | kept |
//! | time, headers | of the change that is given out |
//! | state | a buffer: one change per key, on disk unless it is said otherwise, and its changelog, written once per key and commit |
//!
//! Stream time is the largest time that reached this operator. A change of a row that is held already keeps its place in
//! the order. A bound that is exceeded gives out the oldest early, or stops the instance, as
//! [`Suppress`](crate::Suppress) says.
//!
//! Unlike Kafka Streams, a session or sliding window is given out a millisecond later, when it takes no record any more:
//! there it may be given out twice. And the old row that goes with a change is what was given out before, not a change
//! that nobody saw.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::table::handle::KTable;
use crate::operators::table::view::{Lookup, View};
use crate::record::{Change, Data, Record, Timestamp};
use crate::serde::{HasSerde, Serde};
use crate::store::{BufferSpec, BufferStore, Serdes, StoreOptions};
use crate::time::{Bounds, Full, SuppressPlan, Suppresses};
use crate::topology::{
    Linker, NodeDraft, NodeKind, SharedGraph, StoreIndex, TableTraits, TopologyFault,
};

/// Stands for a name that is to be generated.
const GENERATED: &str = "";

/// How what [`KTable::suppress`] holds back is kept. A name is enough where the type of the rows knows its serde: the
/// buffer is then on disk and logged. It is in the changelog's name (`<application>-<name>-store-changelog`).
///
/// ```
/// use std::collections::BTreeMap;
/// use std::time::Duration;
/// use millstream::serde::Json;
/// use millstream::{Buffer, StreamsBuilder, Suppress};
///
/// # let builder = StreamsBuilder::new().allow_generated_names();
/// let words = builder.stream::<String, String>("words").group_by_key();
/// let seen = words.aggregate(
///     millstream::Materialized::with_values("seen", Json),
///     BTreeMap::new,
///     |_, word, seen: &mut BTreeMap<String, u64>| *seen.entry(word).or_default() += 1,
/// );
/// let seldom = Suppress::until_time_limit(Duration::from_secs(60)).emit_early_when_full();
/// seen.suppress(Buffer::with_values("seldom", Json).in_memory(), seldom);
/// let counts = words.count("counts");
/// counts.suppress("a-name-is-enough", seldom);
/// counts.suppress(Buffer::named("may-be-lost").without_changelog(), seldom);
/// counts.suppress(Buffer::named("small").changelog_config("segment.bytes", "1048576"), seldom);
/// counts.suppress(Buffer::generated(), seldom);
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Buffer<V> {
    options: StoreOptions,
    value: Arc<dyn Serde<V>>,
}

impl<V> std::fmt::Debug for Buffer<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Buffer").field(&self.options).finish()
    }
}

impl<V: HasSerde> From<&str> for Buffer<V> {
    fn from(name: &str) -> Self {
        Self::with_values(name, V::Serde::default())
    }
}

impl<V: HasSerde> Buffer<V> {
    /// A buffer of this name.
    pub fn named(name: &str) -> Self {
        Self::from(name)
    }

    /// A buffer whose name is generated as Java does; the builder must allow generated names for that.
    pub fn generated() -> Self {
        Self::from(GENERATED)
    }
}

impl<V> Buffer<V> {
    /// A buffer of this name, with rows in bytes of this serde.
    pub fn with_values(name: &str, value: impl Serde<V>) -> Self {
        Self { options: StoreOptions::named(name), value: Arc::new(value) }
    }

    /// Kept in memory only: restored from the changelog's start each time.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.options.in_memory = true;
        self
    }

    /// No changelog: what is held back is lost when its directory is lost or its task moves.
    #[must_use]
    pub fn without_changelog(mut self) -> Self {
        self.options.logged = false;
        self
    }

    /// A setting of the changelog topic, in Kafka's words; it goes before the default.
    #[must_use]
    pub fn changelog_config(mut self, name: &str, value: &str) -> Self {
        self.options.topic_config.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Holds changes back until `how` lets them out.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, Suppress, TimeWindows, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).grace(Duration::from_secs(10));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minute);
    /// let once = clicks.count("per-minute").suppress("closed", Suppress::until_window_closes());
    /// once.updates().map(|window, clicks| (window.key, clicks)).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [1_000, 2_000, 61_000] {
    ///     driver.pipe("clicks", &text("ada", "/", at))?;
    /// }
    /// assert!(driver.read::<String, i64>("out")?.is_empty());
    /// // Size and grace have passed.
    /// driver.pipe("clicks", &text("ada", "/", 70_000))?;
    /// assert_eq!(driver.read::<String, i64>("out")?[0].value, 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// Only windows close:
    ///
    /// ```compile_fail
    /// # use millstream::{StreamsBuilder, Suppress};
    /// # let builder = StreamsBuilder::new();
    /// let counts = builder.stream::<String, String>("in").group_by_key().count("counts");
    /// counts.suppress("closed", Suppress::until_window_closes());
    /// ```
    #[must_use]
    pub fn suppress(&self, buffer: impl Into<Buffer<V>>, how: impl Suppresses<K>) -> Self {
        let Buffer { mut options, value } = buffer.into();
        let plan = how.plan();
        let mut graph = self.graph.borrow_mut();
        graph.want_old(self.node, true);
        let name = match &*options.name {
            GENERATED => {
                let name = graph.generate("KTABLE-SUPPRESS-");
                options.name = graph.generate("KTABLE-SUPPRESS-STATE-STORE-").into();
                name
            }
            name => {
                let name = name.to_owned();
                options.name = format!("{name}-store").into();
                name
            }
        };
        let closes_windows = plan.limit_ms.is_none();
        let closes = graph.closes_after(self.node);
        if closes_windows && closes.is_none() {
            let reason = "none of the tables above has windows that close".to_owned();
            graph.fault(TopologyFault::BadWindows { node: name.clone(), reason });
        }
        if graph.history_ms(self.node).is_some() {
            let store = options.name.to_string();
            graph.fault(TopologyFault::VersionedSuppressed { node: name.clone(), store });
        }
        let limit_ms = plan.limit_ms.or(closes).unwrap_or(i64::MAX);
        let serdes = Serdes::given(Arc::clone(&self.key), value);
        let store = graph.add_store(Arc::new(BufferSpec { options, serdes }));
        let SuppressPlan { since, bounds, full, .. } = plan;
        let node = graph.add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![self.node],
            stores: vec![store],
            make: Box::new(move |linker: &mut Linker<'_>| {
                let store = linker.store(store)?.typed::<BufferStore<K, V>>()?;
                let (children, faults) = (linker.children::<K, Change<V>>()?, linker.faults()?);
                linker.add::<K, Change<V>, _>(SuppressNode {
                    store,
                    children,
                    faults,
                    since,
                    limit_ms,
                    closes_windows,
                    bounds,
                    full,
                    observed: -1,
                });
                Ok(())
            }),
        });
        graph.set_table(node, TableTraits::computed_from(self.node));
        drop(graph);
        let above = self.clone();
        let table = KTable::new(SharedGraph::clone(&self.graph), node, Arc::clone(&self.key));
        table.computed(move || held_back(store, above.view()))
    }
}

/// Rows as they were given out: those of the table above, where nothing is held back.
fn held_back<K: Data, V: Data>(buffer: StoreIndex, above: View<K, V>) -> View<K, V> {
    let stores = std::iter::once(buffer).chain(above.stores.iter().copied()).collect();
    View::new(stores, move |linker: &Linker<'_>| {
        let buffer = linker.store(buffer)?.typed::<BufferStore<K, V>>()?;
        Ok(Box::new(HeldBack { buffer, above: above.open(linker)? }))
    })
}

struct HeldBack<K, V> {
    buffer: Rc<RefCell<BufferStore<K, V>>>,
    above: Box<dyn Lookup<K, V>>,
}

impl<K: Data, V: Data> Lookup<K, V> for HeldBack<K, V> {
    fn get(&mut self, key: &K) -> Result<Option<(V, Timestamp)>> {
        // The time of what was given out is not kept, as in Kafka Streams.
        match self.buffer.borrow().prior(key)? {
            Some(prior) => Ok(prior.map(|row| (row, Timestamp(-1)))),
            None => self.above.get(key),
        }
    }
}

struct SuppressNode<K, V> {
    store: Rc<RefCell<BufferStore<K, V>>>,
    children: Children<K, Change<V>>,
    faults: Faults,
    since: fn(&K, Timestamp) -> i64,
    limit_ms: i64,
    /// What is given out is final, and deletions mean nothing.
    closes_windows: bool,
    bounds: Bounds,
    full: Full,
    /// Stream time as this operator has seen it.
    observed: i64,
}

impl<K: Data, V: Data> Node for SuppressNode<K, V> {
    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        self.observed = self.observed.max(to.0);
        self.let_out(ctx)
    }

    fn flush(&mut self, _: &mut TaskContext) -> Result<()> {
        self.store.borrow_mut().log_changes()
    }
}

impl<K: Data, V: Data> Operator<K, Change<V>> for SuppressNode<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut TaskContext) -> Result<()> {
        self.observed = self.observed.max(record.timestamp.0);
        let since = (self.since)(&record.key, record.timestamp);
        let held = self.store.borrow_mut().put(since, &record, ctx.record_metadata());
        if let Err(error) = held {
            self.faults.apply_to_row(error, ctx)?;
        }
        self.let_out(ctx).map(drop)
    }
}

impl<K: Data, V: Data> SuppressNode<K, V> {
    fn is_full(&self) -> Result<bool> {
        if self.bounds == Bounds::default() {
            return Ok(false);
        }
        let held = self.store.borrow_mut().held()?;
        Ok(held.records > self.bounds.records || held.bytes > self.bounds.bytes)
    }

    /// Gives out what is due, and what is too much; false if there is nothing.
    #[inline]
    fn let_out(&self, ctx: &mut TaskContext) -> Result<bool> {
        let due = self.observed.saturating_sub(self.limit_ms);
        if self.store.borrow_mut().first()?.is_none_or(|first| first > due) && !self.is_full()? {
            return Ok(false);
        }
        ctx.with_rows(&self.store, |ctx| self.give_out(due, ctx))?;
        Ok(true)
    }

    fn give_out(&self, due: i64, ctx: &mut TaskContext) -> Result<()> {
        loop {
            let first = self.store.borrow_mut().first()?;
            if first.is_none_or(|first| first > due) {
                match self.full {
                    _ if !self.is_full()? => return Ok(()),
                    Full::EmitEarly => {}
                    Full::ShutDown => return self.overflow(),
                }
            }
            // Let go of the store before forwarding: operators downstream may read it.
            let Some(record) = self.store.borrow_mut().take()? else { return Ok(()) };
            if record.value.new.is_some() || !self.closes_windows {
                self.children.forward(record, ctx)?;
            }
        }
    }

    #[cold]
    fn overflow(&self) -> Result<()> {
        let held = self.store.borrow_mut().held()?;
        let Bounds { records, bytes } = self.bounds;
        let bound =
            |bound: u64| if bound == u64::MAX { "any".to_owned() } else { bound.to_string() };
        let reason = format!(
            "it holds {} rows of {} bytes, more than its bounds ({} rows, {} bytes), and none may be given out before its \
             time: raise the bounds, or shorten windows and grace",
            held.records,
            held.bytes,
            bound(records),
            bound(bytes)
        );
        Err(self.faults.fatal("the buffer", &reason.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::error::Error;
    use crate::operators::KTable;
    use crate::policy::OnError;
    use crate::record::{Record, Session, Timestamp, Windowed};
    use crate::serde::{Nullable, Plain, WindowedSerde};
    use crate::store::Materialized;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{
        Emit, SessionWindows, SlidingWindows, Suppress, TimeWindows, UnlimitedWindows,
    };
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn number(key: &str, n: i64, at: i64) -> Record<String, i64> {
        Record::new(key.to_owned(), n, Timestamp(at))
    }

    fn cached(topology: &Topology, cache_bytes: usize) -> TopologyDriver {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        TopologyDriver::with_options(topology, &options).unwrap()
    }

    /// What comes out: key, row, time.
    fn out(driver: &mut TopologyDriver) -> Vec<(String, Option<i64>, i64)> {
        let out = driver.read::<String, Option<i64>>("out").unwrap();
        out.into_iter().map(|r| (r.key, r.value, r.timestamp.0)).collect()
    }

    fn row(key: &str, n: i64, at: i64) -> (String, Option<i64>, i64) {
        (key.to_owned(), Some(n), at)
    }

    fn limited(how: crate::time::UntilTimeLimit) -> Topology {
        let builder = StreamsBuilder::new();
        let numbers = builder.table::<String, i64>("in", "t");
        numbers.suppress("held", how).to_stream().to("out");
        builder.build().unwrap()
    }

    #[test]
    fn the_latest_change_comes_when_the_first_is_old_enough() {
        let mut driver = TopologyDriver::new(&limited(Suppress::until_time_limit(MS(10)))).unwrap();
        for record in [number("a", 1, 0), number("b", 1, 4), number("a", 2, 9)] {
            driver.pipe("in", &record).unwrap();
        }
        assert_eq!(out(&mut driver), []);
        driver.pipe("in", &number("c", 1, 10)).unwrap();
        assert_eq!(out(&mut driver), [row("a", 2, 9)]);
        // Deletions of rows are results of a table.
        driver.pipe("in", &Record::new("b".to_owned(), None::<i64>, Timestamp(12))).unwrap();
        driver.pipe("in", &number("c", 2, 20)).unwrap();
        assert_eq!(out(&mut driver), [("b".to_owned(), None, 12), row("c", 2, 20)]);
    }

    #[test]
    fn a_bound_gives_out_the_oldest_early_or_stops() {
        let limit = Suppress::until_time_limit(MS(1_000)).max_records(2);
        let mut driver = TopologyDriver::new(&limited(limit)).unwrap();
        for record in [number("b", 1, 5), number("a", 1, 7), number("a", 2, 8), number("c", 1, 6)] {
            driver.pipe("in", &record).unwrap();
        }
        assert_eq!(out(&mut driver), [row("b", 1, 5)]);
        let bytes = Suppress::until_time_limit(MS(1_000)).max_bytes(1);
        let mut driver = TopologyDriver::new(&limited(bytes)).unwrap();
        driver.pipe("in", &number("a", 1, 7)).unwrap();
        assert_eq!(out(&mut driver), [row("a", 1, 7)]);

        let mut driver = TopologyDriver::new(&limited(limit.shut_down_when_full())).unwrap();
        for record in [number("a", 1, 5), number("b", 1, 7), number("b", 2, 8)] {
            driver.pipe("in", &record).unwrap();
        }
        let error = driver.pipe("in", &number("c", 1, 9)).unwrap_err();
        assert!(matches!(error, Error::Fatal { .. }), "{error}");
        assert!(error.to_string().contains("the buffer of held failed"), "{error}");
        assert!(error.to_string().contains("3 rows"), "{error}");
    }

    #[test]
    fn what_is_held_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            DriverOptions { state_dir: Some(dir.path().to_owned()), ..DriverOptions::default() };
        let topology = limited(Suppress::until_time_limit(MS(10)));
        let mut before = TopologyDriver::with_options(&topology, &options).unwrap();
        for record in [number("b", 1, 3), number("a", 1, 3), number("a", 2, 4)] {
            before.pipe("in", &record).unwrap();
        }
        drop(before);
        let mut after = TopologyDriver::with_options(&topology, &options).unwrap();
        after.pipe("in", &number("c", 1, 50)).unwrap();
        assert_eq!(out(&mut after), [row("a", 2, 4), row("b", 1, 3)]);
    }

    #[test]
    fn a_lookup_finds_what_was_given_out() {
        let builder = StreamsBuilder::new();
        let numbers = builder.table::<String, i64>("in", "t");
        let held = numbers.suppress("held", Suppress::until_time_limit(MS(10)));
        let asks = builder.stream::<String, String>("asks");
        asks.left_join_table(&held, |_, n: Option<&i64>| n.copied()).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let ask = |driver: &mut TopologyDriver| {
            driver.pipe("asks", &text("a", "?", 0)).unwrap();
            out(driver).pop().unwrap().1
        };
        driver.pipe("in", &number("a", 1, 0)).unwrap();
        assert_eq!(ask(&mut driver), None);
        driver.pipe("in", &number("b", 1, 10)).unwrap();
        assert_eq!(ask(&mut driver), Some(1));
        driver.pipe("in", &number("a", 2, 11)).unwrap();
        assert_eq!(ask(&mut driver), Some(1));
    }

    /// What a group takes away is what it was given, not a change that nobody saw.
    #[test]
    fn the_old_row_is_what_was_given_out_before() {
        let builder = StreamsBuilder::new();
        let numbers = builder.table::<String, i64>("in", "t");
        let held = numbers.suppress("held", Suppress::until_time_limit(MS(10)));
        let sums = held.group_by(|_, n| ("sum".to_owned(), *n));
        let sums = sums.aggregate("sum", || 0_i64, |_, n, sum| *sum += n, |_, n, sum| *sum -= n);
        sums.to_stream().to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (n, at) in [(1, 0), (5, 2), (7, 20), (8, 21), (9, 40)] {
            driver.pipe("in", &number("a", n, at)).unwrap();
        }
        driver.pipe("in", &number("b", 100, 60)).unwrap();
        assert_eq!(out(&mut driver).last().unwrap().1, Some(9));
    }

    #[test]
    fn a_change_that_fails_downstream_is_the_one_that_was_held() {
        let builder = StreamsBuilder::new();
        let numbers = builder.table::<String, i64>("in", "t");
        let held = numbers.suppress("held", Suppress::until_time_limit(MS(10))).updates();
        held.try_map_values(|n| if n == 2 { Err("two") } else { Ok(n) })
            .on_error(OnError::dead_letter("letters"))
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for record in [number("a", 1, 0), number("a", 2, 1), number("b", 3, 10)] {
            driver.pipe("in", &record).unwrap();
        }
        let letters = driver.read_raw("letters").unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].key.as_deref(), Some(&b"a"[..]));
        assert_eq!(letters[0].value.as_deref(), Some(&2_i64.to_be_bytes()[..]));
    }

    #[test]
    fn what_never_closes_is_refused() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in").group_by_key();
        let all = stream.windowed_by(UnlimitedWindows::of()).count("all");
        let _ = all.suppress("closed", Suppress::until_window_closes());
        let faults = builder.build().unwrap_err();
        assert!(
            matches!(&faults.faults()[0], TopologyFault::BadWindows { node, .. } if node == "closed"),
            "{faults}"
        );
    }

    #[test]
    fn versions_cannot_be_held_back() {
        let builder = StreamsBuilder::new();
        let versions = Materialized::named("t").versioned(MS(1_000));
        let numbers = builder.table::<String, i64>("in", versions);
        let _ = numbers.suppress("held", Suppress::until_time_limit(MS(10)));
        let (node, store) = ("held".to_owned(), "held-store".to_owned());
        let fault = TopologyFault::VersionedSuppressed { node, store };
        assert_eq!(builder.build().unwrap_err().faults(), [fault]);
    }

    /// Key, start, end, count of what closed.
    type Closed = Vec<(String, i64, i64, i64)>;

    fn windows(driver: &mut TopologyDriver, size: u64) -> Closed {
        let keys = WindowedSerde::<Plain>::of_size(MS(size));
        let out = driver.read_with::<Windowed<String>, Option<i64>>("out", &keys, &Nullable(Plain));
        let out = out.unwrap().into_iter();
        out.map(|r| (r.key.key, r.key.start, r.key.end, r.value.unwrap())).collect()
    }

    fn finals<K: Clone + Send + 'static>(
        table: &KTable<K, i64>,
        emit: Emit,
        how: impl crate::time::Suppresses<K>,
    ) -> KTable<K, i64> {
        match emit {
            Emit::OnUpdate => table.suppress("closed", how),
            Emit::OnWindowClose => table.clone(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Two ways to say the same: what is held back until it closes, and what is emitted when it closes.
        #[test]
        fn what_closes_is_what_is_emitted_on_close(
            came in prop::collection::vec((0..3_u8, 0..60_i64), 0..40),
            (size, grace) in (1..15_u64, 0..20_u64),
            kind in 0..3_u8,
            cache_bytes in prop_oneof![Just(0_usize), Just(1 << 16)],
        ) {
            let run = |emit| {
                let builder = StreamsBuilder::new();
                let grouped = builder.stream::<String, String>("in").group_by_key();
                // Stores that lose nothing: what closes is decided by the operators alone.
                let kept = || Materialized::named("n").retention(MS(3_600_000));
                let close = Suppress::until_window_closes();
                match kind {
                    0 => {
                        let windows = TimeWindows::of(MS(size)).grace(MS(grace));
                        let counts = grouped.windowed_by(windows).emit(emit).count(kept());
                        finals(&counts, emit, close).to_stream().to("out");
                    }
                    1 => {
                        let windows = SlidingWindows::of_difference(MS(size)).grace(MS(grace));
                        let counts = grouped.windowed_by(windows).emit(emit).count(kept());
                        finals(&counts, emit, close).to_stream().to("out");
                    }
                    _ => {
                        let windows = SessionWindows::with_gap(MS(size)).grace(MS(grace));
                        let counts = grouped.windowed_by(windows).emit(emit).count(kept());
                        finals(&counts, emit, close).to_stream().to("out");
                    }
                }
                let mut driver = cached(&builder.build().unwrap(), cache_bytes);
                let pipe = |driver: &mut TopologyDriver, key: &str, at| driver.pipe("in", &text(key, "v", at)).unwrap();
                for (key, at) in &came {
                    pipe(&mut driver, &key.to_string(), *at);
                }
                pipe(&mut driver, "end", 10_000);
                let mut all: Closed = if kind == 2 {
                    let out = driver.read::<Session<String>, Option<i64>>("out").unwrap();
                    out.into_iter().map(|r| (r.key.key, r.key.start, r.key.end, r.value.unwrap())).collect()
                } else {
                    windows(&mut driver, size)
                };
                all.retain(|(key, ..)| key != "end");
                all
            };
            let (held, emitted) = (run(Emit::OnUpdate), run(Emit::OnWindowClose));
            let sorted = |all: &Closed| -> BTreeMap<(String, i64, i64), i64> {
                all.iter().map(|(key, start, end, n)| ((key.clone(), *start, *end), *n)).collect()
            };
            prop_assert_eq!(held.len(), sorted(&held).len(), "one was given out twice");
            prop_assert_eq!(sorted(&held), sorted(&emitted));
        }
    }
}
