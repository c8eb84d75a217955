//! How futures run: how many at once, in which order their results go on, how often each is tried.

use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::time::Duration;

/// How long one try may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How the futures of a node run.
///
/// | | at once | results go on |
/// |---|---|---|
/// | [`ordered`](Self::ordered) | any records | in the order of the records: a slow one holds up those behind it |
/// | [`unordered`](Self::unordered) | any records | as they are done; windows behind may see older ones as late |
/// | [`by_key`](Self::by_key) | records of different keys | as they are done; those of one key run one after the other, in their order |
///
/// The limit is that of one task: with four partitions and `ordered(8)` at most 32 run in all. At the limit the task takes
/// no further records. A try may take 2 s unless said otherwise, and there is one.
///
/// A commit waits for all futures of its tasks. A record may go through several such nodes, so one future of each of them
/// must fit, with all tries, into half of `transaction_timeout_ms` (with at-least-once, of `max_poll_interval_ms`); a task
/// of which they may take longer does not start. Nor must one record become more futures than are done in that time.
/// After a crash a record's future may run again, its result counts once. Stream time is that of the records that were
/// taken: what is scheduled by it does not wait for their futures.
///
/// ```
/// use std::time::Duration;
/// use millstream::Async;
/// use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let how = Async::by_key(8).timeout(Duration::from_secs(1)).retries(2, Duration::from_millis(100));
/// let clicks = builder.stream::<String, String>("clicks");
/// let located = clicks.map_async(how, |ip, click| {
///     let place = format!("{click} at the place of {ip}");
///     async move { Ok::<_, std::io::Error>(place) }
/// });
/// located.to("located");
/// // In the order of the records, or as they are done; `8` alone is the first.
/// let later = |_: &String, click: String| async move { Ok::<_, std::io::Error>(click) };
/// clicks.map_async(Async::ordered(8), later).to("clicks-1");
/// clicks.map_async(Async::unordered(8), later).to("clicks-2");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// driver.pipe("clicks", &text("10.0.0.1", "home", 5))?;
/// let wanted = text("10.0.0.1", "home at the place of 10.0.0.1", 5);
/// assert_eq!(driver.read::<String, String>("located")?, [wanted]);
/// # Ok::<(), millstream::BoxError>(())
/// ```
pub struct Async<K> {
    pub(super) limit: usize,
    pub(super) order: Order<K>,
    pub(super) tries: Tries,
}

/// In which order results go on.
pub(super) enum Order<K> {
    AsTheyCame,
    AsTheyAreDone,
    /// Those of one key one after the other; keys of one hash count as one.
    ByKey(fn(&K) -> u64),
}

impl<K> Clone for Order<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Order<K> {}

impl<K> Clone for Async<K> {
    fn clone(&self) -> Self {
        Self { limit: self.limit, order: self.order, tries: self.tries }
    }
}

impl<K> fmt::Debug for Async<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::AsTheyCame => "ordered",
            Order::AsTheyAreDone => "unordered",
            Order::ByKey(_) => "by key",
        };
        f.debug_struct("Async")
            .field("limit", &self.limit)
            .field("order", &order)
            .field("tries", &self.tries)
            .finish()
    }
}

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
}

impl Tries {
    /// The wait after so many failed tries, the first being 1: each twice the one before, up to a minute.
    pub(super) fn wait_after(&self, failed: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(doubled).min(BACKOFF_MAX.max(self.backoff))
    }

    /// The longest that one future may take with all its tries.
    pub(super) fn longest(&self) -> Duration {
        let tries = self.timeout.saturating_mul(self.retries.saturating_add(1));
        // From some wait on each is as long as the one before.
        let growing = self.retries.min(u32::BITS);
        let waits = (1..=growing)
            .fold(Duration::ZERO, |all, failed| all.saturating_add(self.wait_after(failed)));
        let others = self.wait_after(u32::MAX).saturating_mul(self.retries - growing);
        tries.saturating_add(waits).saturating_add(others)
    }
}

impl<K> From<usize> for Async<K> {
    /// As [`Async::ordered`].
    fn from(limit: usize) -> Self {
        Self::ordered(limit)
    }
}

impl<K> Async<K> {
    fn new(limit: usize, order: Order<K>) -> Self {
        let tries = Tries { timeout: TIMEOUT, retries: 0, backoff: Duration::ZERO };
        Self { limit: limit.max(1), order, tries }
    }

    /// At most `limit` at once in each task (at least 1); results go on in the order of the records.
    pub fn ordered(limit: usize) -> Self {
        Self::new(limit, Order::AsTheyCame)
    }

    /// At most `limit` at once in each task (at least 1); results go on as they are done.
    pub fn unordered(limit: usize) -> Self {
        Self::new(limit, Order::AsTheyAreDone)
    }

    /// At most `limit` at once in each task (at least 1), one of each key; results go on as they are done.
    pub fn by_key(limit: usize) -> Self
    where
        K: Hash,
    {
        let hash = |key: &K| BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        Self::new(limit, Order::ByKey(hash))
    }

    /// How long one try may take; 2 s by default. A future that blocks its thread is not seen to take too long: give such
    /// work to `tokio::task::spawn_blocking`.
    #[must_use]
    pub fn timeout(mut self, each: Duration) -> Self {
        self.tries.timeout = each;
        self
    }

    /// How often a future that fails, or takes too long, is tried again, and the wait before the first time; each further
    /// wait is twice as long, up to a minute. Without this it is not. One that panics is not tried again.
    #[must_use]
    pub fn retries(mut self, times: u32, backoff: Duration) -> Self {
        (self.tries.retries, self.tries.backoff) = (times, backoff);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_count_into_the_longest() {
        let ms = Duration::from_millis;
        let tries = Async::<String>::ordered(0).timeout(ms(10)).retries(3, ms(100)).tries;
        assert_eq!([1, 2, 3].map(|failed| tries.wait_after(failed)), [100, 200, 400].map(ms));
        assert_eq!(tries.longest(), ms(4 * 10 + 700));
        let tries = Async::<String>::ordered(1).retries(u32::MAX, ms(1)).tries;
        assert_eq!(tries.wait_after(40), BACKOFF_MAX);
        let tries = Async::<String>::from(1).timeout(Duration::MAX).retries(5, ms(1)).tries;
        assert_eq!(tries.longest(), Duration::MAX);
    }
    /// A node that tries for ever must be refused at once, and not after some minutes of adding up.
    #[test]
    fn the_longest_of_endless_tries_is_known_at_once() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let how = Async::<String>::ordered(1).retries(u32::MAX, Duration::from_millis(1));
            let _ = tell.send(how.tries.longest());
        });
        let longest = told.recv_timeout(Duration::from_secs(5)).ok();
        assert!(longest > Some(Duration::from_secs(1 << 32)), "{longest:?}");
    }
}
