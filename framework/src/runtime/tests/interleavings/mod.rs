//! Random interleavings of what a group, its broker and two workers do, over the real machines.
//!
//! The model has what the machines are hosted by, without threads and clocks: the broker's view of
//! who owns what under which generation, the client's view (which is late), mailboxes, timers, and a
//! worker's producer with its transaction. Each step does one thing: an action of a worker, an
//! answer, an event of the group. Any of the actions that wait may fail.
//!
//! What holds whatever happens: the broker takes no positions of partitions that are not this
//! instance's any more; nothing is committed with a future on its way, or after a failure before all tasks began again; each
//! revocation is answered once; when nothing happens any more, exactly the tasks whose partitions are
//! here run; at the end no transaction is open that nobody was told of.

mod worker;
mod world;
mod work;
mod end;

use proptest::prelude::*;

use self::worker::Way;
use self::world::{Op, WORKERS, World};

/// Failures for good are rare, since hardly anything happens after one.
fn way() -> impl Strategy<Value = Option<Way>> {
    prop_oneof![
        1000 => Just(None),
        80 => Just(Some(Way::Retry)),
        80 => Just(Some(Way::Rebuild)),
        4 => Just(Some(Way::End)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let worker = 0..WORKERS;
    prop_oneof![
        2 => any::<u8>().prop_map(Op::Give),
        1 => any::<u8>().prop_map(Op::Take),
        1 => any::<u8>().prop_map(Op::Lose),
        2 => Just(Op::HearOfLoss),
        3 => Just(Op::TakeAnswer),
        1 => (0..12_u8).prop_map(Op::Seconds),
        40 => (worker.clone(), way()).prop_map(|(worker, fails)| Op::Work { worker, fails }),
        4 => worker.clone().prop_map(Op::Tick),
        6 => worker.clone().prop_map(Op::Fire),
        1 => (worker.clone(), 0..4_u8).prop_map(|(worker, number)| Op::TaskFails(worker, number)),
        4 => (worker.clone(), 0..4_u8).prop_map(|(worker, number)| Op::Future(worker, number)),
        3 => worker.clone().prop_map(Op::FuturesDone),
        1 => worker.clone().prop_map(Op::FlushStarts),
        1 => (worker, any::<bool>()).prop_map(|(worker, hang)| Op::FuturesHang(worker, hang)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_committed_by_others_and_nothing_is_left_behind(
        exactly_once: bool,
        incremental: bool,
        ops in proptest::collection::vec(op(), 1..400),
        end in proptest::collection::vec(way(), 60),
    ) {
        let mut world = World::new(exactly_once, incremental);
        for op in &ops {
            world.step(op);
        }
        world.settle();
        world.nothing_is_left_behind();
        world.stop(&end);
    }
}
