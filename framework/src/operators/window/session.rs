//! `count`, `reduce`, `aggregate` over sessions: one row per key and session.
//!
//! | | |
//! |---|---|
//! | emits | on update: at each record the deletion of each session that it makes longer or joins to another, by end, then the session that there is now (with a record cache: the last change of each, once per flush); on window close: each session once, when it takes no record any more, by end, start and key |
//! | drops | null keys (`NullKey`); records whose session is closed (`Late`); rows that the store cannot write (`Failed`, by policy). A null value is handed to the aggregation |
//! | key | `Session` |
//! | time | the end of the session |
//! | headers | none, as in Kafka Streams: a session is made of several records; on window close, those of the record that closes it |
//! | state | a session store; on window close with entries by time and without a record cache, and the last close time is noted with the committed offsets |
//!
//! A session takes a record as long as `end + gap + grace >= stream time`, where stream time is the largest timestamp that
//! reached this operator, this record included, and `end` is that of the session with the record in it.

use std::sync::Arc;

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
use crate::record::{Data, Headers, Record, Session, Shared, Timestamp};
use crate::serde::{Serde, SessionSerde};
use crate::store::{Materialized, Serdes, SessionTableSpec};
use crate::time::{Emit, SessionWindows};
use crate::topology::{Linker, NodeId, SharedGraph};

/// Makes one row of those of two sessions.
pub(crate) type Merge<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

/// The one that adds the row of a session to that of an earlier one, in place.
pub(super) fn merging<K, A>(merge: impl Fn(&K, &mut A, A) + Shared) -> Merge<K, A> {
    Arc::new(move |key, mut row, later| {
        merge(key, &mut row, later);
        row
    })
}

impl<K: Data, V: Data> WindowedStream<K, V, SessionWindows> {
    /// How many records there are per key and session.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SessionWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::with_gap(Duration::from_secs(5)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
    /// let pages = clicks.count("pages");
    /// pages.updates().map(|visit, pages| (visit.key, format!("{pages} in {} ms", visit.end - visit.start))).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [1_000, 4_000, 20_000] {
    ///     driver.pipe("clicks", &text("ada", "/", at))?;
    /// }
    /// let out = driver.read::<String, String>("out")?;
    /// let out: Vec<_> = out.iter().map(|record| record.value.as_str()).collect();
    /// assert_eq!(out, ["1 in 0 ms", "2 in 3000 ms", "1 in 0 ms"]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn count(&self, store: impl Into<Materialized<K, i64>>) -> KTable<Session<K>, i64> {
        let init: First<i64> = Arc::new(|| 0);
        let merge: Merge<K, i64> = Arc::new(|_, a, b| a + b);
        self.rows("KSTREAM-AGGREGATE-", store.into(), (Some(init), merge), counting)
    }

    /// Combines the values of each key and session: the first is the result so far, each later one is combined with it.
    /// Where sessions become one, the result of the earlier one is combined with that of the later one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SessionWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::with_gap(Duration::from_secs(5)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
    /// clicks.reduce("paths", |path, page| path + " > " + &page).updates().to("paths");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("clicks", &text("ada", "/a", 1_000))?;
    /// # driver.pipe("clicks", &text("ada", "/b", 2_000))?;
    /// # assert_eq!(driver.session_table::<String, String>("paths")?[0].1, "/a > /b");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn reduce(
        &self,
        store: impl Into<Materialized<K, V>>,
        f: impl Fn(V, V) -> V + Shared,
    ) -> KTable<Session<K>, V> {
        let f = Arc::new(f);
        let merge = Arc::clone(&f);
        let merge: Merge<K, V> = Arc::new(move |_, a, b| merge(a, b));
        self.rows("KSTREAM-REDUCE-", store.into(), (None, merge), reducing(move |a, b| f(a, b)))
    }

    /// Adds the values of each key and session up into something else, in place, beginning with what `init` makes.
    /// `merge` adds the row of a session to that of an earlier one; it is also asked to add the first session to a new row.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Materialized, SessionWindows, StreamsBuilder, serde::Json, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::with_gap(Duration::from_secs(5)).no_grace();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
    /// let paths = Materialized::with_values("paths", Json);
    /// clicks.aggregate(paths, Vec::new, |_, page, path| path.push(page), |_, path, later| path.extend(later));
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("clicks", &text("ada", "/a", 1_000))?;
    /// # driver.pipe("clicks", &text("ada", "/b", 2_000))?;
    /// # assert_eq!(driver.session_table::<String, Vec<String>>("paths")?[0].1, ["/a", "/b"]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        store: impl Into<Materialized<K, A>>,
        init: impl Fn() -> A + Shared,
        f: impl Fn(&K, V, &mut A) + Shared,
        merge: impl Fn(&K, &mut A, A) + Shared,
    ) -> KTable<Session<K>, A> {
        let init: First<A> = Arc::new(init);
        let add = adding(Arc::clone(&init), f);
        self.rows("KSTREAM-AGGREGATE-", store.into(), (Some(init), merging(merge)), add)
    }

    fn rows<A: Data>(
        &self,
        prefix: &str,
        store: Materialized<K, A>,
        (init, merge): (Option<First<A>>, Merge<K, A>),
        add: impl Fn(&K, V, Option<A>) -> A + Shared,
    ) -> KTable<Session<K>, A> {
        let (windows, emit, serdes) = (self.windows, self.emit, self.grouped.serdes.clone());
        let (supplier, key) = session_store(&self.grouped.graph, (windows, emit), store);
        let add = Arc::new(add);
        let table = self.grouped.aggregated(prefix, supplier, key, |_| {
            move |linker: &mut Linker<'_>| {
                let (init, merge, add) = (init.clone(), Arc::clone(&merge), Arc::clone(&add));
                let rows = SessionRows { init, merge, add };
                add_sessions(linker, None, serdes.clone(), (windows, emit), rows)
            }
        });
        closing(table, windows)
    }
}

/// Notes when the sessions of a table close, for `suppress`.
pub(super) fn closing<K, A>(table: KTable<K, A>, windows: SessionWindows) -> KTable<K, A> {
    // One more than in Kafka Streams: it takes records up to there, the end included.
    let closes = windows.gap_ms().saturating_add(windows.grace_ms()).saturating_add(1);
    table.graph.borrow_mut().set_closes_after(table.node, Some(closes));
    table
}

/// The store of an aggregation over sessions, and the bytes of its keys.
pub(super) type SessionStore<K, A> = (Arc<SessionTableSpec<K, A>>, Arc<dyn Serde<Session<K>>>);

/// The store of an aggregation over these sessions; notes what does not fit.
pub(super) fn session_store<K: Data, A: Data>(
    graph: &SharedGraph,
    (windows, emit): (SessionWindows, Emit),
    store: Materialized<K, A>,
) -> SessionStore<K, A> {
    let key = Arc::new(SessionSerde(Arc::clone(&store.serdes.key)));
    let least = windows.gap_ms().saturating_add(windows.grace_ms());
    let least = (least, "gap and grace");
    let retention_ms = retention_ms(graph, &store, least, windows.refusal());
    let Materialized { options, serdes, cached, .. } = store;
    let (cached, order) = found_by_key(emit, cached);
    (Arc::new(SessionTableSpec { options, serdes, cached, retention_ms, order }), key)
}

/// How rows of sessions are made: of nothing (without `init` the first value is the row), of two rows, of a row and a
/// value.
pub(crate) struct SessionRows<K, A, F> {
    pub(crate) init: Option<First<A>>,
    pub(crate) merge: Merge<K, A>,
    pub(crate) add: Arc<F>,
}

/// Makes the node that adds records to the rows of their sessions. Where several nodes write its store, the first of them
/// is named.
pub(crate) fn add_sessions<K: Data, V: Data, A: Data>(
    linker: &mut Linker<'_>,
    writer: Option<NodeId>,
    serdes: Serdes<K, V>,
    (windows, emit): (SessionWindows, Emit),
    rows: SessionRows<K, A, impl Fn(&K, V, Option<A>) -> A + 'static>,
) -> Result<()> {
    let SessionRows { init, merge, add } = rows;
    linker.may_drop(&[DropReason::NullKey, DropReason::Late])?;
    let faults = linker.faults()?;
    let time = WindowTime::of(linker, emit, writer)?;
    if let Rows::Kept(rows) = linker.rows::<Session<K>, A>()? {
        let node = SessionAggregate { add, init, merge, serdes, windows, rows, faults, time };
        linker.add::<K, V, _>(node);
    }
    Ok(())
}

struct SessionAggregate<K, V, A, F> {
    add: Arc<F>,
    /// What a row begins with; without it the first value is the row.
    init: Option<First<A>>,
    merge: Merge<K, A>,
    serdes: Serdes<K, V>,
    windows: SessionWindows,
    rows: Kept<Session<K>, A>,
    faults: Faults,
    time: WindowTime,
}

impl<K: Data, V: Data, A: Data, F> Node for SessionAggregate<K, V, A, F> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.time.init(&self.rows.store, ctx, |closed| closed)
    }

    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        let close = self.closed_before(to);
        self.emit_closed(close, &Headers::default(), ctx)
    }

    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.rows.flush(ctx)
    }
}

/// The sessions that a record belongs to, what they come to together with it, and their row.
struct Joined<K, A> {
    sessions: Vec<Session<K>>,
    whole: Session<K>,
    row: Option<A>,
}

impl<K: Data, V: Data, A: Data, F> SessionAggregate<K, V, A, F> {
    /// Sessions that end earlier than this are closed, once that time was seen.
    #[inline]
    fn closed_before(&mut self, seen: Timestamp) -> i64 {
        let open = self.windows.gap_ms().saturating_add(self.windows.grace_ms());
        self.time.sees(seen.0, open)
    }

    #[inline]
    fn emit_closed(
        &mut self,
        close: i64,
        headers: &Headers,
        ctx: &mut TaskContext,
    ) -> Result<bool> {
        let into = (&self.rows.store, &self.rows.children);
        self.time.emit((close, close.saturating_sub(1)), into, headers, ctx)
    }

    fn joined(&self, key: &K, at: i64) -> Result<Joined<K, A>> {
        let gap = self.windows.gap_ms();
        let found = {
            let mut store = self.rows.store.borrow_mut();
            store.joined_at(key, at, gap)?
        };
        let mut whole = Session { key: key.clone(), start: at, end: at };
        let (mut sessions, mut row) = (Vec::new(), self.init.as_ref().map(|init| init()));
        for session in found {
            let (session, of_session, _) = session?;
            row = Some(match row {
                Some(row) => (self.merge)(key, row, of_session),
                None => of_session,
            });
            whole.start = whole.start.min(session.start);
            whole.end = whole.end.max(session.end);
            sessions.push(session);
        }
        Ok(Joined { sessions, whole, row })
    }
}

impl<K, V, A, F> Operator<K, V> for SessionAggregate<K, V, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, V, Option<A>) -> A,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.serdes.key.is_null(&key) {
            let written = || Written::new(self.serdes.bytes(&key, &value), timestamp, &headers);
            let why = format_args!("its key is null");
            return self.faults.dropped_record(DropReason::NullKey, ctx, why, &written);
        }
        let close = self.closed_before(timestamp);
        match self.joined(&key, timestamp.0) {
            Ok(joined) if joined.whole.end < close => {
                let bytes = || self.serdes.bytes(&key, &value);
                let written = || Written::new(bytes(), timestamp, &headers);
                self.late((timestamp, close), &written, ctx)?;
            }
            Ok(joined) => self.update((key, value), joined, timestamp, ctx)?,
            Err(error) => self.faults.apply_to_row(error, ctx)?,
        }
        self.emit_closed(close, &headers, ctx).map(drop)
    }
}

impl<K, V, A, F> SessionAggregate<K, V, A, F>
where
    K: Data,
    V: Data,
    A: Data,
    F: Fn(&K, V, Option<A>) -> A,
{
    /// Drops a record whose session is closed.
    #[cold]
    fn late(
        &self,
        (at, close): (Timestamp, i64),
        written: &dyn Fn() -> Written,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let (observed, gap, grace) =
            (self.time.observed(), self.windows.gap_ms(), self.windows.grace_ms());
        let why = format_args!(
            "its session is closed: its time is {} ms, stream time {observed} ms, the gap {gap} ms, the grace {grace} \
             ms, and all sessions that end before {close} are closed",
            at.0
        );
        self.faults.dropped_record(DropReason::Late, ctx, why, written)
    }

    /// Puts one session in the place of those that the record joins.
    fn update(
        &mut self,
        (key, value): (K, V),
        Joined { sessions, whole, row }: Joined<K, A>,
        timestamp: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let is_new = !sessions
            .iter()
            .any(|session| (session.start, session.end) == (whole.start, whole.end));
        if (whole.start, whole.end) != (timestamp.0, timestamp.0) {
            for session in sessions {
                self.put(session, None, timestamp, ctx)?;
            }
        }
        let row = (self.add)(&key, value, row);
        if is_new && !self.time.emits_on_close() {
            return self.rows.put_first(whole, row, (timestamp, Headers::default()), ctx);
        }
        self.put(whole, Some(row), timestamp, ctx)
    }

    fn put(
        &mut self,
        session: Session<K>,
        row: Option<A>,
        timestamp: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let headers = Headers::default();
        if !self.time.emits_on_close() {
            return self.rows.put(session, row, (timestamp, headers), ctx);
        }
        if row.is_some() {
            self.time.opens(session.end);
        }
        self.rows.put_unseen(&session, row, (timestamp, &headers), ctx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::policy::DropReason;
    use crate::record::{Record, Session, Timestamp};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{Emit, SessionWindows};
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn topology(gap: u64, grace: u64) -> Topology {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::with_gap(MS(gap)).grace(MS(grace));
        let stream = builder.stream::<Option<String>, String>("in");
        stream.group_by_key().windowed_by(windows).count("n").to_stream().to("out");
        builder.build().unwrap()
    }

    type Key = Session<Option<String>>;

    #[test]
    fn a_record_between_two_sessions_makes_them_one() {
        let mut driver = TopologyDriver::new(&topology(5, 100)).unwrap();
        for at in [10, 20, 15] {
            driver.pipe("in", &text("k", "v", at)).unwrap();
        }
        let out = driver.read::<Key, Option<i64>>("out").unwrap();
        let out: Vec<_> =
            out.iter().map(|r| (r.key.start, r.key.end, r.value, r.timestamp.0)).collect();
        let all = [
            (10, 10, Some(1), 10),
            (20, 20, Some(1), 20),
            (10, 10, None, 10),
            (20, 20, None, 20),
            (10, 20, Some(3), 20),
        ];
        assert_eq!(out, all);
    }

    #[test]
    fn a_session_closes_when_gap_and_grace_are_over() {
        let mut driver = TopologyDriver::new(&topology(5, 3)).unwrap();
        for at in [10, 18, 10] {
            driver.pipe("in", &text("k", "v", at)).unwrap();
        }
        assert_eq!(driver.dropped(DropReason::Late), 0);
        driver.pipe("in", &text("other", "v", 19)).unwrap();
        driver.pipe("in", &text("k", "v", 10)).unwrap();
        assert_eq!(driver.dropped(DropReason::Late), 1);
        driver.pipe("in", &Record::new(None::<String>, "v".to_owned(), Timestamp(19))).unwrap();
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
    }

    #[test]
    fn impossible_sessions_are_refused() {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::with_gap(Duration::ZERO).no_grace();
        builder.stream::<String, String>("in").group_by_key().windowed_by(windows).count("n");
        let faults = builder.build().unwrap_err();
        let found = faults.faults().first();
        assert!(
            matches!(found, Some(TopologyFault::BadWindows { reason, .. }) if reason.contains("gap is less")),
            "{found:?}"
        );
    }

    /// The sessions of times that are sorted into them: starts, ends and counts.
    fn expected(gap: i64, came: &[(u8, i64)]) -> BTreeMap<(String, i64, i64), i64> {
        let mut times: Vec<(u8, i64)> = came.to_vec();
        times.sort_unstable();
        let mut all: Vec<(u8, i64, i64, i64)> = Vec::new();
        for (key, at) in times {
            match all.last_mut() {
                Some((last, _, end, n)) if *last == key && at - *end <= gap => {
                    (*end, *n) = (at, *n + 1);
                }
                _ => all.push((key, at, at, 1)),
            }
        }
        all.into_iter().map(|(key, start, end, n)| ((key.to_string(), start, end), n)).collect()
    }

    fn on_close(emit: Emit, gap: u64, grace: u64) -> Topology {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::with_gap(MS(gap)).grace(MS(grace));
        let stream = builder.stream::<Option<String>, String>("in").group_by_key();
        stream.windowed_by(windows).emit(emit).count("n").to_stream().to("out");
        builder.build().unwrap()
    }

    /// What was emitted: key, start, end, count; the time is the end.
    fn emitted(driver: &mut TopologyDriver) -> Vec<((String, i64, i64), Option<i64>)> {
        let out = driver.read::<Key, Option<i64>>("out").unwrap();
        assert!(out.iter().all(|record| record.timestamp.0 == record.key.end));
        let row = |r: Record<Key, Option<i64>>| {
            ((r.key.key.unwrap_or_default(), r.key.start, r.key.end), r.value)
        };
        out.into_iter().map(row).collect()
    }

    #[test]
    fn on_close_a_session_is_emitted_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            DriverOptions { state_dir: Some(dir.path().to_owned()), ..DriverOptions::default() };
        let topology = on_close(Emit::OnWindowClose, 5, 3);
        let mut before = TopologyDriver::with_options(&topology, &options).unwrap();
        // The session of `b` closes when stream time is more than 8 past its end.
        for (key, at) in [("b", 10), ("a", 12), ("a", 16), ("c", 18)] {
            before.pipe("in", &text(key, "v", at)).unwrap();
        }
        assert_eq!(emitted(&mut before), []);
        before.pipe("in", &text("c", "v", 19)).unwrap();
        let row = |key: &str, start, end, n| ((key.to_owned(), start, end), Some(n));
        assert_eq!(emitted(&mut before), [row("b", 10, 10, 1)]);
        drop(before);
        let mut after = TopologyDriver::with_options(&topology, &options).unwrap();
        // What was closed before the restart stays closed, what was open is open.
        for (key, at) in [("b", 10), ("a", 11)] {
            after.pipe("in", &text(key, "v", at)).unwrap();
        }
        assert_eq!(after.dropped(DropReason::Late), 1);
        after.pipe("in", &text("d", "v", 100)).unwrap();
        assert_eq!(emitted(&mut after), [row("a", 11, 16, 3), row("c", 18, 19, 2)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is emitted on close is what there is in the end, each session once.
        #[test]
        fn on_close_all_sessions_are_emitted_once(
            came in proptest::collection::vec((0..3_u8, 0..200_i64), 1..40),
            (gap, grace) in (1..20_u64, 0..50_u64),
        ) {
            let run = |emit| {
                let mut driver = TopologyDriver::new(&on_close(emit, gap, grace)).unwrap();
                for (key, at) in &came {
                    driver.pipe("in", &text(&key.to_string(), "v", *at)).unwrap();
                }
                driver.pipe("in", &text("end", "v", 10_000)).unwrap();
                let mut out = emitted(&mut driver);
                out.retain(|((key, ..), _)| key != "end");
                out
            };
            let once = run(Emit::OnWindowClose);
            let mut last: BTreeMap<_, _> = run(Emit::OnUpdate).into_iter().collect();
            last.retain(|_, n| n.is_some());
            let all: BTreeMap<_, _> = once.iter().cloned().collect();
            prop_assert_eq!((once.len(), all), (last.len(), last));
        }

        /// Whatever the order, cached or not, before a restart or after one.
        #[test]
        fn sessions_are_what_the_times_say(
            came in proptest::collection::vec((0..3_u8, 0..200_i64), 1..40),
            gap in 1..20_i64,
            cached: bool,
            restart in proptest::option::of(0..40_usize),
        ) {
            let topology = topology(gap.unsigned_abs(), 1_000);
            let dir = tempfile::tempdir().unwrap();
            let options = DriverOptions {
                cache_bytes: if cached { 1 << 20 } else { 0 },
                state_dir: restart.map(|_| dir.path().to_owned()),
                ..DriverOptions::default()
            };
            let mut driver = TopologyDriver::with_options(&topology, &options).unwrap();
            let mut emitted = BTreeMap::new();
            for (n, (key, at)) in came.iter().enumerate() {
                if restart == Some(n) {
                    drop(driver);
                    driver = TopologyDriver::with_options(&topology, &options).unwrap();
                }
                driver.pipe("in", &text(&key.to_string(), "v", *at)).unwrap();
                for record in driver.read::<Key, Option<i64>>("out").unwrap() {
                    let Session { key, start, end } = record.key;
                    let key = (key.unwrap(), start, end);
                    match record.value {
                        Some(n) => drop(emitted.insert(key, n)),
                        None => drop(emitted.remove(&key)),
                    }
                }
            }
            prop_assert_eq!(&emitted, &expected(gap, &came));
            let kept = driver.session_table::<Option<String>, i64>("n").unwrap().into_iter();
            let kept: BTreeMap<_, _> =
                kept.map(|(s, n, _)| ((s.key.unwrap(), s.start, s.end), n)).collect();
            prop_assert_eq!(&kept, &emitted);
        }
    }
}
