//! The actor that hosts a task: it turns messages into turns of the task.
//!
//! One turn processes records until there are none, or until its time is up, so that commits,
//! rebalances and the other tasks of the worker never wait long. A record is never interrupted: what
//! waits, waits for one slow record and not for a turn full of them. The cell is shared with the
//! worker on the same thread: a commit reaches all tasks of a worker at one moment, without a
//! message round trip in which a task could go on. A panic of a user's closure ends at this
//! boundary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::SendError;
use actix::{
    Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Recipient, SpawnHandle,
};

use crate::error::{Error, Result};
use crate::log::Wake;
use crate::record::{TaskId, Timestamp};
use crate::runtime::instance::Instance;

use crate::runtime::worker::messages::{Ask, CommitWanted, Punctuate, Retire, TaskFailed, WakeUp};
use crate::runtime::worker::task_cell::{NextTick, TaskCell, guarded};
use crate::task::{Rest, Task, Turn, TurnLimits};

/// A turn ends after this: longer delays commits and rebalances, shorter costs messages.
const TURN_MAX: Duration = Duration::from_millis(10);
/// How soon a task that waits for a slower input looks again.
const WAITING_RETRY: Duration = Duration::from_millis(5);
/// Messages are few: wake-ups are deduplicated, the rest comes from the worker and from queries.
const MAILBOX_MESSAGES_MAX: usize = 256;

pub(crate) struct TaskActor {
    id: TaskId,
    cell: TaskCell,
    commit_wanted: Recipient<CommitWanted>,
    failed: Recipient<TaskFailed>,
    instance: Arc<Instance>,
    /// True while a wake-up is in the mailbox.
    woken: Arc<AtomicBool>,
    punctuation: Option<(Timestamp, SpawnHandle)>,
    /// True while a look for a slower input is planned.
    look_planned: bool,
    /// True while a look at the clock is planned, for inputs that stay empty.
    idle_look_planned: bool,
    next_tick: NextTick,
}

impl TaskActor {
    pub(crate) fn start(
        cell: TaskCell,
        id: TaskId,
        commit_wanted: Recipient<CommitWanted>,
        failed: Recipient<TaskFailed>,
        instance: Arc<Instance>,
        next_tick: NextTick,
    ) -> Addr<Self> {
        let woken = Arc::new(AtomicBool::new(false));
        let (punctuation, look_planned, idle_look_planned) = (None, false, false);
        Self {
            id,
            cell,
            commit_wanted,
            failed,
            instance,
            woken,
            punctuation,
            look_planned,
            idle_look_planned,
            next_tick,
        }
        .start()
    }

    /// One turn of the task, ended by the clock.
    fn turn(&mut self) -> Result<Option<Turn>> {
        let mut cell = self.cell.borrow_mut();
        let Some(task) = cell.as_mut().filter(|task| !task.has_failed()) else { return Ok(None) };
        let clock = &self.instance.clock;
        let elapsed = || clock.elapsed();
        let started = elapsed();
        if started > self.next_tick.get().saturating_add(TURN_MAX) {
            // The worker first: with several tasks of slow records it would wait for each of them.
            return Ok(Some(Turn { records: 0, rest: Rest::Budget }));
        }
        if task.follows_the_clock() && self.instance.log.brokers_connected() == Some(0) {
            task.hold_time();
        }
        let ends = started.saturating_add(TURN_MAX);
        let slice_records = self.instance.settings.turn_records_max;
        let mut records = 0;
        loop {
            let (now, clock) = (clock.now(), &elapsed as &dyn Fn() -> Duration);
            let limits = TurnLimits { records: slice_records, now, clock, ends };
            let turn = guarded(self.id, || task.process(&limits))?;
            records += turn.records;
            let spent = elapsed().saturating_sub(started);
            if turn.rest != Rest::Budget || spent >= TURN_MAX || task.ctx.commit_requested {
                if records > 0 {
                    self.instance.metrics.process_latency.observe(spent.as_secs_f64());
                }
                return Ok(Some(Turn { records, rest: turn.rest }));
            }
        }
    }

    fn after(&mut self, turn: Turn, ctx: &mut Context<Self>) {
        match turn.rest {
            Rest::Budget => wake_after_others(ctx.address(), &self.woken),
            Rest::Waiting => self.plan_look(ctx),
            Rest::Full => self.want_commit(),
            Rest::Empty => self.plan_idle_look(ctx),
            Rest::InFlight => {}
        }
        let wanted = self.cell.borrow_mut().as_mut().is_some_and(|task| {
            // A commit that waits for its futures goes on.
            task.ctx.commit_requested |= task.is_settled();
            task.ctx.commit_requested
        });
        if wanted {
            self.want_commit();
        }
        self.plan_punctuation(ctx);
    }

    /// Looks again soon; one look is planned at a time, however often the task is woken meanwhile.
    fn plan_look(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.look_planned, true) {
            ctx.run_later(WAITING_RETRY, |actor, ctx| {
                actor.look_planned = false;
                actor.take_turn(ctx);
            });
        }
    }

    /// Looks at the clock when stream time is to be moved by it.
    fn plan_idle_look(&mut self, ctx: &mut Context<Self>) {
        let now = self.instance.clock.elapsed();
        let wait = self.cell.borrow().as_ref().and_then(|task| task.idle_wait(now));
        if let Some(wait) = wait
            && !std::mem::replace(&mut self.idle_look_planned, true)
        {
            ctx.run_later(wait, |actor, ctx| {
                actor.idle_look_planned = false;
                actor.take_turn(ctx);
            });
        }
    }

    fn take_turn(&mut self, ctx: &mut Context<Self>) {
        match self.turn() {
            Ok(Some(turn)) => self.after(turn, ctx),
            Ok(None) => {}
            Err(error) => self.fail(error),
        }
    }

    fn want_commit(&self) {
        // A full mailbox holds such a message already, or the worker is about to commit.
        let _ = self.commit_wanted.try_send(CommitWanted);
    }

    fn plan_punctuation(&mut self, ctx: &mut Context<Self>) {
        let due = self.cell.borrow().as_ref().and_then(Task::next_punctuation);
        if due == self.punctuation.as_ref().map(|(at, _)| *at) {
            return;
        }
        if let Some((_, old)) = self.punctuation.take() {
            ctx.cancel_future(old);
        }
        if let Some(at) = due {
            let wait = at.0.saturating_sub(self.instance.clock.now().0);
            let wait = u64::try_from(wait).unwrap_or(0);
            let handle = ctx.notify_later(Punctuate, Duration::from_millis(wait));
            self.punctuation = Some((at, handle));
        }
    }

    fn fail(&mut self, error: Error) {
        if let Some(task) = self.cell.borrow_mut().as_mut() {
            task.fail();
        }
        let failed = TaskFailed { task: self.id, error };
        if let Err(SendError::Full(unsent) | SendError::Closed(unsent)) =
            self.failed.try_send(failed)
        {
            // Nothing of the worker would be committed any more, without a reason in the log.
            self.instance.fail(unsent.error);
        }
    }
}

/// Wakes the actor again once the other actors of the thread had their turn.
fn wake_after_others(actor: Addr<TaskActor>, woken: &Arc<AtomicBool>) {
    if woken.swap(true, Ordering::AcqRel) {
        return;
    }
    let woken = Arc::clone(woken);
    actix::spawn(async move {
        tokio::task::yield_now().await;
        if actor.try_send(WakeUp).is_err() {
            woken.store(false, Ordering::Release);
        }
    });
}

impl Drop for TaskActor {
    /// As with the worker: a panic beside the guarded parts must not go unnoticed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "its actor ended".to_owned();
            self.instance.fail(Error::Panicked { task: self.id, reason });
        }
    }
}

impl Actor for TaskActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MESSAGES_MAX);
        let actor = ctx.address();
        let woken = Arc::clone(&self.woken);
        let wake: Wake = Arc::new(move || {
            if !woken.swap(true, Ordering::AcqRel) && actor.try_send(WakeUp).is_err() {
                // Full or closed: the next call tries again.
                woken.store(false, Ordering::Release);
            }
        });
        if let Some(task) = self.cell.borrow_mut().as_mut() {
            task.on_data(&wake);
        }
        wake();
        self.plan_punctuation(ctx);
    }
}

impl Handler<WakeUp> for TaskActor {
    type Result = ();

    fn handle(&mut self, _: WakeUp, ctx: &mut Self::Context) {
        // Cleared first: what arrives from now on wakes again.
        self.woken.store(false, Ordering::Release);
        self.take_turn(ctx);
    }
}

impl Handler<Punctuate> for TaskActor {
    type Result = ();

    fn handle(&mut self, _: Punctuate, ctx: &mut Self::Context) {
        self.punctuation = None;
        let now = self.instance.clock.now();
        let done = match self.cell.borrow_mut().as_mut() {
            Some(task) => guarded(self.id, || task.punctuate_wall_clock(now)),
            None => return,
        };
        match done {
            Ok(()) => self.after(Turn { records: 0, rest: Rest::Empty }, ctx),
            Err(error) => self.fail(error),
        }
    }
}

impl Handler<Ask> for TaskActor {
    type Result = ();

    fn handle(&mut self, Ask(question): Ask, _: &mut Self::Context) {
        let cell = self.cell.borrow();
        let stores = cell.as_ref().map(Task::stores).unwrap_or_default();
        // A serde that panics on a question is no reason to end the task.
        let asked = guarded(self.id, || {
            for store in stores {
                let store = store.borrow();
                question(store.name(), &|| store.committed());
            }
            Ok(())
        });
        if let Err(error) = asked {
            tracing::warn!(task = %self.id, ?error, "a question could not be answered");
        }
    }
}

impl Handler<Retire> for TaskActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
