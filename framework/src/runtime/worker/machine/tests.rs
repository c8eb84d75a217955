//! The machine of a worker, event by event: what it asks for, and what it never asks for.

use std::time::Duration;

use super::events::{Action, Event, Moment, WorkerRules};
use super::{SUSPENDED_MAX, WorkerMachine};
use crate::error::Error;
use crate::record::TaskId;
use crate::runtime::settings::Backoff;
use crate::runtime::worker::failure::Failure;

const FIRST: TaskId = TaskId { sub_topology: 0, partition: 0 };
const SECOND: TaskId = TaskId { sub_topology: 0, partition: 1 };

struct Bench {
    machine: WorkerMachine,
    at: Moment,
}

fn line(action: &Action) -> String {
    match action {
        Action::TookOver(taken) => format!("took over {}", taken.is_ok()),
        Action::Build(task) => format!("build {task}"),
        Action::Run(task) => format!("run {task}"),
        Action::Reset(task) => format!("reset {task}"),
        Action::Host(task) => format!("host {task}"),
        Action::Suspend(task) => format!("suspend {task}"),
        Action::Close(task) => format!("close {task}"),
        Action::State(task, state) => format!("{task} {state:?}"),
        Action::Committed { purge } => format!("committed{}", if *purge { ", purge" } else { "" }),
        Action::NotStarted { wait, .. } => format!("not started {wait:?}"),
        Action::NotRestored { wait, .. } => format!("not restored {wait:?}"),
        Action::Aborted { wait, replaces, .. } => {
            let replaced = replaces.map(|task| format!(", replaces {task}")).unwrap_or_default();
            format!("aborted{replaced}{}", if wait.is_some() { "" } else { ", for good" })
        }
        Action::PlanAdvance(wait) => format!("advance in {wait:?}"),
        Action::PlanEnd(wait) => format!("end in {wait:?}"),
        Action::Fail(_) => "fail".to_owned(),
        Action::LeftOpen(_) => "left open".to_owned(),
        other => format!("{other:?}"),
    }
}

fn unavailable() -> Failure {
    Error::Unavailable { what: "a call".to_owned(), reason: "made up".to_owned() }.into()
}

fn fatal() -> Failure {
    Error::Fatal { what: "a call".to_owned(), reason: "made up".to_owned() }.into()
}

impl Bench {
    fn new(exactly_once: bool) -> Self {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(10));
        let rules = WorkerRules {
            exactly_once,
            replace_failed_tasks: false,
            backoff: Backoff { min, max },
            purge_interval: Duration::from_secs(30),
            commit_wait_max: Duration::from_secs(5),
            topics_may_go: false,
        };
        Self { machine: WorkerMachine::new(rules), at: Moment::default() }
    }

    /// One with running tasks and an open transaction.
    fn running(exactly_once: bool, tasks: &[TaskId]) -> Self {
        let mut bench = Self::new(exactly_once);
        bench.on(Event::Assign(tasks.to_vec()));
        bench.on(Event::Done);
        bench.on(Event::Done);
        for _ in tasks {
            bench.on(Event::Built { restores: false });
            bench.on(Event::Done);
        }
        bench.at.in_transaction = exactly_once;
        bench
    }

    fn on(&mut self, event: Event) -> Vec<String> {
        let mut actions = Vec::new();
        self.machine.on(event, self.at, &mut actions);
        actions.iter().map(line).collect()
    }

    /// Each of the waited-for actions is done.
    fn done(&mut self, steps: usize) -> Vec<String> {
        (0..steps).flat_map(|_| self.on(Event::Done)).collect()
    }
}

/// F1: the committed positions are looked up before anything is built, and so before the ends of
/// the changelogs are asked for. F20: the producer, which ends what a predecessor left open, is there
/// before both.
#[test]
fn tasks_start_in_the_one_order_that_loses_nothing() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.on(Event::TakeOver), ["TakeOver"]);
    assert_eq!(bench.on(Event::Done), ["took over true"]);
    let hosted = ["host 0_0", "0_0 Created", "host 0_1", "0_1 Created", "LookUpPositions"];
    assert_eq!(bench.on(Event::Assign(vec![FIRST, SECOND])), hosted);
    assert_eq!(bench.on(Event::Done), ["build 0_0"]);
    assert_eq!(bench.on(Event::Built { restores: false }), ["run 0_0"]);
    assert_eq!(bench.on(Event::Done), ["0_0 Running", "build 0_1"]);
    let restores = ["0_1 Restoring", "Started", "PlanRestoreStep"];
    assert_eq!(bench.on(Event::Built { restores: true }), restores);
    // One runs while the other restores.
    assert_eq!(bench.on(Event::CommitDue), ["Look"]);
    assert_eq!(bench.on(Event::Work(false)), ["NothingToCommit", "Wake"]);
    assert_eq!(bench.on(Event::RestoreStep), ["Restore"]);
    assert_eq!(bench.on(Event::Restored(Vec::new())), ["PlanRestoreStep"]);
    assert_eq!(bench.on(Event::RestoreStep), ["Restore"]);
    assert_eq!(bench.on(Event::Restored(vec![SECOND])), ["run 0_1"]);
    assert_eq!(bench.on(Event::Done), ["0_1 Running"]);
}

#[test]
fn a_commit_takes_its_steps_one_after_the_other() {
    let mut bench = Bench::running(true, &[FIRST]);
    bench.at.now = Duration::from_secs(30);
    assert_eq!(bench.on(Event::CommitDue), ["Look"]);
    assert_eq!(bench.on(Event::Work(true)), ["Settle { block: false }"]);
    assert_eq!(bench.on(Event::Done), ["Flush"]);
    let steps = ["Acknowledge", "Generation", "SendOffsets", "EndTransaction", "Apply"];
    assert_eq!(bench.done(5), steps);
    assert_eq!(bench.on(Event::Done), ["committed, purge", "Wake"]);
    let mut bench = Bench::running(false, &[FIRST]);
    bench.on(Event::CommitDue);
    bench.on(Event::Work(true));
    bench.on(Event::Done);
    let steps = ["Acknowledge", "CommitOffsets", "Apply", "committed", "Wake"];
    assert_eq!(bench.done(4), steps);
}

/// F3: the group went on while the tasks were flushed, or while the broker was asked for the
/// generation: that one would be taken.
#[test]
fn a_loss_in_the_middle_of_a_commit_ends_it() {
    for (exactly_once, steps) in [(true, 3), (false, 2)] {
        let mut bench = Bench::running(exactly_once, &[FIRST]);
        bench.on(Event::CommitDue);
        bench.on(Event::Work(true));
        bench.done(steps);
        bench.at.losses = 1;
        let dropped =
            ["aborted", "reset 0_0", "0_0 Created", "DropProducer", "advance in 100ms", "Wake"];
        assert_eq!(bench.on(Event::Done), dropped);
        // Until it was told of the loss it neither commits nor starts anything.
        assert_eq!(bench.on(Event::CommitDue), Vec::<String>::new());
        assert_eq!(bench.on(Event::Advance), Vec::<String>::new());
        let heard = bench.on(Event::Revoke { tasks: vec![FIRST], lost: true });
        assert_eq!(heard, ["aborted", "advance in 200ms", "suspend 0_0"]);
        assert_eq!(bench.on(Event::Suspended { open: true }), ["0_0 Suspended", "Answer"]);
        assert_eq!(bench.on(Event::Answered { in_time: false }), Vec::<String>::new());
        let again = bench.on(Event::Assign(vec![FIRST]));
        assert_eq!(again, ["host 0_0", "0_0 Created", "OpenProducer"]);
    }
}

/// F7b: wherever a commit fails, nothing of it can be committed afterwards: the tasks and the
/// producer are gone before anything else is asked for.
#[test]
fn a_commit_that_fails_anywhere_leaves_nothing_to_commit() {
    for done in 0..7 {
        let mut bench = Bench::running(true, &[FIRST]);
        bench.on(Event::CommitDue);
        bench.on(Event::Work(true));
        bench.done(done);
        let failed = bench.on(Event::Failed(unavailable()));
        let dropped = ["aborted", "reset 0_0", "0_0 Created", "DropProducer", "advance in 100ms"];
        assert_eq!(failed.get(..5), Some(&dropped.map(str::to_owned)[..]), "after {done}");
        assert_eq!(bench.on(Event::CommitDue), ["Look"]);
        // Even if something should still look like work: there is no producer.
        assert_eq!(bench.on(Event::Work(true)), ["NothingToCommit", "Wake"]);
    }
}

#[test]
fn a_failure_for_good_ends_the_instance_and_the_transaction() {
    let mut bench = Bench::running(true, &[FIRST, SECOND]);
    let failure = Failure::of(FIRST, fatal().error);
    let ended =
        ["fail", "reset 0_0", "0_0 Created", "reset 0_1", "0_1 Created", "AbortTransaction"];
    assert_eq!(bench.on(Event::TaskFailed(failure)), ended);
    assert_eq!(bench.on(Event::Done), Vec::<String>::new());
    // Nothing starts any more, and further failures are ignored.
    assert_eq!(bench.on(Event::Advance), Vec::<String>::new());
    assert_eq!(bench.on(Event::TaskFailed(fatal())), Vec::<String>::new());
}

#[test]
fn a_failed_task_is_not_committed_while_the_message_is_on_its_way() {
    let mut bench = Bench::running(true, &[FIRST, SECOND]);
    bench.at.task_failed = true;
    assert_eq!(bench.on(Event::CommitDue), Vec::<String>::new());
    // A revocation cannot wait for the message.
    let revoked = bench.on(Event::Revoke { tasks: vec![SECOND], lost: false });
    assert!(revoked.starts_with(&["aborted".to_owned()]), "{revoked:?}");
    assert!(!revoked.contains(&"Look".to_owned()), "{revoked:?}");
}

#[test]
fn waits_grow_until_a_commit_succeeds() {
    let mut bench = Bench::running(true, &[FIRST]);
    for wait in ["100ms", "200ms", "400ms"] {
        bench.on(Event::CommitDue);
        bench.on(Event::Work(true));
        let failed = bench.on(Event::Failed(unavailable()));
        assert!(failed.contains(&format!("advance in {wait}")), "{failed:?}");
        assert_eq!(bench.on(Event::Advance), ["OpenProducer"]);
        bench.done(2);
        bench.on(Event::Built { restores: false });
        bench.on(Event::Done);
    }
    assert!(bench.machine.is_after_abort());
    bench.on(Event::CommitDue);
    bench.on(Event::Work(true));
    bench.done(7);
    assert!(!bench.machine.is_after_abort());
}

/// What was moved away with an open transaction behind it is ended though nothing waits.
#[test]
fn a_transaction_that_was_left_open_is_ended_by_the_next_producer() {
    let mut bench = Bench::running(true, &[FIRST]);
    bench.on(Event::Revoke { tasks: vec![FIRST], lost: true });
    bench.on(Event::Suspended { open: true });
    bench.on(Event::Answered { in_time: true });
    bench.at.in_transaction = false;
    assert_eq!(bench.on(Event::Advance), ["OpenProducer"]);
    let wait = bench.on(Event::Failed(unavailable()));
    assert_eq!(wait, ["not started 100ms", "advance in 100ms"]);
    assert_eq!(bench.on(Event::Advance), ["OpenProducer"]);
    assert_eq!(bench.on(Event::Done), ["Started"]);
    assert_eq!(bench.on(Event::Advance), ["Started"]);
}

/// The end waits for a broker that is away, as long as it may, and takes nothing in meanwhile.
#[test]
fn an_end_tries_again_to_end_what_is_open() {
    let mut bench = Bench::running(true, &[FIRST]);
    let stop = Event::Stop { by: Duration::from_secs(1) };
    assert_eq!(bench.on(stop), ["suspend 0_0"]);
    assert_eq!(bench.on(Event::Suspended { open: true }), ["0_0 Suspended", "close 0_0"]);
    assert_eq!(bench.on(Event::Done), ["0_0 Closed", "AbortTransaction"]);
    assert_eq!(bench.on(Event::Failed(unavailable())), ["OpenProducer"]);
    assert_eq!(bench.on(Event::Failed(unavailable())), ["end in 100ms"]);
    assert_eq!(bench.on(Event::CommitDue), Vec::<String>::new());
    assert_eq!(bench.on(Event::Assign(vec![FIRST])), Vec::<String>::new());
    assert_eq!(bench.on(Event::EndAgain), ["OpenProducer"]);
    assert_eq!(bench.on(Event::Done), ["DropProducer", "Ended"]);
}

#[test]
fn an_end_that_is_out_of_time_says_that_a_transaction_is_open() {
    let mut bench = Bench::running(true, &[FIRST]);
    bench.on(Event::Stop { by: Duration::from_secs(1) });
    bench.on(Event::Suspended { open: false });
    bench.on(Event::Failed(unavailable()));
    bench.at.now = Duration::from_millis(950);
    assert_eq!(bench.on(Event::Failed(unavailable())), ["left open", "Ended"]);
}

/// Stores that somebody still uses stay with the worker, and it tries again; the state is told
/// when it is so.
#[test]
fn stores_that_are_in_use_are_closed_later() {
    let mut bench = Bench::running(true, &[FIRST]);
    bench.on(Event::Revoke { tasks: vec![FIRST], lost: false });
    bench.on(Event::Work(false));
    bench.on(Event::Suspended { open: true });
    bench.on(Event::Answered { in_time: true });
    assert_eq!(bench.on(Event::Measured), Vec::<String>::new());
    bench.at.now = SUSPENDED_MAX;
    assert_eq!(bench.on(Event::Measured), ["close 0_0"]);
    assert_eq!(bench.on(Event::Failed(unavailable())), Vec::<String>::new());
    assert_eq!(bench.on(Event::Measured), Vec::<String>::new());
    bench.at.now = SUSPENDED_MAX * 2;
    assert_eq!(bench.on(Event::Measured), ["close 0_0"]);
    assert_eq!(bench.on(Event::Done), ["0_0 Closed"]);
    assert_eq!(bench.on(Event::Measured), Vec::<String>::new());
}

/// Further inputs of a task that runs: it is committed, and built anew with all of them.
#[test]
fn a_task_that_runs_is_built_anew_with_further_inputs() {
    let mut bench = Bench::running(true, &[FIRST]);
    assert_eq!(bench.on(Event::Assign(vec![FIRST])), ["Look"]);
    assert_eq!(bench.on(Event::Work(false)), ["NothingToCommit", "suspend 0_0"]);
    let hosted = ["0_0 Suspended", "host 0_0", "0_0 Created", "LookUpPositions"];
    assert_eq!(bench.on(Event::Suspended { open: true }), hosted);
}

/// Futures on their way hold a commit up, and nothing else: it begins again when it is asked for again.
#[test]
fn a_commit_waits_for_futures_while_the_worker_goes_on() {
    let mut bench = Bench::running(true, &[FIRST]);
    let look = |bench: &mut Bench| {
        assert_eq!(bench.on(Event::CommitDue), ["Look"]);
        assert_eq!(bench.on(Event::Work(true)), ["Settle { block: false }"]);
    };
    look(&mut bench);
    assert_eq!(bench.on(Event::InFlight), Vec::<String>::new());
    // What else comes is done meanwhile.
    assert_eq!(bench.on(Event::Measured), Vec::<String>::new());
    look(&mut bench);
    assert_eq!(bench.on(Event::Done), ["Flush"]);
    // A flush may start further ones.
    assert_eq!(bench.on(Event::InFlight), ["Settle { block: false }"]);
    assert_eq!(bench.on(Event::InFlight), Vec::<String>::new());
    bench.at.now += Duration::from_secs(4);
    look(&mut bench);
    assert_eq!(bench.on(Event::Done), ["Flush"]);
    bench.done(6);
    // The wait begins anew with each commit.
    bench.at.now += Duration::from_secs(4);
    look(&mut bench);
    assert_eq!(bench.on(Event::InFlight), Vec::<String>::new());
}

#[test]
fn a_commit_that_waits_too_long_for_futures_is_an_abort() {
    let mut bench = Bench::running(false, &[FIRST]);
    for (seconds, first) in [(0, None), (4, None), (5, Some("aborted"))] {
        bench.at.now = Duration::from_secs(seconds);
        bench.on(Event::CommitDue);
        bench.on(Event::Work(true));
        assert_eq!(bench.on(Event::InFlight).first().map(String::as_str), first);
    }
}

/// The group waits for the answer: the worker blocks, and drops what is not done by then.
#[test]
fn a_revocation_blocks_for_futures() {
    let revoke = || Event::Revoke { tasks: vec![FIRST], lost: false };
    let mut bench = Bench::running(true, &[FIRST]);
    bench.on(revoke());
    assert_eq!(bench.on(Event::Work(true)), ["Settle { block: true }"]);
    assert_eq!(bench.on(Event::Done), ["Flush"]);
    assert_eq!(bench.on(Event::InFlight), ["Settle { block: true }"]);
    let dropped = bench.on(Event::InFlight);
    assert_eq!(dropped.first().map(String::as_str), Some("aborted"), "{dropped:?}");
    assert!(dropped.contains(&"suspend 0_0".to_owned()), "{dropped:?}");
}

/// While it blocked for futures the group went on: outlets must not be given what is another's now.
#[test]
fn what_was_lost_while_futures_were_waited_for_is_not_flushed() {
    let mut bench = Bench::running(true, &[FIRST, SECOND]);
    assert_eq!(bench.on(Event::Revoke { tasks: vec![SECOND], lost: false }), ["Look"]);
    assert_eq!(bench.on(Event::Work(true)), ["Settle { block: true }"]);
    bench.at.losses = 1;
    let then = bench.on(Event::Done);
    assert_eq!(then.first().map(String::as_str), Some("aborted"), "{then:?}");
}
