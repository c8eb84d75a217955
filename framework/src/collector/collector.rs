//! Sends records through the producer of the worker, and knows the partitions of topics.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::collector::counts::SinkCounts;
use crate::collector::partitioner::murmur2_partition;
use crate::collector::refusals::Refusals;
use crate::error::{Error, Result};
use crate::log::{
    Log, OutgoingRecord, Producer, ProducerSpec, Refused, TopicHandle, record_content_bytes,
};
use crate::record::{Headers, Timestamp, TopicPartition};

/// A topic as the collectors of one worker know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SinkTopic(u32);

/// Which partition a record goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// This one.
    Partition(i32),
    /// The one these bytes choose by Java's partitioner.
    ByKey(&'a [u8]),
    /// Any: records without a key go round.
    Any,
}

struct KnownTopic {
    name: Arc<str>,
    /// True if it refuses some records: those that look like them are asked about first.
    watched: bool,
    handle: TopicHandle,
    partitions: i32,
    /// Where the next record without a key goes.
    next: i32,
}

/// The producer of a worker with the topics it knows; shared by the tasks of the worker.
pub(crate) struct WorkerProducer {
    log: Arc<dyn Log>,
    producer: Box<dyn Producer>,
    transactional: bool,
    in_transaction: bool,
    known: Vec<KnownTopic>,
    by_name: HashMap<String, SinkTopic>,
    refusals: Refusals,
    /// How the producer was opened, and the one that asks; opened when first needed.
    spec: ProducerSpec,
    asking: Option<Box<dyn Producer>>,
    /// The version of the counts that it knows.
    counts_seen: u64,
    sent_records: u64,
    sent_bytes: u64,
}

impl fmt::Debug for WorkerProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerProducer").field("topics", &self.by_name).finish_non_exhaustive()
    }
}

impl WorkerProducer {
    pub(crate) fn new(log: Arc<dyn Log>, producer: Box<dyn Producer>, transactional: bool) -> Self {
        Self {
            log,
            producer,
            transactional,
            in_transaction: false,
            known: Vec::new(),
            by_name: HashMap::new(),
            refusals: Refusals::default(),
            spec: ProducerSpec::default(),
            asking: None,
            counts_seen: 0,
            sent_records: 0,
            sent_bytes: 0,
        }
    }

    /// With what is known of topics that refuse records; `spec` is what the producer was opened with.
    #[must_use]
    pub(crate) fn with_refusals(mut self, refusals: Refusals, spec: ProducerSpec) -> Self {
        self.refusals = refusals;
        self.spec = spec;
        self
    }

    /// What is known of topics that refuse records, for the next producer: this one failed.
    pub(crate) fn take_refusals(&mut self, now: Timestamp, elapsed: Duration) -> Refusals {
        let refused = self.producer.take_refused();
        for Refused { partition, reason, .. } in &refused {
            tracing::warn!(%partition, reason, "the topic refuses records for good: from now on it is asked about records like them, and the policy of their sink decides");
        }
        let mut refusals = std::mem::take(&mut self.refusals);
        refusals.learn(&refused, now, elapsed);
        refusals
    }

    /// To be called after a commit: lets go of topics that have refused nothing for long.
    pub(crate) fn forget_refusals(&mut self, elapsed: Duration) {
        if self.refusals.forget(elapsed) {
            for topic in &mut self.known {
                topic.watched = self.refusals.watches(&topic.name);
            }
            if self.refusals.is_empty() {
                self.asking = None;
            }
        }
    }

    /// The producer itself, for the commit.
    pub(crate) fn producer(&mut self) -> &mut dyn Producer {
        &mut *self.producer
    }

    /// Starts a transaction unless one is open; does nothing for a producer without.
    pub(crate) fn ensure_transaction(&mut self) -> Result<()> {
        if self.transactional && !self.in_transaction {
            self.producer.begin()?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// True if a transaction is open.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// To be called when the transaction was committed or aborted.
    pub(crate) fn transaction_ended(&mut self) {
        self.in_transaction = false;
    }

    /// Ends the open transaction, if one is: nothing of it counts.
    pub(crate) fn abort_transaction(&mut self) -> Result<()> {
        if std::mem::take(&mut self.in_transaction) { self.producer.abort() } else { Ok(()) }
    }

    /// Takes over the partition counts of now, as Kafka's producer does with new metadata: records
    /// that are sent from now on are spread over all partitions.
    pub(crate) fn learn(&mut self, counts: &SinkCounts) {
        let Some(counts) = counts.news(&mut self.counts_seen) else { return };
        for (name, topic) in &self.by_name {
            let (Some(now), Some(known)) = (counts.get(name), self.known.get_mut(topic.0 as usize))
            else {
                continue;
            };
            if known.partitions != *now {
                tracing::info!(
                    topic = name,
                    before = known.partitions,
                    now,
                    "a sink topic has another number of partitions"
                );
                known.partitions = *now;
                known.next = 0;
            }
        }
    }

    /// Records and bytes sent since the last call.
    pub(crate) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.sent_records), std::mem::take(&mut self.sent_bytes))
    }

    /// Makes a topic known; it must exist.
    ///
    /// # Errors
    /// `MissingTopic` if it does not exist, `Unavailable` if no broker answers.
    pub(crate) fn topic(&mut self, name: &str) -> Result<SinkTopic> {
        if let Some(topic) = self.by_name.get(name) {
            return Ok(*topic);
        }
        let described = self.log.describe(&[name])?.into_iter().next().flatten();
        let partitions =
            described.ok_or_else(|| Error::MissingTopic { topic: name.to_owned() })?.partitions;
        let handle = self.producer.topic(name)?;
        let topic = SinkTopic(self.known.len() as u32);
        let watched = self.refusals.watches(name);
        self.known.push(KnownTopic { name: Arc::from(name), watched, handle, partitions, next: 0 });
        self.by_name.insert(name.to_owned(), topic);
        Ok(topic)
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&mut self, topic: SinkTopic) -> Result<i32> {
        Ok(self.known(topic)?.partitions)
    }

    fn known(&mut self, topic: SinkTopic) -> Result<&mut KnownTopic> {
        self.known.get_mut(topic.0 as usize).ok_or_else(|| Error::Fatal {
            what: "sending".to_owned(),
            reason: "the topic is of another worker".to_owned(),
        })
    }

    /// Sends a record; see [`Producer::send`].
    #[inline]
    pub(crate) fn send(
        &mut self,
        topic: SinkTopic,
        target: Target<'_>,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        timestamp: Option<i64>,
        headers: &Headers,
    ) -> Result<()> {
        self.ensure_transaction()?;
        let known = self.known(topic)?;
        let partition = match target {
            Target::Partition(partition) => partition,
            Target::ByKey(key) => murmur2_partition(key, known.partitions),
            Target::Any => {
                let partition = known.next;
                known.next = (partition + 1) % known.partitions.max(1);
                partition
            }
        };
        let record =
            OutgoingRecord { topic: known.handle, partition, key, value, timestamp, headers };
        if known.watched {
            let name = Arc::clone(&known.name);
            if self.refusals.suspects(&name, &record) {
                return self.send_suspect(&name, &record);
            }
        }
        self.sent_records += 1;
        self.sent_bytes += (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        self.producer.send(&record)
    }

    /// Sends a record that its topic may refuse.
    #[cold]
    fn send_suspect(&mut self, name: &Arc<str>, record: &OutgoingRecord<'_>) -> Result<()> {
        let refused = if self.transactional {
            self.ask_about(name, record)?
        } else {
            // What was sent before must not be in doubt because of this one.
            self.producer.flush()?;
            let sent = self.producer.send(record).and_then(|()| self.producer.flush());
            let refused = self.producer.take_refused().pop();
            if refused.is_none() {
                sent?;
            }
            refused
        };
        if let Some(Refused { kind, reason, .. }) = refused {
            self.refusals.found(name);
            let bytes = record_content_bytes(record);
            return Err(Error::Refused {
                partition: TopicPartition::new(Arc::clone(name), record.partition),
                kind,
                reason: format!("{reason} ({bytes} bytes)"),
            });
        }
        self.refusals.accepted(name, record);
        self.sent_records += 1;
        self.sent_bytes += record_content_bytes(record) as u64;
        if self.transactional { self.producer.send(record) } else { Ok(()) }
    }

    /// What the topic says of a record in a transaction that does not count.
    fn ask_about(&mut self, name: &str, record: &OutgoingRecord<'_>) -> Result<Option<Refused>> {
        if let Some(mut asking) = self.asking.take()
            && let Ok(refused) = asked(&mut *asking, name, record)
        {
            // After a refusal the client is left as after any failure, so it is not used again.
            self.asking = Some(asking).filter(|_| refused.is_none());
            return Ok(refused);
        }
        let id = self.spec.transactional_id.as_deref().unwrap_or_default();
        let transactional_id = Some(format!("{id}-asking"));
        let spec = ProducerSpec { transactional_id, ..self.spec.clone() };
        let mut asking = self.log.producer(&spec)?;
        let refused = asked(&mut *asking, name, record)?;
        self.asking = Some(asking).filter(|_| refused.is_none());
        Ok(refused)
    }
}

/// Sends a record in a transaction that is aborted; what its topic refused of it.
fn asked(
    asking: &mut dyn Producer,
    name: &str,
    record: &OutgoingRecord<'_>,
) -> Result<Option<Refused>> {
    let topic = asking.topic(name)?;
    asking.begin()?;
    let sent = asking.send(&OutgoingRecord { topic, ..*record }).and_then(|()| asking.flush());
    let refused = asking.take_refused().pop();
    let aborted = asking.abort();
    if refused.is_none() {
        sent.and(aborted)?;
    }
    Ok(refused)
}

/// The way out of one task: the producer it shares with the other tasks of its worker.
#[derive(Clone, Debug)]
pub(crate) struct Collector(Rc<RefCell<WorkerProducer>>);

impl Collector {
    pub(crate) fn new(producer: Rc<RefCell<WorkerProducer>>) -> Self {
        Self(producer)
    }

    /// Makes a topic known; see [`WorkerProducer::topic`].
    pub(crate) fn topic(&mut self, name: &str) -> Result<SinkTopic> {
        self.0.borrow_mut().topic(name)
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&self, topic: SinkTopic) -> Result<i32> {
        self.0.borrow_mut().partitions(topic)
    }

    /// Sends a record; see [`Producer::send`].
    #[inline]
    pub(crate) fn send(
        &mut self,
        topic: SinkTopic,
        target: Target<'_>,
        key_value: (Option<&[u8]>, Option<&[u8]>),
        timestamp: Option<i64>,
        headers: &Headers,
    ) -> Result<()> {
        self.0.borrow_mut().send(topic, target, key_value, timestamp, headers)
    }

    /// Asks about every record for a topic from now on, or no longer; what it was before.
    pub(crate) fn ask_about_all(&mut self, topic: SinkTopic, all: bool) -> Result<bool> {
        let mut shared = self.0.borrow_mut();
        let before = shared.refusals.ask_about_all(all);
        let name = Arc::clone(&shared.known(topic)?.name);
        let watched = shared.refusals.watches(&name);
        shared.known(topic)?.watched = watched;
        Ok(before)
    }

    /// The highest acknowledged offset of a partition; see [`Producer::acknowledged`].
    pub(crate) fn acknowledged(&self, topic: SinkTopic, partition: i32) -> Result<Option<i64>> {
        let mut shared = self.0.borrow_mut();
        let handle = shared.known(topic)?.handle;
        Ok(shared.producer.acknowledged(handle, partition))
    }
}
