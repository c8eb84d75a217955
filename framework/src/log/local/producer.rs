//! The producer of the broker in this process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::broker::Broker;
use super::fault::{Course, Faults, Operation};
use super::member::LocalGeneration;
use super::state::{About, State};
use super::storage::{Slot, Storage, TxnId};
use super::transaction::{Identity, Incoming};
use crate::error::{Error, Result};
use crate::log::refused::{Refused, record_content_bytes};
use crate::log::{
    Committed, Generation, OutgoingRecord, Producer, ProducerSpec, RECORD_BYTES_MAX, TopicHandle,
};
use crate::record::{RefusalKind, TopicPartition};

/// Kafka's default for a transaction that its owner left open.
const TRANSACTION_TIMEOUT_MS: i64 = 60_000;

/// Where a transactional producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No transaction.
    Idle,
    /// In a transaction.
    Open,
    /// Something failed in it: only `abort` is left.
    Failed,
    /// Replaced by another producer: nothing is left.
    Fenced,
}

pub(crate) struct LocalProducer<S: Storage> {
    broker: Arc<Broker<S>>,
    topics: Vec<KnownTopic>,
    session: Option<Session>,
    /// Highest offset of this producer's records, per handle and partition.
    acknowledged: HashMap<(u32, i32), i64>,
    refusals: Refusals,
}

/// What was refused. As in Kafka, the one who sends is told later, and what is sent to the same
/// partition until then travels with the refused record, and is refused with it.
#[derive(Default)]
struct Refusals {
    /// Not told yet.
    pending: BTreeMap<Slot, Refused>,
    told: Vec<Refused>,
}

impl Refusals {
    /// Takes in what became of a record: its offset, or none if it was refused.
    fn note(
        &mut self,
        slot: Slot,
        record: &OutgoingRecord<'_>,
        appended: Result<i64>,
    ) -> Result<Option<i64>> {
        let (partition, kind, reason) = match appended {
            Ok(offset) => return Ok(Some(offset)),
            Err(Error::Refused { partition, kind, reason }) => (partition, kind, reason),
            Err(error) => return Err(error),
        };
        let refused = refused(partition, kind, reason, record);
        self.pending.entry(slot).or_insert(refused);
        Ok(None)
    }

    /// True if the record goes the way of a refused one.
    fn swallow(&mut self, slot: Slot, record: &OutgoingRecord<'_>) -> bool {
        let Some(first) = self.pending.get_mut(&slot) else { return false };
        let Refused { partition, kind, reason, .. } = first.clone();
        let mut both = vec![first.clone()];
        refused(partition, kind, reason, record).add_to(&mut both);
        if let Some(merged) = both.pop() {
            *first = merged;
        }
        true
    }

    /// Tells what was refused, as a failure.
    fn tell(&mut self) -> Result<()> {
        let mut first = None;
        for refused in std::mem::take(&mut self.pending).into_values() {
            let what = format!("send to {}", refused.partition);
            first.get_or_insert(Error::Aborted { what, reason: refused.reason.clone() });
            refused.add_to(&mut self.told);
        }
        first.map_or(Ok(()), Err)
    }
}

fn refused(
    partition: TopicPartition,
    kind: RefusalKind,
    reason: String,
    record: &OutgoingRecord<'_>,
) -> Refused {
    let at = record.timestamp.unwrap_or(0);
    Refused {
        partition,
        kind,
        bytes_max: record_content_bytes(record),
        earliest: at,
        latest: at,
        keyless: record.key.is_none(),
        reason,
    }
}

/// A topic this producer sends to.
struct KnownTopic {
    name: Arc<str>,
    /// Its number, once it was looked up.
    id: Option<u32>,
}

/// The transactional side of a producer.
struct Session {
    identity: Identity,
    phase: Phase,
    /// The transaction as the broker knows it, once something was sent in it.
    txn: Option<TxnId>,
}

impl Session {
    /// Takes one step of the open transaction: checks who and where, and notes failures.
    fn step<S: Storage, T>(
        &mut self,
        broker: &Broker<S>,
        operation: Operation,
        act: impl FnOnce(&mut State, TxnId) -> Result<T>,
    ) -> Result<T> {
        let what = || format!("{operation:?}");
        match self.phase {
            Phase::Idle => return Err(misuse(operation, "no transaction is open")),
            Phase::Failed if operation != Operation::Abort => {
                let reason = "an earlier step of the transaction failed".to_owned();
                return Err(Error::Aborted { what: what(), reason });
            }
            Phase::Fenced => {
                let reason = "another producer took over".to_owned();
                return Err(Error::Fenced { what: what(), reason });
            }
            Phase::Open | Phase::Failed => {}
        }
        broker.with(|state| {
            self.check_owner(broker, state, operation)?;
            let done = self.act(broker, state, operation, act);
            match &done {
                Ok(_) => {}
                // Positions are refused for the member's sake: the producer is still sound.
                Err(Error::Fenced { .. }) if operation != Operation::SendOffsets => {
                    self.phase = Phase::Fenced;
                }
                Err(_) => self.phase = Phase::Failed,
            }
            done
        })
    }

    fn act<S: Storage, T>(
        &mut self,
        broker: &Broker<S>,
        state: &mut State,
        operation: Operation,
        act: impl FnOnce(&mut State, TxnId) -> Result<T>,
    ) -> Result<T> {
        let course = state.faults.before(operation)?;
        if let Some(ours) = self.txn {
            let owner = state.owners.get(&self.identity.transactional_id);
            if owner.and_then(|owner| owner.open) != Some(ours) {
                let reason = "the transaction is over already".to_owned();
                return Err(Error::Fenced { what: format!("{operation:?}"), reason });
            }
        }
        let ends = matches!(operation, Operation::Commit | Operation::Abort);
        let txn = match self.txn {
            Some(ours) => ours,
            // Nothing was sent: there is nothing to end.
            None if ends => 0,
            None => broker.transaction_of(state, &self.identity),
        };
        self.txn = Some(txn).filter(|txn| *txn != 0);
        let done = act(state, txn)?;
        Faults::answer(course, operation, done)
    }

    /// The first step of a transaction waits until the last one stands in all its partitions, as
    /// Kafka's client does (`CONCURRENT_TRANSACTIONS`), for as long as a transaction may last.
    fn wait_for_last<S: Storage>(
        &mut self,
        broker: &Broker<S>,
        operation: Operation,
    ) -> Result<()> {
        if self.txn.is_some() || self.phase != Phase::Open {
            return Ok(());
        }
        let patience = u64::try_from(self.identity.timeout_ms).unwrap_or(u64::MAX);
        let patience = Duration::from_millis(patience);
        let id = &self.identity.transactional_id;
        let is_over = |state: &mut State| (!state.is_ending(id)).then_some(());
        broker.wait(About::Records, patience, is_over).ok_or_else(|| {
            self.phase = Phase::Failed;
            let reason = format!("the last transaction of {id} has not ended in all partitions");
            Error::Aborted { what: format!("{operation:?}"), reason }
        })
    }

    fn check_owner<S: Storage>(
        &mut self,
        broker: &Broker<S>,
        state: &State,
        operation: Operation,
    ) -> Result<()> {
        let owned = broker.check_owner(state, &self.identity, operation);
        if owned.is_err() {
            self.phase = Phase::Fenced;
        }
        owned
    }

    fn end<S: Storage>(&mut self, broker: &Broker<S>, operation: Operation) -> Result<()> {
        broker.expire();
        let commit = operation == Operation::Commit;
        self.step(broker, operation, |state, txn| broker.end_transaction(state, txn, commit))?;
        self.phase = Phase::Idle;
        self.txn = None;
        Ok(())
    }
}

impl<S: Storage> LocalProducer<S> {
    pub(crate) fn open(broker: Arc<Broker<S>>, spec: &ProducerSpec) -> Result<Self> {
        broker.expire();
        let timeout = spec.transaction_timeout.map(|t| i64::try_from(t.as_millis()));
        let timeout_ms = timeout.map_or(TRANSACTION_TIMEOUT_MS, |ms| ms.unwrap_or(i64::MAX));
        let session = broker.with(|state| {
            let course = state.faults.before(Operation::OpenProducer)?;
            let session = match spec.transactional_id.clone() {
                None => None,
                Some(transactional_id) => {
                    let epoch = broker.own(state, &transactional_id)?;
                    if state.is_ending(&transactional_id) {
                        let reason = "its last transaction is still ending".to_owned();
                        let what = format!("opening producer {transactional_id}");
                        return Err(Error::Unavailable { what, reason });
                    }
                    let identity = Identity { transactional_id, epoch, timeout_ms };
                    Some(Session { identity, phase: Phase::Idle, txn: None })
                }
            };
            Faults::answer(course, Operation::OpenProducer, session)
        })?;
        let (acknowledged, refusals) = (HashMap::new(), Refusals::default());
        Ok(Self { broker, session, topics: Vec::new(), acknowledged, refusals })
    }

    /// Refuses at once what no topic takes, as Kafka's client does.
    fn check_size(&self, record: &OutgoingRecord<'_>) -> Result<()> {
        if record_content_bytes(record) <= RECORD_BYTES_MAX {
            return Ok(());
        }
        let topic = self.topics.get(record.topic.0 as usize);
        let name = topic.map_or_else(|| Arc::from("?"), |topic| Arc::clone(&topic.name));
        Err(Error::Refused {
            partition: TopicPartition::new(name, record.partition),
            kind: RefusalKind::TooLarge,
            reason: format!(
                "{} bytes are more than a producer sends",
                record_content_bytes(record)
            ),
        })
    }

    /// Fails if something was refused; a transaction is lost then.
    fn delivered(&mut self) -> Result<()> {
        let told = self.refusals.tell();
        if let (Err(_), Some(session)) = (&told, &mut self.session)
            && session.phase == Phase::Open
        {
            session.phase = Phase::Failed;
        }
        told
    }

    fn session(&mut self, operation: Operation) -> Result<&mut Session> {
        let missing = || misuse(operation, "the producer is not transactional");
        self.session.as_mut().ok_or_else(missing)
    }
}

fn incoming<'a, S: Storage>(
    broker: &Broker<S>,
    state: &mut State,
    topics: &mut [KnownTopic],
    record: &OutgoingRecord<'a>,
) -> Result<Incoming<'a>> {
    let Some(topic) = topics.get_mut(record.topic.0 as usize) else {
        return Err(misuse(Operation::Send, "the topic's handle is of another producer"));
    };
    let known = topic.id.zip(u32::try_from(record.partition).ok());
    let known = known.map(|(topic, partition)| Slot { topic, partition });
    let slot = if let Some(slot) = known {
        slot
    } else {
        broker.auto_create(state, &topic.name)?;
        state.slot(&TopicPartition::new(Arc::clone(&topic.name), record.partition))?
    };
    topic.id = Some(slot.topic);
    let timestamp = record.timestamp.unwrap_or_else(|| broker.now());
    let (key, value, headers) = (record.key, record.value, record.headers);
    Ok(Incoming { slot, key, value, timestamp, headers })
}

impl<S: Storage> Producer for LocalProducer<S> {
    fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        let known = self.topics.iter().position(|known| &*known.name == name);
        let index = known.unwrap_or_else(|| {
            self.topics.push(KnownTopic { name: Arc::from(name), id: None });
            self.topics.len() - 1
        });
        u32::try_from(index)
            .map(TopicHandle)
            .map_err(|_| misuse(Operation::Send, "too many topics"))
    }

    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<()> {
        self.check_size(record)?;
        let Self { broker, topics, session, acknowledged, refusals } = self;
        let offset = if let Some(session) = session {
            session.wait_for_last(broker, Operation::Send)?;
            session.step(broker, Operation::Send, |state, txn| {
                let incoming = incoming(broker, state, topics, record)?;
                if refusals.swallow(incoming.slot, record) {
                    return Ok(None);
                }
                let appended = broker.append(state, Some(txn), &incoming);
                refusals.note(incoming.slot, record, appended)
            })?
        } else {
            broker.with(|state| {
                let course = state.faults.before(Operation::Send)?;
                let incoming = incoming(broker, state, topics, record)?;
                if refusals.swallow(incoming.slot, record) {
                    return Faults::answer(course, Operation::Send, None);
                }
                let mut appended = broker.append(state, None, &incoming);
                if course == Course::Repeat {
                    appended = broker.append(state, None, &incoming);
                }
                let offset = refusals.note(incoming.slot, record, appended)?;
                Faults::answer(course, Operation::Send, offset)
            })?
        };
        if let Some(offset) = offset {
            acknowledged.insert((record.topic.0, record.partition), offset);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let Self { broker, session, .. } = self;
        broker.with(|state| {
            let course = state.faults.before(Operation::Flush)?;
            match session {
                Some(session) => session.check_owner(broker, state, Operation::Flush)?,
                None => broker.storage.flush()?,
            }
            Faults::answer(course, Operation::Flush, ())
        })?;
        self.delivered()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        // What was not told yet is lost with the producer; the caller wants to know all the same.
        let _ = self.refusals.tell();
        std::mem::take(&mut self.refusals.told)
    }

    fn acknowledged(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        self.acknowledged.get(&(topic.0, partition)).copied()
    }

    fn begin(&mut self) -> Result<()> {
        let broker = Arc::clone(&self.broker);
        // What was refused in the last transaction is not this one's.
        let _ = self.refusals.tell();
        let session = self.session(Operation::Begin)?;
        broker.expire();
        broker.with(|state| {
            session.check_owner(&broker, state, Operation::Begin)?;
            if session.phase != Phase::Idle {
                return Err(misuse(Operation::Begin, "the last transaction is not ended"));
            }
            let course = state.faults.before(Operation::Begin)?;
            session.phase = Phase::Open;
            Faults::answer(course, Operation::Begin, ())
        })
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        generation: &Generation,
    ) -> Result<()> {
        self.delivered()?;
        let broker = Arc::clone(&self.broker);
        let session = self.session(Operation::SendOffsets)?;
        let Some(seat) = generation.0.downcast_ref::<LocalGeneration>() else {
            return Err(misuse(Operation::SendOffsets, "the generation is of another log"));
        };
        broker.expire();
        session.wait_for_last(&broker, Operation::SendOffsets)?;
        session.step(&broker, Operation::SendOffsets, |state, txn| {
            state.group(&seat.group).check(&seat.member, seat.generation)?;
            state.add_offsets(txn, &seat.group, offsets);
            Ok(())
        })
    }

    fn commit(&mut self) -> Result<()> {
        self.delivered()?;
        let broker = Arc::clone(&self.broker);
        self.session(Operation::Commit)?.end(&broker, Operation::Commit)
    }

    fn abort(&mut self) -> Result<()> {
        let broker = Arc::clone(&self.broker);
        self.session(Operation::Abort)?.end(&broker, Operation::Abort)
    }
}

impl<S: Storage> Drop for LocalProducer<S> {
    fn drop(&mut self) {
        if !self.broker.manners.dropped_is_gone {
            return;
        }
        let Some(session) = &self.session else {
            let _ = self.broker.storage.flush();
            return;
        };
        self.broker.with(|state| {
            let open = state.owners.get(&session.identity.transactional_id);
            if let Some(open) =
                open.and_then(|owner| owner.open).filter(|o| Some(*o) == session.txn)
            {
                let _ = self.broker.end_transaction(state, open, false);
            }
        });
    }
}

fn misuse(operation: Operation, reason: &str) -> Error {
    Error::Fatal { what: format!("{operation:?}"), reason: reason.to_owned() }
}
