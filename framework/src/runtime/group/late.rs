//! Answers to revocations that did not come in time.
//!
//! They hold queues of partitions that were not taken away at all: their tasks had to stop because
//! another input went. Those are good when they come at last, and their tasks could not start again
//! without them. The others are not: their partitions may have come back with new queues.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::record::TopicPartition;
use crate::task::OwnedQueues;

struct Late {
    answer: Receiver<OwnedQueues>,
    /// Partitions that were taken away with it or since then.
    gone: BTreeSet<TopicPartition>,
}

/// The answers that are still to come.
#[derive(Default)]
pub(crate) struct LateAnswers(Vec<Late>);

impl LateAnswers {
    /// Another answer will come late, or never; these partitions were taken away with it.
    pub(crate) fn expect(&mut self, answer: Receiver<OwnedQueues>, gone: &[TopicPartition]) {
        self.0.push(Late { answer, gone: gone.iter().cloned().collect() });
    }

    /// These are taken away now.
    pub(crate) fn removed(&mut self, gone: &[TopicPartition]) {
        for late in &mut self.0 {
            late.gone.extend(gone.iter().cloned());
        }
    }

    /// What came since the last call, of partitions that have been owned all the while.
    pub(crate) fn take(&mut self) -> OwnedQueues {
        let mut kept = OwnedQueues::new();
        self.0.retain(|late| match late.answer.try_recv() {
            Ok(queues) => {
                kept.extend(queues.into_iter().filter(|(at, _)| !late.gone.contains(at)));
                false
            }
            Err(error) => error == TryRecvError::Empty,
        });
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::error::Result;
    use crate::log::{PartitionQueue, RecordBatch, Wake};

    struct Empty;

    impl PartitionQueue for Empty {
        fn pull(&mut self, _: usize) -> Result<Option<Box<dyn RecordBatch>>> {
            Ok(None)
        }

        fn remaining(&self, _: i64) -> Option<u64> {
            Some(0)
        }

        fn on_data(&mut self, _: Wake) {}
    }

    fn queues(partitions: &[&TopicPartition]) -> OwnedQueues {
        let queue = |at: &&TopicPartition| ((*at).clone(), Box::new(Empty) as Box<_>);
        partitions.iter().map(queue).collect()
    }

    fn taken(late: &mut LateAnswers) -> Vec<TopicPartition> {
        late.take().into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn only_what_was_owned_all_the_while_comes_back() {
        let [a, b, c] = ["a", "b", "c"].map(|topic| TopicPartition::new(topic, 0));
        let mut late = LateAnswers::default();
        let (answer, receiver) = sync_channel(1);
        late.expect(receiver, std::slice::from_ref(&a));
        assert_eq!(taken(&mut late), []);
        // Taken away while the worker hangs; it may have come back with another queue since.
        late.removed(std::slice::from_ref(&c));
        answer.send(queues(&[&a, &b, &c])).unwrap();
        assert_eq!(taken(&mut late), [b]);
        assert!(late.0.is_empty());
    }

    #[test]
    fn a_worker_that_died_is_not_waited_for() {
        let mut late = LateAnswers::default();
        let (answer, receiver) = sync_channel(1);
        late.expect(receiver, &[]);
        drop(answer);
        assert_eq!(taken(&mut late), []);
        assert!(late.0.is_empty());
    }
}
