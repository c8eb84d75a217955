//! When a table lets its results out.

use std::time::Duration;

use crate::record::{Session, Timestamp, Windowed};
use crate::time::millis;

/// When `suppress` gives out what it holds back.
///
/// ```
/// use std::time::Duration;
/// use millstream::Suppress;
///
/// // Of windows and sessions: once, when they are over.
/// let once = Suppress::until_window_closes().max_records(100_000);
/// // Of any table: what came within five seconds as one change.
/// let seldom = Suppress::until_time_limit(Duration::from_secs(5)).max_bytes(10 << 20).emit_early_when_full();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Suppress;

impl Suppress {
    /// Each window or session once, when its grace is over. It may hold any number of them unless a bound is set; when
    /// that is exceeded the instance stops, since nothing may be given out early.
    pub fn until_window_closes() -> UntilWindowCloses {
        UntilWindowCloses { bounds: Bounds::default() }
    }

    /// The latest change of each row when stream time is this much past the first that was held back.
    pub fn until_time_limit(limit: Duration) -> UntilTimeLimit {
        UntilTimeLimit { limit_ms: millis(limit), bounds: Bounds::default(), full: Full::EmitEarly }
    }
}

/// See [`Suppress::until_window_closes`].
///
/// ```
/// use millstream::{Suppress, UntilWindowCloses};
/// let bounded: UntilWindowCloses = Suppress::until_window_closes().max_records(100_000).max_bytes(64 << 20);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UntilWindowCloses {
    bounds: Bounds,
}

/// See [`Suppress::until_time_limit`].
///
/// ```
/// use std::time::Duration;
/// use millstream::{Suppress, UntilTimeLimit};
/// let strict: UntilTimeLimit =
///     Suppress::until_time_limit(Duration::from_secs(5)).max_records(1_000).shut_down_when_full();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UntilTimeLimit {
    limit_ms: i64,
    bounds: Bounds,
    full: Full,
}

/// How much may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: u64::MAX, bytes: u64::MAX }
    }
}

/// What happens when it is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    EmitEarly,
    ShutDown,
}

/// The bounds of both kinds.
macro_rules! bounds {
    ($kind:ty, $example:literal) => {
        impl $kind {
            /// At most so many rows are held back.
            ///
            /// ```
            /// # use std::time::Duration;
            /// # use millstream::Suppress;
            #[doc = concat!("let held = ", $example, ".max_records(100_000);")]
            /// ```
            #[must_use]
            pub fn max_records(mut self, records: u64) -> Self {
                self.bounds.records = records;
                self
            }

            /// At most so many bytes of keys and changes are held back, as they are stored.
            ///
            /// ```
            /// # use std::time::Duration;
            /// # use millstream::Suppress;
            #[doc = concat!("let held = ", $example, ".max_bytes(64 << 20);")]
            /// ```
            #[must_use]
            pub fn max_bytes(mut self, bytes: u64) -> Self {
                self.bounds.bytes = bytes;
                self
            }
        }
    };
}

bounds!(UntilWindowCloses, "Suppress::until_window_closes()");
bounds!(UntilTimeLimit, "Suppress::until_time_limit(Duration::from_secs(5))");

impl UntilTimeLimit {
    /// When a bound is exceeded the oldest rows are given out before their time: the default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::Suppress;
    /// let held = Suppress::until_time_limit(Duration::from_secs(5)).max_records(1_000).emit_early_when_full();
    /// ```
    #[must_use]
    pub fn emit_early_when_full(mut self) -> Self {
        self.full = Full::EmitEarly;
        self
    }

    /// When a bound is exceeded the instance stops with an error.
    #[must_use]
    pub fn shut_down_when_full(mut self) -> Self {
        self.full = Full::ShutDown;
        self
    }
}

/// What can hold rows of these keys back: [`UntilTimeLimit`] all, [`UntilWindowCloses`] those of windows and sessions.
///
/// ```
/// use millstream::{BoxError, KTable, Suppresses};
///
/// fn held<K: Clone + Send + 'static>(table: &KTable<K, i64>, how: impl Suppresses<K>) -> KTable<K, i64> {
///     table.suppress("held", how)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "rows by `{K}` have no window that could close",
    note = "use `Suppress::until_time_limit`, or suppress a windowed table"
)]
pub trait Suppresses<K>: sealed::Sealed + Copy + Send + Sync + 'static {
    /// How it does it.
    #[doc(hidden)]
    fn plan(&self) -> SuppressPlan<K>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::UntilWindowCloses {}
    impl Sealed for super::UntilTimeLimit {}
}

/// What `suppress` does with rows of these keys.
#[doc(hidden)]
#[derive(Debug)]
pub struct SuppressPlan<K> {
    /// By what a row waits: the end of its window, or its time.
    pub(crate) since: fn(&K, Timestamp) -> i64,
    /// How long after that it is given out; none: when the window above closes, after which deletions mean nothing.
    pub(crate) limit_ms: Option<i64>,
    pub(crate) bounds: Bounds,
    pub(crate) full: Full,
}

impl<K> Suppresses<K> for UntilTimeLimit {
    fn plan(&self) -> SuppressPlan<K> {
        let limit_ms = Some(self.limit_ms);
        SuppressPlan { since: |_, at| at.0, limit_ms, bounds: self.bounds, full: self.full }
    }
}

impl<K> Suppresses<Windowed<K>> for UntilWindowCloses {
    fn plan(&self) -> SuppressPlan<Windowed<K>> {
        let since = |window: &Windowed<K>, _| window.end;
        SuppressPlan { since, limit_ms: None, bounds: self.bounds, full: Full::ShutDown }
    }
}

impl<K> Suppresses<Session<K>> for UntilWindowCloses {
    fn plan(&self) -> SuppressPlan<Session<K>> {
        let since = |session: &Session<K>, _| session.end;
        SuppressPlan { since, limit_ms: None, bounds: self.bounds, full: Full::ShutDown }
    }
}
