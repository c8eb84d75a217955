//! Reading partitions outside any group, for restoring state.
//!
//! The same queues as a member's, but assigned by the caller. End-of-partition events are on here:
//! a position that is only ever given by the caller cannot be corrupted by them, and they carry
//! the end of the partition as this reader sees it, control records included.
//!
//! What is fetched ahead is bounded for the reader as a whole. The client's bound is one of each
//! partition, and set when it is made: it is made anew when there are far more or far fewer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::events::Consumer;
use super::queue::{Bell, Messages, NativeQueue};
use super::settings::KafkaSettings;
use crate::error::{Error, Result};
use crate::log::deadline::Deadline;
use crate::log::locked::locked;
use crate::log::{Isolation, ReadEvent, Reader, Wake};
use crate::record::TopicPartition;

/// A reader over Kafka.
pub(super) struct KafkaReader {
    settings: KafkaSettings,
    isolation: Isolation,
    assigned: Vec<Assigned>,
    /// With the number of partitions that share its bound; none before the first assignment.
    client: Option<(Arc<Consumer>, usize)>,
    /// Whose turn it is.
    turn: usize,
    ready: VecDeque<Found>,
    arrival: Arc<Arrival>,
}

struct Assigned {
    partition: TopicPartition,
    bell: Arc<Bell>,
    queue: NativeQueue,
}

/// A [`ReadEvent`] that may wait in a reader, which may move to another thread.
enum Found {
    Records(TopicPartition, Messages),
    End(TopicPartition, i64),
}

impl From<Found> for ReadEvent {
    fn from(found: Found) -> Self {
        match found {
            Found::Records(partition, messages) => Self::Records(partition, Box::new(messages)),
            Found::End(partition, offset) => Self::End(partition, offset),
        }
    }
}

/// Wakes the reader when any of its queues has something.
#[derive(Default)]
struct Arrival {
    seen: Mutex<bool>,
    changed: Condvar,
}

impl Arrival {
    fn announce(&self) {
        *locked(&self.seen) = true;
        self.changed.notify_one();
    }

    fn wait(&self, patience: Duration) {
        let mut seen = locked(&self.seen);
        if !*seen {
            let waited = self.changed.wait_timeout(seen, patience);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *seen = false;
    }
}

/// Records taken at once from a partition before the next one's turn.
const TURN_RECORDS: usize = 2_000;

/// The client's other events (a broker that is down) are looked for at least this often.
const EVENTS_INTERVAL: Duration = Duration::from_millis(100);

impl KafkaReader {
    /// Opens a reader.
    pub(super) fn open(settings: &KafkaSettings, isolation: Isolation) -> Self {
        Self {
            settings: settings.clone(),
            isolation,
            assigned: Vec::new(),
            client: None,
            turn: 0,
            ready: VecDeque::new(),
            arrival: Arc::default(),
        }
    }

    /// A client whose bound fits so many partitions; what the former one had is gone.
    fn client_for(&mut self, partitions: usize) -> Result<Arc<Consumer>> {
        if let Some((consumer, shares)) = &self.client
            && fits(*shares, partitions)
        {
            return Ok(Arc::clone(consumer));
        }
        self.client = None;
        let shares = shares_of(partitions);
        let consumer = Consumer::open(&self.settings.reader(self.isolation, shares)?)
            .map_err(|error| error::from_client("opening a reader", None, &error))?;
        consumer.context().close();
        let consumer = Arc::new(consumer);
        self.client = Some((Arc::clone(&consumer), shares));
        Ok(consumer)
    }

    /// What the main queue says: only errors come that way.
    fn serve(&self) -> Result<()> {
        let Some((consumer, _)) = &self.client else { return Ok(()) };
        let Some(event) = consumer.poll(Duration::ZERO) else { return Ok(()) };
        let Err(error) = event else { return Ok(()) };
        let said = consumer.context().said();
        match (error.rdkafka_error_code(), &error) {
            (Some(code), KafkaError::MessageConsumptionFatal(_)) => {
                Err(error::from_code("reading", None, code, &said))
            }
            (Some(code), _) if error::meaning(code) == error::Meaning::Unavailable => {
                Err(error::from_code("reading", None, code, &said))
            }
            // A reader does not use its group: being refused one does not matter.
            _ => Ok(()),
        }
    }

    /// The next events of any partition, without waiting.
    fn gather(&mut self) -> Result<()> {
        let count = self.assigned.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(assigned) = self.assigned.get(index) else { continue };
            if !assigned.bell.take() {
                continue;
            }
            let messages = assigned.queue.drain(TURN_RECORDS);
            if messages.first_fault() != Some(0) && !is_empty(&messages) {
                // There may be more; an empty drain settles it.
                assigned.bell.keep();
            }
            let events = sort(&assigned.partition, messages)?;
            if !events.is_empty() {
                self.turn = index + 1;
                self.ready.extend(events);
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The shares into which the bound is divided for so many partitions.
fn shares_of(partitions: usize) -> usize {
    partitions.max(1).next_power_of_two()
}

/// Whether a client made for so many shares may serve so many partitions: never beyond the bound,
/// and without starving the last ones of many.
fn fits(shares: usize, partitions: usize) -> bool {
    partitions <= shares && shares_of(partitions) * 4 > shares
}

fn set(consumer: &Consumer, list: &TopicPartitionList) -> Result<()> {
    consumer.assign(list).map_err(|error| Error::Fatal {
        what: "assignment of a reader".to_owned(),
        reason: error.to_string(),
    })
}

fn is_empty(messages: &Messages) -> bool {
    messages.bounds().is_none()
}

/// Splits what came out of a queue into records and ends.
fn sort(partition: &TopicPartition, mut messages: Messages) -> Result<Vec<Found>> {
    let mut events = Vec::new();
    while let Some(index) = messages.first_fault() {
        let mut rest = messages.split_off(index);
        if !is_empty(&messages) {
            events.push(Found::Records(partition.clone(), messages));
        }
        let after = rest.split_off(1);
        if let Some(fault) = rest.fault(0) {
            match fault.code {
                Code::PartitionEOF => events.push(Found::End(partition.clone(), fault.offset)),
                Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                    let (partition, offset) = (partition.clone(), fault.offset);
                    return Err(Error::OffsetOutOfRange { partition, offset });
                }
                code => {
                    let what = format!("reading {partition}");
                    return Err(error::from_reading(&what, &partition.topic, code, &fault.text));
                }
            }
        }
        messages = after;
    }
    if !is_empty(&messages) {
        events.push(Found::Records(partition.clone(), messages));
    }
    Ok(events)
}

impl Reader for KafkaReader {
    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<()> {
        // What is there of an earlier assignment becomes outdated first, so that it can neither
        // come out of the new queues nor keep them from ringing.
        if let Some((consumer, _)) = &self.client {
            set(consumer, &TopicPartitionList::new())?;
        }
        self.assigned.clear();
        self.ready.clear();
        self.turn = 0;
        if from.is_empty() {
            return Ok(());
        }
        let consumer = self.client_for(from.len())?;
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (partition, offset) in from {
            list.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(*offset),
            )
            .map_err(|error| {
                error::from_client("assignment of a reader", Some(&partition.topic), &error)
            })?;
            let bell = Bell::rung();
            let queue = NativeQueue::take_off(&consumer, partition, Arc::clone(&bell)).ok_or_else(
                || Error::Topic {
                    topic: partition.topic.to_string(),
                    reason: "the client refuses the name".to_owned(),
                },
            )?;
            let arrival = Arc::clone(&self.arrival);
            let wake: Wake = Arc::new(move || arrival.announce());
            bell.on_ring(wake);
            self.assigned.push(Assigned { partition: partition.clone(), bell, queue });
        }
        set(&consumer, &list)
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<ReadEvent>> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event.into()));
            }
            self.gather()?;
            if !self.ready.is_empty() {
                continue;
            }
            self.serve()?;
            if deadline.passed() {
                return Ok(None);
            }
            self.arrival.wait(deadline.left().min(EVENTS_INTERVAL));
        }
    }
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = self.assigned.iter().map(|assigned| &assigned.partition);
        f.debug_list().entries(partitions).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_anew_for_far_more_or_far_fewer_partitions() {
        assert_eq!([0, 1, 2, 3, 32, 33].map(shares_of), [1, 1, 2, 4, 32, 64]);
        assert!(fits(32, 32) && !fits(32, 33));
        assert!(fits(32, 9) && !fits(32, 8));
        assert!(fits(1, 1) && fits(2, 1) && !fits(4, 1));
    }

    #[test]
    fn an_arrival_before_the_wait_is_not_missed() {
        let arrival = Arrival::default();
        arrival.announce();
        let patience = Deadline::after(Duration::from_secs(20));
        arrival.wait(patience.left());
        assert!(!patience.passed());
    }
}
