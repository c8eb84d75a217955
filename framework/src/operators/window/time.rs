//! `count`, `reduce`, `aggregate` over time windows: one row per key and window.
//!
//! | | |
//! |---|---|
//! | emits | on update: the change of each window of the record, by ascending start (with a record cache: once per window and flush); on window close: each window once, when the operator's stream time passes its end and grace, by ascending start, then key |
//! | drops | null keys (`NullKey`); records all of whose windows are closed (`Late`); rows that the store cannot write (`Failed`, by policy). A null value is handed to the aggregation |
//! | key | `Windowed` |
//! | time | the later one of the record's and the row's |
//! | headers | of the record; on window close, of the one that closes the window |
//! | state | a window store; on window close its keys go by time, and the last close time is noted with the committed offsets |
//!
//! A window takes a record as long as `end > stream time - grace`, where stream time is the
//! largest timestamp that reached this operator, this record included.
//!
//! Unlike Kafka Streams, a jump of stream time past the store's retention loses no window: those
//! that it closes are emitted, although the store no longer shows them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::group::First;
use crate::operators::table::{KTable, expired, forward_held, settle};
use crate::operators::window::closing::WindowTime;
use crate::operators::window::windowed_by::{
    WindowedStream, adding, closing, counting, reducing, window_store,
};
use crate::policy::DropReason;
use crate::record::{Change, Data, Headers, Record, Shared, Timestamp, Windowed};
use crate::serde::WindowedSerde;
use crate::store::{Materialized, Outcome, Serdes, Stamp, TableStore};
use crate::time::{Emit, Windows};
use crate::topology::{Linker, NodeId, StoreIndex};

impl<K: Data, V: Data, W: Windows> WindowedStream<K, V, W> {
    /// How many records there are per key and window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, TimeWindows, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minute);
    /// clicks.count("clicks");
    /// clicks.reduce("last", |_, last| last);
    /// clicks.aggregate("bytes", || 0_i64, |_, page, bytes| *bytes += page.len() as i64);
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [1_000, 2_000] {
    ///     driver.pipe("clicks", &text("ada", "/a", at))?;
    /// }
    /// let counts = driver.windowed_table::<String, i64>("clicks")?;
    /// let counts: Vec<_> = counts.iter().map(|(window, count, _)| (window.start, *count)).collect();
    /// assert_eq!(counts, [(0, 2)]);
    /// assert_eq!(driver.windowed_table::<String, i64>("bytes")?[0].1, 4);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn count(&self, store: impl Into<Materialized<K, i64>>) -> KTable<Windowed<K>, i64> {
        self.rows("KSTREAM-AGGREGATE-", store.into(), Some(Arc::new(|| 0)), counting)
    }

    /// Combines the values of each key and window: the first is the result so far, each later one
    /// is combined with it.
    pub fn reduce(
        &self,
        store: impl Into<Materialized<K, V>>,
        f: impl Fn(V, V) -> V + Shared,
    ) -> KTable<Windowed<K>, V> {
        self.rows("KSTREAM-REDUCE-", store.into(), None, reducing(f))
    }

    /// Adds the values of each key and window up into something else, in place, beginning with what `init` makes.
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
        first: Option<First<A>>,
        f: impl Fn(&K, V, Option<A>) -> A + Shared,
    ) -> KTable<Windowed<K>, A> {
        let size = Duration::from_millis(self.windows.size_ms().unsigned_abs());
        let key = WindowedSerde::around(Arc::clone(&store.serdes.key), size);
        let how = (&self.windows, self.emit);
        let supplier = window_store(&self.grouped.graph, how, store);
        let f = Arc::new(f);
        let (windows, emit) = (self.windows.clone(), self.emit);
        let serdes = self.grouped.serdes.clone();
        let table = self.grouped.aggregated(prefix, supplier, Arc::new(key), |index| {
            move |linker: &mut Linker<'_>| {
                let what = (serdes.clone(), first.clone());
                add_windowed(linker, (index, None), what, (windows.clone(), emit), Arc::clone(&f))
            }
        });
        closing(table, &self.windows)
    }
}

/// Makes the node that adds records to the rows of their windows; `first` makes a row that is not there yet. Where several
/// nodes write the store, the first of them is named.
pub(crate) fn add_windowed<K: Data, V: Data, W: Windows, A: Data>(
    linker: &mut Linker<'_>,
    (index, writer): (StoreIndex, Option<NodeId>),
    (serdes, first): (Serdes<K, V>, Option<First<A>>),
    (windows, emit): (W, Emit),
    f: Arc<impl Fn(&K, V, Option<A>) -> A + 'static>,
) -> Result<()> {
    let store = linker.store(index)?.typed::<TableStore<Windowed<K>, A>>()?;
    if linker.sends_old() {
        store.borrow_mut().send_old_values();
    }
    linker.may_drop(&[DropReason::NullKey, DropReason::Late])?;
    let node = WindowedAggregate {
        f,
        first: first.filter(|_| linker.sends_old()),
        serdes,
        windows,
        store,
        children: linker.children::<Windowed<K>, Change<A>>()?,
        faults: linker.faults()?,
        time: WindowTime::of(linker, emit, writer)?,
    };
    linker.add::<K, V, _>(node);
    Ok(())
}

struct WindowedAggregate<K, V, A, W, F> {
    f: Arc<F>,
    /// What a row is before its first change, if somebody asks for old rows.
    first: Option<First<A>>,
    serdes: Serdes<K, V>,
    windows: W,
    store: Rc<RefCell<TableStore<Windowed<K>, A>>>,
    children: Children<Windowed<K>, Change<A>>,
    faults: Faults,
    time: WindowTime,
}

impl<K, V, A, W, F> Node for WindowedAggregate<K, V, A, W, F>
where
    K: Data,
    V: Data,
    A: Data,
    W: Windows,
{
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let size = self.windows.size_ms();
        self.time.init(&self.store, ctx, |closed| closed.saturating_sub(size) + 1)
    }

    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        let close = self.time.sees(to.0, self.windows.grace_ms());
        self.emit_closed(close, &Headers::default(), ctx)
    }

    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        if self.time.emits_on_close() {
            return settle(&self.store, &self.faults, ctx);
        }
        forward_held(&self.store, &self.children, &self.faults, ctx)
    }
}

impl<K: Data, V: Data, A: Data, W: Windows, F> WindowedAggregate<K, V, A, W, F> {
    /// Emits the windows that end at `close` or before.
    #[inline]
    fn emit_closed(
        &mut self,
        close: i64,
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let last = close.saturating_sub(self.windows.size_ms());
        self.time.emit((close, last), (&self.store, &self.children), headers, ctx)
    }
}

impl<K, V, A, W, F> Operator<K, V> for WindowedAggregate<K, V, A, W, F>
where
    K: Data,
    V: Data,
    A: Data,
    W: Windows,
    F: Fn(&K, V, Option<A>) -> A,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        if self.serdes.key.is_null(&record.key) {
            let (why, written) = (format_args!("its key is null"), || self.serdes.written(&record));
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        let (timestamp, headers) = (record.timestamp, record.headers);
        let close = self.time.sees(timestamp.0, self.windows.grace_ms());
        let mut late = false;
        let mut taken = None;
        let mut pair = (record.key, record.value);
        for start in self.windows.windows_for(timestamp) {
            if self.windows.end(start) <= close {
                late = true;
                continue;
            }
            if let Some(earlier) = taken.replace(start) {
                let again = pair.clone();
                self.update(earlier, pair, (timestamp, &headers), ctx)?;
                pair = again;
            }
        }
        match taken {
            Some(last) => self.update(last, pair, (timestamp, &headers), ctx)?,
            None if late => {
                let bytes = || self.serdes.bytes(&pair.0, &pair.1);
                let written = || Written::new(bytes(), timestamp, &headers);
                self.late((timestamp, close), &written, ctx)?;
            }
            None => {}
        }
        self.emit_closed(close, &headers, ctx).map(drop)
    }
}

impl<K, V, A, W, F> WindowedAggregate<K, V, A, W, F>
where
    K: Data,
    V: Data,
    A: Data,
    W: Windows,
    F: Fn(&K, V, Option<A>) -> A,
{
    /// Drops a record all of whose windows are closed.
    #[cold]
    fn late(
        &self,
        (at, close): (Timestamp, i64),
        written: &dyn Fn() -> Written,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let (observed, grace) = (self.time.observed(), self.windows.grace_ms());
        let why = format_args!(
            "its windows are closed: its time is {} ms, stream time {observed}, the grace {grace} \
             ms, and all windows that end by {close} are closed",
            at.0
        );
        self.faults.dropped_record(DropReason::Late, ctx, why, written)
    }

    /// Updates one window with a record.
    #[inline]
    fn update(
        &mut self,
        start: i64,
        (key, value): (K, V),
        (timestamp, headers): (Timestamp, &Headers),
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let windowed = Windowed { key, start, end: self.windows.end(start) };
        let stamp = Stamp { timestamp, headers };
        let mut is_new = false;
        let make = |so_far: Option<A>| {
            is_new = so_far.is_none();
            Some((self.f)(&windowed.key, value, so_far))
        };
        // Let go of the store before forwarding: operators downstream may read it.
        let outcome = self.store.borrow_mut().update(&windowed, &stamp, make);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return self.faults.apply_to_row(error, ctx),
        };
        if self.time.emits_on_close() {
            self.time.opens(start);
            return match outcome {
                Outcome::Full => self.flush(ctx),
                Outcome::Expired => expired(&self.store, &self.faults, ctx),
                Outcome::Forward { .. } | Outcome::Held => Ok(()),
            };
        }
        match outcome {
            Outcome::Forward { mut change, timestamp } => {
                change.old = change.old.or_else(|| Some(self.first.as_ref().filter(|_| is_new)?()));
                let headers = headers.clone();
                let record = Record { key: windowed, value: change, timestamp, headers };
                self.children.forward(record, ctx)
            }
            Outcome::Held => Ok(()),
            Outcome::Expired => expired(&self.store, &self.faults, ctx),
            Outcome::Full => self.flush(ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::policy::DropReason;
    use crate::record::Timestamp;
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{Emit, TimeWindows, WindowStarts, Windows};
    use crate::topology::{StreamsBuilder, Topology};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn counts(emit: Emit) -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .group_by_key()
            .windowed_by(TimeWindows::of(MS(10)).grace(MS(5)))
            .emit(emit)
            .count("counts")
            .updates()
            .map(|window, count| (format!("{}@{}", window.key, window.start), count))
            .to("out");
        builder.build().unwrap()
    }

    fn pipe(driver: &mut TopologyDriver, times: &[i64]) -> Vec<(String, i64, i64)> {
        for at in times {
            driver.pipe("in", &text("k", "v", *at)).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        out.into_iter().map(|r| (r.key, r.value, r.timestamp.0)).collect()
    }

    fn row(key: &str, count: i64, at: i64) -> (String, i64, i64) {
        (key.to_owned(), count, at)
    }

    #[test]
    fn a_window_closes_when_its_grace_has_passed_and_not_before() {
        let mut driver = TopologyDriver::new(&counts(Emit::OnUpdate)).unwrap();
        let out = pipe(&mut driver, &[9, 14, 3, 15, 9]);
        assert_eq!(
            out,
            [row("k@0", 1, 9), row("k@10", 1, 14), row("k@0", 2, 9), row("k@10", 2, 15)]
        );
        assert_eq!(driver.dropped(DropReason::Late), 1);
    }

    #[test]
    fn on_close_each_window_is_emitted_once() {
        let mut driver = TopologyDriver::new(&counts(Emit::OnWindowClose)).unwrap();
        assert_eq!(pipe(&mut driver, &[9, 14, 3]), []);
        assert_eq!(pipe(&mut driver, &[15]), [row("k@0", 2, 9)]);
        assert_eq!(pipe(&mut driver, &[9, 24]), []);
        assert_eq!(pipe(&mut driver, &[25]), [row("k@10", 2, 15)]);
    }

    #[test]
    fn a_window_that_closes_has_the_headers_of_the_record_that_closes_it() {
        let mut driver = TopologyDriver::new(&counts(Emit::OnWindowClose)).unwrap();
        for (by, at) in [("first", 9_i64), ("second", 15)] {
            let mut record = text("k", "v", at);
            record.headers.push("by", Some(by.as_bytes().to_vec()));
            driver.pipe("in", &record).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        let headers: Vec<_> = out.iter().map(|record| record.headers.last("by")).collect();
        assert_eq!(headers, [Some(&b"second"[..])]);
    }

    #[test]
    fn a_jump_of_stream_time_loses_no_window() {
        for cache_bytes in [0, 1 << 20] {
            let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
            let topology = counts(Emit::OnWindowClose);
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            let out = pipe(&mut driver, &[9, 14, 10_000_000]);
            assert_eq!(out, [row("k@0", 1, 9), row("k@10", 1, 14)]);
        }
    }

    #[test]
    fn windows_that_were_open_before_a_restart_are_emitted_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = Some(dir.path().to_owned());
        let options = DriverOptions { state_dir, ..DriverOptions::default() };
        let topology = counts(Emit::OnWindowClose);
        let mut before = TopologyDriver::with_options(&topology, &options).unwrap();
        assert_eq!(pipe(&mut before, &[9, 14, 3]), []);
        drop(before);
        let mut after = TopologyDriver::with_options(&topology, &options).unwrap();
        assert_eq!(pipe(&mut after, &[26]), [row("k@0", 2, 9), row("k@10", 1, 14)]);
    }

    /// A shift of eight each day, from six on; the rest of the day counts to the one before.
    #[derive(Clone)]
    struct Shifts;

    impl Windows for Shifts {
        fn windows_for(&self, at: Timestamp) -> WindowStarts {
            let start = (at.0 - 6) / 24 * 24 + 6;
            WindowStarts::new(start, start, 24)
        }

        fn size_ms(&self) -> i64 {
            8
        }

        fn grace_ms(&self) -> i64 {
            0
        }
    }

    #[test]
    fn windows_of_ones_own_are_taken() {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, String>("in").group_by_key();
        let counts = grouped.windowed_by(Shifts).count("counts").updates();
        counts.map(|w, n| (format!("{}@{}-{}", w.key, w.start, w.end), n)).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let out = pipe(&mut driver, &[6, 13, 30, 13]);
        assert_eq!(out, [row("k@6-14", 1, 6), row("k@6-14", 2, 13), row("k@30-38", 1, 30)]);
        assert_eq!(driver.dropped(DropReason::Late), 1);
    }
}
