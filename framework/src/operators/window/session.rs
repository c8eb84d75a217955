//! `count`, `reduce`, `aggregate` over sessions: one row per key and session.
//!
//! | | |
//! |---|---|
//! | emits | at each record the deletion of each session that it makes longer or joins to another, by end, then the session that there is now (with a record cache: the last change of each, once per flush) |
//! | drops | null keys (`NullKey`); records whose session is closed (`Late`); rows that the store cannot write (`Failed`, by policy). A null value is handed to the aggregation |
//! | key | `Session` |
//! | time | the end of the session |
//! | headers | none, as in Kafka Streams: a session is made of several records |
//! | state | a session store |
//!
//! A session takes a record as long as `end + gap + grace >= stream time`, where stream time is the largest timestamp that
//! reached this operator, this record included, and `end` is that of the session with the record in it.

use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::group::First;
use crate::operators::table::{KTable, Kept, Rows};
use crate::operators::window::windowed_by::WindowedStream;
use crate::policy::DropReason;
use crate::record::{Data, Headers, Record, Session, Shared};
use crate::serde::SessionSerde;
use crate::store::{Materialized, Serdes, SessionTableSpec};
use crate::time::{Emit, SessionWindows, millis};
use crate::topology::{Linker, TopologyFault};

/// Makes one row of those of two sessions.
type Merge<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

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
        let add = |_: &K, _: V, count: Option<i64>| count.unwrap_or(0) + 1;
        self.rows("KSTREAM-AGGREGATE-", store.into(), (Some(init), Arc::new(|_, a, b| a + b)), add)
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
        let add = move |_: &K, value, so_far| match so_far {
            Some(so_far) => f(so_far, value),
            None => value,
        };
        self.rows(
            "KSTREAM-REDUCE-",
            store.into(),
            (None, Arc::new(move |_, a, b| merge(a, b))),
            add,
        )
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
        let begin = Arc::clone(&init);
        let add = move |key: &K, value, so_far: Option<A>| {
            let mut row = so_far.unwrap_or_else(|| begin());
            f(key, value, &mut row);
            row
        };
        let merge: Merge<K, A> = Arc::new(move |key, mut row, later| {
            merge(key, &mut row, later);
            row
        });
        self.rows("KSTREAM-AGGREGATE-", store.into(), (Some(init), merge), add)
    }

    fn rows<A: Data>(
        &self,
        prefix: &str,
        store: Materialized<K, A>,
        (init, merge): (Option<First<A>>, Merge<K, A>),
        add: impl Fn(&K, V, Option<A>) -> A + Shared,
    ) -> KTable<Session<K>, A> {
        let key = Arc::new(SessionSerde(Arc::clone(&store.serdes.key)));
        let supplier = self.session_store(store);
        let add = Arc::new(add);
        let (windows, serdes) = (self.windows, self.grouped.serdes.clone());
        self.grouped.aggregated(prefix, supplier, key, |_| {
            move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey, DropReason::Late])?;
                let faults = linker.faults()?;
                if let Rows::Kept(rows) = linker.rows::<Session<K>, A>()? {
                    let node = SessionAggregate {
                        add: Arc::clone(&add),
                        init: init.clone(),
                        merge: Arc::clone(&merge),
                        serdes: serdes.clone(),
                        windows,
                        rows,
                        faults,
                        observed: -1,
                    };
                    linker.add::<K, V, _>(node);
                }
                Ok(())
            }
        })
    }

    /// The store of an aggregation over these sessions; notes what does not fit.
    fn session_store<A: Data>(&self, store: Materialized<K, A>) -> Arc<SessionTableSpec<K, A>> {
        let Materialized { options, serdes, cached, retention } = store;
        let least = self.windows.gap_ms().saturating_add(self.windows.grace_ms());
        let retention_ms = retention.map_or(least, millis);
        let mut reasons: Vec<String> = self.windows.refusal().into_iter().collect();
        if retention_ms < least {
            reasons.push(format!(
                "a retention of {retention_ms} ms is shorter than gap and grace, {least} ms"
            ));
        }
        if self.emit == Emit::OnWindowClose {
            reasons.push("sessions are emitted at each change only".to_owned());
        }
        for reason in reasons {
            let fault = TopologyFault::BadWindows { node: options.name.to_string(), reason };
            self.grouped.graph.borrow_mut().fault(fault);
        }
        Arc::new(SessionTableSpec { options, serdes, cached, retention_ms })
    }
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
    /// Stream time as this operator has seen it.
    observed: i64,
}

impl<K: Data, V: Data, A: Data, F> Node for SessionAggregate<K, V, A, F> {
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
    fn joined(&self, key: &K, at: i64) -> Result<Joined<K, A>> {
        let gap = self.windows.gap_ms();
        let found = {
            let mut store = self.rows.store.borrow_mut();
            store.sessions(key, at.saturating_sub(gap), at.saturating_add(gap))?
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
        let Record { key, value, timestamp, .. } = record;
        if self.serdes.key.is_null(&key) {
            self.faults.dropped(DropReason::NullKey, ctx, format_args!("its key is null"));
            return Ok(());
        }
        self.observed = self.observed.max(timestamp.0);
        let Joined { sessions, whole, row } = match self.joined(&key, timestamp.0) {
            Ok(joined) => joined,
            Err(error) => return self.faults.apply_to_row(error, ctx),
        };
        let (gap, grace) = (self.windows.gap_ms(), self.windows.grace_ms());
        if whole.end < self.observed.saturating_sub(grace).saturating_sub(gap) {
            let (at, observed) = (timestamp.0, self.observed);
            let why = format_args!(
                "its session is closed: its time is {at} ms, stream time {observed} ms, the gap {gap} ms, \
                 the grace {grace} ms"
            );
            self.faults.dropped(DropReason::Late, ctx, why);
            return Ok(());
        }
        let stamp = || (timestamp, Headers::default());
        if (whole.start, whole.end) != (timestamp.0, timestamp.0) {
            for session in sessions {
                self.rows.put(session, None, stamp(), ctx)?;
            }
        }
        let row = (self.add)(&key, value, row);
        self.rows.put(whole, Some(row), stamp(), ctx)
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
        for (gap, emit, why) in
            [(0, Emit::OnUpdate, "gap is less"), (5, Emit::OnWindowClose, "at each change only")]
        {
            let builder = StreamsBuilder::new();
            let windows = SessionWindows::with_gap(MS(gap)).no_grace();
            let stream = builder.stream::<String, String>("in").group_by_key();
            stream.windowed_by(windows).emit(emit).count("n");
            let faults = builder.build().unwrap_err();
            let found = faults.faults().first();
            assert!(
                matches!(found, Some(TopologyFault::BadWindows { reason, .. }) if reason.contains(why)),
                "{found:?}"
            );
        }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

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
