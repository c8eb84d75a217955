//! What holds when nothing happens any more, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::TopicPartition;
use crate::runtime::group::machine as group;
use crate::runtime::worker::machine::Event;

use super::worker::{Place, Way};
use super::world::{Op, WORKERS, World};

impl World {
    /// Lets everything go on without failures until nothing happens any more.
    pub(super) fn settle(&mut self) {
        for worker in 0..WORKERS {
            self.step(&Op::FuturesHang(worker, false));
        }
        self.step(&Op::HearOfLoss);
        for _ in 0..400 {
            for worker in 0..WORKERS {
                self.step(&Op::Work { worker, fails: None });
                self.step(&Op::Fire(worker));
                self.step(&Op::FuturesDone(worker));
            }
            self.step(&Op::TakeAnswer);
            self.step(&Op::HearOfLoss);
        }
        for worker in 0..WORKERS {
            // What a flush starts is waited for once more.
            for _ in 0..2 {
                self.step(&Op::FuturesDone(worker));
                self.step(&Op::Tick(worker));
                (0..40).for_each(|_| self.step(&Op::Work { worker, fails: None }));
            }
        }
    }

    pub(super) fn nothing_is_left_behind(&self) {
        if self.failed {
            return;
        }
        assert_eq!(self.mine, self.given, "the client knows what it has");
        assert_eq!(self.revoked, self.answered, "each revocation is answered once");
        let mut read = BTreeMap::new();
        for (worker, here) in self.workers.iter().enumerate() {
            assert!(here.mailbox.is_empty() && here.actions.is_empty(), "worker {worker} is busy");
            let waits = here.closed || !here.in_flight.is_empty();
            assert!(!waits, "worker {worker} waits for futures for ever");
            assert!(!here.spoilt && here.task_failed.is_none(), "worker {worker} is not well");
            for (task, (place, inputs)) in &here.hosted {
                assert_eq!(*place, Place::Running, "{task} on worker {worker}");
                for input in inputs {
                    let before = read.insert(input.partition.clone(), (worker, *task));
                    assert_eq!(before, None, "{} is read twice", input.partition);
                }
            }
        }
        let read: BTreeSet<TopicPartition> = read.into_keys().collect();
        // Of a pair that was lost by half nothing runs; all else that is here does.
        let runs = |one: &&TopicPartition| {
            let pair = |topic| TopicPartition::new(topic, one.partition);
            matches!(&*one.topic, "a" | "b")
                || (self.mine.contains(&pair("c")) && self.mine.contains(&pair("d")))
        };
        assert_eq!(read, self.mine.iter().filter(runs).cloned().collect(), "exactly what is here");
    }

    /// All leave: the group gives its partitions back, and the workers end.
    pub(super) fn stop(&mut self, fails: &[Option<Way>]) {
        self.on_group(group::Event::Ending);
        let by = self.now + Duration::from_secs(2);
        self.on_group(group::Event::Leaving { by, commits: !self.failed });
        self.step(&Op::Take(u8::MAX));
        for worker in 0..WORKERS {
            self.tell(worker, Event::Stop { by });
        }
        for step in 0..400 {
            for worker in 0..WORKERS {
                let fails = fails.get(step).copied().flatten();
                self.step(&Op::Work { worker, fails });
                self.step(&Op::Fire(worker));
            }
            self.now += Duration::from_millis(10);
            self.step(&Op::TakeAnswer);
        }
        for here in &self.workers {
            assert!(here.ended && here.hosted.is_empty());
            let is_open = here.left_open || here.producer == Some(true);
            assert!(!is_open || here.told_left_open, "a transaction is open, and nobody knows");
        }
    }
}
