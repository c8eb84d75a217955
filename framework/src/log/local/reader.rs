//! Reads partitions from offsets, outside any group.

use std::sync::Arc;
use std::time::Duration;

use super::broker::Broker;
use super::fault::{Faults, Operation};
use super::state::{About, State};
use super::storage::{Fetch, Slot, Storage};
use crate::error::{Error, Result};
use crate::log::{Isolation, ReadEvent, Reader};
use crate::record::TopicPartition;

/// At most so many records come in one event. Larger: an event holds up the others longer.
/// Smaller: more events for a restore.
const RECORDS_MAX: usize = 1000;

pub(crate) struct LocalReader<S: Storage> {
    broker: Arc<Broker<S>>,
    isolation: Isolation,
    cursors: Vec<Cursor>,
    /// Whose turn it is, so that one partition does not starve the others.
    turn: usize,
}

#[derive(Debug)]
struct Cursor {
    partition: TopicPartition,
    slot: Slot,
    next: i64,
    /// The end that was reported last.
    reported: Option<i64>,
}

/// What there is to do for a cursor.
enum Found {
    Records(usize, i64),
    End(usize, i64),
    OutOfRange(usize),
}

impl<S: Storage> LocalReader<S> {
    pub(crate) fn new(broker: Arc<Broker<S>>, isolation: Isolation) -> Self {
        Self { broker, isolation, cursors: Vec::new(), turn: 0 }
    }
}

impl<S: Storage> Reader for LocalReader<S> {
    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<()> {
        self.cursors = self.broker.with(|state| {
            let cursor = |(partition, next): &(TopicPartition, i64)| {
                let (partition, slot) = (partition.clone(), state.slot(partition)?);
                Ok(Cursor { partition, slot, next: *next, reported: None })
            };
            from.iter().map(cursor).collect::<Result<_>>()
        })?;
        self.turn = 0;
        Ok(())
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<ReadEvent>> {
        self.broker.expire();
        let course = self.broker.with(|state| state.faults.before(Operation::Read))?;
        loop {
            let (cursors, turn, isolation) = (&self.cursors, self.turn, self.isolation);
            let look = |state: &mut State| look(state, cursors, turn, isolation);
            let found = self.broker.wait(About::Records, timeout, look);
            let Some(found) = found else { return Ok(None) };
            self.turn += 1;
            let (Found::Records(index, _) | Found::End(index, _) | Found::OutOfRange(index)) =
                found;
            let Some(cursor) = self.cursors.get_mut(index) else { return Ok(None) };
            match found {
                Found::OutOfRange(_) => {
                    let (partition, offset) = (cursor.partition.clone(), cursor.next);
                    return Err(Error::OffsetOutOfRange { partition, offset });
                }
                Found::End(_, end) => {
                    cursor.reported = Some(end);
                    let event = ReadEvent::End(cursor.partition.clone(), end);
                    return Faults::answer(course, Operation::Read, Some(event));
                }
                Found::Records(_, limit) => {
                    let (slot, from) = (cursor.slot, cursor.next);
                    let fetch = Fetch { slot, from, limit, max: RECORDS_MAX, isolation };
                    let chunk = self.broker.storage.read(&fetch)?;
                    // An answer that is lost is asked for again.
                    Faults::answer(course, Operation::Read, ())?;
                    cursor.next = chunk.next;
                    if let Some(batch) = chunk.batch {
                        return Ok(Some(ReadEvent::Records(cursor.partition.clone(), batch)));
                    }
                }
            }
        }
    }
}

fn look(state: &State, cursors: &[Cursor], turn: usize, isolation: Isolation) -> Option<Found> {
    let count = cursors.len();
    for step in 0..count {
        let index = (turn + step) % count;
        let cursor = cursors.get(index)?;
        let partition = state.partition(cursor.slot).ok()?;
        let limit = partition.readable(isolation);
        if cursor.next < partition.start || cursor.next > partition.next {
            return Some(Found::OutOfRange(index));
        }
        if cursor.next < limit {
            return Some(Found::Records(index, limit));
        }
        // A position behind the last stable offset waits for it without a word.
        if cursor.next == limit && cursor.reported != Some(limit) {
            return Some(Found::End(index, limit));
        }
    }
    None
}
