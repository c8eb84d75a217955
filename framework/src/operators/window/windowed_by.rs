//! `windowed_by`: brings the records of one key and one window together, to be aggregated.

use std::fmt;
use std::sync::Arc;

use millstream_state::WindowOrder;

use crate::operators::group::{First, KGroupedStream};
use crate::operators::table::KTable;
use crate::record::{Data, Shared};
use crate::store::{Materialized, WindowTableSpec};
use crate::time::{Emit, Windowing, Windows, millis};
use crate::topology::{SharedGraph, TopologyFault};

/// A stream whose records are brought together by key and window.
///
/// ```
/// use std::time::Duration;
/// use millstream::{Emit, TimeWindows};
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let per_minute = clicks.windowed_by(minute).emit(Emit::OnWindowClose).count("per-minute");
/// per_minute.updates().map(|window, clicks| (window.key, clicks)).to("out");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for at in [1_000, 2_000, 60_000] {
///     driver.pipe("clicks", &text("ada", "/", at))?;
/// }
/// // The record of the next minute has closed the first.
/// assert_eq!(driver.read::<String, i64>("out")?[0].value, 2);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct WindowedStream<K, V, W> {
    pub(crate) grouped: KGroupedStream<K, V>,
    pub(crate) windows: W,
    pub(crate) emit: Emit,
}

impl<K, V, W: Clone> Clone for WindowedStream<K, V, W> {
    fn clone(&self) -> Self {
        Self { grouped: self.grouped.clone(), windows: self.windows.clone(), emit: self.emit }
    }
}

impl<K, V, W: fmt::Debug> fmt::Debug for WindowedStream<K, V, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowedStream")
            .field("grouped", &self.grouped)
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Divides the records of each key into windows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, TimeWindows, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let minute = Duration::from_secs(60);
    /// let windows = TimeWindows::of(minute).grace(minute);
    /// clicks.windowed_by(windows).count("per-minute");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for at in [1_000, 2_000, 60_000] {
    ///     driver.pipe("clicks", &text("ada", "/", at))?;
    /// }
    /// let counts = driver.windowed_table::<String, i64>("per-minute")?;
    /// assert_eq!(counts.iter().map(|row| row.1).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn windowed_by<W: Windowing>(&self, windows: W) -> WindowedStream<K, V, W> {
        WindowedStream { grouped: self.clone(), windows, emit: Emit::default() }
    }
}

impl<K: Data, V: Data, W: Windowing> WindowedStream<K, V, W> {
    /// When results are emitted.
    #[must_use]
    pub fn emit(mut self, when: Emit) -> Self {
        self.emit = when;
        self
    }
}

/// How many records there are.
pub(super) fn counting<K, V>(_: &K, _: V, count: Option<i64>) -> i64 {
    count.unwrap_or(0) + 1
}

/// The first value, with which each later one is combined.
pub(super) fn reducing<K: Data, V: Data>(
    f: impl Fn(V, V) -> V + Shared,
) -> impl Fn(&K, V, Option<V>) -> V + Shared {
    move |_, value, so_far| match so_far {
        Some(so_far) => f(so_far, value),
        None => value,
    }
}

/// What `f` adds up, beginning with what `init` makes.
pub(crate) fn adding<K: Data, V: Data, A: Data>(
    init: First<A>,
    f: impl Fn(&K, V, &mut A) + Shared,
) -> impl Fn(&K, V, Option<A>) -> A + Shared {
    move |key, value, so_far| {
        let mut row = so_far.unwrap_or_else(|| init());
        f(key, value, &mut row);
        row
    }
}

/// Whether rows that are found by key have a record cache, and how they are laid out: what closes is found by time as
/// well, and rows that a cache holds back have no entry by time.
pub(super) fn found_by_key(emit: Emit, cached: bool) -> (bool, WindowOrder) {
    match emit {
        Emit::OnUpdate => (cached, WindowOrder::KeyFirst),
        Emit::OnWindowClose => (false, WindowOrder::KeyFirstAndTime),
    }
}

/// How long a store keeps windows: as long as is said, else the least. Notes what does not fit.
pub(super) fn retention_ms<K, A>(
    graph: &SharedGraph,
    store: &Materialized<K, A>,
    (least, made_of): (i64, &str),
    refusal: Option<String>,
) -> i64 {
    let kept = store.retention.map_or(least, millis);
    let mut reasons = Vec::from_iter(refusal);
    if store.history.is_some() {
        reasons.push("a versioned store holds no windows".to_owned());
    }
    if kept < least {
        reasons.push(format!("a retention of {kept} ms is shorter than {made_of}, {least} ms"));
    }
    for reason in reasons {
        let fault = TopologyFault::BadWindows { node: store.options.name.to_string(), reason };
        graph.borrow_mut().fault(fault);
    }
    kept
}

/// Notes when the windows of a table close, for `suppress`.
pub(crate) fn closing<K, A, W: Windows>(table: KTable<K, A>, windows: &W) -> KTable<K, A> {
    let closes = (windows.size_ms() != i64::MAX).then(|| windows.grace_ms());
    table.graph.borrow_mut().set_closes_after(table.node, closes);
    table
}

/// The store of an aggregation over windows; notes what does not fit.
pub(crate) fn window_store<K: Data, A: Data, W: Windows>(
    graph: &SharedGraph,
    (windows, emit): (&W, Emit),
    store: Materialized<K, A>,
) -> Arc<WindowTableSpec<K, A>> {
    let least = windows.size_ms().saturating_add(windows.grace_ms());
    let retention_ms = retention_ms(graph, &store, (least, "size and grace"), windows.refusal());
    let Materialized { options, serdes, cached, .. } = store;
    if emit == Emit::OnWindowClose && windows.size_ms() == i64::MAX {
        let reason = "they never close, so nothing would ever be emitted".to_owned();
        let fault = TopologyFault::BadWindows { node: options.name.to_string(), reason };
        graph.borrow_mut().fault(fault);
    }
    Arc::new(WindowTableSpec {
        options,
        serdes,
        cached,
        retention_ms,
        window_size_ms: windows.size_ms(),
        ranged: false,
        order: match emit {
            Emit::OnUpdate => WindowOrder::KeyFirst,
            Emit::OnWindowClose => WindowOrder::TimeFirst,
        },
    })
}
