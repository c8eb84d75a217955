//! The records of one assigned partition.

use std::sync::{Arc, Mutex};

use super::broker::Broker;
use super::fault::{Course, Faults, Operation};
use super::signal::Signal;
use super::storage::{Chunk, Fetch, Slot, Storage};
use crate::error::{Error, Result};
use crate::log::locked::locked;
use crate::log::{Isolation, PartitionQueue, RecordBatch, Wake};
use crate::record::TopicPartition;

/// What the queue of the owner and the handle of the member share.
#[derive(Debug)]
pub(crate) struct SharedQueue {
    pub(crate) partition: TopicPartition,
    pub(crate) slot: Slot,
    pub(crate) signal: Arc<Signal>,
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    /// Where the next pull begins.
    next: i64,
    /// One past the last record handed out.
    handed: i64,
    /// Something was pulled or tried to.
    known: bool,
    closed: bool,
}

impl SharedQueue {
    pub(crate) fn new(
        partition: TopicPartition,
        slot: Slot,
        isolation: Isolation,
        start: i64,
    ) -> Self {
        let place = Place { next: start, handed: start, known: false, closed: false };
        let signal = Arc::new(Signal::new(isolation));
        Self { partition, slot, signal, place: Mutex::new(place) }
    }

    /// Goes on from another offset.
    pub(crate) fn seek(&self, offset: i64) {
        let mut place = locked(&self.place);
        place.next = offset;
        place.handed = offset;
    }

    /// The partition was given back: nothing comes any more.
    pub(crate) fn close(&self) {
        locked(&self.place).closed = true;
    }
}

/// The end of a queue that a task holds.
pub(crate) struct LocalQueue<S: Storage> {
    pub(crate) broker: Arc<Broker<S>>,
    pub(crate) shared: Arc<SharedQueue>,
}

impl<S: Storage> PartitionQueue for LocalQueue<S> {
    fn pull(&mut self, max: usize) -> Result<Option<Box<dyn RecordBatch>>> {
        let shared = &self.shared;
        let mut place = locked(&shared.place);
        if place.closed {
            return Ok(None);
        }
        // Armed before looking: what comes between looking and arming would wake no task.
        shared.signal.arm(true);
        let (start, next, limit, course) = self.broker.with(|state| {
            let course = state.faults.before(Operation::Pull)?;
            let partition = state.partition(shared.slot)?;
            let limit = partition.readable(shared.signal.isolation);
            Ok::<_, Error>((partition.start, partition.next, limit, course))
        })?;
        if place.next < start || place.next > next {
            let partition = shared.partition.clone();
            return Err(Error::OffsetOutOfRange { partition, offset: place.next });
        }
        place.known = true;
        if place.next >= limit || max == 0 {
            return Ok(None);
        }
        let fetch = Fetch {
            slot: shared.slot,
            from: place.next,
            limit,
            max,
            isolation: shared.signal.isolation,
        };
        let Chunk { batch, next } = self.broker.storage.read(&fetch)?;
        if course != Course::LoseAnswer {
            place.next = next;
        }
        let batch = Faults::answer(course, Operation::Pull, batch)?;
        if let Some(last) =
            batch.as_ref().and_then(|batch| batch.get(batch.len().saturating_sub(1)))
        {
            place.handed = last.offset + 1;
            shared.signal.arm(false);
        }
        Ok(batch)
    }

    fn remaining(&self, position: i64) -> Option<u64> {
        let place = locked(&self.shared.place);
        if !place.known {
            return None;
        }
        let end = self.broker.with(|state| {
            state.partition(self.shared.slot).map(|p| p.readable(self.shared.signal.isolation))
        });
        // Behind the last record handed out there are only hidden ones up to `next`.
        let position = if position >= place.handed { position.max(place.next) } else { position };
        u64::try_from((end.ok()? - position).max(0)).ok()
    }

    fn on_data(&mut self, wake: Wake) {
        *locked(&self.shared.signal.wake) = Some(Arc::clone(&wake));
        wake();
    }
}
