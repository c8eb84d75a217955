//! `cogroup` over windows: several grouped streams into one row for each key and window.
//!
//! | | |
//! |---|---|
//! | emits | as the aggregation of one stream over these windows: at each record of any stream (with a record cache once per row and flush), or each row once, when its window closes |
//! | drops | as the aggregation of one stream over these windows |
//! | key | `Windowed` or `Session`; the streams must be partitioned alike |
//! | time, headers | as the aggregation of one stream over these windows |
//! | state | one store, which all streams write |
//!
//! On update each stream goes by its own stream time, as in Kafka Streams: a record is late if it is late among those of
//! its stream. On window close, which Kafka Streams does not have here, they go by the largest timestamp that reached any
//! of them, since a row that was emitted must not change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::operators::group::{CogroupedStream, RowsOf};
use crate::operators::table::KTable;
use crate::operators::window::session::{self, merging, session_store};
use crate::operators::window::sliding::{self, sliding_store};
use crate::operators::window::windowed_by::{closing, window_store};
use crate::record::{Data, Session, Shared, Windowed};
use crate::serde::WindowedSerde;
use crate::store::Materialized;
use crate::time::{AnyWindows, Emit, SessionWindows, SlidingWindows, Windowing, Windows};

/// Streams that are aggregated together by windows: each adds to the same rows in its own way.
pub struct WindowedCogroup<K, A, W> {
    streams: CogroupedStream<K, A>,
    windows: W,
    emit: Emit,
}

impl<K, A, W: fmt::Debug> fmt::Debug for WindowedCogroup<K, A, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowedCogroup")
            .field("streams", &self.streams)
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}

impl<K: Data, A: Data> CogroupedStream<K, A> {
    /// Divides the records of each key into windows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, TimeWindows, WindowedCogroup, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let orders = builder.stream::<String, String>("orders").group_by_key();
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let scores: WindowedCogroup<String, i64, TimeWindows> = clicks
    ///     .cogroup(|| 0_i64, |_, _, score| *score += 1)
    ///     .cogroup(&orders, |_, _, score| *score += 100)
    ///     .windowed_by(minute);
    /// scores.aggregate("scores");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("ada", "/", 1_000))?;
    /// driver.pipe("orders", &text("ada", "ink", 2_000))?;
    /// assert_eq!(driver.windowed_table::<String, i64>("scores")?[0].1, 101);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn windowed_by<W: Windowing>(self, windows: W) -> WindowedCogroup<K, A, W> {
        WindowedCogroup { streams: self, windows, emit: Emit::default() }
    }
}

impl<K: Data, A: Data, W: Windowing> WindowedCogroup<K, A, W> {
    /// When results are emitted.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{Emit, StreamsBuilder, TimeWindows, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let orders = builder.stream::<String, String>("orders").group_by_key();
    /// let both = clicks.cogroup(|| 0_i64, |_, _, n| *n += 1).cogroup(&orders, |_, _, n| *n += 100);
    /// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
    /// let scores = both.windowed_by(minute).emit(Emit::OnWindowClose).aggregate("scores");
    /// scores.updates().map(|window, score| (window.key, score)).to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("ada", "/", 1_000))?;
    /// driver.pipe("clicks", &text("ada", "/", 2_000))?;
    /// // A record of either stream closes the minute.
    /// driver.pipe("orders", &text("bob", "ink", 60_000))?;
    /// assert_eq!(driver.read::<String, i64>("out")?[0].value, 2);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn emit(mut self, when: Emit) -> Self {
        self.emit = when;
        self
    }
}

impl<K: Data, A: Data, W: Windows> WindowedCogroup<K, A, W> {
    /// The rows, one for each key and window.
    pub fn aggregate(self, store: impl Into<Materialized<K, A>>) -> KTable<Windowed<K>, A> {
        let Self { streams, windows, emit } = self;
        let store = store.into();
        let size = Duration::from_millis(windows.size_ms().unsigned_abs());
        let key = Arc::new(WindowedSerde::around(Arc::clone(&store.serdes.key), size));
        let supplier = window_store(&streams.graph, (&windows, emit), store);
        let rows = RowsOf::Windows(AnyWindows::of(&windows), emit);
        closing(streams.table(supplier, key, &rows), &windows)
    }
}

impl<K: Data, A: Data> WindowedCogroup<K, A, SlidingWindows> {
    /// The rows, one for each key and window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SlidingWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let failed = builder.stream::<String, String>("failed").group_by_key();
    /// let changed = builder.stream::<String, String>("changed").group_by_key();
    /// let close = SlidingWindows::of_difference(Duration::from_secs(5)).no_grace();
    /// let both = failed.cogroup(|| 0_i64, |_, _, n| *n += 1).cogroup(&changed, |_, _, n| *n += 10);
    /// both.windowed_by(close).aggregate("suspicion");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("failed", &text("ada", "", 11_000))?;
    /// # driver.pipe("changed", &text("ada", "", 12_000))?;
    /// # let rows = driver.windowed_table::<String, i64>("suspicion")?;
    /// # assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [1, 11, 10]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn aggregate(self, store: impl Into<Materialized<K, A>>) -> KTable<Windowed<K>, A> {
        let Self { streams, windows, emit } = self;
        let (supplier, key) = sliding_store(&streams.graph, (windows, emit), store.into());
        let rows = RowsOf::Sliding(windows, emit);
        sliding::closing(streams.table(supplier, key, &rows), windows)
    }
}

impl<K: Data, A: Data> WindowedCogroup<K, A, SessionWindows> {
    /// The rows, one for each key and session: of records of any of the streams with short gaps. `merge` adds the row of
    /// a session to that of an earlier one; it is also asked to add the first session to a new row.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{SessionWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let orders = builder.stream::<String, String>("orders").group_by_key();
    /// let visits = SessionWindows::with_gap(Duration::from_secs(5)).no_grace();
    /// let both = clicks.cogroup(|| 0_i64, |_, _, n| *n += 1).cogroup(&orders, |_, _, n| *n += 100);
    /// both.windowed_by(visits).aggregate("visits", |_, score, later| *score += later);
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// # driver.pipe("clicks", &text("ada", "/", 1_000))?;
    /// # driver.pipe("orders", &text("ada", "ink", 2_000))?;
    /// # assert_eq!(driver.session_table::<String, i64>("visits")?[0].1, 101);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn aggregate(
        self,
        store: impl Into<Materialized<K, A>>,
        merge: impl Fn(&K, &mut A, A) + Shared,
    ) -> KTable<Session<K>, A> {
        let Self { streams, windows, emit } = self;
        let (supplier, key) = session_store(&streams.graph, (windows, emit), store.into());
        let rows = RowsOf::Sessions(windows, emit, merging(merge));
        session::closing(streams.table(supplier, key, &rows), windows)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::operators::{CogroupedStream, KTable};
    use crate::policy::DropReason;
    use crate::record::{Data, Record};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::{Emit, SessionWindows, SlidingWindows, Suppress, TimeWindows};
    use crate::topology::{StreamsBuilder, Topology};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Time,
        Sliding,
        Sessions,
    }

    const ADD: fn(&String, String, &mut String) = |_, value, row| row.push_str(&value);

    /// What comes out, with the keys as text: windows of all kinds have one topology then.
    fn ends<K: Data + Debug>(table: &KTable<K, String>) {
        table.to_stream().map(|key, row| (format!("{key:?}"), row)).to("out");
    }

    /// The rows of both streams as a cogroup.
    fn together(kind: Kind, (size, grace): (u64, u64), emit: Emit) -> Topology {
        let builder = StreamsBuilder::new();
        let stream = |topic| builder.stream::<String, String>(topic).group_by_key();
        let both = stream("l").cogroup(String::new, ADD).cogroup(&stream("r"), ADD);
        let (size, grace) = (MS(size), MS(grace));
        match kind {
            Kind::Time => {
                let windows = TimeWindows::of(size).advance_by(MS(2)).grace(grace);
                ends(&both.windowed_by(windows).emit(emit).aggregate("rows"));
            }
            Kind::Sliding => {
                let windows = SlidingWindows::of_difference(size).grace(grace);
                ends(&both.windowed_by(windows).emit(emit).aggregate("rows"));
            }
            Kind::Sessions => {
                let windows = SessionWindows::with_gap(size).grace(grace);
                let both = both.windowed_by(windows).emit(emit);
                ends(&both.aggregate("rows", |_, row, later| row.push_str(&later)));
            }
        }
        builder.build().unwrap()
    }

    /// The rows of one stream that both were merged into.
    fn merged(kind: Kind, (size, grace): (u64, u64), emit: Emit) -> Topology {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("l");
        let both = left.merge(&builder.stream::<String, String>("r")).group_by_key();
        let (size, grace) = (MS(size), MS(grace));
        match kind {
            Kind::Time => {
                let windows = TimeWindows::of(size).advance_by(MS(2)).grace(grace);
                ends(&both.windowed_by(windows).emit(emit).aggregate("rows", String::new, ADD));
            }
            Kind::Sliding => {
                let windows = SlidingWindows::of_difference(size).grace(grace);
                ends(&both.windowed_by(windows).emit(emit).aggregate("rows", String::new, ADD));
            }
            Kind::Sessions => {
                let windows = SessionWindows::with_gap(size).grace(grace);
                let both = both.windowed_by(windows).emit(emit);
                let merge = |_: &String, row: &mut String, later: String| row.push_str(&later);
                ends(&both.aggregate("rows", String::new, ADD, merge));
            }
        }
        builder.build().unwrap()
    }

    type Out = Vec<Record<String, Option<String>>>;

    /// What comes out after each record, or after all of them if they are committed together, and how many were late.
    fn run(
        topology: &Topology,
        came: &[(bool, u8, i64)],
        (cache_bytes, restart): (usize, Option<usize>),
    ) -> (Out, u64) {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = restart.map(|_| dir.path().to_owned());
        let options = DriverOptions { cache_bytes, state_dir, ..DriverOptions::default() };
        let open = || TopologyDriver::with_options(topology, &options).unwrap();
        let mut driver = open();
        let (mut out, mut late) = (Out::new(), 0);
        for (n, (left, key, at)) in came.iter().enumerate() {
            if restart == Some(n) {
                late += driver.dropped(DropReason::Late);
                drop(driver);
                driver = open();
            }
            let topic = if *left { "l" } else { "r" };
            driver.pipe(topic, &text(&key.to_string(), &format!("{topic}{n} "), *at)).unwrap();
            out.extend(driver.read::<String, Option<String>>("out").unwrap());
        }
        (out, late + driver.dropped(DropReason::Late))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Two streams that are aggregated together are one stream that is aggregated: on close as to what is late as well.
        #[test]
        fn a_cogroup_is_the_aggregation_of_the_merged_streams(
            came in prop::collection::vec((any::<bool>(), 0..2_u8, 0..60_i64), 1..30),
            kind in prop_oneof![Just(Kind::Time), Just(Kind::Sliding), Just(Kind::Sessions)],
            on_close: bool,
            cache_bytes in prop_oneof![Just(0_usize), Just(600), Just(1 << 16)],
            (size, grace) in (2..15_u64, 0..20_u64),
            restart in prop::option::of(0..30_usize),
        ) {
            let (emit, grace) = match on_close {
                true => (Emit::OnWindowClose, grace),
                false => (Emit::OnUpdate, 1_000),
            };
            let mut came = came;
            came.push((false, 0, 10_000));
            let how = (cache_bytes, restart);
            let wanted = run(&merged(kind, (size, grace), emit), &came, how);
            prop_assert_eq!(run(&together(kind, (size, grace), emit), &came, how), wanted);
        }
    }

    fn values(out: Out) -> Vec<Option<String>> {
        out.into_iter().map(|record| record.value).collect()
    }

    /// As in Kafka Streams: the right stream has seen nothing, so nothing of it is late.
    #[test]
    fn on_update_each_stream_goes_by_its_own_time_and_on_close_by_that_of_all() {
        for kind in [Kind::Time, Kind::Sliding, Kind::Sessions] {
            let came = [(true, 0, 1_000), (false, 1, 100)];
            let (out, late) = run(&together(kind, (2, 0), Emit::OnUpdate), &came, (0, None));
            let wanted = [Some("l0 ".to_owned()), Some("r1 ".to_owned())];
            assert_eq!((values(out), late), (wanted.to_vec(), 0), "{kind:?}");
            let came = [(true, 0, 1_000), (false, 1, 100), (false, 1, 2_000)];
            let (out, late) = run(&together(kind, (2, 0), Emit::OnWindowClose), &came, (0, None));
            assert_eq!((values(out), late), (vec![Some("l0 ".to_owned())], 1), "{kind:?}");
        }
    }

    fn both(builder: &StreamsBuilder) -> CogroupedStream<String, String> {
        let stream = |topic| builder.stream::<String, String>(topic).group_by_key();
        stream("l").cogroup(String::new, ADD).cogroup(&stream("r"), ADD)
    }

    #[test]
    fn the_nodes_are_kafka_streams() {
        let described = together(Kind::Sessions, (5, 0), Emit::OnUpdate).describe();
        for line in [
            "Processor: COGROUPKSTREAM-AGGREGATE-0000000002 (stores: [rows])\n      --> COGROUPKSTREAM-MERGE-0000000004\n      <-- KSTREAM-SOURCE-0000000000\n",
            "Processor: COGROUPKSTREAM-AGGREGATE-0000000003 (stores: [rows])\n      --> COGROUPKSTREAM-MERGE-0000000004\n      <-- KSTREAM-SOURCE-0000000001\n",
            "Processor: COGROUPKSTREAM-MERGE-0000000004 (stores: [])\n",
        ] {
            assert!(described.contains(line), "{described}");
        }
        let sliding = together(Kind::Sliding, (5, 0), Emit::OnUpdate).describe();
        assert_eq!(sliding, described);
    }

    #[test]
    fn it_is_known_when_its_sessions_close() {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::with_gap(MS(5)).no_grace();
        let rows = both(&builder).windowed_by(windows);
        let rows = rows.aggregate("rows", |_, row, later| row.push_str(&later));
        let closed = rows.suppress("closed", Suppress::until_window_closes()).updates();
        closed.map(|session, row| (session.key, row)).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        // The gap is over when stream time is more than it past the end.
        for (topic, value, at) in
            [("l", "a", 1), ("r", "b", 4), ("l", "c", 9), ("r", "-", 14), ("l", "x", 15)]
        {
            let key = if value == "-" { "other" } else { "k" };
            driver.pipe(topic, &text(key, value, at)).unwrap();
            let out = driver.read::<String, String>("out").unwrap();
            assert_eq!(out.len(), usize::from(value == "x"), "{value}");
            assert!(out.iter().all(|record| record.value == "abc"), "{out:?}");
        }
    }

    #[test]
    fn windows_are_written_by_all() {
        let builder = StreamsBuilder::new();
        let (left, right) = (builder.stream("l"), builder.stream::<String, String>("r"));
        let windows = TimeWindows::of(Duration::from_millis(10)).no_grace();
        let both = left.group_by_key().cogroup(|| 0_i64, |_, _: String, n| *n += 1);
        let both = both.cogroup(&right.group_by_key(), |_, _, n| *n += 10);
        both.windowed_by(windows).aggregate("n").updates().map(|w, n| (w.key, n)).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for (topic, at) in [("l", 1), ("r", 2), ("l", 12)] {
            driver.pipe(topic, &text("k", "v", at)).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        assert_eq!(out.iter().map(|record| record.value).collect::<Vec<_>>(), [1, 11, 1]);
    }
}
