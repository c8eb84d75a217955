//! How far apart two records may be to meet in a join of two streams.
//!
//! ```text
//!            before      after
//!        ◄────────────┬────────►
//!   ─────[────────────l────────]─────   a record of the left stream meets those of the right in here,
//!                                       both ends included
//! ```

use std::time::Duration;

use crate::time::millis;
use crate::time::time_windows::{Grace, NoGraceYet};

/// How far apart in time two records may be to meet. The grace is part of the type: how late a record may come
/// is never a silent default. It decides how long records are kept in the stores of the join, and when a left or
/// outer join emits a record that matched none.
///
/// ```
/// use std::time::Duration;
/// use millstream::JoinWindows;
///
/// let minute = Duration::from_secs(60);
/// let close = JoinWindows::within(minute).grace(Duration::from_secs(5));
/// // A payment up to an hour after its order, and not before it.
/// let paid = JoinWindows::within(60 * minute).before(Duration::ZERO).no_grace();
/// // The same: `within` sets both bounds, and `before` and `after` set one.
/// assert_eq!(paid, JoinWindows::within(Duration::ZERO).after(60 * minute).no_grace());
/// // At least ten seconds after it.
/// let later = JoinWindows::within(minute).at_least_after(Duration::from_secs(10)).no_grace();
/// let earlier = JoinWindows::within(minute).at_least_before(Duration::from_secs(10)).no_grace();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows<G = Grace> {
    before_ms: i64,
    after_ms: i64,
    grace: G,
}

impl JoinWindows<NoGraceYet> {
    /// The other record may be this much earlier or later.
    pub fn within(difference: Duration) -> Self {
        let difference = millis(difference);
        Self { before_ms: difference, after_ms: difference, grace: NoGraceYet }
    }

    /// Records may come this much late.
    pub fn grace(self, grace: Duration) -> JoinWindows {
        self.with_grace(Grace::of(grace))
    }

    /// Records come in the order of their times, as far as the join is concerned.
    pub fn no_grace(self) -> JoinWindows {
        self.with_grace(Grace::of(Duration::ZERO))
    }

    fn with_grace(self, grace: Grace) -> JoinWindows {
        JoinWindows { before_ms: self.before_ms, after_ms: self.after_ms, grace }
    }
}

impl<G> JoinWindows<G> {
    /// The right record may be this much earlier than the left one.
    #[must_use]
    pub fn before(mut self, difference: Duration) -> Self {
        self.before_ms = millis(difference);
        self
    }

    /// The right record may be this much later than the left one.
    #[must_use]
    pub fn after(mut self, difference: Duration) -> Self {
        self.after_ms = millis(difference);
        self
    }

    /// The right record must be at least this much later than the left one (Java's negative `before`).
    #[must_use]
    pub fn at_least_after(mut self, difference: Duration) -> Self {
        self.before_ms = -millis(difference);
        self
    }

    /// The right record must be at least this much earlier than the left one (Java's negative `after`).
    #[must_use]
    pub fn at_least_before(mut self, difference: Duration) -> Self {
        self.after_ms = -millis(difference);
        self
    }
}

impl JoinWindows {
    pub(crate) fn before_ms(&self) -> i64 {
        self.before_ms
    }

    pub(crate) fn after_ms(&self) -> i64 {
        self.after_ms
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        self.grace.ms()
    }

    pub(crate) fn size_ms(&self) -> i64 {
        self.before_ms.saturating_add(self.after_ms)
    }

    /// What makes them unusable, if anything does.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (before, after) = (self.before_ms, self.after_ms);
        (self.size_ms() < 0)
            .then(|| format!("no record is in them: from {before} ms before to {after} ms after"))
    }
}

/// [`JoinWindows`] that say how late a record may come: what joins of streams take.
///
/// ```
/// use std::time::Duration;
/// use millstream::{JoinWindows, KStream, StatedGrace};
///
/// fn paid(orders: &KStream<String, i64>, payments: &KStream<String, i64>, within: impl StatedGrace) {
///     orders.join("paid", payments, within, |order, payment| order - payment).to("open");
/// }
/// # let builder = millstream::StreamsBuilder::new();
/// let minute = JoinWindows::within(Duration::from_secs(60));
/// paid(&builder.stream("orders"), &builder.stream("payments"), minute.no_grace());
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as windows of a join",
    note = "windows need a stated grace: `.grace(..)` or `.no_grace()`"
)]
pub trait StatedGrace: sealed::Sealed {
    /// The windows themselves.
    fn windows(self) -> JoinWindows;
}

impl StatedGrace for JoinWindows {
    fn windows(self) -> JoinWindows {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::JoinWindows {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn bounds_may_be_on_one_side_and_must_leave_something() {
        let after = JoinWindows::within(S(9)).at_least_after(S(2)).no_grace();
        assert_eq!((after.before_ms(), after.after_ms(), after.size_ms()), (-2_000, 9_000, 7_000));
        assert_eq!(after.refusal(), None);
        let at_once = JoinWindows::within(S(0)).grace(S(1));
        assert_eq!((at_once.refusal(), at_once.grace_ms()), (None, 1_000));
        let never = JoinWindows::within(S(1)).at_least_before(S(2)).no_grace();
        assert!(never.refusal().is_some_and(|why| why.contains("1000 ms before to -2000 ms")));
    }
}
