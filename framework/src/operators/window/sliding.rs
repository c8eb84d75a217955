//! `count`, `reduce`, `aggregate` over sliding windows: one row per key and window.
//!
//! | | |
//! |---|---|
//! | emits | on update: at each record the windows that hold it, the latest start first, then those that it makes: the one after the record before it, the one that ends with it, the one after it (with a record cache: each once per flush); on window close: each window once, when it takes no record any more, by start, then key |
//! | drops | null keys (`NullKey`), null values (`NullValue`), records of which no window is open (`Late`), rows that the store cannot write (`Failed`, by policy) |
//! | key | `Windowed`, whose end is the start and the difference, and belongs to the window |
//! | time | the latest of the records in the window |
//! | headers | of the record; on window close, of the one that closes the window |
//! | state | a window store, of which each record reads two differences; on window close with entries by time and without a record cache, and the last close time is noted with the committed offsets |
//!
//! A window takes a record as long as `end >= stream time - grace`, where stream time is the largest timestamp that reached
//! this operator, this record included.
//!
//! Records earlier than the difference have no window that ends with them, since its start would be negative: all of
//! them are in the one that begins at 0.

use std::sync::Arc;
use std::time::Duration;

use millstream_state::Direction;
use smallvec::SmallVec;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::group::First;
use crate::operators::table::{KTable, Kept, Rows};
use crate::operators::window::closing::WindowTime;
use crate::operators::window::windowed_by::{
    WindowedStream, adding, counting, found_by_key, reducing, retention_ms,
};
use crate::policy::DropReason;
use crate::record::{Data, Headers, Record, Shared, Timestamp, Windowed};
use crate::serde::{Serde, WindowedSerde};
use crate::store::{Materialized, Outcome, Serdes, Stamp, WindowTableSpec};
use crate::time::{Emit, SlidingWindows};
use crate::topology::{Linker, NodeId, SharedGraph};

impl<K: Data, V: Data> WindowedStream<K, V, SlidingWindows> {
    /// How many records there are per key and window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Emit, SlidingWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let close = SlidingWindows::of_difference(Duration::from_secs(5)).no_grace();
    /// let logins = builder.stream::<String, String>("logins").group_by_key().windowed_by(close);
    /// let often = logins.emit(Emit::OnWindowClose).count("logins").updates();
    /// often.map(|window, logins| (window.key, logins)).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [10_000, 12_000, 60_000] {
    ///     driver.pipe("logins", &text("ada", "failed", at))?;
    /// }
    /// // Up to 10 s, up to 12 s, and after 10 s.
    /// let out = driver.read::<String, i64>("out")?;
    /// assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [1, 2, 1]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn count(&self, store: impl Into<Materialized<K, i64>>) -> KTable<Windowed<K>, i64> {
        self.rows("KSTREAM-AGGREGATE-", store.into(), Some(Arc::new(|| 0)), counting)
    }

    /// Combines the values of each key and window: the first is the result so far, each later one is combined with it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SlidingWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let close = SlidingWindows::of_difference(Duration::from_secs(5)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(close);
    /// clicks.reduce("paths", |path, page| path + " > " + &page);
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("clicks", &text("ada", "/a", 11_000))?;
    /// # driver.pipe("clicks", &text("ada", "/b", 12_000))?;
    /// # let rows = driver.windowed_table::<String, String>("paths")?;
    /// # assert_eq!(rows.iter().map(|row| &*row.1).collect::<Vec<_>>(), ["/a", "/a > /b", "/b"]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn reduce(
        &self,
        store: impl Into<Materialized<K, V>>,
        f: impl Fn(V, V) -> V + Shared,
    ) -> KTable<Windowed<K>, V> {
        self.rows("KSTREAM-REDUCE-", store.into(), None, reducing(f))
    }

    /// Adds the values of each key and window up into something else, in place, beginning with what `init` makes. A window
    /// that begins with records of another one begins with its row.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SlidingWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let close = SlidingWindows::of_difference(Duration::from_secs(5)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(close);
    /// clicks.aggregate("bytes", || 0_i64, |_, page, bytes| *bytes += page.len() as i64);
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("clicks", &text("ada", "/a", 11_000))?;
    /// # driver.pipe("clicks", &text("ada", "/b", 12_000))?;
    /// # let rows = driver.windowed_table::<String, i64>("bytes")?;
    /// # assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [2, 4, 2]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        store: impl Into<Materialized<K, A>>,
        init: impl Fn() -> A + Shared,
        f: impl Fn(&K, V, &mut A) + Shared,
    ) -> KTable<Windowed<K>, A> {
        let init: First<A> = Arc::new(init);
        let add = adding(Arc::clone(&init), f);
        self.rows("KSTREAM-AGGREGATE-", store.into(), Some(init), add)
    }

    fn rows<A: Data>(
        &self,
        prefix: &str,
        store: Materialized<K, A>,
        init: Option<First<A>>,
        f: impl Fn(&K, V, Option<A>) -> A + Shared,
    ) -> KTable<Windowed<K>, A> {
        let (windows, emit, serdes) = (self.windows, self.emit, self.grouped.serdes.clone());
        let (supplier, key) = sliding_store(&self.grouped.graph, (windows, emit), store);
        let f = Arc::new(f);
        let table = self.grouped.aggregated(prefix, supplier, key, |_| {
            move |linker: &mut Linker<'_>| {
                let what = (serdes.clone(), init.clone());
                add_sliding(linker, None, what, (windows, emit), Arc::clone(&f))
            }
        });
        closing(table, windows)
    }
}

/// Notes when the windows of a table close, for `suppress`.
pub(super) fn closing<K, A>(table: KTable<K, A>, windows: SlidingWindows) -> KTable<K, A> {
    // One more than in Kafka Streams: it takes records up to there, the end included.
    let closes = windows.grace_ms().saturating_add(1);
    table.graph.borrow_mut().set_closes_after(table.node, Some(closes));
    table
}

/// The store of an aggregation over sliding windows, and the bytes of its keys.
pub(super) type SlidingStore<K, A> = (Arc<WindowTableSpec<K, A>>, Arc<dyn Serde<Windowed<K>>>);

/// The store of an aggregation over these windows; notes what does not fit.
pub(super) fn sliding_store<K: Data, A: Data>(
    graph: &SharedGraph,
    (windows, emit): (SlidingWindows, Emit),
    store: Materialized<K, A>,
) -> SlidingStore<K, A> {
    let window_size_ms = windows.difference_ms();
    let size = Duration::from_millis(window_size_ms.unsigned_abs());
    let key = Arc::new(WindowedSerde::around(Arc::clone(&store.serdes.key), size));
    let least = (windows.retention_ms(), "twice the difference and the grace");
    let retention_ms = retention_ms(graph, &store, least, None);
    let Materialized { options, serdes, cached, .. } = store;
    let (cached, order) = found_by_key(emit, cached);
    let ranged = true;
    let spec =
        WindowTableSpec { options, serdes, cached, retention_ms, window_size_ms, order, ranged };
    (Arc::new(spec), key)
}

/// Makes the node that adds records to the rows of their windows; `init` makes a row that is not there yet. Where several
/// nodes write its store, the first of them is named.
pub(crate) fn add_sliding<K: Data, V: Data, A: Data>(
    linker: &mut Linker<'_>,
    writer: Option<NodeId>,
    (serdes, init): (Serdes<K, V>, Option<First<A>>),
    (windows, emit): (SlidingWindows, Emit),
    f: Arc<impl Fn(&K, V, Option<A>) -> A + 'static>,
) -> Result<()> {
    linker.may_drop(&[DropReason::NullKey, DropReason::NullValue, DropReason::Late])?;
    let (faults, sends_old) = (linker.faults()?, linker.sends_old());
    let time = WindowTime::of(linker, emit, writer)?;
    if let Rows::Kept(rows) = linker.rows::<Windowed<K>, A>()? {
        let node = SlidingAggregate { f, init, serdes, windows, rows, sends_old, faults, time };
        linker.add::<K, V, _>(node);
    }
    Ok(())
}

/// What a window has come to, and the time of the latest record in it.
type Row<A> = (A, i64);

/// The record in hand, with what all its windows need.
struct InHand<'a, K, V> {
    key: &'a K,
    value: V,
    at: i64,
    headers: &'a Headers,
    /// Windows that end earlier are closed.
    close: i64,
}

/// What there is around a record.
struct Around<A> {
    starts: SmallVec<[i64; 8]>,
    /// The window that ends with the record is there already.
    has_left: bool,
    /// The window after the record is there already.
    has_right: bool,
    /// What the window that ends with the record begins with, if that has records of it.
    left: Option<Row<A>>,
    /// What the window after the record is, if that has records of it.
    right: Option<Row<A>>,
    /// The time of the record before.
    previous: Option<i64>,
    /// Whether a window took the record.
    taken: bool,
}

impl<A> Default for Around<A> {
    fn default() -> Self {
        Self {
            starts: SmallVec::new(),
            has_left: false,
            has_right: false,
            left: None,
            right: None,
            previous: None,
            taken: false,
        }
    }
}

struct SlidingAggregate<K, V, A, F> {
    f: Arc<F>,
    /// What a row begins with; without it the first value is the row.
    init: Option<First<A>>,
    serdes: Serdes<K, V>,
    windows: SlidingWindows,
    rows: Kept<Windowed<K>, A>,
    sends_old: bool,
    faults: Faults,
    time: WindowTime,
}

impl<K: Data, V: Data, A: Data, F> Node for SlidingAggregate<K, V, A, F> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let difference = self.windows.difference_ms();
        self.time.init(&self.rows.store, ctx, |closed| closed.saturating_sub(difference))
    }

    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        let close = self.time.sees(to.0, self.windows.grace_ms());
        self.emit_closed(close, &Headers::default(), ctx)
    }

    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

impl<K: Data, V: Data, A: Data, F> SlidingAggregate<K, V, A, F> {
    /// Emits the windows that end before `close`.
    #[inline]
    fn emit_closed(
        &mut self,
        close: i64,
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let last = close.saturating_sub(self.windows.difference_ms()).saturating_sub(1);
        self.time.emit((close, last), (&self.rows.store, &self.rows.children), headers, ctx)
    }
}

impl<K, V, A, F> Operator<K, V> for SlidingAggregate<K, V, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, V, Option<A>) -> A,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp: Timestamp(at), headers } = record;
        if self.serdes.key.is_null(&key) {
            let written = || Written::new(self.serdes.bytes(&key, &value), Timestamp(at), &headers);
            let why = format_args!("its key is null");
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        if self.serdes.value.is_null(&value) {
            let written = || Written::new(self.serdes.bytes(&key, &value), Timestamp(at), &headers);
            let why = format_args!("its value is null");
            return self.faults.dropped_record(DropReason::NullValue, ctx, why, &written);
        }
        let close = self.time.sees(at, self.windows.grace_ms());
        let difference = self.windows.difference_ms();
        let in_hand = InHand { key: &key, value, at, headers: &headers, close };
        let taken = if at.saturating_add(difference) < close {
            Ok(false)
        } else if at < difference {
            self.early(&in_hand, ctx)
        } else {
            self.around(&in_hand, ctx)
        };
        match taken {
            Ok(true) => {}
            Ok(false) => {
                let bytes = || self.serdes.bytes(&key, &in_hand.value);
                let written = || Written::new(bytes(), Timestamp(at), &headers);
                self.late((at, close), &written, ctx)?;
            }
            Err(error) => self.faults.apply_to_row(error, ctx)?,
        }
        self.emit_closed(close, &headers, ctx).map(drop)
    }
}

impl<K, V, A, F> SlidingAggregate<K, V, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, V, Option<A>) -> A,
{
    /// Drops a record of which no window is open.
    #[cold]
    fn late(
        &self,
        (at, close): (i64, i64),
        written: &dyn Fn() -> Written,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let (observed, grace) = (self.time.observed(), self.windows.grace_ms());
        let why = format_args!(
            "its windows are closed: its time is {at} ms, stream time {observed} ms, the grace {grace} ms, and all \
             windows that end before {close} are closed"
        );
        self.faults.dropped_record(DropReason::Late, ctx, why, written)
    }

    /// Updates the windows that hold the record, and makes those that it begins or ends. Returns whether any took it.
    fn around(&mut self, in_hand: &InHand<'_, K, V>, ctx: &mut TaskContext) -> Result<bool> {
        let difference = self.windows.difference_ms();
        let at = in_hand.at;
        let mut around = Around::default();
        let starts = (at.saturating_sub(difference.saturating_mul(2)), at.saturating_add(1));
        let rows = self.rows.store.borrow_mut().fetch(in_hand.key, starts, Direction::Backward)?;
        for row in rows {
            let (window, row, Timestamp(newest)) = row?;
            let (start, end) = (window.start, window.start.saturating_add(difference));
            around.starts.push(start);
            if start > at {
                around.has_right = true;
            } else if end > at {
                around.right.get_or_insert_with(|| (row.clone(), newest));
                around.taken |= self.update(start, (Some((row, newest)), false), in_hand, ctx)?;
            } else if end == at {
                around.has_left = true;
                around.taken |= self.update(start, (Some((row, newest)), false), in_hand, ctx)?;
                if newest >= at {
                    // There was a record of this time, so there are all windows that this one would make.
                    return Ok(around.taken);
                }
                around.previous = Some(newest);
            } else {
                around.left = Some((row, newest));
                around.previous = Some(newest);
                break;
            }
        }
        self.make(around, in_hand, ctx)
    }

    /// Makes the windows that the record begins or ends.
    fn make(
        &mut self,
        around: Around<A>,
        in_hand: &InHand<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let (at, difference) = (in_hand.at, self.windows.difference_ms());
        let mut taken = around.taken;
        let left = at - difference;
        if let Some(previous) = around.previous {
            let start = previous.saturating_add(1);
            if start.saturating_add(difference) >= at && !around.starts.contains(&start) {
                taken |= self.update(start, (self.begun(at), true), in_hand, ctx)?;
            }
        }
        if !around.has_left {
            let row = match around.left.filter(|(_, newest)| *newest >= left) {
                Some((row, _)) => Some((row, at)),
                None => self.begun(at),
            };
            taken |= self.update(left, (row, true), in_hand, ctx)?;
        }
        if let Some(right) = around.right.filter(|(_, newest)| *newest > at && !around.has_right) {
            self.put(at.saturating_add(1), right, None, in_hand, ctx)?;
        }
        Ok(taken)
    }

    /// As [`Self::around`], for records that are earlier than the difference.
    fn early(&mut self, in_hand: &InHand<'_, K, V>, ctx: &mut TaskContext) -> Result<bool> {
        let at = in_hand.at;
        let mut around = Around::default();
        let mut first = None;
        let rows = {
            let mut store = self.rows.store.borrow_mut();
            store.fetch(in_hand.key, (0, at.saturating_add(1)), Direction::Forward)?
        };
        for row in rows {
            let (window, row, Timestamp(newest)) = row?;
            around.starts.push(window.start);
            if window.start == 0 {
                around.previous = Some(newest).filter(|newest| *newest < at);
                first = Some((row, newest));
            } else if window.start <= at {
                around.right = Some((row.clone(), newest));
                let row = Some((row, newest));
                around.taken |= self.update(window.start, (row, false), in_hand, ctx)?;
            } else {
                around.has_right = true;
            }
        }
        // Where no window begins between 0 and the record, what comes after the record is all that the first one holds.
        let right = around.right.or_else(|| first.clone());
        if let Some(right) = right.filter(|(_, newest)| *newest > at && !around.has_right) {
            self.put(at.saturating_add(1), right, None, in_hand, ctx)?;
        }
        if let Some(start) = around.previous.map(|previous| previous.saturating_add(1))
            && !around.starts.contains(&start)
        {
            around.taken |= self.update(start, (self.begun(at), true), in_hand, ctx)?;
        }
        let is_new = first.is_none();
        let row = first.or_else(|| self.begun(at));
        Ok(self.update(0, (row, is_new), in_hand, ctx)? || around.taken)
    }

    /// The row of a window without records.
    fn begun(&self, at: i64) -> Option<Row<A>> {
        self.init.as_ref().map(|init| (init(), at))
    }

    /// Adds the record to the row of a window, if that is open.
    fn update(
        &mut self,
        start: i64,
        (row, is_new): (Option<Row<A>>, bool),
        in_hand: &InHand<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        if start.saturating_add(self.windows.difference_ms()) < in_hand.close {
            return Ok(false);
        }
        let newest = row.as_ref().map_or(in_hand.at, |(_, newest)| in_hand.at.max(*newest));
        let old = row.as_ref().filter(|_| is_new && self.sends_old).map(|(row, _)| row.clone());
        let row = (self.f)(in_hand.key, in_hand.value.clone(), row.map(|(row, _)| row));
        self.put(start, (row, newest), old, in_hand, ctx)?;
        Ok(true)
    }

    /// Puts the row of a window; `old` is what it began with, if somebody asks for it.
    fn put(
        &mut self,
        start: i64,
        (row, newest): Row<A>,
        old: Option<A>,
        in_hand: &InHand<'_, K, V>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let end = start.saturating_add(self.windows.difference_ms());
        let window = Windowed { key: in_hand.key.clone(), start, end };
        if self.time.emits_on_close() {
            self.time.opens(start);
            let stamp = (Timestamp(newest), in_hand.headers);
            return self.rows.put_unseen(&window, Some(row), stamp, ctx);
        }
        let stamp = Stamp { timestamp: Timestamp(newest), headers: in_hand.headers };
        // Let go of the store before forwarding: operators downstream may read it.
        let mut outcome = self.rows.store.borrow_mut().put(&window, Some(row), &stamp);
        if let Ok(Outcome::Forward { change, .. }) = &mut outcome
            && change.old.is_none()
        {
            change.old = old;
        }
        self.rows.written(outcome, window, in_hand.headers.clone(), ctx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp, Windowed};
    use crate::serde::{Plain, WindowedSerde};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{Emit, SlidingWindows};
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn topology(difference: u64, grace: u64, emit: Emit) -> Topology {
        let builder = StreamsBuilder::new();
        let windows = SlidingWindows::of_difference(MS(difference)).grace(MS(grace));
        let stream = builder.stream::<Option<String>, Option<String>>("in");
        stream.group_by_key().windowed_by(windows).emit(emit).count("n").to_stream().to("out");
        builder.build().unwrap()
    }

    fn driver(topology: &Topology, cache_bytes: usize) -> TopologyDriver {
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        TopologyDriver::with_options(topology, &options).unwrap()
    }

    /// What is emitted for records of these times: start, end, count, time.
    fn emitted(driver: &mut TopologyDriver, times: &[i64]) -> Vec<(i64, i64, i64, i64)> {
        for at in times {
            driver.pipe("in", &text("k", "v", *at)).unwrap();
        }
        let out = read(driver, 5).into_iter();
        out.map(|r| (r.key.start, r.key.end, r.value, r.timestamp.0)).collect()
    }

    fn read(driver: &mut TopologyDriver, difference: u64) -> Vec<Record<Windowed<String>, i64>> {
        let keys = WindowedSerde::<Plain>::of_size(MS(difference));
        driver.read_with("out", &keys, &Plain).unwrap()
    }

    #[test]
    fn a_record_is_in_the_windows_around_it() {
        let mut driver = driver(&topology(5, 100, Emit::OnUpdate), 0);
        assert_eq!(emitted(&mut driver, &[10]), [(5, 10, 1, 10)]);
        // After the record before, then up to the record.
        assert_eq!(emitted(&mut driver, &[13]), [(11, 16, 1, 13), (8, 13, 2, 13)]);
        // A late one: in the windows that hold it, up to it, and after it.
        let late = [(11, 16, 2, 13), (8, 13, 3, 13), (7, 12, 2, 12), (13, 18, 1, 13)];
        assert_eq!(emitted(&mut driver, &[12]), late);
    }

    #[test]
    fn a_window_takes_records_until_its_grace_is_past() {
        let mut driver = driver(&topology(5, 3, Emit::OnUpdate), 0);
        emitted(&mut driver, &[20, 28]);
        // The window that ends with 25 is open at 28, that of 24 is not.
        let ends =
            |windows: Vec<(i64, i64, i64, i64)>| windows.iter().map(|w| w.1).collect::<Vec<_>>();
        assert_eq!(ends(emitted(&mut driver, &[25])), [28, 26, 25, 31]);
        assert_eq!(ends(emitted(&mut driver, &[24])), [28, 26, 25, 30]);
        assert_eq!(driver.dropped(DropReason::Late), 0);
        emitted(&mut driver, &[19]);
        assert_eq!(driver.dropped(DropReason::Late), 1);
        driver.pipe("in", &Record::new(None::<String>, "v".to_owned(), Timestamp(29))).unwrap();
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        driver.pipe("in", &Record::new("k".to_owned(), None::<String>, Timestamp(29))).unwrap();
        assert_eq!(driver.dropped(DropReason::NullValue), 1);
    }

    #[test]
    fn on_close_each_window_is_emitted_once() {
        let mut driver = driver(&topology(5, 2, Emit::OnWindowClose), 1 << 16);
        assert_eq!(emitted(&mut driver, &[10, 12, 13]), [(5, 10, 1, 10)]);
        // What ends with 12 is open at 14, and closed at 15.
        assert_eq!(emitted(&mut driver, &[14, 12]), []);
        assert_eq!(emitted(&mut driver, &[15]), [(7, 12, 3, 12)]);
    }

    #[test]
    fn what_was_open_before_a_restart_is_emitted_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            DriverOptions { state_dir: Some(dir.path().to_owned()), ..DriverOptions::default() };
        let topology = topology(5, 2, Emit::OnWindowClose);
        let mut before = TopologyDriver::with_options(&topology, &options).unwrap();
        assert_eq!(emitted(&mut before, &[10, 12, 13]), [(5, 10, 1, 10)]);
        drop(before);
        let mut after = TopologyDriver::with_options(&topology, &options).unwrap();
        let mut rest = vec![(7, 12, 2, 12), (8, 13, 3, 13), (10, 15, 4, 15)];
        rest.extend([(11, 16, 3, 15), (13, 18, 2, 15), (14, 19, 1, 15)]);
        assert_eq!(emitted(&mut after, &[15, 50]), rest);
    }

    #[test]
    fn a_retention_that_is_too_short_is_refused() {
        let builder = StreamsBuilder::new();
        let windows = SlidingWindows::of_difference(MS(5)).grace(MS(3));
        let stream = builder.stream::<String, String>("in").group_by_key();
        let store = crate::store::Materialized::named("n").retention(MS(12));
        stream.windowed_by(windows).count(store);
        let faults = builder.build().unwrap_err();
        let found = faults.faults().first();
        assert!(
            matches!(found, Some(TopologyFault::BadWindows { reason, .. }) if reason.contains("13 ms")),
            "{found:?}"
        );
    }

    #[test]
    fn a_history_holds_no_windows() {
        let faults = |count: fn(crate::operators::KGroupedStream<String, String>)| {
            let builder = StreamsBuilder::new();
            count(builder.stream::<String, String>("in").group_by_key());
            let faults = builder.build().unwrap_err();
            assert!(faults.to_string().contains("holds no windows"), "{faults}");
        };
        faults(|stream| {
            let store = crate::store::Materialized::named("n").versioned(MS(1_000));
            stream.windowed_by(SlidingWindows::of_difference(MS(5)).no_grace()).count(store);
        });
        faults(|stream| {
            let store = crate::store::Materialized::named("n").versioned(MS(1_000));
            stream.windowed_by(crate::time::TimeWindows::of(MS(5)).no_grace()).count(store);
        });
        faults(|stream| {
            let store = crate::store::Materialized::named("n").versioned(MS(1_000));
            stream
                .windowed_by(crate::time::SessionWindows::with_gap(MS(5)).no_grace())
                .count(store);
        });
    }

    /// The windows of records of these times with how many they hold.
    fn windows(times: &[i64], difference: i64) -> BTreeMap<i64, i64> {
        let held = |start: i64| {
            times.iter().filter(|at| (start..=start + difference).contains(*at)).count() as i64
        };
        let starts = times.iter().flat_map(|at| [(at - difference).max(0), at + 1]);
        let starts: BTreeSet<i64> = starts.collect();
        starts.into_iter().map(|start| (start, held(start))).filter(|(_, held)| *held > 0).collect()
    }

    proptest! {
        /// In whatever order records come: there is a window for each set of them that are close to each other.
        #[test]
        fn there_are_the_windows_that_the_records_make(
            times in prop::collection::vec((0..3_u8, 0..60_i64), 0..30),
            difference in 0..15_i64,
            cache_bytes in prop_oneof![Just(0_usize), Just(600), Just(1 << 16)],
        ) {
            let all = topology(difference.unsigned_abs(), 1_000, Emit::OnUpdate);
            let mut all = driver(&all, cache_bytes);
            let records: Vec<_> = times.iter().map(|(key, at)| text(&key.to_string(), "v", *at)).collect();
            all.pipe_together("in", records).unwrap();
            let rows = all.windowed_table::<Option<String>, i64>("n").unwrap();
            for key in 0..3_u8 {
                let of_key: Vec<i64> = times.iter().filter(|(k, _)| *k == key).map(|(_, at)| *at).collect();
                let name = Some(key.to_string());
                let found: BTreeMap<i64, i64> =
                    rows.iter().filter(|(w, ..)| w.key == name).map(|(w, n, _)| (w.start, *n)).collect();
                prop_assert_eq!(found, windows(&of_key, difference));
            }
        }

        /// What is emitted on close is what the table holds in the end, each window once.
        #[test]
        fn on_close_all_windows_are_emitted_once(
            times in prop::collection::vec((0..3_u8, 0..60_i64), 0..30),
            (difference, grace) in (0..15_i64, 0..20_u64),
        ) {
            let run = |emit| {
                let topology = topology(difference.unsigned_abs(), grace, emit);
                let mut driver = driver(&topology, 0);
                for (key, at) in &times {
                    driver.pipe("in", &text(&key.to_string(), "v", *at)).unwrap();
                }
                driver.pipe("in", &text("end", "v", 10_000)).unwrap();
                let out = read(&mut driver, difference.unsigned_abs());
                out.into_iter().filter(|r| r.key.end < 9_000).map(|r| (r.key.key.clone(), r.key.start, r.value)).collect::<Vec<_>>()
            };
            let once = run(Emit::OnWindowClose);
            let last: BTreeMap<_, _> =
                run(Emit::OnUpdate).into_iter().map(|(key, start, n)| ((key, start), n)).collect();
            let emitted: BTreeMap<_, _> =
                once.iter().cloned().map(|(key, start, n)| ((key, start), n)).collect();
            prop_assert_eq!(once.len(), emitted.len());
            prop_assert_eq!(emitted, last);
        }
    }
}
