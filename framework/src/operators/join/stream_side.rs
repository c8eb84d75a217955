//! One side of a join of two streams: it remembers its records, and lets them meet those of the other side.
//!
//! Two nodes for each side, as in Kafka Streams: `Remember` hands a record on to `StreamSide` first and stores it
//! then, so that a record never meets itself.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::Direction;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::collector::Written;
use crate::error::Result;
use crate::operators::table::EXPIRED;
use crate::policy::DropReason;
use crate::record::{Data, Headers, Record, Timestamp};
use crate::serde::{Part, Serde};
use crate::store::{Either, Position, StateStore as _, Unmatched, WindowState, written_by};
use crate::time::JoinWindows;

/// Which of two streams: what differs between the sides of a join.
pub(super) trait Side<L, R>: Send + Sync + 'static {
    type This: Data;
    type Other: Data;
    const LEFT: bool;

    /// A record here and one there, in the order of the join.
    fn pair<'a>(
        this: &'a Self::This,
        other: Option<&'a Self::Other>,
    ) -> (Option<&'a L>, Option<&'a R>);

    fn either(this: &Self::This) -> Either<&L, &R>;
}

pub(super) struct OnLeft;
pub(super) struct OnRight;

impl<L: Data, R: Data> Side<L, R> for OnLeft {
    type This = L;
    type Other = R;
    const LEFT: bool = true;

    fn pair<'a>(this: &'a L, other: Option<&'a R>) -> (Option<&'a L>, Option<&'a R>) {
        (Some(this), other)
    }

    fn either(this: &L) -> Either<&L, &R> {
        Either::Left(this)
    }
}

impl<L: Data, R: Data> Side<L, R> for OnRight {
    type This = R;
    type Other = L;
    const LEFT: bool = false;

    fn pair<'a>(this: &'a R, other: Option<&'a L>) -> (Option<&'a L>, Option<&'a R>) {
        (other, Some(this))
    }

    fn either(this: &R) -> Either<&L, &R> {
        Either::Right(this)
    }
}

/// Hands a record on, and remembers it then.
pub(super) struct Remember<K, V> {
    pub(super) key: Arc<dyn Serde<K>>,
    pub(super) store: Rc<RefCell<WindowState<K, V>>>,
    pub(super) children: Children<K, V>,
    pub(super) faults: Faults,
}

impl<K, V> Node for Remember<K, V> {}

impl<K: Data, V: Data> Operator<K, V> for Remember<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let at = record.timestamp;
        let kept =
            (!self.key.is_null(&record.key)).then(|| (record.key.clone(), record.value.clone()));
        self.children.forward(record, ctx)?;
        let Some((key, value)) = kept else { return Ok(()) };
        let put = self.store.borrow_mut().put(&key, Some(value), at, at);
        match put {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.store.borrow_mut().told_expired();
                self.faults.dropped(DropReason::Expired, ctx, EXPIRED)
            }
            Err(error) => self.faults.apply_to_row(error, ctx),
        }
    }
}

/// What both sides know of time.
#[derive(Debug)]
pub(super) struct JoinTime {
    /// The largest timestamp of either side.
    stream: i64,
    /// No record that waits is looked at before time has passed this one's; Java's `minTime`.
    next: i64,
    /// No record that waits is older.
    floor: i64,
    is_known: bool,
}

impl Default for JoinTime {
    fn default() -> Self {
        Self { stream: -1, next: i64::MAX, floor: 0, is_known: false }
    }
}

/// So many of the records that wait are looked at, at most, for when to look again. Kafka Streams looks at all; where
/// more than these are of one side, ours are given out a little earlier, as soon as it is time.
const LOOKED_AT_MAX: usize = 64;

/// Lets records of one side meet those of the other.
pub(super) struct StreamSide<K, L, R, VO, F, S: Side<L, R>> {
    pub(super) f: Arc<F>,
    pub(super) windows: JoinWindows,
    /// A record of this side is emitted alone if it matches none.
    pub(super) outer: bool,
    /// Those of both sides are.
    pub(super) both_sides: bool,
    pub(super) key: Arc<dyn Serde<K>>,
    pub(super) value: Arc<dyn Serde<S::This>>,
    pub(super) others: Rc<RefCell<WindowState<K, S::Other>>>,
    /// Of left and outer joins.
    pub(super) unmatched: Option<Rc<RefCell<Unmatched<K, L, R>>>>,
    pub(super) time: Rc<RefCell<JoinTime>>,
    pub(super) children: Children<K, VO>,
    pub(super) faults: Faults,
    pub(super) side: PhantomData<fn() -> S>,
}

impl<K, L, R, VO, F, S> Node for StreamSide<K, L, R, VO, F, S>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
    S: Side<L, R>,
{
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let Some(store) = &self.unmatched else { return Ok(()) };
        let mut time = self.time.borrow_mut();
        if std::mem::replace(&mut time.is_known, true) {
            return Ok(());
        }
        let store = store.borrow();
        time.stream = ctx.progress.get(&noted(store.name(), "time")).copied().unwrap_or(-1);
        if let Some(Position::Group { at, .. }) = store.first(&Position::Time(Timestamp(0)))? {
            (time.next, time.floor) = (at.0, at.0);
        }
        if let Some(next) = ctx.progress.get(&noted(store.name(), "next")) {
            time.next = *next;
        }
        Ok(())
    }

    fn time_passes(&mut self, to: Timestamp, ctx: &mut TaskContext) -> Result<bool> {
        let mut time = self.time.borrow_mut();
        time.stream = time.stream.max(to.0);
        drop(time);
        self.give_out(&Headers::default(), ctx)
    }

    /// Notes the stream time of the join in the progress of the task, and from when on waiting records are looked at.
    /// Whether a record waits, is emitted at once or a little later must not depend on a restart.
    fn flush(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let Some(store) = &self.unmatched else { return Ok(()) };
        let (store, time) = (store.borrow(), self.time.borrow());
        ctx.progress.insert(noted(store.name(), "time"), time.stream);
        ctx.progress.insert(noted(store.name(), "next"), time.next);
        Ok(())
    }
}

/// Under which name the task's progress has something of a join. It stands in the metadata of committed offsets, of which
/// a broker takes 4096 bytes, so it is 11 letters (FNV-1a) however long the store's name is.
fn noted(store: &str, what: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let named = store.bytes().chain([0]).chain(what.bytes());
    let hash = named.fold(0xcbf2_9ce4_8422_2325, add);
    let letter = |sixth: u32| LETTERS.get((hash >> (6 * sixth)) as usize % 64).copied();
    (0..11).filter_map(letter).map(char::from).collect()
}

impl<K, L, R, VO, F, S> StreamSide<K, L, R, VO, F, S>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
    S: Side<L, R>,
{
    /// How much earlier and how much later than a record of this side its matches may be.
    fn reach(&self) -> (i64, i64) {
        match S::LEFT {
            true => (self.windows.before_ms(), self.windows.after_ms()),
            false => (self.windows.after_ms(), self.windows.before_ms()),
        }
    }

    fn forward(&self, record: Record<K, Option<VO>>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match value {
            Some(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => Ok(()),
        }
    }

    fn alone(&self, record: Record<K, S::This>, ctx: &mut TaskContext) -> Result<()> {
        let (left, right) = S::pair(&record.value, None);
        let value = (self.f)(left, right);
        let Record { key, timestamp, headers, .. } = record;
        self.forward(Record { key, value, timestamp, headers }, ctx)
    }

    /// Drops a record without key or value; one that is given out alone needs no key.
    fn with_nulls(
        &self,
        record: Record<K, S::This>,
        ctx: &mut TaskContext,
    ) -> Result<Option<Record<K, S::This>>> {
        let (reason, what) =
            match (self.key.is_null(&record.key), self.value.is_null(&record.value)) {
                (false, false) => return Ok(Some(record)),
                (true, false) if self.outer => return self.alone(record, ctx).map(|()| None),
                (true, _) => (DropReason::NullKey, "its key is null"),
                (false, true) => (DropReason::NullValue, "its value is null"),
            };
        let written = || {
            let key = written_by(&*self.key, Part::Key, &record.key);
            let value = written_by(&*self.value, Part::Value, &record.value);
            Written::new((key, value), record.timestamp, &record.headers)
        };
        let why = format_args!("{what}");
        self.faults.dropped_record(reason, ctx, why, &written).map(|()| None)
    }

    /// Emits the records that can match none any more; false if it is known that there are none.
    fn give_out(&self, headers: &Headers, ctx: &mut TaskContext) -> Result<bool> {
        let Some(store) = &self.unmatched else { return Ok(false) };
        let (stream, next, floor) = {
            let time = self.time.borrow();
            (time.stream, time.next, time.floor)
        };
        let grace = self.windows.grace_ms();
        let waits = |at: i64, reach: i64| at.saturating_add(reach).saturating_add(grace) >= stream;
        if waits(next, self.reach().1) {
            return Ok(false);
        }
        let reach = |left| if left { self.windows.after_ms() } else { self.windows.before_ms() };
        // From here on nothing can be emitted, on neither side.
        let end = stream.saturating_sub(grace).saturating_sub(reach(true).min(reach(false)));
        let groups = store.borrow().scan(Timestamp(floor), Timestamp(end));
        let mut seen = Seen::default();
        for group in groups {
            let group = group?;
            let left = matches!(group.values.first(), Some(Either::Left(_)));
            if seen.passes(group.at, left, waits(group.at.0, reach(left))) {
                break;
            }
            if waits(group.at.0, reach(left)) {
                continue;
            }
            ctx.with_rows(store, |ctx| {
                for (place, value) in group.values.iter().enumerate() {
                    let value = match value {
                        Either::Left(value) => (self.f)(Some(value), None),
                        Either::Right(value) => (self.f)(None, Some(value)),
                    };
                    store.borrow_mut().hands_on(&group, place);
                    let (key, timestamp) = (group.key.clone(), group.at);
                    let headers = headers.clone();
                    self.forward(Record { key, value, timestamp, headers }, ctx)?;
                }
                Ok(())
            })?;
            store.borrow_mut().given_out(&group, Timestamp(stream))?;
        }
        seen.rest(&store.borrow(), Timestamp(end.max(floor)), self.both_sides)?;
        let mut time = self.time.borrow_mut();
        time.next = seen.last.unwrap_or(i64::MAX);
        time.floor = seen.first_open.unwrap_or(end).max(floor);
        Ok(true)
    }
}

/// How far Java looks at the records that wait: until it has seen one on each side that still waits, and one more.
/// The last one that it looks at decides when it looks again.
#[derive(Default)]
struct Seen {
    /// One that still waits was seen, of the left and of the right side.
    left_waits: bool,
    right_waits: bool,
    last: Option<i64>,
    first_open: Option<i64>,
    ended: bool,
}

impl Seen {
    /// Takes a group in; true if it is the last one to be looked at.
    fn passes(&mut self, at: Timestamp, left: bool, waits: bool) -> bool {
        self.last = Some(at.0);
        if self.left_waits && self.right_waits {
            self.ended = true;
            return true;
        }
        if waits {
            self.left_waits |= left;
            self.right_waits |= !left;
            self.first_open = self.first_open.or(Some(at.0));
        }
        false
    }

    /// Looks at those that all wait, from a time on.
    fn rest<K: Data, L: Data, R: Data>(
        &mut self,
        store: &Unmatched<K, L, R>,
        from: Timestamp,
        both_sides: bool,
    ) -> Result<()> {
        let mut place = Position::Time(from);
        for _ in 0..LOOKED_AT_MAX {
            let Some(found) = store.first(&place)? else { return Ok(()) };
            let Position::Group { at, left, .. } = &found else { return Ok(()) };
            if self.ended || self.passes(*at, *left, true) {
                return Ok(());
            }
            if !both_sides {
                break;
            }
            place = found;
        }
        // Where one side alone waits the last of all is what counts.
        if let (false, Some(Position::Group { at, .. })) = (both_sides, store.last()?) {
            self.last = Some(at.0);
        }
        Ok(())
    }
}

impl<K, L, R, VO, F, S> Operator<K, S::This> for StreamSide<K, L, R, VO, F, S>
where
    K: Data,
    L: Data,
    R: Data,
    VO: Data,
    F: Fn(Option<&L>, Option<&R>) -> Option<VO>,
    S: Side<L, R>,
{
    #[inline]
    fn process(&mut self, record: Record<K, S::This>, ctx: &mut TaskContext) -> Result<()> {
        let at = record.timestamp;
        let stream = {
            let mut time = self.time.borrow_mut();
            time.stream = time.stream.max(at.0);
            time.stream
        };
        let Some(record) = self.with_nulls(record, ctx)? else { return Ok(()) };
        if at.0 == stream {
            self.give_out(&record.headers, ctx)?;
        }
        let (before, after) = self.reach();
        let clamped = |at: i64| Timestamp(at.max(0));
        let (from, to) =
            (clamped(at.0.saturating_sub(before)), clamped(at.0.saturating_add(after)));
        let others =
            self.others.borrow_mut().of_key(&record.key, (from, to), Direction::Forward)?;
        let mut met = false;
        for other in others {
            let (other_at, other) = other?;
            met = true;
            if let Some(unmatched) = &self.unmatched {
                unmatched.borrow_mut().matched(&record.key, (other_at, !S::LEFT), at)?;
            }
            let (left, right) = S::pair(&record.value, Some(&other));
            let value = (self.f)(left, right);
            let (key, headers) = (record.key.clone(), record.headers.clone());
            self.forward(Record { key, value, timestamp: at.max(other_at), headers }, ctx)?;
        }
        if met || !self.outer {
            return Ok(());
        }
        match &self.unmatched {
            Some(unmatched) if to.0 >= stream => {
                let waits = S::either(&record.value);
                let added = unmatched.borrow_mut().add(&record.key, at, &waits);
                let mut time = self.time.borrow_mut();
                time.next = time.next.min(at.0);
                time.floor = time.floor.min(at.0);
                drop(time);
                added.or_else(|error| self.faults.apply_to_row(error, ctx))
            }
            _ => self.alone(record, ctx),
        }
    }
}
