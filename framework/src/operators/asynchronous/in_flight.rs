//! What is on its way: which records have a future, which wait for one, whose result may go on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::chain::{HeldOrigin, Signal, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::asynchronous::options::{Async, Order};
use crate::record::{Data, Headers, Record, Timestamp};

/// What a future comes to: an output with the record's key, which it had.
pub(super) type Outcome<K, O> = std::result::Result<(K, O), BoxError>;
/// A record's future, with all its tries.
pub(super) type Attempt<K, O> = Pin<Box<dyn Future<Output = Outcome<K, O>> + Send>>;
/// Makes it.
pub(super) type Start<K, V, O> = Arc<dyn Fn(K, V) -> Attempt<K, O> + Send + Sync>;

/// One whose result may go on.
pub(super) struct Done<K, O> {
    pub(super) outcome: Outcome<K, O>,
    pub(super) timestamp: Timestamp,
    pub(super) headers: Headers,
    pub(super) origin: HeldOrigin,
}

/// A record that was taken and not handed on.
struct Entry<K, V, O> {
    timestamp: Timestamp,
    headers: Headers,
    origin: HeldOrigin,
    /// Stands for its key where the order is by key.
    lane: u64,
    state: State<K, V, O>,
}

enum State<K, V, O> {
    Waits(K, V),
    Runs(AbortHandle),
    Done(Outcome<K, O>),
}

/// The futures of one node in one task.
pub(super) struct InFlight<K, V, O> {
    how: Async<K>,
    start: Start<K, V, O>,
    /// By number, in the order in which the records came.
    entries: BTreeMap<u64, Entry<K, V, O>>,
    next: u64,
    /// Numbers of those that may start, in their order.
    waiting: VecDeque<u64>,
    running: usize,
    /// By key: which has one that runs or may start, and who waits behind it.
    lanes: HashMap<u64, VecDeque<u64>>,
    /// Numbers of those that are done, in the order in which they were, where the order of records does not matter.
    ready: VecDeque<u64>,
    arrivals: Receiver<(u64, Outcome<K, O>)>,
    arrive: Sender<(u64, Outcome<K, O>)>,
}

impl<K: Data, V: Data, O: Send + 'static> InFlight<K, V, O> {
    pub(super) fn new(how: Async<K>, start: Start<K, V, O>) -> Self {
        let (arrive, arrivals) = channel();
        Self {
            how,
            start,
            entries: BTreeMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            running: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            arrivals,
            arrive,
        }
    }

    /// The longest that one future may take.
    pub(super) fn longest(&self) -> Duration {
        self.how.tries.longest()
    }

    /// Takes a record: its future starts now or, at the limit or behind one of its key, later. A record
    /// may become many before it comes here, and so may a flush: those above the limit wait.
    pub(super) fn take(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let lane = match self.how.order {
            Order::ByKey(hash) => hash(&key),
            Order::AsTheyCame | Order::AsTheyAreDone => 0,
        };
        let (origin, state) = (ctx.hold_origin()?, State::Waits(key, value));
        let number = self.next;
        self.next += 1;
        self.entries.insert(number, Entry { timestamp, headers, origin, lane, state });
        self.line_up(number, lane);
        ctx.futures.took(self.entries.len() == self.how.limit);
        self.start_waiting(ctx)
    }

    /// Takes in what is done, and starts what may start in its place.
    pub(super) fn look(&mut self, ctx: &TaskContext) -> Result<()> {
        while let Ok((number, outcome)) = self.arrivals.try_recv() {
            let Some(entry) = self.entries.get_mut(&number) else { continue };
            entry.state = State::Done(outcome);
            let lane = entry.lane;
            self.running -= 1;
            if matches!(self.how.order, Order::ByKey(_)) {
                self.leave(lane);
            }
            if !matches!(self.how.order, Order::AsTheyCame) {
                self.ready.push_back(number);
            }
        }
        self.start_waiting(ctx)
    }

    /// One may start, or waits behind others of its key.
    fn line_up(&mut self, number: u64, lane: u64) {
        if matches!(self.how.order, Order::ByKey(_)) {
            if let Some(behind) = self.lanes.get_mut(&lane) {
                return behind.push_back(number);
            }
            self.lanes.insert(lane, VecDeque::new());
        }
        self.waiting.push_back(number);
    }

    /// The one that ran for a key is done: the next may start.
    fn leave(&mut self, lane: u64) {
        match self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(next) => self.waiting.push_back(next),
            None => drop(self.lanes.remove(&lane)),
        }
    }

    /// The next one that may go on.
    pub(super) fn next_done(&mut self, ctx: &mut TaskContext) -> Option<Done<K, O>> {
        let number = match self.how.order {
            Order::AsTheyCame => {
                let (number, first) = self.entries.first_key_value()?;
                matches!(first.state, State::Done(_)).then_some(*number)?
            }
            Order::AsTheyAreDone | Order::ByKey(_) => self.ready.pop_front()?,
        };
        let was_full = self.entries.len() == self.how.limit;
        let Entry { timestamp, headers, origin, state, .. } = self.entries.remove(&number)?;
        ctx.futures.gave(was_full);
        let State::Done(outcome) = state else { return None };
        Some(Done { outcome, timestamp, headers, origin })
    }

    /// Starts those that may start, as long as the limit allows.
    fn start_waiting(&mut self, ctx: &TaskContext) -> Result<()> {
        while self.running < self.how.limit
            && let Some(number) = self.waiting.pop_front()
        {
            self.run(number, ctx)?;
        }
        Ok(())
    }

    fn run(&mut self, number: u64, ctx: &TaskContext) -> Result<()> {
        let Some(entry) = self.entries.remove(&number) else { return Ok(()) };
        let Entry { timestamp, headers, origin, lane, state } = entry;
        let State::Waits(key, value) = state else { return Ok(()) };
        let attempt = (self.start)(key, value);
        let (arrive, signal) = (self.arrive.clone(), ctx.futures.signal().clone());
        let promise = Promise { number, arrive, signal, is_kept: false };
        let runs = ctx.futures.spawn(async move { promise.keep(attempt.await) })?;
        let state = State::Runs(runs);
        self.entries.insert(number, Entry { timestamp, headers, origin, lane, state });
        self.running += 1;
        Ok(())
    }
}

/// That something comes of a future: whatever happens to it, its task hears of it.
struct Promise<K, O> {
    number: u64,
    arrive: Sender<(u64, Outcome<K, O>)>,
    signal: Signal,
    is_kept: bool,
}

impl<K, O> Promise<K, O> {
    fn keep(mut self, outcome: Outcome<K, O>) {
        self.is_kept = true;
        self.tell(outcome);
    }

    fn tell(&self, outcome: Outcome<K, O>) {
        // Nobody takes it in any more if the task was dropped meanwhile.
        if self.arrive.send((self.number, outcome)).is_ok() {
            self.signal.arrived();
        }
    }
}

impl<K, O> Drop for Promise<K, O> {
    /// Something panicked beside its own polls: when it was dropped, or when a value was cloned for another try.
    fn drop(&mut self) {
        if !self.is_kept {
            self.tell(Err("the future panicked".into()));
        }
    }
}

impl<K, V, O> Drop for InFlight<K, V, O> {
    /// What runs for a task that is gone ends at its next await: the record comes again.
    fn drop(&mut self) {
        for entry in self.entries.values() {
            if let State::Runs(runs) = &entry.state {
                runs.abort();
            }
        }
    }
}
