//! The machine of the group, event by event: which worker is waited for, and which actions follow.

use std::time::Duration;

use super::machine::{Action, Event, GroupMachine, GroupRules};
use crate::record::TopicPartition;
use crate::runtime::owned::OwnedPartition;
use crate::runtime::ownership::RevocationId;
use crate::runtime::task_plan::TaskPlan;
use crate::topology::SubTopologyShape;

const S: fn(u64) -> Duration = Duration::from_secs;
const BUDGET: Duration = Duration::from_secs(10);

/// A machine with two workers; queues are numbers.
struct Bench(GroupMachine<u32>);

fn at(partition: &str) -> TopicPartition {
    let (topic, number) = partition.split_once('-').unwrap();
    TopicPartition::new(topic, number.parse().unwrap())
}

fn all(partitions: &[&str]) -> Vec<TopicPartition> {
    partitions.iter().map(|partition| at(partition)).collect()
}

fn owned(partitions: &[(&str, u32)]) -> Vec<OwnedPartition<u32>> {
    partitions.iter().map(|(name, queue)| OwnedPartition::unplaced(at(name), *queue)).collect()
}

fn line(action: &Action<u32>) -> String {
    match action {
        Action::Lose { worker } => format!("lose {worker}"),
        Action::Revoke { worker, revocation, tasks, lost } => {
            let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let how = if *lost { "lost" } else { "revoke" };
            format!("{how} {worker} #{} {}", revocation.0, tasks.join(" "))
        }
        Action::Expire { worker, revocation, ended } => {
            format!("expire {worker} #{}{}", revocation.0, if *ended { " ended" } else { "" })
        }
        Action::Assign { worker, tasks } => {
            let task = |task: &crate::runtime::owned::TaskInputs<u32>| {
                let inputs = task.inputs.iter().map(|i| format!("{}:{}", i.partition, i.queue));
                format!(" {}({})", task.task, inputs.collect::<Vec<_>>().join(" "))
            };
            format!("assign {worker}{}", tasks.iter().map(task).collect::<String>())
        }
        Action::Placed => "placed".to_owned(),
        Action::Displaced => "displaced".to_owned(),
        Action::Unread(partition) => format!("unread {partition}"),
    }
}

impl Bench {
    /// `a` has four partitions and `b` two, without co-partitioning; `c` and `d` belong together.
    fn new(incremental: bool) -> Self {
        let shape = |id, topics: &[(&str, i32)], copartitioned| SubTopologyShape {
            id,
            topics: topics.iter().map(|(topic, count)| ((*topic).into(), *count)).collect(),
            copartitioned,
            whole: false,
        };
        let shapes =
            [shape(0, &[("a", 4), ("b", 2)], false), shape(1, &[("c", 1), ("d", 1)], true)];
        let rules = GroupRules { revoke_budget: BUDGET, incremental };
        Self(GroupMachine::new(rules, TaskPlan::new(&shapes).unwrap(), 2))
    }

    fn on(&mut self, seconds: u64, event: Event<u32>) -> Vec<String> {
        let mut actions = Vec::new();
        self.0.on(event, S(seconds), &mut actions);
        actions.iter().map(line).collect()
    }
}

/// F18: under KIP-848 topics of different sizes meet on one member by chance. The task that loses
/// one of its partitions goes on with the other as soon as its worker has given the queue back.
#[test]
fn a_partial_task_goes_on_with_what_stays() {
    let mut bench = Bench::new(true);
    let assigned = bench.on(0, Event::Assigned(owned(&[("a-1", 1), ("b-1", 2)])));
    assert_eq!(assigned, ["assign 0 0_1(a-1:1 b-1:2)", "assign 1", "placed"]);
    assert_eq!(bench.on(1, Event::Revoked(all(&["b-1"]))), ["revoke 0 #0 0_1"]);
    assert_eq!(bench.0.waits_until(), Some(S(11)));
    let answer = Event::Answered(RevocationId(0), owned(&[("a-1", 1), ("b-1", 2)]));
    assert_eq!(bench.on(2, answer), ["assign 0 0_1(a-1:1)", "assign 1"]);
    assert_eq!(bench.0.waits_until(), None, "the group goes on");
}

/// F3: the group waits only so long. The loss is noted before it goes on, and what comes late of
/// the partitions that went is of no use.
#[test]
fn a_revocation_that_times_out_is_a_loss() {
    let mut bench = Bench::new(false);
    bench.on(0, Event::Assigned(owned(&[("c-0", 1), ("d-0", 2)])));
    assert_eq!(bench.on(5, Event::Revoked(all(&["c-0", "d-0"]))), ["revoke 0 #0 1_0"]);
    assert_eq!(bench.on(14, Event::TimePassed), Vec::<String>::new(), "within the budget");
    assert_eq!(bench.on(15, Event::TimePassed), ["expire 0 #0"]);
    assert!(bench.0.waits_until().is_some(), "the host has not said yet that it is lost");
    assert_eq!(bench.on(15, Event::TimePassed), Vec::<String>::new(), "once");
    assert_eq!(bench.on(15, Event::Expired(RevocationId(0))), ["displaced"]);
    assert_eq!(bench.0.waits_until(), None);
    let again = bench.on(20, Event::Assigned(owned(&[("c-0", 3), ("d-0", 4)])));
    assert_eq!(again, ["assign 0 1_0(c-0:3 d-0:4)", "assign 1", "placed"]);
    let late = Event::Answered(RevocationId(0), owned(&[("c-0", 1), ("d-0", 2)]));
    assert_eq!(bench.on(21, late), Vec::<String>::new(), "queues of before");
    assert_eq!(bench.0.assignments().incomplete().count(), 0);
}

/// The worker answers in the moment in which the time is up: it was in time.
#[test]
fn an_answer_at_the_last_moment_counts() {
    let mut bench = Bench::new(false);
    bench.on(0, Event::Assigned(owned(&[("c-0", 1), ("d-0", 2)])));
    bench.on(5, Event::Revoked(all(&["c-0"])));
    assert_eq!(bench.on(15, Event::TimePassed), ["expire 0 #0"]);
    let answer = Event::Answered(RevocationId(0), owned(&[("c-0", 1), ("d-0", 2)]));
    assert_eq!(bench.on(15, answer), ["displaced"]);
    assert_eq!(bench.0.waits_until(), None);
    let kept: Vec<String> = bench.0.assignments().incomplete().map(|t| t.to_string()).collect();
    assert_eq!(kept, ["1_0"], "d is still owned");
}

/// A task whose other input went while its worker hung starts when the answer comes at last, with
/// what was owned all the while; what was taken away since then does not come back.
#[test]
fn a_late_answer_brings_back_what_was_owned_all_the_while() {
    let mut bench = Bench::new(true);
    let given = [("a-0", 1), ("b-0", 2), ("a-1", 3), ("b-1", 4)];
    let assigned = bench.on(0, Event::Assigned(owned(&given)));
    assert_eq!(assigned[..2], ["assign 0 0_0(a-0:1 b-0:2)", "assign 1 0_1(a-1:3 b-1:4)"]);
    let revoked = bench.on(1, Event::Revoked(all(&["b-0", "b-1"])));
    assert_eq!(revoked, ["revoke 0 #0 0_0", "revoke 1 #1 0_1"]);
    bench.on(2, Event::Answered(RevocationId(0), owned(&[("a-0", 1), ("b-0", 2)])));
    assert!(bench.0.waits_until().is_some(), "the other worker has not answered");
    assert_eq!(bench.on(11, Event::TimePassed), ["expire 1 #1"]);
    let on = bench.on(11, Event::Expired(RevocationId(1)));
    assert_eq!(on, ["assign 0 0_0(a-0:1)", "assign 1"]);
    let late = Event::Answered(RevocationId(1), owned(&[("a-1", 3), ("b-1", 4)]));
    assert_eq!(bench.on(12, late), ["assign 0", "assign 1 0_1(a-1:3)"]);

    bench.on(13, Event::Revoked(all(&["a-1"])));
    bench.on(23, Event::TimePassed);
    bench.on(23, Event::Expired(RevocationId(2)));
    let late = Event::Answered(RevocationId(2), owned(&[("a-1", 3)]));
    assert_eq!(bench.on(24, late), Vec::<String>::new());
}

/// F42: from a revocation on, the instance is not ready until it was told its part; where only
/// what moves is revoked, nothing has to follow.
#[test]
fn an_instance_that_waits_for_its_part_is_not_placed() {
    let mut bench = Bench::new(false);
    bench.on(0, Event::Assigned(owned(&[("a-0", 1)])));
    bench.on(1, Event::Revoked(all(&["a-0"])));
    let answer = Event::Answered(RevocationId(0), owned(&[("a-0", 1)]));
    assert_eq!(bench.on(2, answer), ["displaced"]);
    assert!(!bench.0.is_settled());
    assert_eq!(bench.on(3, Event::Revoked(Vec::new())), ["displaced"], "nobody to wait for");
    assert_eq!(bench.on(4, Event::Assigned(Vec::new())), ["assign 0", "assign 1", "placed"]);
    assert!(bench.0.is_settled());

    let mut bench = Bench::new(true);
    bench.on(0, Event::Assigned(owned(&[("a-0", 1), ("a-1", 2)])));
    bench.on(1, Event::Revoked(all(&["a-0"])));
    let answer = Event::Answered(RevocationId(0), owned(&[("a-0", 1)]));
    assert_eq!(bench.on(2, answer), Vec::<String>::new());
    assert!(bench.0.is_settled());
    let lost = bench.on(3, Event::Lost(all(&["a-1"])));
    assert_eq!(lost, ["lose 1", "lost 1 #1 0_1"]);
    let answer = Event::Answered(RevocationId(1), owned(&[("a-1", 2)]));
    assert_eq!(bench.on(3, answer), ["displaced"]);
    assert!(!bench.0.is_settled());
}

#[test]
fn a_worker_that_ended_is_waited_for_no_longer() {
    let mut bench = Bench::new(false);
    bench.on(0, Event::Assigned(owned(&[("a-0", 1)])));
    bench.on(1, Event::Revoked(all(&["a-0"])));
    assert_eq!(bench.on(1, Event::Unanswered(RevocationId(0))), ["expire 0 #0 ended"]);
    assert_eq!(bench.on(1, Event::Expired(RevocationId(0))), ["displaced"]);
    assert_eq!(bench.0.waits_until(), None);
    let answer = Event::Answered(RevocationId(0), owned(&[("a-0", 1)]));
    assert_eq!(bench.on(2, answer), Vec::<String>::new());
}

/// A stop waits only so long, nothing starts any more, and after a failure nothing is committed.
#[test]
fn at_the_end_nothing_starts_and_after_a_failure_nothing_counts() {
    for commits in [true, false] {
        let mut bench = Bench::new(true);
        bench.on(0, Event::Assigned(owned(&[("a-0", 1), ("b-0", 2)])));
        bench.on(1, Event::Leaving { by: S(4), commits });
        let revoked = bench.on(1, Event::Revoked(all(&["b-0"])));
        let wanted: &[&str] =
            if commits { &["revoke 0 #0 0_0"] } else { &["lose 0", "lost 0 #0 0_0"] };
        assert_eq!(revoked, wanted);
        assert_eq!(bench.0.waits_until(), Some(S(4)));
        let answer = Event::Answered(RevocationId(0), owned(&[("a-0", 1), ("b-0", 2)]));
        assert_eq!(bench.on(2, answer), Vec::<String>::new(), "a-0 could go on");
        assert_eq!(bench.on(3, Event::Assigned(owned(&[("a-1", 3)]))), Vec::<String>::new());
    }
}

#[test]
fn what_no_task_reads_is_told_and_starts_nothing() {
    let mut bench = Bench::new(false);
    let assigned = bench.on(0, Event::Assigned(owned(&[("z-0", 1)])));
    assert_eq!(assigned, ["unread z-0", "assign 0", "assign 1", "placed"]);
}
